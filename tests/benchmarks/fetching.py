"""Our fetch of one large file, hash and store included, against curl, from a fast server on loopback."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
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
    from collections.abc import Callable, Iterator
    from pathlib import Path

TITLE = "fetching from a loopback server against curl"
TURNS = 5
FILE_BYTES, QUICK_FILE_BYTES = 2 << 30, 32 << 20
LEAST = Target(Kind.RATIO_AT_LEAST, 0.9)

CURL = "curl -s -o"
CURL_SYNC = "curl -s -o, then sync of the file"
CURL_HASH = "curl -s -o, then openssl dgst -sha256 of the file"
CURL_SCRIPT = "curl -s -f --noproxy '*' \"$1\""


@dataclass(frozen=True)
class Race:
    """One file that both sides fetch from `url`, into a folder of the disk or of memory."""

    url: str
    pin: BlobPin
    served: Path
    folder: Path
    name: str

    @property
    def size_bytes(self) -> int:
        return self.served.stat().st_size

    def rate(self, action: Callable[[], object], clean: Callable[[], object]) -> Callable[[], float]:
        """Return what takes a figure in GB/s, and cleans up after it in any case."""

        def measured() -> float:
            try:
                return self.size_bytes / time_call(action) / 1e9
            finally:
                clean()

        return measured

    def curl(self, script: str) -> Callable[[], float]:
        """Return what times a shell's script: `$1` is the address, `$2` the file. A failed curl fails a pipe."""
        target = self.folder / "curl.bin"
        argv = ("bash", "-c", f"set -eo pipefail; {script}", "bash", self.url, str(target))
        return self.rate(lambda: run_program(argv), lambda: target.unlink(missing_ok=True))


@contextmanager
def races(options: Options, room_factor: int) -> Iterator[list[Race]]:
    """Serve a random file; return the race to the disk, and that to memory where enough of it is free.

    Raises
    ------
    UnmeasurableError
        Where curl or room for so many times the file is missing.
    """
    if shutil.which("curl") is None:
        raise UnmeasurableError("curl is not installed")
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"  # a user's proxy is not for loopback
    size_bytes = QUICK_FILE_BYTES if options.quick else FILE_BYTES
    with room(options.folder, room_factor * size_bytes) as folder:
        served = folder / "served.bin"
        write_random(served, size_bytes)
        pin = BlobPin(hash_file(served), size_bytes)
        with serving(served) as url:
            to_disk = Race(url, pin, served, folder, "disk")
            if not is_memory_free(size_bytes):
                yield [to_disk]
                return
            with room(MEMORY, size_bytes) as memory:
                yield [to_disk, Race(url, pin, served, memory, "memory")]


def measure(options: Options, say: Say) -> Measured:
    rows: tuple[Comparison, ...] = ()
    with races(options, 2) as every:
        warm_up(every[0].folder)
        for race in every:
            rows += compare(race, options.turns(TURNS), say)
        if len(every) == 1:
            what = f"fetch of {every[0].size_bytes >> 20} MiB to memory"
            rows += (Comparison(what, CURL, "GB/s", missing="too little memory is free"),)
    notes = (
        "pooch hashes the file itself, after its last byte: the row with openssl does the same work",
        "ours: download, SHA-256, fsync and rename into an empty store, with all modules imported before",
        "the server is another process, and sends a file of the page cache with sendfile",
        (
            "curl -o leaves the bytes to be written to the disk later; ours are on it, so that a verified"
            " file survives a power cut: the row with sync does the same work"
        ),
    )
    return Measured(rows, notes)


def compare(race: Race, turns: int, say: Say) -> tuple[Comparison, ...]:
    """Take turns in one place."""
    store = race.folder / "store"
    actions = {
        "ours": race.rate(lambda: fetch(race.url, race.pin, store), lambda: remove_tree(store)),
        CURL: race.curl(f'{CURL_SCRIPT} -o "$2"'),
        CURL_SYNC: race.curl(f'{CURL_SCRIPT} -o "$2" && sync -d "$2"'),
        CURL_HASH: race.curl(f'{CURL_SCRIPT} -o "$2" && openssl dgst -sha256 "$2"'),
    }
    if race.name == "memory":
        del actions[CURL_SYNC]  # there is nothing to wait for
    say(f" to {race.name}")
    figures = take_turns(turns, actions, say, "GB/s")
    what = f"fetch of {race.size_bytes >> 20} MiB to {race.name}"
    return tuple(
        Comparison(what, peer, "GB/s", figures["ours"], figures[peer], LEAST if peer == CURL_HASH else None)
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
