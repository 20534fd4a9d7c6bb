"""Our fetch of one large file, hash and store included, against curl, from a fast server on loopback."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.console import Silent
from recipes.core.digest import hash_file
from recipes.core.filesystem import remove_tree
from recipes.core.settings import Settings
from recipes.fetch.fetcher import Candidate, Fetcher
from recipes.fetch.http.response_rules import BlobPin
from recipes.store.store import Store
from tests.benchmarks.comparison import Comparison, Kind, Target
from tests.benchmarks.file_server import serving
from tests.benchmarks.report import Measured
from tests.benchmarks.sample_files import MEMORY, is_memory_free, room, write_random
from tests.benchmarks.turns import Options, Say, UnmeasurableError, run_program, take_turns, time_call

if TYPE_CHECKING:
    from pathlib import Path

TITLE = "fetching from a loopback server against curl"
TURNS = 5
FILE_BYTES = 2 << 30
QUICK_FILE_BYTES = 32 << 20
LEAST = Target(Kind.RATIO_AT_LEAST, 0.9)

CURL = "curl -s -o"
CURL_SYNC = "curl -s -o, then sync of the file"
CURL_OPENSSL = "curl -s | openssl dgst -sha256"


def measure(options: Options, say: Say) -> Measured:
    if shutil.which("curl") is None:
        raise UnmeasurableError("curl is not installed")
    # a proxy of the user's is not meant for loopback
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    size_bytes = QUICK_FILE_BYTES if options.quick else FILE_BYTES
    turns = options.turns(TURNS)
    with room(options.folder, 2 * size_bytes) as folder:
        served = folder / "served.bin"
        write_random(served, size_bytes)
        pin = BlobPin(hash_file(served), size_bytes)
        warm_up(folder)
        with serving(served) as url:
            rows = compare(url, pin, Place(folder, "disk"), turns, say)
            if is_memory_free(size_bytes):
                with room(MEMORY, size_bytes) as memory:
                    rows += compare(url, pin, Place(memory, "memory"), turns, say)
            else:
                what = f"fetch of {size_bytes >> 20} MiB to memory"
                rows += (Comparison(what, CURL, "GB/s", missing="too little memory is free"),)
    notes = (
        "ours: download, SHA-256, fsync and rename into an empty store, with all modules imported before",
        "the server is another process, and sends a file of the page cache with sendfile",
        (
            "curl -o leaves the bytes to be written to the disk later; ours are on it, so that a verified"
            " file survives a power cut: the row with sync does the same work"
        ),
    )
    return Measured(rows, notes)


@dataclass(frozen=True)
class Place:
    """Where to fetch to, and what it is called."""

    folder: Path
    name: str


def compare(url: str, pin: BlobPin, place: Place, turns: int, say: Say) -> tuple[Comparison, ...]:
    """Take turns in one place."""
    size_bytes = pin.size_bytes or 0
    target, store = place.folder / "curl.bin", place.folder / "store"
    curl = ("curl", "-s", "-f", "--noproxy", "*")

    def ours() -> float:
        try:
            return size_bytes / time_call(lambda: fetch(url, pin, store)) / 1e9
        finally:
            remove_tree(store)

    def timed(argv: tuple[str, ...]) -> float:
        try:
            return size_bytes / time_call(lambda: run_program(argv)) / 1e9
        finally:
            target.unlink(missing_ok=True)

    script = "curl -s -f --noproxy '*' \"$1\""
    actions = {
        "ours": ours,
        CURL: lambda: timed((*curl, "-o", str(target), url)),
        CURL_SYNC: lambda: timed(("sh", "-c", f'{script} -o "$2" && sync -d "$2"', "sh", url, str(target))),
        CURL_OPENSSL: lambda: timed(("sh", "-c", f"{script} | openssl dgst -sha256", "sh", url)),
    }
    if place.folder.is_relative_to(MEMORY):
        del actions[CURL_SYNC]  # there is nothing to wait for
    say(f" to {place.name}")
    figures = take_turns(turns, actions, say, "GB/s")
    what = f"fetch of {size_bytes >> 20} MiB to {place.name}"
    return tuple(
        Comparison(what, peer, "GB/s", figures["ours"], figures[peer], None if peer == CURL_SYNC else LEAST)
        for peer in actions
        if peer != "ours"
    )


def fetch(url: str, pin: BlobPin, store: Path) -> None:
    fetcher = Fetcher(Store.open(store), Silent(), Settings(store=store))
    fetcher.fetch_blob(pin, (Candidate("loopback", url),), "benchmark")


def warm_up(folder: Path) -> None:
    """Fetch a small file, so that modules are imported before the clock starts."""
    small = folder / "small.bin"
    write_random(small, 1 << 20)
    with serving(small) as url:
        fetch(url, BlobPin(hash_file(small), 1 << 20), folder / "warm")
    remove_tree(folder / "warm")
