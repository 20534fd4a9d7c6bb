"""One file, from servers on loopback that do each thing that servers do wrong."""

from __future__ import annotations

import hashlib
import io
import itertools
import random
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from recipes.core.console import Plain
from recipes.core.digest import Sha256
from recipes.core.errors import FetchError, StoreError
from recipes.core.settings import Settings
from recipes.fetch.fetcher import Candidate, Fetcher
from recipes.fetch.http.response_rules import BlobPin, Patience
from recipes.fetch.http.retry import Tempo
from recipes.store.store import Store
from tests.support import http_server as servers
from tests.support import paths
from tests.support.http_server import GOOD, Behaviour, Server
from tests.support.signals import end_on_signals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = random.Random(20).randbytes(300_000)
OTHER = random.Random(21).randbytes(len(DATA))
PIN = BlobPin(Sha256.of_bytes(DATA), len(DATA))
HALF = 150_000
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
        return Fetcher(self.store, Plain(self.said), settings, tempo)

    def fetch(self, *candidates: Candidate, pin: BlobPin = PIN) -> Path:
        return self.fetcher().fetch_blob(pin, candidates, "the fixture")

    def fetch_from(self, *behaviours: Behaviour, pin: BlobPin = PIN, data: bytes = DATA) -> Path:
        return self.fetch(Candidate("origin", self.server.serve("/file", data, *behaviours)), pin=pin)

    def refusal_of(self, *behaviours: Behaviour, pin: BlobPin = PIN, data: bytes = DATA) -> FetchError:
        with pytest.raises(FetchError) as caught:
            self.fetch_from(*behaviours, pin=pin, data=data)
        return caught.value

    def leave_partial(self, data: bytes, pin: BlobPin = PIN) -> None:
        self.store.partial_path(pin.sha256).write_bytes(data)

    def rejected(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.store.rejected.glob(f"*/{PIN.sha256.hex}"))]

    def partial_files(self) -> list[str]:
        return sorted(path.name.replace(PIN.sha256.hex, "part") for path in self.store.partial.iterdir())


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("NO_PROXY", "*")
    with Server() as server:
        yield Bench(Store.open(tmp_path / "store"), server)


def assert_nothing_wrong_in_store(bench: Bench) -> None:
    for blob in bench.store.blobs.iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name


def test_a_good_server_gives_the_file_in_one_request(bench: Bench) -> None:
    blob = bench.fetch_from(GOOD)
    assert blob == bench.store.blob_path(PIN.sha256)
    assert blob.read_bytes() == DATA
    assert bench.server.ranges() == [None]
    assert bench.server.log[0].headers["accept-encoding"] == "identity"
    assert bench.partial_files() == []


def test_a_file_that_is_in_the_store_costs_no_request(bench: Bench) -> None:
    bench.fetch_from(GOOD)
    assert bench.fetch_from(GOOD).read_bytes() == DATA
    assert len(bench.server.log) == 1


def test_a_connection_that_closes_early_is_resumed_where_it_broke(bench: Bench) -> None:
    assert bench.fetch_from(servers.closes_after(HALF), GOOD).read_bytes() == DATA
    assert bench.server.ranges() == [None, f"bytes={HALF}-"]
    assert bench.server.log[1].sent_bytes == len(DATA) - HALF
    assert bench.server.log[1].headers["if-range"] == '"v1"'
    assert bench.waits == [1.0]


def test_a_stall_is_ended_and_resumed_where_it_began(bench: Bench) -> None:
    bench.timeout_s = 1.0
    assert bench.fetch_from(servers.stalls_after(HALF), GOOD).read_bytes() == DATA
    assert bench.server.ranges() == [None, f"bytes={HALF}-"]
    assert f"origin: nothing came for 1 s, after {HALF} bytes; trying again in 1 s" in str(bench.said)


