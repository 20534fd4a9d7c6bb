"""One file, from servers on loopback that do each thing that servers do wrong."""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pooch
import pytest

from recipes.core.console import Plain
from recipes.core.digest import Sha256
from recipes.core.errors import FetchError, RecipeError, StoreError, VerifyError
from recipes.core.settings import Settings
from recipes.fetch.download.piece_file import pieces_path, read_note
from recipes.fetch.fetcher import Candidate, Fetcher
from recipes.fetch.http.response_rules import BlobPin
from recipes.fetch.http.retry import Patience, Tempo
from recipes.store.store import Store
from tests.support import http_server as servers
from tests.support import paths
from tests.support.http_server import GOOD, Behaviour, Server
from tests.support.pieces import leave_pieces
from tests.support.signals import end_on_signals

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = random.Random(20).randbytes(300_000)
OTHER = random.Random(21).randbytes(len(DATA))
PIN = BlobPin(Sha256.of_bytes(DATA), len(DATA))
UNSIZED = BlobPin(PIN.sha256, max_bytes=1 << 20)
PIECE = 8192
HALF = 150_000
THERE = HALF // PIECE * PIECE  # whole pieces of the half
ALL = f"bytes=0-{len(DATA) - 1}"
RESUMED = f"bytes={HALF}-{len(DATA) - 1}"
REST = f"bytes={THERE}-{len(DATA) - 1}"
REPOSITORY = paths.PROJECT


class Lines(io.StringIO):
    """A stream that a Plain console prints to, and that says what it got."""

    def __str__(self) -> str:
        return self.getvalue()


@dataclass
class Bench:
    """A store, a server, and a fetcher whose time is ours."""

    store: Store
    server: Server
    timeout_s: float = 30.0  # far more than a good server takes, even on a machine that is busy
    mirrors: tuple[str, ...] = ()
    waits: list[float] = field(default_factory=list)
    said: Lines = field(default_factory=Lines)

    def fetcher(self) -> Fetcher:
        settings = Settings(self.store.root, mirrors=self.mirrors)
        tempo = Tempo(Patience(timeout_s=self.timeout_s), sleep=self.waits.append)
        return Fetcher(self.store, Plain(self.said), settings, tempo, piece_bytes=PIECE)

    def fetch(self, *candidates: Candidate, pin: BlobPin = PIN) -> Path:
        return self.fetcher().fetch_blob(pin, candidates, "the fixture")

    def fetch_from(self, *behaviours: Behaviour, pin: BlobPin = PIN, data: bytes = DATA) -> Path:
        return self.fetch(Candidate("origin", self.server.serve("/file", data, *behaviours)), pin=pin)

    def refusal_of(
        self,
        *behaviours: Behaviour,
        pin: BlobPin = PIN,
        data: bytes = DATA,
        kind: type[RecipeError] = FetchError,
    ) -> RecipeError:
        with pytest.raises(kind) as caught:
            self.fetch_from(*behaviours, pin=pin, data=data)
        assert type(caught.value) is kind
        assert list(self.store.blobs.iterdir()) == []
        return caught.value

    @property
    def pieces(self) -> Path:
        return pieces_path(self.store, PIN.sha256)

    def leave_pieces(self, data: bytes) -> None:
        leave_pieces(self.pieces, data, len(DATA), PIECE)

    def noted_bytes(self) -> int:
        note = read_note(self.pieces)
        return sum(map(note.layout.size_of, note.pieces)) if note else 0

    def rejected(self) -> list[bytes]:
        return [path.read_bytes() for path in self.kept()]

    def kept(self) -> list[Path]:
        return [path for path in sorted(self.store.rejected.glob("*/*")) if path.name != "why.txt"]

    def partial_files(self) -> list[str]:
        return sorted(path.name for path in self.store.partial.iterdir())


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("NO_PROXY", "*")
    with Server() as server:
        yield Bench(Store.open(tmp_path / "store"), server)


def test_a_good_server_gives_the_file_in_one_request(bench: Bench) -> None:
    blob = bench.fetch_from(GOOD)
    assert blob == bench.store.blob_path(PIN.sha256)
    assert blob.read_bytes() == DATA
    assert (blob.stat().st_mode & 0o777, blob.stat().st_nlink) == (0o444, 1)
    assert bench.server.ranges() == [ALL]
    assert bench.server.log[0].headers["accept-encoding"] == "identity"
    assert bench.partial_files() == []
    assert bench.fetch_from(GOOD).read_bytes() == DATA
    assert len(bench.server.log) == 1  # what is in the store costs no request


