"""What conformance leaves out, and says so: the page where it is asked to, memory that the system does not tell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from recipes.conformance.checks.loading import memory_outcome
from recipes.conformance.results.inputs import CheckInputs
from recipes.conformance.results.outcome import CheckVerdict, Part
from recipes.conformance.suite import check_web_page
from recipes.serve.llamacpp.installation import SERVER, find_installation

if TYPE_CHECKING:
    from pathlib import Path


def server(folder: Path) -> None:
    path = folder / SERVER
    path.write_text("#!/bin/sh\necho version: 1\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("words", "without", "verdict", "key_word"),
    [
        ((), 70, CheckVerdict.PASSED, "less than with it"),
        ((), 95, CheckVerdict.FAILED, "less than with it"),
        ((), None, CheckVerdict.NOT_RUN, "this system"),
        (("-ngl", "9"), 95, CheckVerdict.NOT_RUN, "GPU"),
    ],
    ids=["saved", "not saved", "not told", "on a GPU"],
)
def test_the_projectors_memory_is_compared_where_the_system_tells_it(
    tmp_path: Path, words: tuple[str, ...], without: int | None, verdict: CheckVerdict, key_word: str
) -> None:
    server(tmp_path)
    mmproj = tmp_path / "mmproj.gguf"
    mmproj.write_bytes(bytes(40))
    subject = replace(find_installation(tmp_path), model_options=words)
    inputs = CheckInputs(subject, tmp_path, mmproj, None, (), tmp_path)  # type: ignore[arg-type]  # nothing else is looked at
    outcome = memory_outcome(inputs, without, 100)
    assert outcome.verdict is verdict
    assert key_word in outcome.words


def test_a_page_that_is_left_out_is_not_run(tmp_path: Path) -> None:
    server(tmp_path)
    inputs = CheckInputs(find_installation(tmp_path), tmp_path, tmp_path, None, (), tmp_path, with_page=False)  # type: ignore[arg-type]  # as above
    outcome = check_web_page(inputs, "http://127.0.0.1:1")
    assert (outcome.part, outcome.verdict) == (Part.PAGE, CheckVerdict.NOT_RUN)
    assert "--without web-page" in outcome.words