def test_a_server_that_says_nothing_at_all_is_given_up_after_exactly_the_allowed_tries(bench: Bench) -> None:
    bench.timeout_s = 0.05
    refusal = bench.refusal_of(servers.stalls_after(0))
    # a server that is silent before its head: the whole request stalls
    assert bench.waits == [1.0, 2.0, 4.0, 8.0]
    assert refusal.found == "origin: nothing came for 0.05 s; given up after 5 tries"
    assert (
        refusal.fix
        == "python3 noxfile.py -s fetch  # once the network is back; it goes on from what has arrived"
    )


def test_a_server_that_brings_little_each_time_is_given_up_too_and_what_came_is_kept(bench: Bench) -> None:
    refusal = bench.refusal_of(servers.closes_after(1000))
    assert bench.waits == [1.0, 2.0, 4.0, 8.0]
    assert refusal.found == (
        "origin: the connection was closed early, after 5000 bytes; given up after 5 tries"
    )
    assert bench.store.partial_path(PIN.sha256).read_bytes() == DATA[:5000]


def test_progress_of_a_mebibyte_starts_the_count_of_tries_again(bench: Bench) -> None:
    data = random.Random(22).randbytes(8 << 20)
    pin = BlobPin(Sha256.of_bytes(data), len(data))
    behaviours = (servers.closes_after(1 << 20),) * 7
    assert bench.fetch_from(*behaviours, GOOD, pin=pin, data=data).read_bytes() == data
    assert bench.waits == [1.0] * 7


def test_a_server_that_ignores_ranges_sends_all_again_and_the_bytes_are_right(bench: Bench) -> None:
    assert bench.fetch_from(servers.closes_after(HALF), servers.IGNORES_RANGE).read_bytes() == DATA
    assert [request.status for request in bench.server.log] == [200, 200]
    assert "origin: it sends the file from its start; starting over" in str(bench.said)


def test_a_server_that_ignores_ranges_and_always_breaks_is_given_up(bench: Bench) -> None:
    data = random.Random(23).randbytes(3 << 20)
    pin = BlobPin(Sha256.of_bytes(data), len(data))
    breaks = replace(servers.IGNORES_RANGE, stop_after=2 << 20)
    refusal = bench.refusal_of(breaks, pin=pin, data=data)
    # the first two mebibytes are progress once, not each time that they come again
    assert bench.waits == [1.0, 2.0, 4.0, 8.0]
    assert "given up after 5 tries" in refusal.found


def test_a_stale_partial_that_is_answered_416_is_given_up_for_the_whole_file(bench: Bench) -> None:
    bench.leave_partial(OTHER[:HALF])
    assert bench.fetch_from(servers.NOT_SATISFIABLE, GOOD).read_bytes() == DATA
    assert bench.server.ranges() == [f"bytes={HALF}-", None]
    assert bench.waits == []


def test_a_416_to_a_request_without_a_range_is_a_refusal(bench: Bench) -> None:
    assert (
        bench.refusal_of(servers.NOT_SATISFIABLE).found == "origin: HTTP 416 Requested Range Not Satisfiable"
    )


def test_a_416_for_a_whole_file_of_unknown_size_means_that_it_is_complete(bench: Bench) -> None:
    bench.leave_partial(DATA)
    blob = bench.fetch_from(GOOD, pin=BlobPin(PIN.sha256, max_bytes=1 << 20))
    assert blob.read_bytes() == DATA
    assert [request.status for request in bench.server.log] == [416]
    assert bench.server.log[0].sent_bytes == 0


def test_a_416_for_other_bytes_of_the_same_length_ends_in_the_right_file(bench: Bench) -> None:
    bench.leave_partial(OTHER)
    blob = bench.fetch_from(GOOD, pin=BlobPin(PIN.sha256, max_bytes=1 << 20))
    assert blob.read_bytes() == DATA
    assert [request.status for request in bench.server.log] == [416, 200]
    assert bench.rejected() == [OTHER]


def test_a_range_other_than_the_one_asked_for_is_never_appended(bench: Bench) -> None:
    assert bench.fetch_from(servers.closes_after(HALF), servers.WRONG_RANGE, GOOD).read_bytes() == DATA
    assert bench.server.ranges() == [None, f"bytes={HALF}-", None]


