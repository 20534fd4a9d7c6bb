"""Every planted fault must be caught, and the report must say where to look; what is right must pass.

Needs the default recipe's bundle in the store: `nox -s build` makes it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from recipes.conformance.checks import files as check_files
from recipes.conformance.checks import loading as check_loading
from recipes.conformance.checks import numerics as check_numerics
from recipes.conformance.checks import video as check_video
from recipes.conformance.results.inputs import messages
from recipes.conformance.results.outcome import CheckVerdict
from recipes.serve.llamacpp.installation import find_installation
from tests.support.mutants import MUTANTS, Mutant

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.conformance.results.inputs import ReferenceModel
    from recipes.conformance.results.outcome import Outcome


def check_quickly(pocket: ReferenceModel, bundle: Path, work: Path) -> list[Outcome]:
    """Check files, loading, the strict numerics and those of clips: what tells faults apart; the suite does more."""
    inputs = pocket.inputs(find_installation(bundle), work)
    found = check_files.check(inputs.model, inputs.mmproj)
    with inputs.server() as server:
        found += check_loading.check(inputs, server)
    cases = [case.name for case in pocket.golden.cases if case.prompt_tokens < 200]
    found += check_numerics.check(inputs, cases, check_numerics.PRECISIONS[:1])
    found += check_video.check_numbers(inputs, check_video.Sending(messages, "as frames"))
    return [outcome for outcome in found.outcomes if outcome.verdict is CheckVerdict.FAILED]


def test_the_pocket_model_as_it_is_passes(pocket: ReferenceModel, bundle: Path, tmp_path: Path) -> None:
    assert check_quickly(pocket, bundle, tmp_path) == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught_and_the_part_is_named(
    mutant: Mutant, pocket: ReferenceModel, bundle: Path, tmp_path: Path
) -> None:
    model, mmproj = mutant.make(pocket.files["model"], pocket.files["mmproj"], tmp_path)
    changed = replace(pocket, files={"model": model, "mmproj": mmproj})
    failed = check_quickly(changed, bundle, tmp_path)
    assert any(mutant.suspect in o.suspect for o in failed), [(o.words, o.suspect) for o in failed]