def test_pooch_hashes_the_file_itself_and_it_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[tuple[bytes, str]] = []
    whole = pooch.core.hash_matches

    def watch(path: str, known_hash: str, **more: object) -> bool:
        hashed.append((Path(path).read_bytes(), known_hash))
        return bool(whole(path, known_hash, **more))

    monkeypatch.setattr(pooch.core, "hash_matches", watch)
    monkeypatch.setattr(hashlib, "sha256", NoHasher)
    bench.fetch_from(GOOD)
    assert hashed == [(DATA, str(PIN.sha256))]


class NoHasher:
    """What stands for the downloader's own hash, which would be a second one."""

    def update(self, data: bytes) -> None:
        assert not data


def test_where_there_are_no_hard_links_pooch_gets_a_copy(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    bench.refusal_of(servers.sends(OTHER), kind=VerifyError)
    assert bench.rejected() == [OTHER]
    assert bench.fetch_from(GOOD).read_bytes() == DATA
    assert bench.partial_files() == []


@pytest.mark.parametrize("stalls", [False, True])
def test_a_connection_that_closes_early_or_stalls_is_resumed_where_it_broke(
    bench: Bench, *, stalls: bool
) -> None:
    bench.timeout_s = 1.0 if stalls else 30.0
    assert bench.fetch_from(Behaviour(stop_after=HALF, stalls=stalls), GOOD).read_bytes() == DATA
    assert bench.server.ranges() == [ALL, RESUMED]
    assert sum(request.sent_bytes for request in bench.server.log) == len(DATA)
    assert bench.waits == [1.0]
    assert ("nothing came for 1 s" if stalls else "closed early") in str(bench.said)


def test_a_server_that_says_nothing_at_all_is_given_up_after_exactly_the_allowed_tries(bench: Bench) -> None:
    bench.timeout_s = 0.05
    refusal = bench.refusal_of(servers.stalls_after(0))
    # a server that is silent before its head: the whole request stalls
    assert bench.waits == [1.0, 2.0, 4.0, 8.0]
    assert "given up after 5 tries" in refusal.found
    assert "once the network is back" in refusal.fix


def test_a_server_that_brings_little_each_time_is_given_up_too_and_what_came_is_kept(bench: Bench) -> None:
    refusal = bench.refusal_of(servers.closes_after(PIECE // 4))
    assert bench.waits == [1.0, 2.0, 4.0, 8.0]
    assert "given up after 5 tries" in refusal.found
    assert bench.noted_bytes() == PIECE


def test_progress_of_a_mebibyte_starts_the_count_of_tries_again(bench: Bench) -> None:
    data = random.Random(22).randbytes(8 << 20)
    pin = BlobPin(Sha256.of_bytes(data), len(data))
    fetcher = replace(bench.fetcher(), piece_bytes=1 << 20)
    url = bench.server.serve("/file", data, *(servers.closes_after(1 << 20),) * 7, GOOD)
    assert fetcher.fetch_blob(pin, [Candidate("origin", url)], "the fixture").read_bytes() == data
    assert bench.waits == [1.0] * 7


def test_a_server_that_ignores_ranges_sends_all_again_and_the_bytes_are_right(bench: Bench) -> None:
    breaks = replace(servers.IGNORES_RANGE, stop_after=HALF)
    assert bench.fetch_from(breaks, servers.IGNORES_RANGE).read_bytes() == DATA
    assert [request.status for request in bench.server.log] == [200, 200]
    assert "whole file" in str(bench.said)


def test_a_server_that_ignores_ranges_and_always_breaks_is_given_up(bench: Bench) -> None:
    refusal = bench.refusal_of(replace(servers.IGNORES_RANGE, stop_after=HALF))
    # the first part is progress once, not each time that it comes again
    assert bench.waits == [1.0, 2.0, 4.0, 8.0]
    assert "given up after 5 tries" in refusal.found


def test_a_416_is_tried_again_and_given_up_where_it_stays(bench: Bench) -> None:
    assert bench.fetch_from(servers.NOT_SATISFIABLE, GOOD).read_bytes() == DATA
    bench.store.blob_path(PIN.sha256).unlink()
    assert "no such part" in bench.refusal_of(servers.NOT_SATISFIABLE).found


def test_a_range_other_than_the_one_asked_for_is_never_taken(bench: Bench) -> None:
    assert bench.fetch_from(servers.closes_after(HALF), servers.WRONG_RANGE, GOOD).read_bytes() == DATA
    assert bench.server.ranges() == [ALL, RESUMED, RESUMED]


@pytest.mark.parametrize("tag", ["etag", "last_modified"])
def test_a_file_that_changed_at_the_server_between_two_parts_costs_the_older_part(
    bench: Bench, tag: str
) -> None:
    versions = {"etag": ('"old"', '"new"'), "last_modified": ("Monday", "Tuesday")}[tag]
    old, new = (replace(Behaviour(etag=None), **{tag: version}) for version in versions)  # type: ignore[arg-type]
    assert bench.fetch_from(replace(old, body=OTHER, stop_after=HALF), new).read_bytes() == DATA
    # a piece is never of two versions, and the pieces of the older one come again
    assert bench.server.ranges() == [ALL, RESUMED, REST, f"bytes=0-{THERE - 1}"]
    assert bench.rejected() == []


def test_a_version_that_changes_without_end_and_never_fits_is_given_up(bench: Bench) -> None:
    lying = [Behaviour(body=OTHER, etag=f'"{number}"', stop_after=HALF) for number in range(60)]
    refusal = bench.refusal_of(*lying, kind=VerifyError)
    assert "other bytes" in refusal.found
    assert len(bench.server.log) < 60


def test_a_length_unlike_the_pinned_one_is_refused_before_the_body_is_read(bench: Bench) -> None:
    padded = bytes(64 << 20)
    assert f"{64 << 20} bytes, pinned are {len(DATA)}" in bench.refusal_of(servers.sends(padded)).found
    # what the kernel took for itself aside, the server could not get rid of its body
    assert bench.server.log[0].sent_bytes < len(padded)
    assert bench.waits == []
    assert f"{HALF} bytes, pinned are" in bench.refusal_of(servers.sends(DATA[:HALF])).found


def test_a_truncated_file_in_chunks_is_refused_at_its_end_and_its_start_kept(bench: Bench) -> None:
    refusal = bench.refusal_of(replace(servers.IGNORES_RANGE, body=DATA[:HALF], framing="chunked"))
    assert f"it sent {HALF} bytes" in refusal.found
    assert bench.rejected() == [DATA[: 1 << 16]]
    assert str(bench.kept()[0]) in refusal.found
    assert bench.waits == []


def test_a_truncated_file_without_a_length_is_not_told_from_a_broken_connection(bench: Bench) -> None:
    truncated = replace(servers.IGNORES_RANGE, body=DATA[:HALF], framing="close")
    assert bench.fetch_from(truncated, GOOD).read_bytes() == DATA
    assert bench.server.ranges() == [ALL, REST]


def test_reading_stops_at_the_pinned_size(bench: Bench) -> None:
    longer = replace(servers.IGNORES_RANGE, body=DATA + bytes(64 << 20), framing="chunked")
    assert bench.fetch_from(longer).stat().st_size == len(DATA)
    assert bench.server.log[0].sent_bytes < len(DATA) + (64 << 20)


def test_bytes_that_are_encoded_are_refused(bench: Bench) -> None:
    zipped = Behaviour(headers=(("Content-Encoding", "gzip"),))
    assert "encoded" in bench.refusal_of(zipped).found


# Where the size is not pinned


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("honours_range", [False, True])
@pytest.mark.parametrize(("pin", "asked"), [(PIN, ALL), (UNSIZED, "bytes=0-0")])
def test_a_file_is_fetched_whatever_tells_its_end(
    bench: Bench, pin: BlobPin, asked: str, framing: str, *, honours_range: bool
) -> None:
    behaviour = Behaviour(framing=framing, honours_range=honours_range)
    assert bench.fetch_from(behaviour, pin=pin).read_bytes() == DATA
    assert bench.server.ranges()[0] == asked
    assert bench.partial_files() == []


def test_a_file_of_unknown_size_that_breaks_in_chunks_is_begun_again(bench: Bench) -> None:
    chunks = replace(servers.IGNORES_RANGE, framing="chunked")
    assert bench.fetch_from(replace(chunks, stop_after=HALF), chunks, pin=UNSIZED).read_bytes() == DATA
    assert [request.sent_bytes for request in bench.server.log] == [HALF, len(DATA)]


def test_what_had_arrived_of_a_file_of_unknown_size_is_used(bench: Bench) -> None:
    bench.leave_pieces(DATA[:HALF])
    assert bench.fetch_from(GOOD, pin=UNSIZED).read_bytes() == DATA
    assert bench.server.ranges() == [REST]


def test_a_body_without_an_end_stops_at_the_cap(bench: Bench) -> None:
    endless = replace(servers.IGNORES_RANGE, body=DATA + bytes(64 << 20), framing="chunked")
    refusal = bench.refusal_of(endless, pin=BlobPin(PIN.sha256, max_bytes=HALF))
    assert f"more than the {HALF} bytes" in refusal.found
    assert refusal.expected == str(PIN.sha256)
    assert bench.rejected() == [DATA[: 1 << 16]]
    assert bench.server.log[0].sent_bytes < 64 << 20
    assert bench.partial_files() == []


def test_a_length_above_the_cap_is_refused(bench: Bench) -> None:
    pin = BlobPin(PIN.sha256, max_bytes=HALF)
    found = bench.refusal_of(GOOD, pin=pin).found
    assert f"{len(DATA)} bytes" in found  # as its header says: nothing was read
    assert str(HALF) in found


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("pin", [PIN, UNSIZED])
def test_a_web_page_with_status_200_is_called_one_and_kept(bench: Bench, framing: str, pin: BlobPin) -> None:
    page = replace(servers.WEB_PAGE, framing=framing, honours_range=False)
    kind = VerifyError if pin is UNSIZED and framing == "length" else FetchError
    refusal = bench.refusal_of(page, pin=pin, kind=kind)
    assert "a web page: " in refusal.found
    assert bench.rejected() == [servers.PAGE]
    assert bench.waits == []


def test_a_web_page_of_just_the_pinned_length_is_called_one(bench: Bench) -> None:
    page = servers.PAGE.ljust(len(DATA))
    refusal = bench.refusal_of(servers.sends(page), kind=VerifyError)
    assert f"other bytes ({Sha256.of_bytes(page)}): a web page: " in refusal.found


# What is not the pinned file


def test_other_bytes_are_kept_with_the_reason_and_not_asked_for_again(bench: Bench) -> None:
    refusal = bench.refusal_of(servers.sends(OTHER), kind=VerifyError)
    (kept,) = bench.kept()
    assert (refusal.where, refusal.exit_code) == ("the fixture", VerifyError.exit_code)
    assert refusal.expected == f"{PIN.sha256}, 300000 bytes"
    assert str(Sha256.of_bytes(OTHER)) in refusal.found
    assert str(kept) in refusal.found
    assert "correct the pin" in refusal.fix
    assert bench.rejected() == [OTHER]
    why = (kept.parent / "why.txt").read_text()
    assert all(str(told) in why for told in (Sha256.of_bytes(OTHER), bench.server.url("/file"), PIN.sha256))
    assert len(bench.server.log) == 1
    assert bench.partial_files() == []


def test_a_first_part_from_elsewhere_that_does_not_fit_is_fetched_again_and_nothing_else(
    bench: Bench,
) -> None:
    bench.leave_pieces(OTHER[:HALF])
    assert bench.fetch_from(GOOD).read_bytes() == DATA
    assert bench.server.ranges() == [REST, f"bytes=0-{THERE - 1}"]
    assert bench.rejected() == []


def test_a_first_part_from_elsewhere_and_a_bad_server_end_after_one_more_try(bench: Bench) -> None:
    bench.leave_pieces(DATA[:HALF])
    refusal = bench.refusal_of(servers.sends(OTHER), kind=VerifyError)
    assert len(bench.server.log) == 2
    assert "other bytes" in refusal.found
    assert bench.rejected() == [OTHER]


def test_a_download_that_has_all_bytes_and_wrong_ones_is_kept_apart(bench: Bench) -> None:
    bench.leave_pieces(OTHER)
    assert bench.fetch_from(GOOD).read_bytes() == DATA
    assert bench.rejected() == [OTHER]


def test_a_folder_of_pooch_that_a_killed_process_left_is_not_trusted(bench: Bench) -> None:
    folder = bench.pieces.with_suffix(".pooch")
    folder.mkdir()
    (folder / PIN.sha256.hex).write_bytes(DATA)
    assert bench.fetch_from(GOOD).read_bytes() == DATA
    assert len(bench.server.log) == 1
    assert bench.partial_files() == []


# Redirects


def test_a_redirect_is_followed_and_the_range_with_it(bench: Bench) -> None:
    target = bench.server.serve("/elsewhere", DATA, servers.closes_after(HALF), GOOD)
    assert bench.fetch_from(servers.redirects_to(target)).read_bytes() == DATA
    asked = [(request.path, request.range) for request in bench.server.log]
    assert asked[:2] == [("/file", ALL), ("/elsewhere", ALL)]
    assert {range_ for _, range_ in asked[2:]} == {RESUMED}


def test_a_redirect_without_a_host_is_followed(bench: Bench) -> None:
    bench.server.serve("/elsewhere", DATA)
    assert bench.fetch_from(servers.redirects_to("/elsewhere")).read_bytes() == DATA


def test_the_body_of_a_redirect_is_not_read(bench: Bench) -> None:
    target = bench.server.serve("/elsewhere", DATA)
    endless = replace(servers.redirects_to(target), body=bytes(64 << 20))
    assert bench.fetch_from(endless).read_bytes() == DATA
    assert bench.server.log[0].sent_bytes < 64 << 20


@pytest.mark.parametrize(
    ("target", "reason", "requests"),
    [
        ("/file", "too many redirects", 11),
        ("file:///etc/passwd", "invalid schema", 1),
        ("http://[half", "invalid url", 1),
        ("/nothing", "HTTP 404 Not Found", 2),
    ],
)
def test_a_redirect_that_leads_nowhere_is_refused_at_once(
    bench: Bench, target: str, reason: str, requests: int
) -> None:
    assert reason in bench.refusal_of(servers.redirects_to(target)).found
    assert len(bench.server.log) == requests
    assert bench.waits == []


# Servers that are busy, silent or gone


def test_a_server_that_asks_to_wait_is_waited_for_exactly_so_long(bench: Bench) -> None:
    busy = (servers.asks_to_wait("7"), servers.asks_to_wait("11", 503))
    assert bench.fetch_from(*busy, GOOD).read_bytes() == DATA
    assert bench.waits == [7.0, 11.0]


def test_a_server_that_asks_to_wait_too_long_is_left(bench: Bench) -> None:
    assert "3600 s" in bench.refusal_of(servers.asks_to_wait("3600")).found
    assert bench.waits == []


def test_a_missing_file_is_asked_for_once(bench: Bench) -> None:
    refusal = bench.refusal_of(servers.NOT_FOUND)
    assert refusal.found == "origin: HTTP 404 Not Found"
    assert refusal.fix.startswith("PINNED_LLAMA_MIRROR=")
    assert len(bench.server.log) == 1
    assert bench.waits == []


@pytest.mark.parametrize(
    ("fault", "reason"), [(servers.HANGS_UP, "closed early"), (servers.SILENT, "nothing came for 1 s")]
)
def test_a_server_that_hangs_up_or_is_silent_before_its_answer_is_tried_again(
    bench: Bench, fault: Behaviour, reason: str
) -> None:
    bench.timeout_s = 1.0
    assert bench.fetch_from(fault, GOOD).read_bytes() == DATA
    assert reason in str(bench.said)


def test_a_server_that_drips_is_as_good_as_silent(bench: Bench) -> None:
    url = bench.server.serve("/file", DATA, servers.stalls_after(100), GOOD)
    tick = itertools.count()

    def clock() -> float:
        # while the first request is answered, each look at the clock finds ten seconds gone by
        return 10.0 * next(tick) if len(bench.server.log) == 1 else 1e6

    tempo = Tempo(Patience(timeout_s=5), sleep=bench.waits.append, clock=clock)
    fetcher = replace(bench.fetcher(), tempo=tempo)
    assert fetcher.fetch_blob(PIN, [Candidate("origin", url)], "the fixture").read_bytes() == DATA
    assert "1024 bytes" in str(bench.said)
    assert bench.server.ranges()[1] == f"bytes=100-{len(DATA) - 1}"


def test_a_refused_connection_is_left_at_once_for_the_next_place(bench: Bench) -> None:
    closed = f"http://127.0.0.1:{servers.closed_port()}/file"
    good = bench.server.serve("/file", DATA)
    assert bench.fetch(Candidate("first", closed), Candidate("second", good)).read_bytes() == DATA
    assert bench.waits == []
    assert "skipped: first: connection refused" in str(bench.said)


def test_a_server_that_goes_away_in_the_middle_is_waited_for(bench: Bench) -> None:
    with Server() as leaving:
        url = leaving.serve("/file", DATA, servers.closes_after(HALF))

        def leave(wait_s: float) -> None:
            bench.waits.append(wait_s)
            leaving.stop()

        fetcher = replace(bench.fetcher(), tempo=Tempo(Patience(timeout_s=30), sleep=leave))
        with pytest.raises(FetchError) as caught:
            fetcher.fetch_blob(PIN, [Candidate("origin", url)], "the fixture")
    assert "5 tries" in caught.value.found
    assert bench.waits == [1.0, 2.0, 4.0, 8.0]
    assert bench.noted_bytes() == THERE


def test_without_any_network_each_place_is_named_with_its_reason(bench: Bench) -> None:
    closed = f"http://127.0.0.1:{servers.closed_port()}"
    bench.mirrors = (closed,)
    with pytest.raises(FetchError) as caught:
        bench.fetch(Candidate("first", f"{closed}/a"), Candidate("second", "http://no-such-host.invalid/b"))
    lines = caught.value.found.splitlines()
    expected = [(f"mirror {closed}: ", "refused"), ("first: ", "refused"), ("second: ", "resolved")]
    for line, (place, key_word) in zip(lines, expected, strict=True):
        assert line.startswith(place)
        assert key_word in line
    assert "once the network is back" in caught.value.fix


def test_another_place_goes_on_where_the_first_one_broke(bench: Bench) -> None:
    first = bench.server.serve("/first", DATA, servers.closes_after(HALF), servers.NOT_FOUND)
    second = bench.server.serve("/second", DATA, Behaviour(etag='"of the second"'))
    blob = bench.fetch(Candidate("first", first), Candidate("second", second))
    assert blob.read_bytes() == DATA
    last = bench.server.log[-1]
    assert (last.path, last.range, last.status) == ("/second", REST, 206)


# Mirrors


def test_a_mirror_serves_a_stores_own_blobs_and_comes_first(bench: Bench, tmp_path: Path) -> None:
    blob = bench.fetch_from(GOOD)
    bench.server.log.clear()
    bench.server.serve(f"/blobs/sha256/{PIN.sha256.hex}", blob.read_bytes())
    fresh = Bench(
        Store.open(tmp_path / "fresh"), bench.server, mirrors=(f"{bench.server.base}/blobs/sha256",)
    )
    assert fresh.fetch_from(servers.NOT_FOUND).read_bytes() == DATA
    assert [request.path for request in bench.server.log] == [f"/blobs/sha256/{PIN.sha256.hex}"]


def test_a_mirror_that_serves_other_bytes_is_skipped_and_its_password_never_shown(bench: Bench) -> None:
    bench.server.serve(f"/mirror/{PIN.sha256.hex}", OTHER)
    bench.mirrors = (f"{bench.server.base}/mirror".replace("//", "//user:secret@"),)
    assert bench.fetch_from(GOOD).read_bytes() == DATA
    assert bench.server.log[0].headers["authorization"].startswith("Basic ")
    assert f"skipped: mirror {bench.server.base}/mirror: other bytes" in str(bench.said)
    assert bench.rejected() == [OTHER]
    why = "".join(path.read_text() for path in bench.store.rejected.glob("*/why.txt"))
    assert "secret" not in str(bench.said) + why
    assert "127.0.0.1" in why


# A full disk, and processes that die


def test_a_full_disk_is_an_error_of_the_store_and_what_was_written_stays(bench: Bench) -> None:
    limited = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
from recipes.fetch.download.piece_file import PieceFile
whole = PieceFile.write
def write(self, offset, chunk):
    if offset > 100_000:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 300_000))
    whole(self, offset, chunk)
PieceFile.write = write
"""
    done = run_fetch(bench, bench.server.serve("/file", DATA), prelude=limited)
    assert done.returncode == StoreError.exit_code, done.stderr
    assert "File too large" in done.stderr
    assert "ulimit -f" in done.stderr
    there = bench.noted_bytes()
    assert there >= 100_000 - PIECE
    bench.server.log.clear()
    assert bench.fetch_from(GOOD).read_bytes() == DATA
    assert bench.server.ranges() == [f"bytes={there}-{len(DATA) - 1}"]


CHILD = """
import sys
from contextlib import contextmanager
from pathlib import Path
{prelude}
from recipes.core.console import Silent
from recipes.core.digest import Sha256
from recipes.fetch.fetcher import Candidate, Fetcher
from recipes.core.errors import RecipeError
from recipes.core.settings import Settings
from recipes.store.store import Store
from recipes.fetch.http.retry import Patience, Tempo
from recipes.fetch.http.response_rules import BlobPin

class Reporter(Silent):
    @contextmanager
    def task(self, title, total, unit="B"):
        class Task:
            def position(self, done):
                print(done, flush=True)
        yield Task()

root, digest, size, url = sys.argv[1:]
tick = iter(range(1 << 40))
tempo = Tempo(Patience(timeout_s=60), clock=lambda: float(next(tick)))  # so that each piece is reported
fetcher = Fetcher(Store.open(Path(root)), Reporter(), Settings(Path(root)), tempo, piece_bytes={piece})
try:
    fetcher.fetch_blob(BlobPin(Sha256(digest), int(size)), [Candidate("origin", url)], "the fixture")
except RecipeError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
except KeyboardInterrupt:
    sys.exit(130)
"""


def child_command(bench: Bench, url: str, prelude: str = "") -> list[str]:
    root = bench.store.root.parent
    script = CHILD.format(prelude=prelude, piece=PIECE)
    return [sys.executable, "-c", script, str(root), PIN.sha256.hex, str(PIN.size_bytes), url]


def run_fetch(bench: Bench, url: str, prelude: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        child_command(bench, url, prelude), cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


def start_fetch(bench: Bench, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        child_command(bench, url),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=end_on_signals,  # noqa: PLW1509 - it calls nothing that a thread may hold
    )


def wait_for_position(child: subprocess.Popen[str], size_bytes: int) -> None:
    """Read a child's reports until it has written so many bytes."""
    assert child.stdout
    for line in child.stdout:
        if int(line) >= size_bytes:
            return
    raise AssertionError(f"the child ended before: {child.stderr.read() if child.stderr else ''}")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_was_ended_keeps_what_had_arrived(bench: Bench, how: signal.Signals) -> None:
    url = bench.server.serve("/file", DATA, servers.stalls_after(HALF), GOOD)
    with start_fetch(bench, url) as child:
        wait_for_position(child, THERE)
        child.send_signal(how)
        _, errors = child.communicate()
    assert (child.returncode, errors) == (130 if how == signal.SIGINT else -how, "")
    assert bench.noted_bytes() == THERE
    assert not bench.store.blob_path(PIN.sha256).exists()
    assert bench.fetch_from(GOOD).read_bytes() == DATA
    assert bench.server.ranges() == [ALL, REST]
    assert bench.partial_files() == []


def test_two_processes_that_want_one_file_download_it_once(bench: Bench) -> None:
    url = bench.server.serve("/file", DATA, servers.stalls_after(HALF), GOOD)
    with start_fetch(bench, url) as first:
        wait_for_position(first, THERE)
        waiting = threading.Event()

        class Watched(Lines):
            def write(self, text: str) -> int:
                if "waiting for" in text:
                    waiting.set()
                return super().write(text)

        bench.said = Watched()
        blobs: list[Path] = []
        second = threading.Thread(target=lambda: blobs.append(bench.fetch(Candidate("origin", url))))
        second.start()
        assert waiting.wait(60)
        assert len(bench.server.log) == 1
        first.kill()
        second.join(60)
    assert [blob.read_bytes() == DATA for blob in blobs] == [True]
    assert bench.server.ranges() == [ALL, REST]