def test_a_file_that_changed_at_the_server_between_two_parts_is_fetched_from_its_start(bench: Bench) -> None:
    old = Behaviour(body=OTHER, etag='"old"', stop_after=HALF)
    new = Behaviour(etag='"new"')
    assert bench.fetch_from(old, new).read_bytes() == DATA
    assert bench.server.log[1].headers["if-range"] == '"old"'
    assert bench.server.log[1].status == 200


def test_a_server_that_ignores_if_range_is_caught_by_its_etag(bench: Bench) -> None:
    old = Behaviour(body=OTHER, etag='"old"', stop_after=HALF)
    ignoring = Behaviour(etag='"new"', honours_if_range=False)
    assert bench.fetch_from(old, ignoring, GOOD).read_bytes() == DATA
    assert [request.status for request in bench.server.log] == [200, 206, 200]
    assert bench.server.ranges() == [None, f"bytes={HALF}-", None]
    assert bench.rejected() == []


def test_last_modified_guards_a_resumed_part_where_there_is_no_etag(bench: Bench) -> None:
    date = servers.http_date(1_700_000_000)
    behaviour = Behaviour(etag=None, last_modified=date)
    assert bench.fetch_from(replace(behaviour, stop_after=HALF), behaviour).read_bytes() == DATA
    assert bench.server.log[1].headers["if-range"] == date


def test_a_weak_etag_never_guards_a_range(bench: Bench) -> None:
    behaviour = Behaviour(etag='W/"v1"')
    assert bench.fetch_from(replace(behaviour, stop_after=HALF), behaviour).read_bytes() == DATA
    assert "if-range" not in bench.server.log[1].headers
    assert bench.server.log[1].status == 206


def test_a_length_unlike_the_pinned_one_is_refused_before_the_body_is_read(bench: Bench) -> None:
    padded = bytes(64 << 20)
    refusal = bench.refusal_of(servers.sends(padded))
    assert refusal.found == f"origin: it would send {64 << 20} bytes, pinned are {len(DATA)}"
    # what the kernel took for itself aside, the server could not get rid of its body
    assert bench.server.log[0].sent_bytes < len(padded)
    assert bench.partial_files() == []
    assert bench.waits == []


def test_a_truncated_file_is_refused_by_its_length(bench: Bench) -> None:
    refusal = bench.refusal_of(servers.sends(DATA[:HALF]))
    assert refusal.found == f"origin: it would send {HALF} bytes, pinned are {len(DATA)}"


def test_a_truncated_file_in_chunks_is_refused_at_its_end_and_kept(bench: Bench) -> None:
    refusal = bench.refusal_of(servers.sends(DATA[:HALF], "chunked"))
    kept = next(bench.store.rejected.glob("*/*[!t]"))
    assert refusal.found == f"origin: it sent {HALF} bytes, pinned are {len(DATA)}, kept in {kept}"
    assert bench.rejected() == [DATA[:HALF]]
    assert bench.waits == []


def test_a_truncated_file_without_a_length_is_not_told_from_a_broken_connection(bench: Bench) -> None:
    assert bench.fetch_from(servers.sends(DATA[:HALF], "close"), GOOD).read_bytes() == DATA
    assert bench.server.ranges() == [None, f"bytes={HALF}-"]


def test_reading_stops_at_the_pinned_size(bench: Bench) -> None:
    bench.fetch_from(servers.sends(DATA + bytes(64 << 20), "chunked"))
    assert bench.store.blob_path(PIN.sha256).stat().st_size == len(DATA)
    assert bench.server.log[0].sent_bytes < len(DATA) + (64 << 20)


def test_a_body_without_an_end_stops_at_the_cap_where_the_size_is_not_known(bench: Bench) -> None:
    pin = BlobPin(PIN.sha256, max_bytes=HALF)
    refusal = bench.refusal_of(servers.sends(DATA, "chunked"), pin=pin)
    kept = next(bench.store.rejected.glob("*/*[!t]"))
    assert refusal.found == f"origin: it sent more than the {HALF} bytes that may come, kept in {kept}"
    assert refusal.expected == str(PIN.sha256)
    assert bench.rejected() == [DATA[:HALF]]


