"""The reference's answers and first-token probabilities, without and with each known deviation.

Written by `nox -s reference` with transformers in fp32, read here; the file names the versions it was made with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from recipes.core.digest import hash_file
from recipes.core.errors import VerifyError

if TYPE_CHECKING:
    from pathlib import Path

JOIN = "+"  # between the deviations of a combination; "" is the reference itself
AGAIN = "python3 noxfile.py -s reference -- --write"


class Deviation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A known way in which a llama.cpp differs from the reference."""

    name: str  # short, for combinations
    words: str  # the description
    where: str  # the part of llama.cpp that does it
    fails: bool = False  # conformance, rather than lower the grade: the model sees what it was not trained on


class NearTie(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A choice of the router that rounding decides, and that changes the output.

    `gap` is the difference of the two experts' probabilities; `logprobs` are as in `GoldenCase`, with the other
    expert.
    """

    layer: int
    token: int
    gap: float
    logprobs: dict[str, tuple[float, ...]]


class GoldenCase(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One prompt, and the reference's output."""

    name: str  # what it tests
    with_images: bool
    resized: bool  # whether an image or a clip in it must be resized
    prompt_tokens: int  # images included
    answer: str  # with greedy sampling
    margin: float  # the smallest lead of a token of the answer over the runner-up, in natural logarithms
    tokens: tuple[str, ...]  # the likeliest first tokens, the likeliest first
    # Natural logarithms of probability, in that order, for each combination of deviations that changes them.
    logprobs: dict[str, tuple[float, ...]]
    ties: tuple[NearTie, ...] = ()  # for a llama.cpp without deviations in its vision tower

    def with_deviations(self, names: frozenset[str]) -> tuple[float, ...]:
        """Return `logprobs` with some deviations; those that do not affect this case are ignored."""
        return self.logprobs[self.key(names)]

    def key(self, names: frozenset[str]) -> str:
        """Return the key in `logprobs` of a combination of deviations."""
        touching = {name for key in self.logprobs for name in key.split(JOIN)}
        return JOIN.join(sorted(names & touching))


class HeldOut(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The reference's greedy answers to the held-out questions of a task, in order, and their margins."""

    task: str
    answers: tuple[str, ...]
    margins: tuple[float, ...]


class Golden(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The reference's output for one model; `made_with` are versions by name."""

    made_with: dict[str, str]
    model: str  # SHA-256 of the file
    mmproj: str  # SHA-256 of the file
    prompts: str  # SHA-256 of all prompts and held-out questions, texts and pixels
    sections: tuple[int, int, int]  # number of frequencies of t, h and w in the rotary embedding
    deviations: tuple[Deviation, ...]
    clip_deviations: tuple[Deviation, ...]  # those that the cases about clips were asked with
    cases: tuple[GoldenCase, ...]
    clips: tuple[GoldenCase, ...]
    held_out: tuple[HeldOut, ...]


def read_golden(path: Path) -> Golden:
    """Read the file that `nox -s reference` wrote; a VerifyError is raised if it is missing or malformed."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Golden)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise VerifyError(
            where=str(path),
            expected="the reference's values",
            found=str(error),
            fix=f"git checkout {path}, or {AGAIN}",
        ) from error


def verify_golden(golden: Golden, model: Path, mmproj: Path, prompts: str) -> None:
    """Demand that the reference was made with exactly these files and prompts; else a VerifyError is raised.

    `prompts` is the SHA-256 of the prompts as they are drawn here.
    """
    rows = [
        (str(path), wanted, hash_file(path).hex)
        for path, wanted in ((model, golden.model), (mmproj, golden.mmproj))
    ]
    for where, wanted, found in (*rows, ("the prompts, as they are drawn here", golden.prompts, prompts)):
        if found != wanted:
            raise VerifyError(
                where=where,
                expected=f"sha256:{wanted}, which the reference was made with",
                found=f"sha256:{found}",
                fix=f"{AGAIN}  # if the change is intended; otherwise undo it",
            )
