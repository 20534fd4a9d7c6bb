"""Who fetches which piece: shared by the connections of one download, and by the thread that hashes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from recipes.fetch.download.piece_map import PieceLayout

RUN_PIECES = 64  # asked for in one request: more would leave the hashing behind, fewer would ask too often

MISSING, BUSY, HELD = 0, 1, 2


@dataclass(frozen=True)
class PieceRun:
    """Pieces that follow one another: `first` to `end`, without `end`."""

    first: int
    end: int


def next_run(states: bytearray, most: int) -> PieceRun | None:
    """Return the first pieces that nobody has or fetches, at most so many, one behind the other. Pure."""
    first = states.find(MISSING)
    if first < 0:
        return None
    others = [at for state in (BUSY, HELD) if (at := states.find(state, first, first + most)) >= 0]
    return PieceRun(first, min((*others, first + most, len(states))))


class Board:
    """The state of each piece. Every method may be called from any thread."""

    def __init__(self, layout: PieceLayout, held: Iterable[int] = ()) -> None:
        self._states = bytearray(layout.count)
        self._layout = layout
        self._changed = threading.Condition()
        self.is_ended = False  # whether nobody should go on
        self._workers = 0
        self.held_bytes = 0  # of the pieces that are there
        for index in held:
            self._states[index] = HELD
            self.held_bytes += layout.size_of(index)

    @property
    def has_one_worker(self) -> bool:
        """Whether one connection is left."""
        return self._workers == 1

    def start(self, workers: int) -> None:
        """Say how many connections there are."""
        self._workers = workers

    def take(self) -> PieceRun | None:
        """Return work, waiting until there is some; None once there will be none."""
        with self._changed:
            while True:
                if self.is_ended:
                    return None
                if run := next_run(self._states, RUN_PIECES):
                    self._states[run.first : run.end] = bytes([BUSY]) * (run.end - run.first)
                    return run
                self._changed.wait()

    def claim(self, index: int) -> bool:
        """Take one piece, if nobody has or fetches it; return whether it is the caller's to write.

        Nobody else may write to a piece: what was hashed must be what is there.
        """
        with self._changed:
            if self._states[index] != MISSING:
                return False
            self._states[index] = BUSY
            return True

    def give_back(self, run: PieceRun) -> None:
        """Let others fetch what is left of a run."""
        with self._changed:
            for index in range(run.first, run.end):
                if self._states[index] == BUSY:
                    self._states[index] = MISSING
            self._changed.notify_all()

    def hold(self, index: int) -> None:
        """Say that a piece is there."""
        with self._changed:
            if self._states[index] != HELD:
                self._states[index] = HELD
                self.held_bytes += self._layout.size_of(index)
            self._changed.notify_all()

    def lose(self, index: int) -> None:
        """Say that a piece is there no more."""
        with self._changed:
            if self._states[index] == HELD:
                self.held_bytes -= self._layout.size_of(index)
            self._states[index] = MISSING
            self._changed.notify_all()

    def is_held(self, index: int) -> bool:
        """Whether a piece is there."""
        return self._states[index] == HELD

    def wait_for(self, index: int, timeout_s: float) -> bool:
        """Wait until a piece is there or all has ended, or for so long; return whether it is there."""
        with self._changed:
            if self._states[index] != HELD and not self.is_ended:
                self._changed.wait(timeout_s)
            return self._states[index] == HELD

    def end(self) -> None:
        """Have everybody stop."""
        with self._changed:
            self.is_ended = True
            self._changed.notify_all()

    def retire(self) -> bool:
        """Count that one connection stops; return whether it was the last one."""
        with self._changed:
            self._workers -= 1
            return self._workers == 0
