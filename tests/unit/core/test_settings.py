from __future__ import annotations

from pathlib import Path

import pytest

from recipes.core import settings
from recipes.core.errors import UsageError
from recipes.core.settings import Settings, parse_settings, pip_certificates, pip_config_files, pip_index_url

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
        timeout_s=2.5,
        network=(("https_proxy", "http://proxy.example"), ("SSL_CERT_FILE", "/etc/ssl/own.pem")),
    )


def test_an_empty_variable_is_as_good_as_none() -> None:
    names = ("STORE", "INDEX_URL", "MIRROR", "OFFLINE", "POLICY", "TIMEOUT_S")
    assert parse(**{f"PINNED_LLAMA_{name}": "" for name in names}) == parse()


def test_a_tilde_in_the_stores_path_is_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert parse(PINNED_LLAMA_STORE="~/store").store == Path("/home/someone/store")


def test_our_index_variable_beats_pips_and_pips_beats_its_files() -> None:
    ours, pips, files = (
        "https://ours.example/simple",
        "https://pips.example/simple",
        "https://files.example/simple",
    )

    def index(**environ: str) -> str | None:
        return parse_settings(environ, default_store=DEFAULT, pip_index_url=files).index_url

    assert index(PINNED_LLAMA_INDEX_URL=ours, PIP_INDEX_URL=pips) == ours
    assert index(PIP_INDEX_URL=pips) == pips
    assert index() == files


def test_a_mirror_that_is_no_address_is_refused_by_name() -> None:
    assert str(refusal(PINNED_LLAMA_MIRROR="https://a.example ftp://b.example")) == (
        "error: this command line names something that does not exist\n"
        "  where:    the variable PINNED_LLAMA_MIRROR\n"
        "  expected: a full http or https address\n"
        "  found:    'ftp://b.example'\n"
        "  fix:      write it as https://host/path, or unset it"
    )


@pytest.mark.parametrize("name", ["PINNED_LLAMA_INDEX_URL", "PIP_INDEX_URL"])
@pytest.mark.parametrize("value", ["index.example/simple", "https://", "https:///simple", "https://a b"])
def test_an_index_that_is_no_address_is_refused_by_name(name: str, value: str) -> None:
    error = refusal(**{name: value})
    assert (error.where, error.found) == (f"the variable {name}", repr(value))


def test_a_password_in_a_malformed_address_is_not_shown() -> None:
    assert refusal(PIP_INDEX_URL="ftp://user:secret@host/simple").found == "'ftp://***@host/simple'"


def test_a_store_in_a_relative_place_is_refused_with_the_absolute_one() -> None:
    error = refusal(PINNED_LLAMA_STORE="store")
    assert error.where == "the variable PINNED_LLAMA_STORE"
    assert error.fix == f"set PINNED_LLAMA_STORE={Path.cwd() / 'store'}"


@pytest.mark.parametrize("value", ["yes", "true", "2", " 1"])
def test_offline_is_one_or_zero(value: str) -> None:
    assert not parse(PINNED_LLAMA_OFFLINE="0").offline
    error = refusal(PINNED_LLAMA_OFFLINE=value)
    assert (error.where, error.found) == ("the variable PINNED_LLAMA_OFFLINE", repr(value))
    assert error.fix == "set PINNED_LLAMA_OFFLINE=1, or unset it"


def test_a_policy_that_does_not_exist_is_refused_with_those_that_do() -> None:
    error = refusal(PINNED_LLAMA_POLICY="refuse-known-issues,refuse-all")
    assert (error.expected, error.found) == ("names out of: refuse-known-issues", "'refuse-all'")


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon", "1e999"])
def test_a_timeout_is_a_number_of_seconds(value: str) -> None:
    error = refusal(PINNED_LLAMA_TIMEOUT_S=value)
    assert (error.where, error.fix) == (
        "the variable PINNED_LLAMA_TIMEOUT_S",
        "set PINNED_LLAMA_TIMEOUT_S=30, or unset it",
    )


def test_pips_files_are_looked_for_where_pip_does_on_linux() -> None:
    environ = {"HOME": "/home/a", "XDG_CONFIG_DIRS": "/one:/two"}
    assert [str(path) for path in pip_config_files(environ, "linux", Path("/venv"))] == [
        "/one/pip/pip.conf",
        "/two/pip/pip.conf",
        "/etc/pip.conf",
        "/home/a/.pip/pip.conf",
        "/home/a/.config/pip/pip.conf",
        "/venv/pip.conf",
    ]
    moved = pip_config_files({"HOME": "/home/a", "XDG_CONFIG_HOME": "/conf"}, "linux", Path("/venv"))
    assert Path("/conf/pip/pip.conf") in moved
    assert moved[0] == Path("/etc/xdg/pip/pip.conf")


