"""What the reference says: answers and the first token's probabilities, with each known deviation applied.

Written by `nox -s reference` from transformers in fp32, read here; the file names the versions it was made with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from recipes.core.digest import hash_file
from recipes.core.errors import VerifyError

if TYPE_CHECKING:
    from pathlib import Path

JOIN = "+"  # between the deviations of a combination; the empty text is the reference itself
AGAIN = "python3 noxfile.py -s reference -- --write"


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


class NearTie(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One choice of the router so close that rounding decides it, and that changes what is said.

    Parameters
    ----------
    layer, token
        Where it is made.
    gap
        How far apart the two experts are, in probability.
    logprobs
        As in a case, with the other expert.
    """

    layer: int
    token: int
    gap: float
    logprobs: dict[str, tuple[float, ...]]


class GoldenCase(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One prompt, and what the reference says to it.

    Parameters
    ----------
    name
        What it tries.
    with_images
        Whether there are images in it.
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
    ties
        Near-ties of the router, for a llama.cpp without deviations in its vision tower.
    """

    name: str
    with_images: bool
    resized: bool
    prompt_tokens: int
    answer: str
    margin: float
    tokens: tuple[str, ...]
    logprobs: dict[str, tuple[float, ...]]
    ties: tuple[NearTie, ...] = ()

    def with_deviations(self, names: frozenset[str]) -> tuple[float, ...]:
        """Give the logarithms with some deviations; those that do not touch this case change nothing."""
        return self.logprobs[self.key(names)]

    def key(self, names: frozenset[str]) -> str:
        """Give what a combination of deviations is listed by here."""
        touching = {name for key in self.logprobs for name in key.split(JOIN)}
        return JOIN.join(sorted(names & touching))


class HeldOut(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the reference answers to the held-out questions of a task, in order, and how sure it is.

    Parameters
    ----------
    task
        Its name.
    answers
        The greedy answers.
    margins
        As in a case.
    """

    task: str
    answers: tuple[str, ...]
    margins: tuple[float, ...]


class Golden(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that the reference said of one model.

    Parameters
    ----------
    made_with
        Versions by name of what it was made with.
    model, mmproj
        SHA-256 of the files that it was made of.
    prompts
        SHA-256 of all prompts and held-out questions, texts and pixels.
    sections
        How many frequencies t, h and w have in the rotary embedding.
    deviations, cases, held_out
        As above.
    """

    made_with: dict[str, str]
    model: str
    mmproj: str
    prompts: str
    sections: tuple[int, int, int]
    deviations: tuple[Deviation, ...]
    cases: tuple[GoldenCase, ...]
    held_out: tuple[HeldOut, ...]


def read_golden(path: Path) -> Golden:
    """Read the file that `nox -s reference` wrote.

    Raises
    ------
    VerifyError
        Where it is not one.
    """
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
    """Demand that the reference was made of these very files and prompts.

    Parameters
    ----------
    golden
        What it said.
    model, mmproj
        The files that are about to be used.
    prompts
        SHA-256 of the prompts as they are drawn here.

    Raises
    ------
    VerifyError
        Naming what is another.
    """
    rows = [
        (str(path), wanted, hash_file(path).hex)
        for path, wanted in ((model, golden.model), (mmproj, golden.mmproj))
    ]
    for where, wanted, found in (*rows, ("the prompts, as they are drawn here", golden.prompts, prompts)):
        if found != wanted:
            raise VerifyError(
                where=where,
                expected=f"sha256:{wanted}, which the reference was made of",
                found=f"sha256:{found}",
                fix=f"{AGAIN}  # if the change was meant; else take it back",
            )
