from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from recipes.conformance.mac_result import compare_results, read_result, verdict_of
from recipes.core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def result(verdict: str = "passed", given: str = "green", step: str = "passed") -> dict[str, Any]:
    return {
        "format": "mac-check/1",
        "digest": given,
        "steps": [{"name": "devices", "verdict": step, "words": "MTL0"}],
        "conformance": {
            "-ngl 99": {
                "outcomes": [
                    {"part": "image prompts", "name": "colours", "verdict": verdict, "words": "3 of 3"}
                ],
                "exhibits": [{"name": "colour", "question": "What colour?", "given": given}],
            }
        },
    }


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["passed", "passed"], "passed"),
        (["passed", "not run"], "incomplete"),
        (["failed", "not run"], "failed"),
        ([], "incomplete"),
    ],
)
def test_one_failure_is_a_failure_and_what_was_not_run_is_not_passed(
    verdicts: list[str], expected: str
) -> None:
    assert verdict_of(verdicts) == expected


def differences(second: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return of each line its name, and what the first and the second result have."""
    lines = compare_results(result(), second)
    return [found for line in lines for found in re.findall(r"^(.+): (\w+) .*, (\w+) ", line)]


def test_each_difference_is_named_and_a_setting_that_only_one_has_is_one() -> None:
    assert compare_results(result(), result()) == []
    assert differences(result("deviates", "blue", "failed")) == [
        ("devices", "passed", "failed"),
        ("-ngl 99: image prompts, colours", "passed", "deviates"),
        ("-ngl 99: colour: 'What colour?'", "green", "blue"),
    ]

    assert differences({**result(), "conformance": {}}) == [
        ("-ngl 99: image prompts, colours", "passed", "absent"),
        ("-ngl 99: colour: 'What colour?'", "green", "absent"),
    ]


def test_a_result_is_read_and_anything_else_refused(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result()))
    assert read_result(path) == result()
    path.write_text('{"format": "conformance/1"}')
    with pytest.raises(UsageError) as caught:
        read_result(path)
    assert (caught.value.where, caught.value.found) == (str(path), "conformance/1")
