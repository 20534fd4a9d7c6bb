"""What is judged of conformance: that it is of this bundle, that it passed, and that nothing was left out. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.conformance.report.json_record import FORMAT
from recipes.conformance.results.outcome import CheckVerdict, Part
from recipes.evidence.json_document import list_at, text_at
from recipes.evidence.judgement import Judgement, judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recipes.evidence.material import Subject
    from recipes.manifest.policy import Policy

GOOD = {CheckVerdict.PASSED.value, CheckVerdict.DEVIATES.value, CheckVerdict.UNSUPPORTED.value}
KNOWN = GOOD | {CheckVerdict.NOT_RUN.value}
# what a policy's `whole` asks for; kernels of a GPU only where the platform has one
WHOLE = tuple(part for part in Part if part is not Part.KERNELS)
WITHOUT_GPU = "-cpu"


def judge_conformance(
    said: Mapping[str, object], subject: Subject, platform: str, policy: Policy
) -> Iterator[Judgement]:
    """Judge the result of the suite."""
    digest, form = text_at(said, "digest"), text_at(said, "format")
    is_of_it = (form, digest, said.get("is_bundle")) == (FORMAT, str(subject.tree), True)
    yield judge(
        "conformance: bundle", is_of_it, f"{FORMAT} of {subject.tree}", f"{form or 'no format'} of {digest}"
    )
    if policy.conformance == "any":
        return
    failed = [text_at(each, "name") for each in list_at(said, "outcomes") if _verdict(each) not in KNOWN]
    passed = text_at(said, "verdict") == "passes" and not failed and _count(said) > 0
    found = f"{_count(said)} of {len(list_at(said, 'outcomes'))} passed" + (
        f", not {failed[0]}" if failed else ""
    )
    yield judge("conformance: verdict", passed, "every check that was run passed", found)
    if policy.conformance == "whole":
        absent = [part.value for part in _wanted(platform) if not _part_holds(said, part)]
        yield judge(
            "conformance: whole",
            not absent,
            "each part of the suite was run and passed",
            f"not: {', '.join(absent)}" if absent else "all parts",
        )


def _wanted(platform: str) -> tuple[Part, ...]:
    return WHOLE if platform.endswith(WITHOUT_GPU) else (*WHOLE, Part.KERNELS)


def _part_holds(said: Mapping[str, object], part: Part) -> bool:
    verdicts = [_verdict(each) for each in list_at(said, "outcomes") if text_at(each, "part") == part.value]
    return bool(verdicts) and all(verdict in GOOD for verdict in verdicts)


def _count(said: Mapping[str, object]) -> int:
    return sum(_verdict(each) in GOOD for each in list_at(said, "outcomes"))


def _verdict(outcome: object) -> str:
    return text_at(outcome, "verdict")
