"""Fetches a model from a hub that misbehaves at random, in a process that dies at random, until it has it.

    python -m tests.support.random_faults 1000 [FIRST_SEED]

Each run is some sessions of a user: the hub does whatever hubs do wrong, the disk fills, the process is killed, a power
cut damages what had arrived; then, at last, all is well. What must hold, whatever happened: the file is the pinned one
to the last byte; nothing else ever has its name; no right file is set aside; and a piece that had arrived is not asked
for again.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

from recipes.core.errors import RecipeError
from recipes.fetch.download.piece_file import note_path, read_note
from tests.support import http_server as servers
from tests.support.http_server import GOOD, Behaviour, Server
from tests.support.model_project import AT, CDN, DATA, MMPROJ, MMPROJ_AT, OTHER, PIECE, SHA, ModelBench

REQUESTS = 40  # that a script has a behaviour for; the last holds for all that follow
MOST_REQUESTS = 3000


class Killed(BaseException):
    """What stands for a signal that no process survives."""


@dataclass(frozen=True)
class Story:
    """What happened in a run, for whoever must find out what went wrong."""

    seed: int
    sessions: tuple[str, ...]
    requests: int


def behaviour(chance: random.Random, *, lies: bool) -> Behaviour:
    """One answer."""
    size = chance.choice((0, 1, 700, 5000, 40_000, 100_000))
    kinds = [
        GOOD,
        GOOD,
        GOOD,
        servers.closes_after(size),
        servers.closes_after(size),
        servers.IGNORES_RANGE,
        replace(servers.IGNORES_RANGE, stop_after=size),
        replace(servers.IGNORES_RANGE, framing=chance.choice(("chunked", "close"))),
        servers.NOT_SATISFIABLE,
        servers.HANGS_UP,
        servers.WRONG_RANGE,
        servers.asks_to_wait(str(chance.randrange(200))),
        Behaviour(status=chance.choice((500, 502, 503, 504)), body=b"later"),
        Behaviour(etag=f'"{chance.randrange(3)}"', stop_after=chance.choice((None, size))),
        Behaviour(etag=None, last_modified=servers.http_date(chance.randrange(3))),
        servers.stalls_after(size),
    ]
    if lies:
        kinds += [
            Behaviour(body=OTHER, etag='"other"'),
            Behaviour(body=OTHER, etag='"other"', stop_after=size),
            replace(servers.IGNORES_RANGE, body=OTHER, etag='"other"'),
            Behaviour(body=OTHER),  # without telling
            servers.WEB_PAGE,
            servers.WEB_PAGE_IN_CHUNKS,
            servers.sends(DATA[:-1]),
            Behaviour(status=404, body=b"gone"),
        ]
    return chance.choice(kinds)


def run(seed: int, folder: Path) -> Story:
    """One run."""
    chance = random.Random(seed)
    lies = chance.random() < 0.5
    told: list[str] = []
    with Server() as hub, Server() as cdn:
        bench = ModelBench(folder, hub, cdn, timeout_s=0.2)
        for _ in range(chance.randrange(1, 6)):
            bench.connections = chance.choice((1, 2, 4))
            told.append(session(bench, chance, lies=lies))
            bench.assert_nothing_wrong_in_store()
            told[-1] += " " + maybe_damage(bench, chance)
        noted = read_note(bench.pieces) if note_path(bench.pieces).is_file() else None
        there = len(noted.pieces) if noted else 0
        is_here = bench.store.blob_path(SHA).is_file()
        bench.timeout_s = 30.0
        bench.serve()
        before = len(hub.log)
        assert bench.fetch().read_bytes() == DATA
        bench.assert_nothing_wrong_in_store()
        assert DATA not in bench.rejected()
        asked = [request for request in hub.log[before:] if request.path == AT]
        if not lies and not any("damaged" in line for line in told):
            sent = sum(request.sent_bytes for request in asked)
            assert sent <= (0 if is_here else len(DATA) - max(0, there - 1) * PIECE), (
                "a piece was asked for again"
            )
        assert len(hub.log) + len(cdn.log) < MOST_REQUESTS
        return Story(seed, tuple(told), len(hub.log) + len(cdn.log))


def session(bench: ModelBench, chance: random.Random, *, lies: bool) -> str:
    """One try of the user; say how it ended."""
    script = [behaviour(chance, lies=lies) for _ in range(REQUESTS)]
    if chance.random() < 0.3:
        target = bench.cdn.serve(CDN, DATA, *script, GOOD)
        expires = Behaviour(status=302, body=b"", headers=(("Location", target),))
        bench.serve(expires, chance.choice((expires, *script)), expires)
        if chance.random() < 0.5:
            bench.cdn.serve(CDN, DATA, GOOD, Behaviour(status=403, body=b"expired"), *script)
    else:
        bench.serve(*script, GOOD if chance.random() < 0.5 else script[-1])
    bench.hub.serve(MMPROJ_AT, MMPROJ)
    dies_at, fills_at = chance.randrange(600), chance.choice((None, None, chance.randrange(len(DATA))))
    count = 0
    whole = os.pwrite

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        nonlocal count
        count += 1
        if count == dies_at:
            whole(descriptor, data[: len(data) // 2], offset)
            raise Killed
        if fills_at is not None and offset > fills_at:
            raise OSError(28, "No space left on device")
        return whole(descriptor, data, offset)

    with mock.patch.object(os, "pwrite", pwrite):
        try:
            assert bench.fetch().read_bytes() == DATA
        except RecipeError as error:
            return type(error).__name__
        except Killed:
            return "killed"
        return "fetched"


def maybe_damage(bench: ModelBench, chance: random.Random) -> str:
    """What a power cut does to what was not on the disk yet."""
    path = bench.pieces
    if not path.is_file() or chance.random() < 0.6:
        return ""
    what = chance.choice(("zeros", "note"))
    if what == "zeros":
        at = chance.randrange(len(DATA))
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes(chance.randrange(1, 3 * PIECE)))
            file.truncate(len(DATA))
    else:
        with suppress(FileNotFoundError):
            text = note_path(path).read_bytes()
            note_path(path).write_bytes(
                text[: chance.randrange(len(text) + 1)] + chance.randbytes(chance.randrange(9))
            )
    return f"damaged: {what}"


def main() -> None:
    os.environ["NO_PROXY"] = "*"
    runs = int(sys.argv[1])
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    ends: dict[str, int] = {}
    requests, started = 0, time.monotonic()
    for seed in range(first, first + runs):
        with tempfile.TemporaryDirectory() as folder:
            try:
                story = run(seed, Path(folder))
            except BaseException:
                print(f"seed {seed}")
                raise
        requests += story.requests
        for told in story.sessions:
            ends[told.split()[0]] = ends.get(told.split()[0], 0) + 1
    print(
        f"{runs} runs, {sum(ends.values())} sessions {ends}, {requests} requests, {time.monotonic() - started:.0f} s"
    )
    print("not one wrong or lost byte")


if __name__ == "__main__":
    main()
