"""Compares the results of two runs of mac-check. Pure but for reading the files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from recipes.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

FORMAT = "mac-check/1"


def verdict_of(verdicts: Sequence[str]) -> str:
    """Return the verdict on all steps: failed where one failed, incomplete where one was not run, else passed."""
    if "failed" in verdicts:
        return "failed"
    return "incomplete" if "not run" in verdicts or not verdicts else "passed"


def read_result(path: Path) -> dict[str, Any]:
    """Read what `mac-check` wrote; a UsageError is raised where it is something else."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        found = data["format"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        data, found = {}, f"{type(error).__name__}: {error}"
    if found != FORMAT:
        raise UsageError(
            where=str(path),
            expected=f"a result of mac-check, of format {FORMAT}",
            found=str(found),
            fix="python3 noxfile.py -s mac-check -- --bundle PATH --result FILE writes one",
        )
    return dict(data)


def compare_results(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return a line for each step or check with another verdict, and for each question with another answer.

    Digests, machines and times may differ: what was found may not.
    """
    rows, others = dict(_findings(first)), dict(_findings(second))
    return [
        f"{name}: {rows.get(name, 'absent')} in the first, {others.get(name, 'absent')} in the second"
        for name in dict.fromkeys((*rows, *others))
        if rows.get(name) != others.get(name)
    ]


def _findings(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for step in result["steps"]:
        yield step["name"], step["verdict"]
    for setting, record in result["conformance"].items():
        for outcome in record["outcomes"]:
            yield f"{setting}: {outcome['part']}, {outcome['name']}", outcome["verdict"]
        for exhibit in record["exhibits"]:
            yield f"{setting}: {exhibit['name']}: {exhibit['question']!r}", exhibit["given"]
