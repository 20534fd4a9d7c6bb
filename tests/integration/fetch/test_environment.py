"""Proxies, certificates and logins that cannot be used: our error, which names them; never a traceback."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from recipes.core.console import Silent
from recipes.core.digest import Sha256
from recipes.core.errors import FetchError, RecipeError, UsageError
from recipes.core.pip_config import pip_value
from recipes.core.settings import Settings, parse_settings
from recipes.fetch.fetcher import Candidate, Fetcher
from recipes.fetch.http.environment import CERTIFICATE_VARIABLES
from recipes.fetch.http.network_errors import OriginError
from recipes.fetch.http.response_rules import BlobPin
from recipes.fetch.http.retry import Patience, Tempo
from recipes.store.store import Store
from tests.support.http_server import Behaviour, Server, closed_port, redirects_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = b"the pinned bytes\n"
PIN = BlobPin(Sha256.of_bytes(DATA), len(DATA))
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine that sets nothing."""
    for name in (*CERTIFICATE_VARIABLES, "NETRC", *PROXIES, *map(str.upper, PROXIES)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "none.pem").write_text("no certificate\n")
    return monkeypatch


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as serving:
        yield serving


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[Server]:
    """A server whose certificate an own authority signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Server(tls=context) as serving:
        yield serving


@pytest.fixture
def pem(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def fetcher(folder: Path, server: Server, certificates: str | None = None) -> Fetcher:
    settings = Settings(folder, index_url=server.url("/simple/"), certificates=certificates)
    return Fetcher(Store.open(folder), Silent(), settings, Tempo(Patience(timeout_s=5, tries=1)))


def fetch(folder: Path, server: Server, certificates: str | None = None, *, connections: int = 1) -> bytes:
    url = server.serve("/file", DATA)
    found = Fetcher(**{**vars(fetcher(folder, server, certificates)), "connections": connections})
    return found.fetch_blob(PIN, (Candidate("the server", url),), "a file").read_bytes()


def refusal(folder: Path, server: Server, certificates: str | None = None) -> UsageError:
    """The error of a download, by one or more connections; the index gives the same one."""
    errors = []
    for connections in (1, 3):
        with pytest.raises(UsageError) as caught:
            fetch(folder, server, certificates, connections=connections)
        errors.append(caught.value)
    with pytest.raises(UsageError) as of_index:
        fetcher(folder, server, certificates).index.ask_page("thing")
    assert [str(error) for error in errors] == [str(of_index.value)] * 2
    return errors[0]


@pytest.mark.usefixtures("clean")
def test_an_unknown_authority_is_refused_and_the_fix_names_the_variable(
    tls_server: Server, tmp_path: Path
) -> None:
    with pytest.raises(FetchError, match="certificate") as caught:
        fetch(tmp_path / "store", tls_server)
    assert caught.value.fix.startswith("PIP_CERT=")
    assert tls_server.log == []  # nothing was said to a server that is not trusted


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_authority_that_the_machine_knows_is_believed(
    variable: str, pem: Path, tls_server: Server, tmp_path: Path, clean: pytest.MonkeyPatch
) -> None:
    clean.setenv(variable, str(pem))
    assert fetch(tmp_path / "store", tls_server) == DATA


@pytest.mark.usefixtures("clean")
def test_an_authority_that_pip_is_told_of_is_believed_by_the_index_too(
    pem: Path, tls_server: Server, tmp_path: Path
) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\ncert = {pem}\n")
    told = parse_settings({"PIP_CERT": str(pem)}, default_store=tmp_path).certificates
    assert pip_value((config,), "cert") == (f"{config}, cert in [global]", str(pem))
    assert fetch(tmp_path / "store", tls_server, told) == DATA
    tls_server.serve("/simple/thing/", b"", Behaviour(status=403))
    with pytest.raises(OriginError, match="HTTP 403"):
        fetcher(tmp_path / "store", tls_server, told).index.ask_page("thing")


@pytest.mark.parametrize("value", ["nowhere", "none.pem"])
@pytest.mark.parametrize("name", [*CERTIFICATE_VARIABLES, "PIP_CERT"])
def test_certificates_that_are_not_there_are_named(
    name: str, value: str, tls_server: Server, tmp_path: Path, clean: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / value)
    if name != "PIP_CERT":
        clean.setenv(name, path)
    error = refusal(tmp_path / "store", tls_server, path if name == "PIP_CERT" else None)
    assert name in error.where
    assert path in error.found
    assert tls_server.log == []


def test_certificates_that_are_not_needed_are_not_looked_at(
    server: Server, tmp_path: Path, clean: pytest.MonkeyPatch
) -> None:
    for name in CERTIFICATE_VARIABLES:
        clean.setenv(name, "/nowhere")
    assert fetch(tmp_path / "store", server) == DATA


def test_certificates_are_not_blamed_for_a_server_that_is_gone(
    tls_server: Server, tmp_path: Path, clean: pytest.MonkeyPatch
) -> None:
    clean.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere"))
    tls_server.stop()
    with pytest.raises(FetchError, match="connection refused"):
        fetch(tmp_path / "store", tls_server)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "value",
    [
        "socks5://127.0.0.1:9",
        "socks5h://user:secret@127.0.0.1:9",
        "http://[::1",
        "http://user:secret@host:99999",
        "host:port",
        "http://",
        "ftp://host:21",
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(
    name: str, value: str, server: Server, tmp_path: Path, clean: pytest.MonkeyPatch
) -> None:
    clean.setenv(name, value)
    error = refusal(tmp_path / "store", server)
    assert name in error.where
    assert value.replace("user:secret", "***") in error.found
    assert ("PySocks" in error.found) == value.startswith("socks")
    assert "NO_PROXY" in error.fix
    assert "secret" not in str(error)


def test_a_proxy_that_is_not_used_is_not_looked_at(
    server: Server, tmp_path: Path, clean: pytest.MonkeyPatch
) -> None:
    clean.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    clean.setenv("NO_PROXY", "127.0.0.1")
    assert fetch(tmp_path / "store", server) == DATA


def test_a_proxy_of_another_scheme_is_met_behind_a_redirect(
    server: Server, tmp_path: Path, clean: pytest.MonkeyPatch
) -> None:
    clean.setenv("https_proxy", "socks5://127.0.0.1:9")
    url = server.serve("/file", b"", redirects_to("https://host.example/file"))
    with pytest.raises(UsageError) as caught:
        fetcher(tmp_path / "store", server).fetch_blob(PIN, (Candidate("there", url),), "a file")
    assert "https_proxy" in caught.value.where


def test_a_proxy_where_nobody_listens_is_said_to_be_the_proxy(
    server: Server, tmp_path: Path, clean: pytest.MonkeyPatch
) -> None:
    clean.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(FetchError, match="its proxy: "):
        fetch(tmp_path / "store", server)


def test_logins_that_cannot_be_read_are_named(
    server: Server, tmp_path: Path, clean: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".netrc"
    path.write_bytes(b"machine 127.0.0.1 login caf\xe9 password \xff\n")
    assert refusal(tmp_path / "store", server).where == str(path)
    clean.setenv("NETRC", str(tmp_path / "other"))
    (tmp_path / "other").write_text("machine what is this")
    assert fetch(tmp_path / "store", server) == DATA  # as curl and pip do: no login is sent


@pytest.mark.usefixtures("clean")
def test_a_login_is_used_for_its_own_host_and_sent_nowhere_else(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine localhost login someone password secret\n")
    port = server.base.rpartition(":")[2]
    target = server.serve("/there", DATA)
    server.serve("/file", b"", redirects_to(target))
    place = Candidate("there", f"http://localhost:{port}/file")
    assert fetcher(tmp_path / "store", server).fetch_blob(PIN, (place,), "a file").read_bytes() == DATA
    asked = {request.path: request.headers.get("authorization", "")[:5] for request in server.log}
    assert asked == {"/file": "Basic", "/there": ""}


def test_an_index_behind_a_dead_proxy_is_an_origin_that_failed(
    server: Server, tmp_path: Path, clean: pytest.MonkeyPatch
) -> None:
    clean.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(OriginError, match="its proxy: ") as caught:
        fetcher(tmp_path / "store", server).index.ask_page("thing")
    assert not isinstance(caught.value, RecipeError)
