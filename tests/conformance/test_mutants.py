"""Every planted fault must be caught, and the report must say where to look; what is right must pass.

Needs the default recipe's bundle in the store: `nox -s build` makes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.conformance.checks import files as check_files
from recipes.conformance.checks import loading as check_loading
from recipes.conformance.checks import numerics as check_numerics
from recipes.conformance.results.context import Context, Findings
from recipes.conformance.results.outcome import Verdict
from recipes.serve.llamacpp.installation import find_installation
from tests.support.mutants import MUTANTS, Mutant

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.conftest import Pocket


def judge_quickly(pocket: Pocket, bundle: Path, model: Path, mmproj: Path, work: Path) -> Findings:
    """Judge by files, loading and the strict numerics: what tells faults apart; the suite does more."""
    context = Context(find_installation(bundle), model, mmproj, pocket.golden, pocket.prompts, work)
    found = check_files.check(model, mmproj)
    with context.server() as server:
        found += check_loading.check(context, server)
    cases = [case.name for case in pocket.golden.cases if case.prompt_tokens < 200]
    return found + check_numerics.check(context, cases, check_numerics.KINDS[:1])


def test_the_pocket_model_as_it_is_passes(pocket: Pocket, bundle: Path, tmp_path: Path) -> None:
    found = judge_quickly(pocket, bundle, pocket.model, pocket.mmproj, tmp_path)
    assert [o for o in found.outcomes if o.verdict is Verdict.FAILED] == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught_and_the_part_is_named(
    mutant: Mutant, pocket: Pocket, bundle: Path, tmp_path: Path
) -> None:
    model, mmproj = mutant.make(pocket.model, pocket.mmproj, tmp_path)
    found = judge_quickly(pocket, bundle, model, mmproj, tmp_path)
    failed = [o for o in found.outcomes if o.verdict is Verdict.FAILED]
    assert failed, [(o.name, o.words) for o in found.outcomes]
    assert any(mutant.suspect in o.suspect for o in failed), [(o.words, o.suspect) for o in failed]
