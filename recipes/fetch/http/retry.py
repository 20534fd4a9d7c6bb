"""How patiently a download is made: waiting between tries, and telling a server that is too slow."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from recipes.fetch.http.network_errors import OriginError
from recipes.fetch.http.response_rules import LEAST_BYTES, Patience, TryLater, next_wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from recipes.core.console import Console

REPORT_S = 0.1  # between two updates of the progress: each costs as much as receiving a small piece

T = TypeVar("T")


@dataclass(frozen=True)
class Tempo:
    """Patience, and the time that it is measured in; tests give another time."""

    patience: Patience = field(default_factory=Patience)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def persist(self, label: str, attempt: Callable[[], T | TryLater], console: Console) -> T:
        """Repeat what may fail for a while, as often as patience allows.

        Raises
        ------
        OriginError
            With the last reason, once patience is at its end.
        """
        failures = 0
        while isinstance(outcome := attempt(), TryLater):
            failures += 1
            self.pause(label, outcome, failures, console)
        return outcome

    def pause(self, label: str, fault: TryLater, failures: int, console: Console) -> None:
        """Wait before the next try, and say so.

        Raises
        ------
        OriginError
            Where there is to be none.
        """
        wait_s = next_wait(self.patience, failures, fault.wait_s)
        if wait_s is None:
            asked = f", and asks to wait {fault.wait_s:g} s" if fault.wait_s else ""
            tries = "1 try" if failures == 1 else f"{failures} tries"
            raise OriginError(f"{fault.reason}{asked}; given up after {tries}", may_pass=True)
        console.say(f"{label}: {fault.reason}; trying again in {wait_s:g} s")
        self.sleep(wait_s)


class Pace:
    """Whether the bytes of one answer come fast enough, and when to report them.

    Parameters
    ----------
    tempo
        Its clock and its patience.
    size_bytes
        Bytes of the file that are there before.
    """

    def __init__(self, tempo: Tempo, size_bytes: int) -> None:
        self._clock, self.timeout_s = tempo.clock, tempo.patience.timeout_s
        self._now_s = self._clock()
        self._reported_s, self._window_s, self._window_bytes = self._now_s, self._now_s, size_bytes

    def is_report_due(self) -> bool:
        """Look at the clock, and say whether the last report is long enough ago; then this is one."""
        self._now_s = self._clock()
        if self._now_s - self._reported_s < REPORT_S:
            return False
        self._reported_s = self._now_s
        return True

    def is_too_slow(self, size_bytes: int) -> bool:
        """Whether less than LEAST_BYTES came within a timeout, at the time last looked at."""
        if self._now_s - self._window_s < self.timeout_s:
            return False
        is_slow = size_bytes - self._window_bytes < LEAST_BYTES
        self._window_s, self._window_bytes = self._now_s, size_bytes
        return is_slow
