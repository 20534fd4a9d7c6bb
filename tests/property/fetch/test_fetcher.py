"""Whatever servers do wrong, in whatever order: the right bytes or an error, never wrong bytes in the store."""

from __future__ import annotations

import hashlib
import random
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from recipes.core.console import Silent
from recipes.core.digest import Sha256
from recipes.core.errors import FetchError, VerifyError
from recipes.core.settings import Settings
from recipes.fetch.download.piece_file import pieces_path
from recipes.fetch.fetcher import Candidate, Fetcher
from recipes.fetch.http.response_rules import BlobPin
from recipes.fetch.http.retry import Patience, Tempo
from recipes.store.store import Store
from tests.support import http_server as servers
from tests.support.http_server import GOOD, Behaviour, Server
from tests.support.pieces import leave_pieces

pytestmark = pytest.mark.slow  # many examples, each with real files, programs or servers

DATA = random.Random(1).randbytes(20_000)
OTHER = random.Random(2).randbytes(len(DATA))
SHA, PIECE = Sha256.of_bytes(DATA), 1000
PINS = (BlobPin(SHA, len(DATA)), BlobPin(SHA, max_bytes=len(DATA)), BlobPin(SHA, max_bytes=1 << 20))

cuts = st.integers(0, len(DATA))
framings = st.sampled_from(("length", "chunked", "close"))
bodies = st.one_of(
    st.just(DATA),
    st.just(OTHER),
    st.just(servers.PAGE),
    cuts.map(lambda cut: DATA[:cut]),
    cuts.map(lambda cut: DATA[:cut] + OTHER[cut:]),
    st.binary(max_size=50).map(lambda junk: DATA + junk),
    st.binary(max_size=50).map(lambda junk: junk + DATA),
)
# all fields at once, so that combinations come that nobody thought of
any_behaviour = st.builds(
    Behaviour,
    status=st.sampled_from((200, 200, 200, 200, 0, 204, 206, 302, 403, 404, 416, 429, 500, 503)),
    body=bodies,
    honours_range=st.booleans(),
    honours_if_range=st.booleans(),
    shifted_range=st.sampled_from((0, 0, 0, 1, -1)),
    stop_after=st.one_of(st.none(), cuts),
    framing=framings,
    length_claim=st.one_of(st.none(), st.none(), cuts),
    etag=st.sampled_from((None, '"v1"', '"v2"', 'W/"v1"')),
    last_modified=st.sampled_from((None, servers.http_date(0))),
)
stalling = cuts.map(servers.stalls_after)
faults = st.lists(st.one_of(any_behaviour, any_behaviour, any_behaviour, stalling), max_size=5)
left_behind = st.one_of(
    st.none(),
    cuts.map(lambda cut: DATA[:cut]),
    cuts.map(lambda cut: OTHER[:cut]),
    st.just(OTHER),
)


def assert_only_right_bytes(store: Store) -> None:
    for blob in store.blobs.iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@settings(max_examples=60)
@given(
    first=faults,
    second=faults,
    pin=st.sampled_from(PINS),
    partial=left_behind,
    connections=st.sampled_from((1, 3)),
)
def test_any_faults_end_with_the_right_bytes_or_an_error(
    first: list[Behaviour], second: list[Behaviour], pin: BlobPin, partial: bytes | None, connections: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        store = Store.open(Path(folder) / "store")
        if partial is not None:
            leave_pieces(pieces_path(store, SHA), partial, len(DATA), PIECE)
        places = [
            Candidate("first", server.serve("/first", DATA, *first, GOOD)),
            Candidate("second", server.serve("/second", DATA, *second, GOOD)),
        ]
        tempo = Tempo(Patience(timeout_s=0.05), sleep=lambda _: None)
        fetcher = Fetcher(store, Silent(), Settings(store.root), tempo, connections, PIECE)
        try:
            blob = fetcher.fetch_blob(pin, places, "here")
        except (FetchError, VerifyError) as error:
            note(error.found)
            assert list(store.blobs.iterdir()) == []
        else:
            assert blob.read_bytes() == DATA
            assert list(store.partial.iterdir()) == []
        note(str([(request.path, request.range, request.status) for request in server.log]))
        assert_only_right_bytes(store)
        assert len(server.log) <= 2 * Patience().all_tries
        # and nothing that was left behind keeps a good server from delivering
        last = Candidate("last", server.serve("/last", DATA, GOOD))
        patient = replace(fetcher, tempo=Tempo(Patience(timeout_s=30), sleep=lambda _: None))
        assert patient.fetch_blob(pin, [last], "here").read_bytes() == DATA


@settings(max_examples=25)
@given(cut_points=st.lists(st.integers(0, 6000), max_size=4), pin=st.sampled_from(PINS))
def test_breaks_alone_never_cost_a_byte_twice(cut_points: list[int], pin: BlobPin) -> None:
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        store = Store.open(Path(folder) / "store")
        url = server.serve("/file", DATA, *map(servers.closes_after, cut_points), GOOD)
        tempo = Tempo(Patience(timeout_s=30), sleep=lambda _: None)
        fetcher = Fetcher(store, Silent(), Settings(store.root), tempo, piece_bytes=PIECE)
        assert fetcher.fetch_blob(pin, [Candidate("origin", url)], "here").read_bytes() == DATA
        asks_for_size = pin.size_bytes is None
        assert sum(request.sent_bytes for request in server.log) <= len(DATA) + asks_for_size
