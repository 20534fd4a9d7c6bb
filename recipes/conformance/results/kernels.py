"""What ggml's program test-backend-ops is asked of Qwen3-VL-MoE's shapes, and what its output says. Pure.

The program compares a backend with ggml's own code for the CPU, case by case: tests/test-backend-ops.cpp.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from recipes.conformance.results.outcome import CheckVerdict, Outcome, Part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recipes.core.process import Captured

NAMED = 3  # cases that an outcome names; the figures count all
LAST_WORDS = 300  # letters of what a program said before it died
PROCESSOR = "CPU"
OF_THE_PROCESSOR = (PROCESSOR, "BLAS")  # devices that are no GPU
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
DEVICE = re.compile(r"^Backend \d+/\d+: (\S+)", re.MULTILINE)
CASE = re.compile(r"\b(?P<op>[A-Z][A-Z0-9_]*)\((?P<params>[^()]+)\): (?P<said>OK|FAIL|not supported)")
ERROR = re.compile(r"ERR = (?P<error>\S+) >")
ENDED = re.compile(r"^\d+/\d+ backends passed$", re.MULTILINE)
COMMA = re.compile(r",(?![^\[]*\])")  # none between brackets


@dataclass(frozen=True)
class Asked:
    """Cases of one operation: what selects them, and which there must be at least, by their parameters."""

    op: str
    params: str  # a regular expression, as the program's -p takes it
    cases: tuple[Mapping[str, str], ...]  # a parameter that a case does not name is 0


EXPERTS, TOKENS = ("8", "16", "128"), ("1", "32", "512", "2048")
ASKED = (
    Asked(  # the products of the experts, with an even router and with one that prefers some experts
        "MUL_MAT_ID",
        "type_a=(q4_0|q4_K|q6_K|q8_0),.*m=768,n=(1|32|512|2048),k=2048",
        tuple(
            {"type_a": kind, "n_mats": experts, "n": tokens, "skewed": skewed, "m": "768", "k": "2048"}
            for kind, experts, tokens, skewed in product(
                ("q4_0", "q4_K", "q6_K", "q8_0"), EXPERTS, TOKENS, ("0", "1")
            )
        ),
    ),
    Asked(  # the choice of experts, with NaN among the logits
        "TOPK_MOE_NAN",
        "n_expert=",
        tuple(
            {"n_expert": experts, "n_tokens": tokens}
            for experts in ("8", "128")
            for tokens in ("1", "22", "512")
        ),
    ),
    Asked(  # interleaved M-RoPE
        "ROPE", "mode=40,", tuple({"type": kind, "mode": "40"} for kind in ("f32", "f16"))
    ),
)


@dataclass(frozen=True)
class Case:
    """One case that the program ran: OK, FAIL or not supported."""

    op: str
    params: str
    said: str
    error: float | None = None  # the normalised squared error, which is told of a wrong one alone

    @property
    def name(self) -> str:
        """Return it as the program's -o takes it."""
        return f"{self.op}({self.params})"

    def fits(self, wanted: Mapping[str, str]) -> bool:
        """Return whether it is a case that is asked for."""
        own = dict(part.partition("=")[::2] for part in COMMA.split(self.params))
        return all(own.get(name, "0") == value for name, value in wanted.items())


def parse_devices(text: str) -> tuple[str, ...]:
    """Return the devices that the program found, in its order."""
    return tuple(DEVICE.findall(COLOUR.sub("", text)))


def parse_cases(text: str) -> tuple[Case, ...]:
    """Return each case of which the program says how it ended."""
    found = []
    for line in COLOUR.sub("", text).splitlines():
        if match := CASE.search(line):
            error = ERROR.search(line, 0, match.start())
            found.append(
                Case(match["op"], match["params"], match["said"], float(error["error"]) if error else None)
            )
    return tuple(found)


def judge(asked: Asked, device: str, done: Captured) -> tuple[Outcome, ...]:
    """Return what the program's output says of one operation on one device.

    A wrong case, and a program that dies or counts a failure that it does not name, fail. What is asked for and is not
    there is named as not run.
    """
    cases = tuple(case for case in parse_cases(done.out) if case.op == asked.op)
    wrong = [case for case in cases if case.said == "FAIL"]
    right = sum(case.said == "OK" for case in cases)
    missing = [wanted for wanted in asked.cases if not any(case.fits(wanted) for case in cases)]
    errors = [case.error for case in wrong if case.error is not None]
    figures: dict[str, float | int | str] = {
        "op": asked.op,
        "device": device,
        "cases": len(cases),
        "right": right,
        "wrong": len(wrong),
        "not supported": len(cases) - right - len(wrong),
    }
    figures |= {"worst error": max(errors)} if errors else {}
    figures |= {"failing": "; ".join(case.name for case in wrong)} if wrong else {}

    def outcome(verdict: CheckVerdict, words: str, suspect: str = "", note: str = "") -> Outcome:
        return Outcome(Part.KERNELS, f"{asked.op} on {device}{note}", verdict, words, suspect, figures)

    place = f"the kernels of {asked.op} in the backend of {device}"
    if done.status not in {0, 1} or not ENDED.search(COLOUR.sub("", done.out)):
        last = (done.err.strip() or done.out.strip())[-LAST_WORDS:]
        words = f"the program ends with status {done.status} after {len(cases)} cases: {last}"
        return (outcome(CheckVerdict.FAILED, words, place),)
    if wrong:
        worst = f"; the worst error is {max(errors):.3g}" if errors else ""
        words = (
            f"{len(wrong)} of {len(cases)} cases are wrong{worst}: {listed([case.name for case in wrong])}"
        )
        found = [outcome(CheckVerdict.FAILED, words, place)]
    elif done.status != 0:
        words = f"the program counts a failure that it does not name: {done.err.strip()[-LAST_WORDS:]}"
        found = [outcome(CheckVerdict.FAILED, words, place)]
    elif cases and not right:
        words = f"{device} supports none of the {len(cases)} cases: the CPU computes them"
        return (outcome(CheckVerdict.NOT_RUN, words),)
    elif cases:
        words = f"{right} of {len(cases)} cases are right" + (
            f", {len(cases) - right} are not supported" if right < len(cases) else ""
        )
        found = [outcome(CheckVerdict.PASSED, words)]
    else:
        found = []
    if missing:
        words = f"the program lacks {len(missing)} of the {len(asked.cases)} cases: {listed([*map(named, missing)])}"
        found.append(outcome(CheckVerdict.NOT_RUN, words, note=", missing cases" if found else ""))
    return tuple(found)


def named(wanted: Mapping[str, str]) -> str:
    """Return a case that is asked for as the program writes parameters."""
    return ",".join(f"{name}={value}" for name, value in wanted.items())


def listed(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return "; ".join(names[:NAMED]) + rest
