"""How patiently a download is made: waits between tries, and when a server is too slow."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from recipes.fetch.http.network_errors import OriginError
from recipes.fetch.http.response_rules import TryLater

if TYPE_CHECKING:
    from collections.abc import Callable

    from recipes.core.console import Console

REPORT_S = 0.1  # between two updates of the progress: each costs as much as receiving a small piece
PROGRESS_BYTES = 1 << 20  # a try that brought this much does not count as a failed one
LEAST_BYTES = 1 << 10  # within the timeout; a server that drips less is as good as silent

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long and how often a download is tried."""

    tries: int = 5  # in a row without any new bytes worth mentioning (PROGRESS_BYTES)
    all_tries: int = 100  # by one connection, however much comes each time
    first_wait_s: float = 1.0  # doubled after each try, up to the longest
    longest_wait_s: float = 30.0
    longest_asked_wait_s: float = 120.0  # the most that a server may ask for by Retry-After
    timeout_s: float = 30.0  # how long a server may be silent, or send less than the least
    least_bytes: int = LEAST_BYTES

    def next_wait(self, failures: int, asked_s: float | None = None) -> float | None:
        """How long to wait before the next try, in seconds; None is to give up.

        `failures` in a row came before, at least 1; `asked_s` is what the server asked for.
        """
        if failures >= self.tries or (asked_s is not None and asked_s > self.longest_asked_wait_s):
            return None
        doubled = self.first_wait_s * float(1 << min(failures - 1, 60))
        return max(min(doubled, self.longest_wait_s), asked_s or 0.0)


@dataclass(frozen=True)
class Tempo:
    """Patience, and the time that it is measured in; tests give another time."""

    patience: Patience = field(default_factory=Patience)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def persist(self, label: str, attempt: Callable[[], T | TryLater], console: Console) -> T:
        """Repeat what may fail for a while; once patience ends, raise an OriginError with the last reason."""
        failures = 0
        while isinstance(outcome := attempt(), TryLater):
            failures += 1
            self.pause(label, outcome, failures, console)
        return outcome

    def pause(self, label: str, fault: TryLater, failures: int, console: Console) -> None:
        """Wait before the next try, and say so; raise an OriginError where there is to be none."""
        wait_s = self.patience.next_wait(failures, fault.wait_s)
        if wait_s is None:
            asked = f", and asks to wait {fault.wait_s:g} s" if fault.wait_s else ""
            tries = "1 try" if failures == 1 else f"{failures} tries"
            raise OriginError(f"{fault.reason}{asked}; given up after {tries}", may_pass=True)
        console.say(f"{label}: {fault.reason}; trying again in {wait_s:g} s")
        self.sleep(wait_s)


class Pace:
    """Whether one answer comes fast enough, and when to report it; `size_bytes` of the file are there before."""

    def __init__(self, tempo: Tempo, size_bytes: int) -> None:
        self._clock, self.timeout_s = tempo.clock, tempo.patience.timeout_s
        self._least_bytes = tempo.patience.least_bytes
        self._now_s = self._clock()
        self._reported_s, self._window_s, self._window_bytes = self._now_s, self._now_s, size_bytes

    def is_report_due(self) -> bool:
        """Look at the clock; return whether the last report is long enough ago, and count this as one then."""
        self._now_s = self._clock()
        if self._now_s - self._reported_s < REPORT_S:
            return False
        self._reported_s = self._now_s
        return True

    def fault(self, size_bytes: int) -> TryLater | None:
        """Return the fault, where less than the least came within a timeout, at the time last looked at."""
        if self._now_s - self._window_s < self.timeout_s:
            return None
        is_slow = size_bytes - self._window_bytes < self._least_bytes
        self._window_s, self._window_bytes = self._now_s, size_bytes
        return (
            TryLater(f"less than {self._least_bytes} bytes came in {self.timeout_s:g} s") if is_slow else None
        )
