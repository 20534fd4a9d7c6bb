"""Compares what a subject said with what the reference says, and two subjects with each other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from recipes.pocket.fidelity.reference_run import Changes
from recipes.pocket.fidelity.results import (
    DIGITS,
    GROUPS,
    LIMITS,
    BeyondLimit,
    Comparison,
    ModelDifferences,
    RouterChoice,
)
from recipes.pocket.fidelity.servers import number_of
from recipes.pocket.fidelity.summary import apart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recipes.pocket.fidelity.query_server import Answer
    from recipes.pocket.fidelity.reference_run import Oracle
    from recipes.pocket.fidelity.results import AskedCase

    Logprobs = tuple[float, ...]


@dataclass(frozen=True)
class Compared:
    """What became of one subject with one model in one setting.

    For each case: what was measured, and what the reference says with all that explains it; None: no answer.
    """

    row: ModelDifferences
    beyond: tuple[BeyondLimit, ...]
    accounted: tuple[tuple[Logprobs, Logprobs] | None, ...]


def compare_with_reference(
    names: tuple[str, str, str],
    cases: Sequence[AskedCase],
    answers: Sequence[Answer],
    oracles: Mapping[str, Oracle],
    known: frozenset[str] | None,
) -> Compared:
    """Compare answers, in the order of the cases, with the reference; `names` are subject, model and setting.

    `known` are the subject's deviations; None: nothing is known, and nothing is to be explained.
    """
    subject, model, setting = names
    limit = LIMITS[setting]
    sizes: list[float | None] = []
    left: list[float | None] = []
    beyond: list[BeyondLimit] = []
    accounted: list[tuple[Logprobs, Logprobs] | None] = []
    for number, (case, answer) in enumerate(zip(cases, answers, strict=True)):
        if answer.failure:
            sizes.append(None)
            left.append(None)
            accounted.append(None)
            continue
        oracle, measured = oracles[case.prompt], answer.logprobs
        changes = Changes(known or frozenset(), number_of(case.server, "-b"))
        simulated = oracle.logprobs(changes)
        sizes.append(round(apart(measured, oracle.logprobs()), DIGITS))
        left.append(round(apart(measured, simulated), DIGITS))
        if known is not None and apart(measured, simulated) > limit:
            turned, after = oracle.turned(measured, changes, limit)
            trembled = None
            if after <= limit:
                simulated = oracle.logprobs(replace(changes, turned=turned))
            elif trembling := oracle.trembling(changes):
                trembled = (sum(apart(measured, said) <= limit for said in trembling), len(trembling))
                if trembled[0]:
                    simulated = min(trembling, key=lambda said: apart(measured, said))
                    turned, after = (), apart(measured, simulated)
            ties = oracle.ties(changes)
            beyond.append(
                BeyondLimit(
                    subject=subject,
                    model=model,
                    setting=setting,
                    case=number,
                    size=sizes[-1] or 0.0,
                    left=left[-1] or 0.0,
                    narrowest=ties[0].gap if ties else None,
                    turned=tuple(
                        RouterChoice(layer=tie.layer, token=tie.token, gap=tie.gap) for tie in turned
                    ),
                    after=round(after, DIGITS),
                    trembled=trembled,
                )
            )
        accounted.append((measured, simulated))
    failures = Counter(answer.failure for answer in answers if answer.failure)
    row = ModelDifferences(
        subject=subject,
        model=model,
        setting=setting,
        sizes=tuple(sizes),
        left=tuple(left),
        failures=dict(failures),
    )
    return Compared(row, tuple(beyond), tuple(accounted))


def compare_subjects(
    cases: Sequence[AskedCase], one: Sequence[Compared], other: Sequence[Compared]
) -> list[Comparison]:
    """Compare what became of two subjects in one setting, group by group; both are in the same order of models."""
    found: dict[str, list[tuple[float, float]]] = {group: [] for group in GROUPS}
    for ours, theirs in zip(one, other, strict=True):
        for case, a, b in zip(cases, ours.accounted, theirs.accounted, strict=True):
            if a is not None and b is not None:
                measured, simulated = (tuple(x - y for x, y in zip(a[i], b[i], strict=True)) for i in (0, 1))
                found[case.group].append((apart(a[0], b[0]), apart(measured, simulated)))
    setting = one[0].row.setting
    return [
        Comparison(
            one=one[0].row.subject,
            other=other[0].row.subject,
            setting=setting,
            group=group,
            cases=len(pairs),
            beyond=sum(size > LIMITS["strict"] for size, _ in pairs),
            largest=round(max((size for size, _ in pairs), default=0.0), DIGITS),
            left=round(max((left for _, left in pairs), default=0.0), DIGITS),
            unexplained=sum(left > LIMITS[setting] for _, left in pairs),
        )
        for group, pairs in found.items()
    ]
