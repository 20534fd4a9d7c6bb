"""A server that was reached by https and leads on to http is not followed: by no client of ours."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import huggingface_hub
import pytest
import trustme

from recipes.core.console import Silent
from recipes.core.digest import Sha1, Sha256
from recipes.core.errors import FetchError
from recipes.core.settings import Settings
from recipes.fetch.fetcher import Candidate, Fetcher
from recipes.fetch.git_checkout import GitClient
from recipes.fetch.http.hub_token import Credential
from recipes.fetch.http.network_errors import INSECURE, OriginError
from recipes.fetch.http.response_rules import BlobPin
from recipes.fetch.http.retry import Patience, Tempo
from recipes.lock.git_refs import find_commit
from recipes.lock.model_hub import read_repository
from recipes.lock.unpinned_files import Asker
from recipes.store.store import Store
from tests.support.http_server import Server, redirects_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = b"the pinned bytes\n"
PIN = BlobPin(Sha256.of_bytes(DATA), len(DATA))
AUTHORITY = trustme.CA()


@pytest.fixture
def plain() -> Iterator[Server]:
    with Server() as serving:
        yield serving


@pytest.fixture
def secure() -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    with Server(tls=context) as serving:
        yield serving


@pytest.fixture
def fetcher(tmp_path: Path, secure: Server, monkeypatch: pytest.MonkeyPatch) -> Fetcher:
    pem = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(str(pem))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))  # the hub's client
    network = (("GIT_SSL_CAINFO", str(pem)), ("NO_PROXY", "*"))
    settings = Settings(
        tmp_path / "store", index_url=secure.url("/simple/"), certificates=str(pem), network=network
    )
    tempo = Tempo(Patience(timeout_s=10, tries=1))
    return Fetcher(Store.open(tmp_path / "store"), Silent(), settings, tempo)


def fetch(fetcher: Fetcher, url: str) -> bytes:
    return fetcher.fetch_blob(PIN, (Candidate("a place", url),), "a file").read_bytes()


@pytest.mark.parametrize("hops", [1, 2])
def test_a_download_is_not_led_from_https_to_http(
    fetcher: Fetcher, secure: Server, plain: Server, hops: int
) -> None:
    url = plain.serve("/file", DATA)
    for hop in range(hops):
        url = secure.serve(f"/hop{hop}", b"", redirects_to(url))
    with pytest.raises(FetchError) as caught:
        fetch(fetcher, url)
    assert INSECURE in caught.value.found
    assert plain.log == []


def test_other_redirects_are_followed(fetcher: Fetcher, secure: Server, plain: Server) -> None:
    target = secure.serve("/file", DATA)
    sideways = secure.serve("/sideways", b"", redirects_to(target))
    assert fetch(fetcher, plain.serve("/up", b"", redirects_to(sideways))) == DATA


def test_the_index_is_not_led_from_https_to_http(fetcher: Fetcher, secure: Server, plain: Server) -> None:
    secure.serve("/simple/thing/", b"", redirects_to(plain.serve("/simple/thing/", b"<html></html>")))
    with pytest.raises(OriginError) as caught:
        fetcher.index.ask_page("thing")
    assert INSECURE in str(caught.value)
    assert plain.log == []


def test_the_first_download_of_lock_is_not_led_from_https_to_http(
    fetcher: Fetcher, secure: Server, plain: Server
) -> None:
    url = secure.serve("/archive", b"", redirects_to(plain.serve("/archive", DATA)))
    with pytest.raises(FetchError) as caught:
        Asker(fetcher, "--source here", "ask again").fetch_archive(url)
    assert INSECURE in caught.value.found
    assert plain.log == []


def test_lock_takes_nothing_by_http_that_an_index_names_by_https_without_a_digest(
    fetcher: Fetcher, secure: Server, plain: Server
) -> None:
    url = plain.serve("/thing-1.0.tar.gz", DATA)
    secure.serve("/simple/thing/", f"<html><body><a href='{url}'>thing-1.0.tar.gz</a></body></html>".encode())
    with pytest.raises(FetchError) as caught:
        Asker(fetcher, "--source here", "ask again").fetch_sdist("thing", "1.0")
    assert "https to http" in caught.value.found
    assert plain.log == []


def test_git_is_not_led_from_https_to_http(
    fetcher: Fetcher, secure: Server, plain: Server, tmp_path: Path
) -> None:
    path = "/repository/info/refs?service=git-upload-pack"
    secure.serve(path, b"", redirects_to(plain.serve(path, b"")))
    repository = secure.url("/repository")
    with pytest.raises(OriginError):
        find_commit(repository, "b1", fetcher)
    (tmp_path / "scratch").mkdir()
    (tmp_path / "into").mkdir()
    client = GitClient(tmp_path / "scratch", fetcher.settings.network)
    with pytest.raises(OriginError):
        client.lay_out(repository, Sha1("a1" * 20), tmp_path / "into")
    assert [line for line in secure.log if "info/refs" in str(line)]  # it was asked, and trusted
    assert plain.log == []


def test_the_hub_s_client_is_not_led_from_https_to_http(
    fetcher: Fetcher, secure: Server, plain: Server
) -> None:
    path = "/api/models/someone/Some-GGUF?blobs=true"
    secure.serve(path, b"", redirects_to(plain.serve(path, b"{}")))
    huggingface_hub.close_session()  # the client reads the certificates that the environment names once in a process
    with pytest.raises(FetchError) as caught:
        read_repository("someone/Some-GGUF", Credential(secure.base, None), fetcher.settings, "ask again")
    huggingface_hub.close_session()
    assert caught.value.found == INSECURE
    assert plain.log == []
