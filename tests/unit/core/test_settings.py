from __future__ import annotations

from pathlib import Path

import pytest

from recipes.core import settings
from recipes.core.errors import UsageError
from recipes.core.settings import Settings, parse_settings

DEFAULT = Path("/cache/pinned-llama")


def parse(**environ: str) -> Settings:
    return parse_settings(environ, default_store=DEFAULT)


def refusal(**environ: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse(**environ)
    return caught.value


def test_an_empty_environment_gives_the_defaults() -> None:
    assert parse() == Settings(
        DEFAULT, None, (), offline=False, policy=frozenset(), timeout_s=30.0, network=()
    )


def test_each_variable_is_read() -> None:
    parsed = parse(
        PINNED_LLAMA_STORE="/big disk/store",
        PINNED_LLAMA_INDEX_URL="https://index.example/simple",
        PINNED_LLAMA_MIRROR=" http://a.example/x/  https://b.example ",
        PINNED_LLAMA_OFFLINE="1",
        PINNED_LLAMA_POLICY="refuse-known-issues, ",
        PINNED_LLAMA_PERMIT=" CVE-2000-0001,GHSA-1  ours, ",
        PINNED_LLAMA_TIMEOUT_S="2.5",
        https_proxy="http://proxy.example",
        SSL_CERT_FILE="/etc/ssl/own.pem",
        LANG="C",
    )
    assert parsed == Settings(
        Path("/big disk/store"),
        "https://index.example/simple",
        ("http://a.example/x", "https://b.example"),
        offline=True,
        policy=frozenset({"refuse-known-issues"}),
        permit=frozenset({"CVE-2000-0001", "GHSA-1", "ours"}),
        timeout_s=2.5,
        network=(("https_proxy", "http://proxy.example"), ("SSL_CERT_FILE", "/etc/ssl/own.pem")),
    )


def test_an_empty_variable_is_as_good_as_none() -> None:
    names = ("STORE", "INDEX_URL", "MIRROR", "OFFLINE", "POLICY", "PERMIT", "TIMEOUT_S")
    assert parse(**{f"PINNED_LLAMA_{name}": "" for name in names}) == parse()


def test_a_tilde_in_the_stores_path_is_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert parse(PINNED_LLAMA_STORE="~/store").store == Path("/home/someone/store")


def test_our_index_variable_beats_pips_and_pips_beats_its_files() -> None:
    ours, pips, files = (f"https://{name}.example/simple" for name in ("ours", "pips", "files"))

    def index(**environ: str) -> str | None:
        found = ("pip.conf", files)
        return parse_settings(environ, default_store=DEFAULT, pip_index_url=found).index_url

    assert index(PINNED_LLAMA_INDEX_URL=ours, PIP_INDEX_URL=pips) == ours
    assert index(PIP_INDEX_URL=pips) == pips
    assert index() == files


@pytest.mark.parametrize("name", ["INDEX_URL", "MIRROR", "HUB_URL"])
@pytest.mark.parametrize(
    "value",
    [
        "index.example/simple",
        "ftp://a.example",
        "https://",
        "https:///simple",
        "https://a:b",
        "https://a:99999",
        "https://[::1",
    ],
)
def test_an_address_that_is_none_is_refused_by_name(name: str, value: str) -> None:
    error = refusal(**{f"PINNED_LLAMA_{name}": value})
    assert (error.where, error.found) == (f"the variable PINNED_LLAMA_{name}", repr(value))


def test_pips_own_variable_is_named_too() -> None:
    assert refusal(PIP_INDEX_URL="https://a b").where == "the variable PIP_INDEX_URL"


def test_of_several_mirrors_the_one_that_is_no_address_is_shown() -> None:
    assert refusal(PINNED_LLAMA_MIRROR="https://a.example ftp://b.example").found == "'ftp://b.example'"


def test_a_password_in_a_malformed_address_is_not_shown() -> None:
    assert refusal(PIP_INDEX_URL="ftp://user:secret@host/simple").found == "'ftp://***@host/simple'"


@pytest.mark.parametrize("name", ["PINNED_LLAMA_STORE", "XDG_CACHE_HOME", "HOME"])
def test_a_store_in_a_relative_place_is_refused_with_the_absolute_one(name: str) -> None:
    error = refusal(**{name: "cache"})
    assert error.where == f"the variable {name}"
    assert error.fix == f"set {name}={Path.cwd() / 'cache'}"


def test_a_user_without_a_home_is_told_to_name_a_store() -> None:
    with pytest.raises(UsageError) as caught:
        parse_settings({}, default_store=Path("~/.cache/pinned-llama"))
    assert caught.value.where == "the variable HOME"
    assert "PINNED_LLAMA_STORE" in caught.value.fix
    assert parse(PINNED_LLAMA_STORE="/s", XDG_CACHE_HOME="x").store == Path("/s")


@pytest.mark.parametrize("name", ["PINNED_LLAMA_STORE", "PIP_CERT", "HF_HOME", "HF_HUB_CACHE"])
def test_the_home_of_a_user_that_does_not_exist_is_refused_by_name(name: str) -> None:
    assert refusal(**{name: "~no-such-user/x"}).where == f"the variable {name}"


@pytest.mark.parametrize("value", ["/no/such.pem", "x" * 300, "/dev/null/x"])
def test_certificates_that_do_not_exist_are_refused_by_where_they_are_named(value: str) -> None:
    assert refusal(PIP_CERT=value).where == "the variable PIP_CERT"
    with pytest.raises(UsageError) as caught:
        parse_settings({}, default_store=DEFAULT, pip_certificates=("pip.conf, cert in [global]", value))
    assert caught.value.where == "pip.conf, cert in [global]"


@pytest.mark.parametrize("value", ["yes", "true", "2", " 1"])
def test_offline_is_one_or_zero(value: str) -> None:
    assert not parse(PINNED_LLAMA_OFFLINE="0").offline
    error = refusal(PINNED_LLAMA_OFFLINE=value)
    assert (error.where, error.found) == ("the variable PINNED_LLAMA_OFFLINE", repr(value))
    assert error.fix == "set PINNED_LLAMA_OFFLINE=1, or unset it"


def test_a_policy_that_does_not_exist_is_refused_with_those_that_do() -> None:
    error = refusal(PINNED_LLAMA_POLICY="refuse-known-issues,refuse-all")
    assert (error.expected, error.found) == (
        "names out of: refuse-known-issues, require-isolation",
        "'refuse-all'",
    )


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon", "1e999"])
def test_a_timeout_is_a_number_of_seconds(value: str) -> None:
    error = refusal(PINNED_LLAMA_TIMEOUT_S=value)
    assert (error.where, error.fix) == (
        "the variable PINNED_LLAMA_TIMEOUT_S",
        "set PINNED_LLAMA_TIMEOUT_S=30, or unset it",
    )


def test_pips_files_are_not_read_where_a_variable_names_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pip.conf"
    path.write_bytes(b"\xff")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(path))
    monkeypatch.setenv("PINNED_LLAMA_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("PINNED_LLAMA_INDEX_URL", "https://index.example/simple")
    assert settings.read_settings().index_url == "https://index.example/simple"
    monkeypatch.delenv("PINNED_LLAMA_INDEX_URL")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    with pytest.raises(UsageError):
        settings.read_settings()
    path.write_text("[global]\nindex-url = https://pip.example/simple\n")
    assert settings.read_settings().index_url == "https://pip.example/simple"
    assert settings.read_settings().store == tmp_path / "store"


def test_the_hub_and_its_token_are_read() -> None:
    parsed = parse(
        PINNED_LLAMA_HUB_URL="https://mirror.example/", HF_ENDPOINT="https://other.example", HF_TOKEN=" hf_x "
    )
    assert (parsed.hub_url, parsed.hub_token) == ("https://mirror.example", "hf_x")
    assert parse(HF_ENDPOINT="https://other.example/hub/").hub_url == "https://other.example/hub"
    assert (parse(HF_TOKEN="").hub_token, parse(PINNED_LLAMA_HUB_URL="").hub_url) == (None, None)


@pytest.mark.parametrize("token", ["hf_se\ncret", "hf_se cret", "hf_\u00e9", "hf_\x00"])
def test_a_token_that_no_header_can_carry_is_refused_without_showing_it(token: str) -> None:
    error = refusal(HF_TOKEN=token)
    assert error.where == "the variable HF_TOKEN"
    assert token not in str(error)