def test_a_length_above_the_cap_is_refused_where_the_size_is_not_known(bench: Bench) -> None:
    refusal = bench.refusal_of(GOOD, pin=BlobPin(PIN.sha256, max_bytes=HALF))
    assert refusal.found == f"origin: it would send {len(DATA)} bytes, the most that may come is {HALF}"


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_file_of_unknown_size_is_fetched_whatever_tells_its_end(bench: Bench, framing: str) -> None:
    pin = BlobPin(PIN.sha256, max_bytes=1 << 20)
    assert bench.fetch_from(Behaviour(framing=framing), pin=pin).read_bytes() == DATA


def test_a_web_page_with_status_200_is_called_one(bench: Bench) -> None:
    refusal = bench.refusal_of(servers.WEB_PAGE)
    size = len(servers.PAGE)
    assert refusal.found == f"origin: it would send a web page of {size} bytes, pinned are {len(DATA)}"
    assert refusal.fix.startswith("PINNED_LLAMA_MIRROR=")


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_a_web_page_without_a_length_is_read_to_its_end_and_kept(bench: Bench, framing: str) -> None:
    refusal = bench.refusal_of(replace(servers.WEB_PAGE, framing=framing))
    kept = next(bench.store.rejected.glob("*/*[!t]"))
    assert refusal.found == (
        f"origin: it sent a web page: {len(servers.PAGE)} bytes, pinned are {len(DATA)}, kept in {kept}"
    )
    assert bench.rejected() == [servers.PAGE]
    assert bench.waits == []


def test_a_web_page_of_just_the_pinned_length_is_called_one(bench: Bench) -> None:
    page = servers.PAGE.ljust(len(DATA))
    refusal = bench.refusal_of(servers.sends(page))
    assert refusal.found.startswith(
        f"origin: it sent a web page: other bytes ({Sha256.of_bytes(page)}), kept in "
    )


def test_other_bytes_are_kept_with_the_reason_and_not_asked_for_again(bench: Bench) -> None:
    refusal = bench.refusal_of(servers.sends(OTHER))
    kept = next(bench.store.rejected.glob("*/*[!t]"))
    assert str(refusal) == (
        "error: no origin delivered the pinned bytes\n"
        "  where:    the fixture\n"
        f"  expected: {PIN.sha256}, 300000 bytes\n"
        f"  found:    origin: it sent other bytes ({Sha256.of_bytes(OTHER)}), kept in {kept}\n"
        "  fix:      PINNED_LLAMA_MIRROR=https://... python3 noxfile.py -s fetch"
        "  # with a mirror that has it; or correct the pin"
    )
    assert refusal.exit_code == 12
    assert bench.rejected() == [OTHER]
    assert (kept.parent / "why.txt").read_text().splitlines() == [
        f"other bytes ({Sha256.of_bytes(OTHER)})",
        f"from {bench.server.url('/file')}",
        f"pinned {PIN.sha256}",
    ]
    assert len(bench.server.log) == 1
    assert bench.partial_files() == []
    assert list(bench.store.blobs.iterdir()) == []


def test_a_first_part_from_elsewhere_that_does_not_fit_costs_one_clean_try(bench: Bench) -> None:
    bench.leave_partial(OTHER[:HALF])
    assert bench.fetch_from(GOOD).read_bytes() == DATA
    assert bench.server.ranges() == [f"bytes={HALF}-", None]
    assert bench.rejected() == [OTHER[:HALF] + DATA[HALF:]]


def test_a_first_part_from_elsewhere_and_a_bad_server_end_after_one_clean_try(bench: Bench) -> None:
    bench.leave_partial(DATA[:HALF])
    refusal = bench.refusal_of(servers.sends(OTHER))
    assert len(bench.server.log) == 2
    assert "it sent other bytes" in refusal.found
    assert bench.rejected() == [DATA[:HALF] + OTHER[HALF:], OTHER]


