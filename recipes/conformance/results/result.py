"""All that one run of the suite gave: what was looked at, what was found, and what a person would look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from recipes.conformance.results.outcome import Outcome


@dataclass(frozen=True)
class Exhibit:
    """One question that was asked, with its PNG images, for the page; several turns are joined by line ends."""

    name: str
    images: tuple[bytes, ...]
    question: str
    expected: str
    given: str

    @property
    def is_right(self) -> bool:
        """Return whether the answer is the expected one, blanks at its ends apart."""
        return self.given.strip() == self.expected.strip()


@dataclass(frozen=True)
class Distance:
    """How far one prompt's first token is from the reference."""

    case: str
    weights: str  # type of the model's weights: f32, f16, Q8_0, Q4_K_M
    setting: str  # `strict` (no flash attention, K and V in f32) or `default`
    resized: bool
    size: float  # the largest of a natural logarithm of probability, over the reference's likeliest tokens
    explained: float  # what is left of it once the known deviations are taken into account


@dataclass(frozen=True)
class UsedFile:
    """A model file that was used: its role (model, mmproj), its name and `sha256:...`."""

    role: str
    name: str
    digest: str


@dataclass(frozen=True)
class Result:
    """One run of the suite."""

    title: str
    digest: str  # `sha256:...`: the tree digest of a bundle of ours, else the digest of the server
    is_bundle: bool
    files: tuple[UsedFile, ...]
    machine: str  # processor, cores and operating system
    command: str
    started: datetime  # in UTC
    seconds: float
    sections: tuple[int, int, int]  # M-RoPE's, of the model
    outcomes: tuple[Outcome, ...]
    exhibits: tuple[Exhibit, ...] = ()
    distances: tuple[Distance, ...] = ()
    screenshot: Path | None = None  # the web page with an answer in it, a PNG file, where it was looked at
    made_with: Mapping[str, str] = field(default_factory=dict)  # versions of what the reference was made with
