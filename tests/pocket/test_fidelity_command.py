"""The fidelity command: what it refuses, what it records, and that the committed figures are of this project."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from recipes.core.errors import UsageError
from recipes.evalset.prompts import digest
from recipes.pocket.fidelity import command
from recipes.pocket.fidelity.analysis import compare_subjects, compare_with_reference
from recipes.pocket.fidelity.command import command_of, main, parse_bundle
from recipes.pocket.fidelity.deviations import KNOWN, known_of, parse_known
from recipes.pocket.fidelity.docs_page import PAGE
from recipes.pocket.fidelity.measure import write_model
from recipes.pocket.fidelity.model_shapes import SHAPES
from recipes.pocket.fidelity.query_server import Answer
from recipes.pocket.fidelity.random_prompts import trials
from recipes.pocket.fidelity.reference_run import Changes
from recipes.pocket.fidelity.results import LEDGER, AskedCase, encode, read
from recipes.pocket.fidelity.servers import SERVERS
from recipes.pocket.model.router_ties import Tie

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recipes.pocket.fidelity.analysis import Compared

TIE = Tie(1e-7, 1, 2)
UNCHANGED = Changes()


@pytest.mark.parametrize(
    ("argv", "where", "word"),
    [
        ([], "fidelity", "--recipe NAME"),
        (["--bundle", "/nowhere=theirs"], "--bundle /nowhere", "llama-server"),
        (["--recipe", "b7827", "--bundle", "/nowhere=b7827"], "b7827", "twice"),
        (["--bundle", "/nowhere=theirs=resize+magic"], "resize+magic", "joined, resize, padded,"),
        (["--recipe", "b1"], "b1", "b7827"),
    ],
    ids=["nothing", "no such folder", "one title twice", "no such deviation", "no such recipe"],
)
def test_a_users_mistake_is_refused_in_words(
    argv: list[str], where: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == UsageError.exit_code
    out, said = capsys.readouterr()
    assert out == ""
    assert where in said
    assert word in said


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--bundles", "x"])
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_order_is_that_of_the_command_line() -> None:
    options = command.parser().parse_args(["--bundle", "x=one", "--recipe", "b7827", "--bundle", "y"])
    assert options.named == [("bundle", "x=one"), ("recipe", "b7827"), ("bundle", "y")]
    assert command.parser().parse_args([]).named == []


def test_a_title_is_the_folders_name_where_none_is_given() -> None:
    folder, half = Path("/opt/llama"), frozenset({"half-text"})
    assert parse_bundle("/opt/llama") == (folder, "llama", None)
    assert parse_bundle("/opt/llama=theirs") == (folder, "theirs", None)
    known = {"strict": frozenset({"gelu"}), "default": half | {"gelu"}}
    assert parse_bundle("/opt/llama=theirs=gelu") == (folder, "theirs", known)
    assert parse_bundle("/opt/llama=theirs=")[2] == {"strict": frozenset(), "default": half}


def test_the_record_names_no_folder_of_this_machine() -> None:
    argv = [
        "--bundle",
        "/home/me/x=theirs",
        "--bundle=/home/me/y",
        "--recipe",
        "b7827",
        "--bundle",
        "./z=a/b",
    ]
    said = "--bundle FOLDER=theirs --bundle=FOLDER --recipe b7827 --bundle FOLDER=a/b"
    assert command_of(argv) == f"python3 noxfile.py -s fidelity -- {said}"


def test_known_deviations_exist_and_only_the_default_setting_has_those_of_k_and_v() -> None:
    for recipe, settings in KNOWN.items():
        assert known_of(recipe) == settings
        assert ("half-text" in settings["default"]) == (recipe != "b11312")  # its series sums in 32 bits
        assert "half-text" not in settings["strict"]
        for names in settings.values():
            parse_known("+".join(names))
    assert known_of("b1") is None


def test_writing_puts_figures_drawing_and_tables_in_their_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, path in (("LEDGER", LEDGER), ("PLOT", command.PLOT), ("PAGE", PAGE)):
        (tmp_path / path.name).write_bytes(path.read_bytes() if name == "PAGE" else b"old")
        monkeypatch.setattr(command, name, tmp_path / path.name)
    found = read(LEDGER)
    command.write(found)
    assert read(tmp_path / LEDGER.name) == found
    assert (tmp_path / LEDGER.name).read_bytes() == encode(found)
    assert (tmp_path / command.PLOT.name).read_text().startswith("<?xml")
    assert "written: " in capsys.readouterr().out


def test_drawing_again_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[object] = []
    monkeypatch.setattr(command, "write", written.append)
    monkeypatch.setattr(command, "measure", None)
    assert main(["--draw"]) == 0
    assert written == [read(LEDGER)]


def test_the_committed_figures_are_of_these_models_and_prompts(tmp_path: Path) -> None:
    ledger = read(LEDGER)
    asked = trials()
    assert ledger.prompts == digest(trial.prompt for trial in asked)
    assert [(case.prompt, case.server) for case in ledger.cases] == [
        (trial.prompt.name, server) for trial in asked for server in trial.servers
    ]
    models = tuple(write_model(shape, tmp_path) for shape in (None, *SHAPES))
    assert [(model.name, model.words, model.seed) for model in models] == [
        (model.name, model.words, model.seed) for model in ledger.models
    ]
    assert models[0] == ledger.models[0]
    if torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}:  # others draw other normal numbers
        assert models == ledger.models
    assert ledger.servers == SERVERS
    for subject in ledger.subjects:
        assert "/" not in subject.command.replace("noxfile.py", "")
    for row in ledger.rows:
        assert len(row.sizes) == len(row.left) == len(ledger.cases)
        assert sum(row.failures.values()) == row.sizes.count(None) == row.left.count(None)


class FakeOracle:
    """A reference that says -1 and -2, and 0.5 less with `resize`; a near-tie is 0.25 less, rounding 0.4 or none."""

    def logprobs(self, changes: Changes = UNCHANGED) -> tuple[float, ...]:
        less = 0.5 * ("resize" in changes.names) + 0.25 * len(changes.turned)
        return (-1.0 - less, -2.0 - less)

    def trembling(self, changes: Changes) -> tuple[tuple[float, ...], ...]:
        one, other = self.logprobs(changes)
        return ((one, other), (one - 0.4, other - 0.4), (one - 0.401, other - 0.4)) if changes.names else ()

    def ties(self, _changes: Changes = UNCHANGED) -> list[Tie]:
        return [TIE]

    def turned(
        self, measured: tuple[float, ...], changes: Changes, _limit: float
    ) -> tuple[tuple[Tie, ...], float]:
        return (TIE,), abs(self.logprobs(replace(changes, turned=(TIE,)))[0] - measured[0])


def a_case(group: str = "resize") -> AskedCase:
    return AskedCase(prompt="p", kind="k", group=group, server="ubatch 32", tokens=3)


ORACLES: Any = {"p": FakeOracle()}
RESIZED = frozenset({"resize"})


def compared(
    *answers: Answer, known: frozenset[str] | None = RESIZED, cases: Sequence[AskedCase] = ()
) -> Compared:
    every = cases or [a_case()] * len(answers)
    return compare_with_reference(("s", "m", "strict"), every, answers, ORACLES, known)


def test_answers_are_compared_with_the_reference_with_and_without_what_is_known() -> None:
    answers = (Answer((-1.5, -2.501)), Answer((-1.6, -2.5)), Answer(failure="no answer"))
    found = compared(*answers)
    assert found.row.sizes == (0.501, 0.6, None)
    assert found.row.left == (0.001, 0.1, None)
    assert found.row.failures == {"no answer": 1}
    assert [(item.case, item.left, item.narrowest) for item in found.beyond] == [(1, 0.1, 1e-7)]
    assert (found.beyond[0].turned[0].token, found.beyond[0].after) == (2, 0.15)
    assert found.beyond[0].trembled == (0, 3)
    assert found.accounted[1] == ((-1.6, -2.5), (-1.5, -2.5))  # 0.15 off is no explanation
    nothing = compared(*answers, known=None)
    assert nothing.row.left == (0.501, 0.6, None)
    assert nothing.beyond == ()


def test_near_ties_and_rounding_explain_what_known_deviations_leave() -> None:
    tied = compared(Answer((-1.75, -2.75)))
    assert (tied.beyond[0].left, tied.beyond[0].after, tied.beyond[0].trembled) == (0.25, 0.0, None)
    assert tied.accounted[0] == ((-1.75, -2.75), (-1.75, -2.75))
    shaken = compared(Answer((-1.9, -2.9)))
    assert (shaken.beyond[0].trembled, shaken.beyond[0].turned) == ((2, 3), ())
    assert shaken.beyond[0].after < 1e-6
    assert shaken.accounted[0] == ((-1.9, -2.9), (-1.9, -2.9))


def test_two_subjects_are_compared_where_both_answer() -> None:
    cases = [a_case(), a_case(), a_case("text")]
    exact = Answer((-1.0, -2.0))
    one = compared(exact, exact, exact, known=frozenset(), cases=cases)
    other = compared(Answer((-1.5, -2.502)), Answer(failure="none"), exact, cases=cases)
    rows = {row.group: row for row in compare_subjects(cases, [one], [other])}
    figures = {
        group: (row.cases, row.beyond, row.largest, row.left, row.unexplained) for group, row in rows.items()
    }
    assert figures == {
        "resize": (1, 1, 0.502, 0.002, 0),
        "text": (1, 0, 0.0, 0.5, 1),
        "no resize": (0, 0, 0.0, 0.0, 0),
        "clips": (0, 0, 0.0, 0.0, 0),
    }