def test_a_partial_that_is_longer_than_the_file_is_set_aside(bench: Bench) -> None:
    bench.leave_partial(DATA + b"x")
    assert bench.fetch_from(GOOD).read_bytes() == DATA
    assert bench.rejected() == [DATA + b"x"]
    assert bench.server.ranges() == [None]


def test_a_complete_partial_needs_no_server(bench: Bench) -> None:
    bench.leave_partial(DATA)
    assert bench.fetch_from(servers.NOT_FOUND).read_bytes() == DATA
    assert bench.server.log == []


def test_a_sidecar_that_cannot_be_understood_only_costs_the_guard(bench: Bench) -> None:
    bench.leave_partial(DATA[:HALF])
    bench.store.partial_path(PIN.sha256).with_name(f"{PIN.sha256.hex}.origin").write_bytes(b"[1")
    assert bench.fetch_from(GOOD).read_bytes() == DATA
    assert "if-range" not in bench.server.log[0].headers
    assert bench.partial_files() == []


def test_a_receipt_that_a_killed_process_left_is_not_trusted(bench: Bench) -> None:
    folder = bench.store.partial_path(PIN.sha256).with_name(f"{PIN.sha256.hex}.receipt")
    folder.mkdir()
    (folder / "receipt").write_text(f"{PIN.sha256}\n")
    assert bench.fetch_from(GOOD).read_bytes() == DATA
    assert bench.partial_files() == []


def test_a_redirect_is_followed_and_the_range_with_it(bench: Bench) -> None:
    target = bench.server.serve("/elsewhere", DATA, servers.closes_after(HALF), GOOD)
    assert bench.fetch_from(servers.redirects_to(target)).read_bytes() == DATA
    asked = [(request.path, request.range) for request in bench.server.log]
    resumed = f"bytes={HALF}-"
    assert asked == [("/file", None), ("/elsewhere", None), ("/file", resumed), ("/elsewhere", resumed)]


def test_a_redirect_without_a_host_is_followed(bench: Bench) -> None:
    bench.server.serve("/elsewhere", DATA)
    assert bench.fetch_from(servers.redirects_to("/elsewhere")).read_bytes() == DATA


def test_the_body_of_a_redirect_is_not_read(bench: Bench) -> None:
    target = bench.server.serve("/elsewhere", DATA)
    endless = replace(servers.redirects_to(target), body=bytes(64 << 20))
    assert bench.fetch_from(endless).read_bytes() == DATA
    assert bench.server.log[0].sent_bytes < 64 << 20


def test_redirects_in_a_circle_end(bench: Bench) -> None:
    refusal = bench.refusal_of(servers.redirects_to("/file"))
    assert refusal.found == "origin: too many redirects"
    assert len(bench.server.log) == 11


def test_a_redirect_out_of_http_is_refused(bench: Bench) -> None:
    assert bench.refusal_of(servers.redirects_to("file:///etc/passwd")).found == "origin: invalid schema"


def test_a_server_that_asks_to_wait_is_waited_for_exactly_so_long(bench: Bench) -> None:
    assert (
        bench.fetch_from(servers.asks_to_wait("7"), servers.asks_to_wait("11", 503), GOOD).read_bytes()
        == DATA
    )
    assert bench.waits == [7.0, 11.0]


def test_a_server_that_asks_to_wait_too_long_is_left(bench: Bench) -> None:
    refusal = bench.refusal_of(servers.asks_to_wait("3600"))
    assert refusal.found == (
        "origin: HTTP 429 Too Many Requests, and asks to wait 3600 s; given up after 1 try"
    )
    assert bench.waits == []


def test_a_missing_file_is_asked_for_once(bench: Bench) -> None:
    assert bench.refusal_of(servers.NOT_FOUND).found == "origin: HTTP 404 Not Found"
    assert len(bench.server.log) == 1
    assert bench.waits == []


def test_a_server_that_hangs_up_before_its_answer_is_tried_again(bench: Bench) -> None:
    assert bench.fetch_from(servers.HANGS_UP, GOOD).read_bytes() == DATA
    assert "origin: the connection was closed early; trying again in 1 s" in str(bench.said)


