"""Reads the model files before anything loads them: what is wrong in them must not be blamed on the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.conformance.results.context import Findings, judged
from recipes.conformance.results.outcome import Outcome, Part, Verdict
from recipes.core.errors import VerifyError
from recipes.models.gguf.findings import Finding, Severity
from recipes.models.gguf.lint import lint_mmproj, lint_model, lint_pair
from recipes.models.gguf.reader import GgufFile, read_gguf

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def check(model: Path, mmproj: Path) -> Findings:
    """Lint both files, and whether they fit each other.

    Parameters
    ----------
    model, mmproj
        The files.
    """
    opened: list[GgufFile] = []
    outcomes: list[Outcome] = []
    for role, path, lint in (("model", model, lint_model), ("projector", mmproj, lint_mmproj)):
        try:
            file = read_gguf(path)
        except VerifyError as error:
            outcomes.append(
                Outcome(Part.LINT, role, Verdict.FAILED, str(error.found), f"{path.name} is no GGUF file")
            )
            continue
        opened.append(file)
        outcomes.append(
            judge(role, lint(file), f"{len(file.tensors)} tensors, all as the keys say", path.name)
        )
    if len(opened) == len(outcomes):
        outcomes.append(
            judge("pair", lint_pair(*opened), "the projector fits the model", "the projector is another's")
        )
    return Findings(tuple(outcomes))


def judge(name: str, findings: Sequence[Finding], fine: str, suspect: str) -> Outcome:
    """Give one file's outcome: errors fail, warnings are said."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    words = "; ".join(f"{finding.where} {finding.what}" for finding in findings) or fine
    return judged(Part.LINT, name, is_right=not errors, words=words, suspect=suspect)
