"""A server whose certificate an own authority signed: believed where the user says so, refused by name elsewhere."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from recipes.core.console import Silent
from recipes.core.digest import Sha256
from recipes.core.errors import FetchError
from recipes.core.pip_config import pip_value
from recipes.core.settings import Settings, parse_settings
from recipes.fetch.fetcher import Candidate, Fetcher
from recipes.fetch.http.response_rules import BlobPin
from recipes.fetch.http.retry import Patience, Tempo
from recipes.fetch.package_index import IndexFile, PackageIndex
from recipes.store.store import Store
from tests.support.http_server import Server, sends

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = b"the pinned bytes\n"
PIN = BlobPin(Sha256.of_bytes(DATA), len(DATA))
SYSTEM = ("SSL_CERT_FILE", "SSL_CERT_DIR")
OWN = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Server(tls=context) as serving:
        yield serving


@pytest.fixture
def pem(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the authority's file, on a machine that says nothing of it."""
    for name in (*SYSTEM, *OWN):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def fetch(server: Server, store: Path, certificates: str | None) -> bytes:
    settings = Settings(store=store, certificates=certificates)
    fetcher = Fetcher(Store.open(store), Silent(), settings, Tempo(Patience(timeout_s=5, tries=1)))
    url = server.serve("/file", DATA)
    return fetcher.fetch_blob(PIN, (Candidate("the server", url),), "a file").read_bytes()


def test_an_unknown_authority_is_refused_and_the_fix_names_the_variable(
    server: Server, pem: Path, tmp_path: Path
) -> None:
    assert pem.exists()
    with pytest.raises(FetchError) as caught:
        fetch(server, tmp_path / "store", None)
    assert caught.value.found.startswith("the server: its certificate is not trusted: ")
    assert caught.value.fix == (
        "PIP_CERT=/path/to/authority.pem python3 noxfile.py -s fetch  # your network's own, if it has one"
    )
    assert server.log == []  # nothing was said to a server that is not trusted


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_an_authority_that_the_machine_knows_is_believed(
    server: Server, pem: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(pem))
    assert fetch(server, tmp_path / "store", None) == DATA


def test_an_authority_that_pip_is_told_of_is_believed(server: Server, pem: Path, tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\ncert = {pem}\n")
    told = parse_settings({}, default_store=tmp_path, pip_certificates=pip_value((config,), "cert"))
    assert fetch(server, tmp_path / "by file", told.certificates) == DATA
    told = parse_settings({"PIP_CERT": str(pem)}, default_store=tmp_path)
    assert fetch(server, tmp_path / "by variable", told.certificates) == DATA


def test_the_index_is_asked_with_the_same_trust(server: Server, pem: Path) -> None:
    page = (
        '{"meta": {"api-version": "1.0"}, "name": "thing", "files": '
        '[{"filename": "thing-1.0.tar.gz", "url": "/files/thing-1.0.tar.gz", "hashes": {}}]}'
    )
    answer = sends(page.encode())
    json_type = (("Content-Type", "application/vnd.pypi.simple.v1+json"),)
    server.serve("/simple/thing/", b"", type(answer)(body=answer.body, headers=json_type))
    wanted = IndexFile("thing", "thing-1.0.tar.gz", PIN.sha256, len(DATA))
    index = PackageIndex(server.url("/simple/"), 5, str(pem))
    assert index.find_address(wanted) == server.url("/files/thing-1.0.tar.gz")
