"""What `conformance` builds besides the bundle: the baseline and the program that compares kernels, and for whom."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from recipes.conformance import command
from recipes.conformance.checks import baseline_refusal, kernels
from recipes.conformance.results.outcome import CheckVerdict, Outcome, Part
from recipes.conformance.results.result import Result
from recipes.core.errors import UsageError
from recipes.manifest.load import Manifests

if TYPE_CHECKING:
    from recipes.manifest.schema import Baseline

MANIFESTS = Manifests()
RIGHT = Outcome(Part.TEXT, "text", CheckVerdict.PASSED, "right")
RESULT = Result(
    title="title",
    digest="sha256:0",
    is_bundle=True,
    files=(),
    machine="",
    command="",
    started=datetime(2026, 1, 1, tzinfo=UTC),
    seconds=1.0,
    sections=(1, 1, 1),
    outcomes=(RIGHT,),
)
SHIPPED = Path("/shipped")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Replace what takes minutes; return what is asked of it."""
    listed: list[Any] = []

    def refuse(_job: object, baseline: Baseline, *_more: object) -> Outcome:
        listed.append(("baseline", baseline.recipe))
        return Outcome(Part.LOAD, "baseline", CheckVerdict.PASSED, "refused")

    def compare(_job: object, bundle: Path | None, program: object) -> tuple[Outcome, ...]:
        listed.append(("kernels", bundle, program))
        return (Outcome(Part.KERNELS, "kernels", CheckVerdict.NOT_RUN, "no GPU"),)

    def write(result: Result, _folder: Path) -> Path:
        listed.append(("report", [outcome.part for outcome in result.outcomes]))
        return tmp_path

    subject = SimpleNamespace(folder=SHIPPED, title="", digest="")
    reference = SimpleNamespace(
        manifest=MANIFESTS.model("pocket"), inputs=lambda *_, **__: SimpleNamespace(model=0, work=0)
    )
    monkeypatch.setattr(command, "load_reference_model", lambda *_: reference)
    monkeypatch.setattr(
        command, "ensure_bundle", lambda *_: SimpleNamespace(entry=SimpleNamespace(path=SHIPPED))
    )
    monkeypatch.setattr(command, "find_installation", lambda _: subject)
    monkeypatch.setattr(command, "run_suite", lambda *_: RESULT)
    monkeypatch.setattr(command, "write_report", write)
    monkeypatch.setattr(baseline_refusal, "check", refuse)
    monkeypatch.setattr(kernels, "check_bundle", compare)
    return listed


def conform(recipe: str, folder: Path, options: dict[str, Any]) -> int:
    job: Any = SimpleNamespace(
        manifests=MANIFESTS,
        recipe=MANIFESTS.recipe(recipe),
        platform_name="any",
        plan=lambda: SimpleNamespace(name=recipe, bundle_key=recipe),
        store=SimpleNamespace(root=folder, evidence=folder / "evidence"),
        console=None,
    )
    others = {"bundle": None, "model": None, "gpu_layers": None, "with_page": True, "folder": folder}
    return command.conform(job, **{**others, **options})


@pytest.mark.parametrize(
    ("recipe", "options", "is_shown"),
    [
        ("b6751", {}, True),
        ("b7827", {}, False),
        ("b7827", {"founding_failure": True}, True),
        ("b6751", {"bundle": Path("/usr")}, False),
        ("b6751", {"bundle": Path("/usr"), "founding_failure": True}, True),
    ],
)
def test_only_what_is_needed_is_built(
    tmp_path: Path, asked: list[Any], recipe: str, options: dict[str, Any], *, is_shown: bool
) -> None:
    assert conform(recipe, tmp_path, options) == 0
    baseline, parts = ([("baseline", "b6751")], [Part.LOAD]) if is_shown else ([], [])
    assert asked == [
        ("kernels", None if "bundle" in options else SHIPPED, None),
        *baseline,
        ("report", [Part.TEXT, Part.KERNELS, *parts]),
    ]


def test_a_folder_without_the_program_is_refused_before_anything_is_checked(
    tmp_path: Path, asked: list[Any]
) -> None:
    with pytest.raises(UsageError):
        conform("b6751", tmp_path, {"kernels": tmp_path})
    assert asked == []