def test_pips_files_are_looked_for_where_pip_does_on_macos(tmp_path: Path) -> None:
    own = tmp_path / "Library/Application Support/pip"
    environ = {"HOME": str(tmp_path)}
    without = pip_config_files(environ, "darwin", Path("/venv"))
    own.mkdir(parents=True)
    machine = Path("/Library/Application Support/pip/pip.conf")
    legacy, site = tmp_path / ".pip/pip.conf", Path("/venv/pip.conf")
    assert without == (machine, legacy, tmp_path / ".config/pip/pip.conf", site)
    assert pip_config_files(environ, "darwin", Path("/venv")) == (machine, legacy, own / "pip.conf", site)


def test_a_file_that_pips_variable_names_takes_the_users_place_and_beats_all(tmp_path: Path) -> None:
    named = tmp_path / "named.conf"
    environ = {"HOME": "/home/a", "PIP_CONFIG_FILE": str(named)}
    assert Path("/home/a/.pip/pip.conf") in pip_config_files(environ, "linux", Path("/venv"))
    named.touch()
    files = pip_config_files(environ, "linux", Path("/venv"))
    assert Path("/home/a/.pip/pip.conf") not in files
    assert files[-1] == named
    assert pip_config_files({"PIP_CONFIG_FILE": "/dev/null"}, "linux", Path("/venv")) == ()


def test_the_places_are_those_that_pip_itself_names(tmp_path: Path) -> None:
    configuration = pytest.importorskip("pip._internal.configuration")
    environ = {"HOME": str(tmp_path)}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "PIP_CONFIG_FILE"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(tmp_path))
        by_kind = configuration.get_configuration_files()
    expected = [path for kind in ("global", "user", "site") for path in by_kind[kind]]
    import sys

    assert [str(path) for path in pip_config_files(environ, sys.platform, Path(sys.prefix))] == expected


def test_a_later_file_beats_an_earlier_one_and_the_section_of_install_beats_that_of_all(
    tmp_path: Path,
) -> None:
    machine, user, missing = tmp_path / "machine", tmp_path / "user", tmp_path / "missing"
    machine.write_text("[global]\nindex-url = https://machine.example/simple\ntimeout = 60\n")
    assert pip_index_url((machine, missing)) == "https://machine.example/simple"
    user.write_text(
        "[global]\nindex-url=https://user.example/simple\n[download]\nindex-url=https://no.example\n"
    )
    assert pip_index_url((machine, user)) == "https://user.example/simple"
    assert pip_index_url((user, machine)) == "https://machine.example/simple"
    machine.write_text("[install]\nindex-url = https://install.example/simple\n")
    assert pip_index_url((machine, user)) == "https://install.example/simple"
    assert pip_index_url((missing, tmp_path / "user" / "below a file")) is None


@pytest.mark.parametrize("text", [b"index-url = x\n", b"[global]\nindex-url\n= =\n[", b"\xff\xfe"])
def test_a_file_of_pips_that_cannot_be_read_is_refused_by_its_path(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "pip.conf"
    path.write_bytes(text)
    with pytest.raises(UsageError) as caught:
        pip_index_url((path,))
    assert caught.value.where == str(path)
    assert caught.value.fix == (
        "mend the file, or set PINNED_LLAMA_INDEX_URL to the index's address: then it is not read"
    )


def test_an_index_in_pips_file_that_is_no_address_is_refused_by_file_and_section(tmp_path: Path) -> None:
    path = tmp_path / "pip.conf"
    path.write_text("[global]\nindex-url = nonsense\n")
    with pytest.raises(UsageError) as caught:
        pip_index_url((path,))
    assert caught.value.where == f"{path}, index-url in [global]"


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


def test_certificates_that_do_not_exist_are_refused_by_where_they_are_named(tmp_path: Path) -> None:
    path = tmp_path / "pip.conf"
    path.write_text("[global]\ncert = /no/such.pem\n")
    with pytest.raises(UsageError) as in_file:
        pip_certificates((path,))
    assert in_file.value.where == f"{path}, cert in [global]"
    assert in_file.value.found == "'/no/such.pem', which does not exist"
    with pytest.raises(UsageError) as in_variable:
        parse_settings({"PIP_CERT": "/no/such.pem"}, default_store=DEFAULT)
    assert in_variable.value.where == "the variable PIP_CERT"


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
    assert str(error) == (
        "error: this command line names something that does not exist\n"
        "  where:    the variable HF_TOKEN\n"
        "  expected: a token of the hub: letters, digits and signs, without a space\n"
        "  found:    something else, which is not shown\n"
        "  fix:      copy the token again, or unset the variable"
    )