def test_a_server_that_accepts_and_says_nothing_is_tried_again(bench: Bench) -> None:
    bench.timeout_s = 1.0
    assert bench.fetch_from(servers.SILENT, GOOD).read_bytes() == DATA
    assert "origin: nothing came for 1 s; trying again in 1 s" in str(bench.said)


def test_a_server_that_drips_is_as_good_as_silent(bench: Bench) -> None:
    url = bench.server.serve("/file", DATA, servers.stalls_after(100), GOOD)
    tick = itertools.count()

    def clock() -> float:
        # while the first request is answered, each look at the clock finds ten seconds gone by
        return 10.0 * next(tick) if len(bench.server.log) == 1 else 1e6

    tempo = Tempo(Patience(timeout_s=5), sleep=bench.waits.append, clock=clock)
    fetcher = replace(bench.fetcher(), tempo=tempo)
    assert fetcher.fetch_blob(PIN, [Candidate("origin", url)], "the fixture").read_bytes() == DATA
    assert "origin: less than 1024 bytes came in 5 s; trying again in 1 s" in str(bench.said)
    assert bench.server.ranges() == [None, "bytes=100-"]


def test_a_refused_connection_is_left_at_once_for_the_next_place(bench: Bench) -> None:
    closed = f"http://127.0.0.1:{servers.closed_port()}/file"
    good = bench.server.serve("/file", DATA)
    assert bench.fetch(Candidate("first", closed), Candidate("second", good)).read_bytes() == DATA
    assert bench.waits == []
    assert "warning: passed over: first: connection refused" in str(bench.said)


def test_a_server_that_goes_away_in_the_middle_is_waited_for(bench: Bench) -> None:
    with Server() as leaving:
        url = leaving.serve("/file", DATA, servers.closes_after(HALF))

        def leave(wait_s: float) -> None:
            bench.waits.append(wait_s)
            leaving.stop()

        fetcher = replace(bench.fetcher(), tempo=Tempo(Patience(timeout_s=30), sleep=leave))
        with pytest.raises(FetchError) as caught:
            fetcher.fetch_blob(PIN, [Candidate("origin", url)], "the fixture")
    assert caught.value.found == f"origin: connection refused, after {HALF} bytes; given up after 5 tries"
    assert bench.waits == [1.0, 2.0, 4.0, 8.0]
    assert bench.store.partial_path(PIN.sha256).read_bytes() == DATA[:HALF]


def test_without_any_network_each_place_is_named_with_its_reason(bench: Bench) -> None:
    closed = f"http://127.0.0.1:{servers.closed_port()}"
    bench.mirrors = (closed,)
    with pytest.raises(FetchError) as caught:
        bench.fetch(Candidate("first", f"{closed}/a"), Candidate("second", "http://no-such-host.invalid/b"))
    assert caught.value.found.splitlines() == [
        f"mirror {closed}: connection refused",
        "first: connection refused",
        "second: its name cannot be resolved (is there a network?)",
    ]
    assert caught.value.fix == (
        "python3 noxfile.py -s fetch  # once the network is back; it goes on from what has arrived"
    )


def test_another_place_goes_on_where_the_first_one_broke(bench: Bench) -> None:
    first = bench.server.serve("/first", DATA, servers.closes_after(HALF), servers.NOT_FOUND)
    second = bench.server.serve("/second", DATA, Behaviour(etag='"of the second"'))
    blob = bench.fetch(Candidate("first", first), Candidate("second", second))
    assert blob.read_bytes() == DATA
    last = bench.server.log[-1]
    assert (last.path, last.range, last.status) == ("/second", f"bytes={HALF}-", 206)
    # a tag of the first place means nothing to the second
    assert "if-range" not in last.headers


