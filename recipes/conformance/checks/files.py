"""Reads the model files before anything loads them: what is wrong in them must not be blamed on the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.conformance.results.inputs import Findings, pass_or_fail
from recipes.conformance.results.outcome import CheckVerdict, Outcome, Part
from recipes.core.errors import VerifyError
from recipes.models.gguf.findings import Finding, Severity
from recipes.models.gguf.lint import lint_mmproj, lint_model, lint_pair
from recipes.models.gguf.reader import GgufFile, read_gguf

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def check(model: Path, mmproj: Path) -> Findings:
    """Lint both files, and whether they fit each other."""
    opened: list[GgufFile] = []
    outcomes: list[Outcome] = []
    for role, path, lint in (("model", model, lint_model), ("projector", mmproj, lint_mmproj)):
        try:
            file = read_gguf(path)
        except VerifyError as error:
            suspect = f"{path.name} is no GGUF file"
            outcomes.append(Outcome(Part.LINT, role, CheckVerdict.FAILED, str(error.found), suspect))
            continue
        opened.append(file)
        fine = f"{len(file.tensors)} tensors, all as the keys say"
        outcomes.append(lint_outcome(role, lint(file), fine, path.name))
    if len(opened) == len(outcomes):
        fine, suspect = "the projector fits the model", "the projector belongs to another model"
        outcomes.append(lint_outcome("pair", lint_pair(*opened), fine, suspect))
    return Findings(tuple(outcomes))


def lint_outcome(name: str, findings: Sequence[Finding], fine: str, suspect: str) -> Outcome:
    """Return one file's outcome: errors fail, warnings are only reported."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    words = "; ".join(f"{finding.where} {finding.what}" for finding in findings) or fine
    return pass_or_fail(Part.LINT, name, is_right=not errors, words=words, suspect=suspect)
