"""Whether what is missing may be built or downloaded: said on the command line, or by the person who is asked."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from recipes.core.filesystem import size_text

YES = "--yes"
SLOW, FAST = 20e6 / 8, 200e6 / 8  # bytes a second of a slow and a fast line to a house
DECLINED = {"n", "no"}


@dataclass(frozen=True)
class Consent:
    """Whether it was given beforehand; else a person is asked, where there is one."""

    is_given: bool = False

    @property
    def can_ask(self) -> bool:
        """Whether a person reads and types here."""
        return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))

    def to(self, question: str) -> bool:
        """Return whether it may be done; nobody is asked where nobody could answer."""
        if self.is_given:
            return True
        if not self.can_ask:
            return False
        sys.stderr.write(f"{question} [Y/n] ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        return bool(line) and line.strip().lower() not in DECLINED


def download_text(size_bytes: int, *, is_exact: bool = True) -> str:
    """Return how large a download is and how long it may take. Pure.

    >>> download_text(19_700_000_000)
    '19.7 GB: 2 h 11 min at 20 Mbit/s, 13 min at 200'
    """
    at_most = "" if is_exact else "at most "
    slow, fast = _time(size_bytes / SLOW), _time(size_bytes / FAST)
    return f"{at_most}{size_text(size_bytes)}: {slow} at 20 Mbit/s, {fast} at 200"


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return "under a minute"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"  # noqa: PLR2004 - of an hour
