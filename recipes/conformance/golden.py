"""What the reference says: prompts, answers and the first token's probabilities, with each known deviation applied.

Written by `nox -s reference` from transformers in fp32, read here; the file names the versions it was made with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from recipes.digest import hash_file
from recipes.errors import VerifyError

if TYPE_CHECKING:
    from pathlib import Path

EXACT = ""  # the name of the reference without any deviation
JOIN = "+"  # between the deviations of a combination


class Deviation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way in which a llama.cpp is known to leave the reference.

    Parameters
    ----------
    name
        Short, for combinations.
    words
        What is done otherwise, for people.
    where
        The part of llama.cpp that does it.
    fails
        Whether it is a failure rather than a grade: the model then sees something else than it was trained on.
    """

    name: str
    words: str
    where: str
    fails: bool = False


class Piece(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a message: a text, or an image named by the number of its conversation and its place there."""

    text: str = ""
    image: str = ""


class Message(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one side says."""

    role: str
    pieces: tuple[Piece, ...]


class Case(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One prompt, and what the reference says to it.

    Parameters
    ----------
    name
        What it tries.
    messages
        The conversation.
    resized
        Whether an image in it must be resized.
    prompt_tokens
        How long it is, images included.
    answer
        The reference's greedy answer.
    margin
        By how much the least certain token of that answer leads the runner-up, in natural logarithms.
    tokens
        The likeliest first tokens, the likeliest first.
    logprobs
        Their logarithms of probability, in that order, for each combination of deviations that changes them.
    """

    name: str
    messages: tuple[Message, ...]
    resized: bool
    prompt_tokens: int
    answer: str
    margin: float
    tokens: tuple[str, ...]
    logprobs: dict[str, tuple[float, ...]]

    def with_deviations(self, names: frozenset[str]) -> tuple[float, ...]:
        """Give the logarithms with some deviations; those that do not touch this case change nothing."""
        known = {frozenset(key.split(JOIN)) if key else frozenset(): key for key in self.logprobs}
        touching = frozenset().union(*known)
        return self.logprobs[known[names & touching]]


class Golden(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that the reference said of one model.

    Parameters
    ----------
    made_with
        Versions by name of what it was made with.
    model, mmproj
        SHA-256 of the files that it was made of.
    images
        SHA-256 of each image's pixels (RGB, row by row), so that a drawing that came out otherwise is told apart.
    deviations, cases
        As above.
    answers
        The reference's answer to each held-out question, by its number.
    """

    made_with: dict[str, str]
    model: str
    mmproj: str
    images: dict[str, str]
    deviations: tuple[Deviation, ...]
    cases: tuple[Case, ...]
    answers: tuple[str, ...]


def read_golden(path: Path) -> Golden:
    """Read the file that `nox -s reference` wrote.

    Raises
    ------
    msgspec.ValidationError
        Where it is not one.
    """
    return msgspec.json.decode(path.read_bytes(), type=Golden)


def verify_golden(golden: Golden, model: Path, mmproj: Path) -> None:
    """Demand that the reference was made of these very files.

    Raises
    ------
    VerifyError
        Naming the file that is another.
    """
    for path, wanted in ((model, golden.model), (mmproj, golden.mmproj)):
        found = hash_file(path)
        if found.hex != wanted:
            raise VerifyError(
                where=str(path),
                expected=f"sha256:{wanted}, the file that the reference was made of",
                found=str(found),
                fix="python3 noxfile.py -s reference  # if the model was meant to change; else take it back",
            )