def test_a_mirror_serves_a_stores_own_blobs_and_comes_first(bench: Bench, tmp_path: Path) -> None:
    blob = bench.fetch_from(GOOD)
    bench.server.log.clear()
    bench.server.serve(f"/blobs/sha256/{PIN.sha256.hex}", blob.read_bytes())
    fresh = Bench(
        Store.open(tmp_path / "fresh"), bench.server, mirrors=(f"{bench.server.base}/blobs/sha256",)
    )
    assert fresh.fetch_from(servers.NOT_FOUND).read_bytes() == DATA
    assert [request.path for request in bench.server.log] == [f"/blobs/sha256/{PIN.sha256.hex}"]


def test_a_mirror_that_serves_other_bytes_is_passed_over_and_said_so(bench: Bench) -> None:
    bench.server.serve(f"/mirror/{PIN.sha256.hex}", OTHER)
    bench.mirrors = (f"{bench.server.base}/mirror",)
    assert bench.fetch_from(GOOD).read_bytes() == DATA
    assert f"warning: passed over: mirror {bench.server.base}/mirror: it sent other bytes" in str(bench.said)
    assert bench.rejected() == [OTHER]


def test_a_password_in_an_address_is_used_and_never_shown(bench: Bench) -> None:
    bench.server.serve(f"/mirror/{PIN.sha256.hex}", OTHER)
    bench.mirrors = (f"{bench.server.base}/mirror".replace("//", "//user:secret@"),)
    bench.fetch_from(GOOD)
    assert bench.server.log[0].headers["authorization"].startswith("Basic ")
    shown = str(bench.said) + "".join(path.read_text() for path in bench.store.rejected.glob("*/why.txt"))
    assert "secret" not in shown
    assert "127.0.0.1" in shown


def test_a_full_disk_is_an_error_of_the_store_and_what_was_written_stays(bench: Bench) -> None:
    limited = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
"""
    done = run_fetch(bench, bench.server.serve("/file", DATA), prelude=limited)
    assert done.returncode == StoreError.exit_code, done.stderr
    assert "found:    File too large" in done.stderr
    assert "ulimit -f" in done.stderr
    assert bench.store.partial_path(PIN.sha256).read_bytes() == DATA[:100_000]
    bench.server.log.clear()
    assert bench.fetch_from(GOOD).read_bytes() == DATA
    assert bench.server.ranges() == ["bytes=100000-"]


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
from recipes.fetch.http.retry import Tempo
from recipes.fetch.http.response_rules import BlobPin, Patience

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
fetcher = Fetcher(Store.open(Path(root)), Reporter(), Settings(Path(root)), tempo)
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
    script = CHILD.format(prelude=prelude)
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


def test_after_kill_9_only_the_rest_is_sent_and_the_file_is_whole(bench: Bench) -> None:
    url = bench.server.serve("/file", DATA, servers.stalls_after(HALF), GOOD)
    with start_fetch(bench, url) as child:
        wait_for_position(child, HALF)
        child.kill()
    assert bench.store.partial_path(PIN.sha256).read_bytes() == DATA[:HALF]
    assert not bench.store.blob_path(PIN.sha256).exists()
    assert bench.fetch_from(GOOD).read_bytes() == DATA
    assert [(request.range, request.sent_bytes) for request in bench.server.log] == [
        (None, HALF),
        (f"bytes={HALF}-", len(DATA) - HALF),
    ]
    assert bench.server.log[1].headers["if-range"] == '"v1"'
    assert bench.partial_files() == []


def test_ctrl_c_keeps_what_has_arrived_and_passes_through(bench: Bench) -> None:
    url = bench.server.serve("/file", DATA, servers.stalls_after(HALF), GOOD)
    with start_fetch(bench, url) as child:
        wait_for_position(child, HALF)
        child.send_signal(2)
        _, errors = child.communicate()
    assert (child.returncode, errors) == (130, "")
    assert bench.fetch_from(GOOD).read_bytes() == DATA
    assert bench.server.ranges() == [None, f"bytes={HALF}-"]


def test_two_processes_that_want_one_file_download_it_once(bench: Bench) -> None:
    url = bench.server.serve("/file", DATA, servers.stalls_after(HALF), GOOD)
    with start_fetch(bench, url) as first:
        wait_for_position(first, HALF)
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
    assert bench.server.ranges() == [None, f"bytes={HALF}-"]
