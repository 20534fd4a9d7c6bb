"""A download that nothing pins, from servers that do what servers do wrong: whole, or not at all."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING

import pytest

from recipes.core.console import Plain
from recipes.core.digest import Sha256
from recipes.core.errors import FetchError
from recipes.core.settings import Settings
from recipes.fetch.fetcher import Fetcher
from recipes.fetch.http.retry import Patience, Tempo
from recipes.lock import unpinned_files
from recipes.lock.unpinned_files import Asker
from recipes.store.store import Store
from tests.support.http_server import (
    GOOD,
    Behaviour,
    Server,
    asks_to_wait,
    closed_port,
    closes_after,
    redirects_to,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = random.Random(30).randbytes(200_000)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


class Bench:
    """A store, and a download whose waits are counted and not waited for."""

    def __init__(self, root: Path) -> None:
        self.log = io.StringIO()
        self.waits: list[float] = []
        self.store = Store.open(root)
        tempo = Tempo(Patience(tries=3, timeout_s=10), sleep=self.waits.append)
        settings = Settings(root)
        fetcher = Fetcher(self.store, Plain(self.log), settings, tempo)
        self.asker = Asker(fetcher, "--source here", "ask again")

    def refuse(self, url: str) -> str:
        with pytest.raises(FetchError) as caught:
            self.asker.fetch_archive(url)
        assert not list(self.store.tmp.root.iterdir())
        assert not list(self.store.blobs.iterdir())
        return caught.value.found.partition(": ")[2]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_arrives_is_a_read_only_file_of_the_store_named_by_its_digest(
    bench: Bench, server: Server
) -> None:
    url = server.serve("/some/a.tar.gz", DATA)
    seen = bench.asker.fetch_archive(url)
    assert (seen.name, seen.url, seen.size_bytes, seen.is_stated) == ("a.tar.gz", url, len(DATA), False)
    assert seen.blob == bench.store.blob_path(Sha256.of_bytes(DATA))
    assert seen.sha256 == Sha256.of_bytes(DATA)
    assert seen.blob.read_bytes() == DATA
    assert seen.blob.stat().st_mode & 0o777 == 0o444
    before = seen.blob.stat()
    assert bench.asker.fetch_archive(url).blob == seen.blob
    assert seen.blob.stat().st_ino == before.st_ino
    assert not list(bench.store.tmp.root.iterdir())


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_body_may_end_in_each_way_that_http_has(bench: Bench, server: Server, framing: str) -> None:
    url = server.serve("/a", DATA, Behaviour(framing=framing))
    assert bench.asker.fetch_archive(url).blob.read_bytes() == DATA


def test_a_download_that_ends_early_is_begun_anew_and_not_patched_together(
    bench: Bench, server: Server
) -> None:
    other = Behaviour(body=DATA[::-1])
    url = server.serve("/a", DATA, closes_after(70_000), other)
    assert bench.asker.fetch_archive(url).blob.read_bytes() == DATA[::-1]
    assert server.ranges() == [None, None]
    assert bench.waits == [1.0]


def test_a_server_that_never_sends_it_all_is_given_up(bench: Bench, server: Server) -> None:
    url = server.serve("/a", DATA, closes_after(70_000))
    assert "given up after 3 tries" in bench.refuse(url)
    assert bench.waits == [1.0, 2.0]


def test_chunks_that_end_early_are_not_taken_for_the_whole(bench: Bench, server: Server) -> None:
    url = server.serve("/a", DATA, Behaviour(framing="chunked", stop_after=70_000))
    assert "given up after 3 tries" in bench.refuse(url)


def test_a_server_that_asks_to_wait_is_waited_for(bench: Bench, server: Server) -> None:
    url = server.serve("/a", DATA, asks_to_wait("7", 503), GOOD)
    assert bench.asker.fetch_archive(url).blob.read_bytes() == DATA
    assert bench.waits == [7.0]


def test_a_circle_of_redirects_is_refused(bench: Bench, server: Server) -> None:
    url = server.url("/a")
    server.serve("/a", b"", redirects_to(url))
    assert bench.refuse(url) == "too many redirects"


def test_a_port_where_nobody_listens_is_named(bench: Bench) -> None:
    assert bench.refuse(f"http://127.0.0.1:{closed_port()}/a") == "connection refused"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_more_than_the_cap_is_refused(
    bench: Bench, server: Server, framing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpinned_files, "MAX_ARCHIVE_BYTES", len(DATA) - 1)
    found = bench.refuse(server.serve("/a", DATA, Behaviour(framing=framing)))
    assert str(len(DATA) - 1) in found
    assert (f"{len(DATA)} bytes" if framing == "length" else "/rejected/archive") in found


def test_exactly_the_cap_is_taken(bench: Bench, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpinned_files, "MAX_ARCHIVE_BYTES", len(DATA))
    url = server.serve("/a", DATA, Behaviour(framing="chunked"))
    assert bench.asker.fetch_archive(url).size_bytes == len(DATA)


def test_an_address_is_shown_without_its_secrets(bench: Bench, server: Server) -> None:
    url = server.serve("/a.tar.gz?token=secret", DATA)
    assert bench.asker.fetch_archive(url).url == server.url("/a.tar.gz")
    assert "secret" not in bench.log.getvalue()
