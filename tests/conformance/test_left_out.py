"""What conformance leaves out, and says so: the page where it is asked to, memory that the system does not tell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from recipes.conformance.checks.loading import memory_outcome
from recipes.conformance.results.context import Context
from recipes.conformance.results.outcome import Part, Verdict
from recipes.conformance.suite import look
from recipes.serve.llamacpp.installation import SERVER, find_installation

if TYPE_CHECKING:
    from pathlib import Path


def server(folder: Path) -> None:
    path = folder / SERVER
    path.write_text("#!/bin/sh\necho version: 1\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("words", "without", "verdict", "said"),
    [
        ((), 70, Verdict.PASSED, "0.0 MB less than with it; the projector's file is 0.0 MB"),
        ((), 95, Verdict.FAILED, "0.0 MB less than with it; the projector's file is 0.0 MB"),
        ((), None, Verdict.NOT_RUN, "this system's ps does not tell a program's memory"),
        (("-ngl", "9"), 95, Verdict.NOT_RUN, "the projector is in a GPU's memory, which ps does not tell"),
    ],
    ids=["saved", "not saved", "not told", "on a GPU"],
)
def test_the_projectors_memory_is_compared_where_the_system_tells_it(
    tmp_path: Path, words: tuple[str, ...], without: int | None, verdict: Verdict, said: str
) -> None:
    server(tmp_path)
    mmproj = tmp_path / "mmproj.gguf"
    mmproj.write_bytes(bytes(40))
    subject = replace(find_installation(tmp_path), model_options=words)
    context = Context(subject, tmp_path, mmproj, None, (), tmp_path)  # type: ignore[arg-type]  # nothing else is looked at
    outcome = memory_outcome(context, without, 100)
    assert (outcome.verdict, outcome.words) == (verdict, said)


def test_a_page_that_is_left_out_is_not_run(tmp_path: Path) -> None:
    server(tmp_path)
    context = Context(find_installation(tmp_path), tmp_path, tmp_path, None, (), tmp_path, with_page=False)  # type: ignore[arg-type]  # as above
    (outcome,) = look(context, "http://127.0.0.1:1").outcomes
    assert (outcome.part, outcome.verdict) == (Part.PAGE, Verdict.NOT_RUN)
    assert outcome.words == "left out, as `--without web-page` asks"
