"""A hub on loopback that serves large files badly: cuts, stalls, waits, expired redirects, a wrong range.

What it does is decided before: the same plan gives the same faults, at the same requests.
"""

from __future__ import annotations

import mmap
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support import http_server as servers
from tests.support.http_server import GOOD, Behaviour, Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REPOSITORY = "someone/Full-Size-GGUF"
CUT, STALLED, BUSY, EXPIRED, WRONG = "cut", "stall", "429", "expired redirect", "wrong range"


@dataclass(frozen=True)
class Faults:
    """Which request of a file goes wrong how: the last of every `every`, `rounds` times through all kinds but one.

    The wrong range comes once, last of the first round. A cut or a stall comes after so many bytes.
    """

    every: int = 12
    rounds: int = 5
    after_bytes: int = 9_999_999

    def behaviours(self) -> tuple[Behaviour, ...]:
        """Return how each request of a file is answered; those that follow are as the last one."""
        kinds = {
            None: GOOD,
            CUT: servers.closes_after(self.after_bytes),
            STALLED: servers.stalls_after(self.after_bytes),
            BUSY: servers.asks_to_wait("1"),
            EXPIRED: Behaviour(status=403, body=b"expired"),
            WRONG: servers.WRONG_RANGE,
        }
        return (*(kinds[name] for name in self.names()), GOOD)

    def names(self) -> tuple[str | None, ...]:
        """Return the fault of each request, None where it is answered well; so are all that follow."""
        often = (CUT, STALLED, BUSY, EXPIRED)
        kinds = (*often, WRONG, *often * (self.rounds - 1))
        return tuple(
            kinds[number // self.every] if number % self.every == self.every - 1 else None
            for number in range(len(kinds) * self.every)
        )


@dataclass
class Hub:
    """The hub, and what it has done so far."""

    base: str
    faults: Faults
    cdn: Server

    def done(self) -> dict[str, int]:
        """Count the faults by kind."""
        asked = Counter(request.path for request in self.cdn.log)
        names = (self.faults.names()[:count] for count in asked.values())
        return dict(Counter(name for each in names for name in each if name))

    @property
    def requests(self) -> int:
        """How often a file was asked for, where it lies."""
        return len(self.cdn.log)


@contextmanager
def serving(files: tuple[Path, ...], faults: Faults) -> Iterator[Hub]:
    """Serve files by redirects to a second server, which has the faults."""
    with ExitStack() as stack:
        maps = []
        for path in files:  # before the servers: nobody may read a file that is closed
            reading = stack.enter_context(path.open("rb"))
            maps.append(stack.enter_context(mmap.mmap(reading.fileno(), 0, access=mmap.ACCESS_READ)))
        hub, cdn = stack.enter_context(Server()), stack.enter_context(Server())
        for path, data in zip(files, maps, strict=True):
            target = cdn.serve(f"/{path.name}", data, *faults.behaviours())
            hub.serve(f"/{REPOSITORY}/resolve/main/{path.name}", b"", servers.redirects_to(target))
        yield Hub(hub.base, faults, cdn)
