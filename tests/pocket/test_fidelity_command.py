"""The fidelity command: what it refuses, what it records, and that the committed figures are of this project."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from recipes.evalset.prompts import digest
from recipes.pocket.fidelity import command
from recipes.pocket.fidelity.analysis import compare, judge
from recipes.pocket.fidelity.command import Named, command_of, main
from recipes.pocket.fidelity.deviations import KNOWN, known_of, parse_known
from recipes.pocket.fidelity.docs_page import PAGE
from recipes.pocket.fidelity.measure import write_model
from recipes.pocket.fidelity.model_shapes import SHAPES
from recipes.pocket.fidelity.query_server import Answer
from recipes.pocket.fidelity.random_prompts import trials
from recipes.pocket.fidelity.reference_run import Changes
from recipes.pocket.fidelity.results import LEDGER, Case, encode, read
from recipes.pocket.fidelity.servers import SERVERS
from recipes.pocket.model.router_ties import Tie

TIE = Tie(1e-7, 1, 2)
UNCHANGED = Changes()
FOLDER = (
    "error: this command line names something that does not exist\n"
    "  where:    --bundle /nowhere\n"
    "  expected: a folder with llama-server in it, or in its bin/\n"
    "  found:    no such folder\n"
    "  fix:      name the folder that `build` prints after `bundle:`, or that of another llama.cpp\n"
)
NOTHING = (
    "error: this command line names something that does not exist\n"
    "  where:    fidelity\n"
    "  expected: at least one llama.cpp\n"
    "  found:    none\n"
    "  fix:      name one with --recipe NAME or --bundle FOLDER=TITLE\n"
)
TWICE = (
    "error: this command line names something that does not exist\n"
    "  where:    --recipe and --bundle: b7827\n"
    "  expected: a title for each llama.cpp\n"
    "  found:    the same title twice\n"
    "  fix:      give a folder another title: --bundle FOLDER=TITLE\n"
)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], NOTHING),
        (["--bundle", "/nowhere=theirs"], FOLDER),
        (["--recipe", "b7827", "--bundle", "/nowhere=b7827"], TWICE),
    ],
    ids=["nothing", "no such folder", "one title twice"],
)
def test_a_users_mistake_is_refused_in_words(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    assert capsys.readouterr() == ("", said)


def test_an_unknown_deviation_is_refused_with_those_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bundle", "/nowhere=theirs=resize+magic"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[1] == "  where:    --bundle ...=resize+magic"
    assert said[2].startswith("  expected: names out of: joined, resize, padded,")
    assert said[3:] == ["  found:    'magic'", "  fix:      write them as joined+resize, or leave them out"]


def test_an_unknown_recipe_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--recipe", "b1"]) == 2
    assert "b7827" in capsys.readouterr().err


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--bundles", "x"])
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_order_is_that_of_the_command_line() -> None:
    options = command.parser().parse_args(["--bundle", "x=one", "--recipe", "b7827", "--bundle", "y"])
    assert options.named == [("bundle", "x=one"), ("recipe", "b7827"), ("bundle", "y")]
    assert command.parser().parse_args([]).named == []


def test_a_strangers_title_is_its_folders_where_none_is_given() -> None:
    assert Named.parse("/opt/llama") == Named(Path("/opt/llama"), "llama", None)
    assert Named.parse("/opt/llama=theirs") == Named(Path("/opt/llama"), "theirs", None)
    known = {"strict": frozenset({"gelu"}), "default": frozenset({"gelu", "half-text"})}
    assert Named.parse("/opt/llama=theirs=gelu") == Named(Path("/opt/llama"), "theirs", known)
    assert Named.parse("/opt/llama=theirs=").known == {
        "strict": frozenset(),
        "default": frozenset({"half-text"}),
    }


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
    assert command_of(argv) == (
        "python3 noxfile.py -s fidelity -- --bundle FOLDER=theirs --bundle=FOLDER --recipe b7827 --bundle FOLDER=a/b"
    )


def test_known_deviations_exist_and_only_the_default_setting_has_those_of_k_and_v() -> None:
    for recipe, settings in KNOWN.items():
        assert known_of(recipe) == settings
        assert "half-text" in settings["default"]
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


def a_case(group: str = "resize") -> Case:
    return Case(prompt="p", kind="k", group=group, server="ubatch 32", tokens=3)


def test_answers_are_judged_against_the_reference_with_and_without_what_is_known() -> None:
    oracles: dict[str, object] = {"p": FakeOracle()}
    answers = [Answer((-1.5, -2.501)), Answer((-1.6, -2.5)), Answer(failure="no answer")]
    found = judge(("s", "m", "strict"), [a_case()] * 3, answers, oracles, frozenset({"resize"}))  # type: ignore[arg-type]  # a fake
    assert found.row.sizes == (0.501, 0.6, None)
    assert found.row.left == (0.001, 0.1, None)
    assert found.row.failures == {"no answer": 1}
    assert [(item.case, item.left, item.narrowest) for item in found.beyond] == [(1, 0.1, 1e-7)]
    assert (found.beyond[0].turned[0].token, found.beyond[0].after) == (2, 0.15)
    assert found.accounted[1] == ((-1.6, -2.5), (-1.5, -2.5))  # 0.15 off is no explanation
    tied = judge(("s", "m", "strict"), [a_case()], [Answer((-1.75, -2.75))], oracles, frozenset({"resize"}))  # type: ignore[arg-type]  # as above
    assert (tied.beyond[0].left, tied.beyond[0].after) == (0.25, 0.0)
    assert tied.accounted[0] == ((-1.75, -2.75), (-1.75, -2.75))
    shaken = judge(("s", "m", "strict"), [a_case()], [Answer((-1.9, -2.9))], oracles, frozenset({"resize"}))  # type: ignore[arg-type]  # as above
    assert (shaken.beyond[0].trembled, shaken.beyond[0].turned) == ((2, 3), ())
    assert shaken.beyond[0].after < 1e-6
    assert shaken.accounted[0] == ((-1.9, -2.9), (-1.9, -2.9))
    assert (tied.beyond[0].trembled, found.beyond[0].trembled) == (None, (0, 3))  # found: no explanation
    nothing = judge(("s", "m", "strict"), [a_case()] * 3, answers, oracles, None)  # type: ignore[arg-type]  # as above
    assert nothing.row.left == (0.501, 0.6, None)
    assert nothing.beyond == ()


def test_two_subjects_are_compared_where_both_answer() -> None:
    oracles: dict[str, object] = {"p": FakeOracle()}
    cases = [a_case(), a_case(), a_case("text")]
    one = judge(("one", "m", "strict"), cases, [Answer((-1.0, -2.0))] * 3, oracles, frozenset())  # type: ignore[arg-type]  # a fake
    answers = [Answer((-1.5, -2.502)), Answer(failure="none"), Answer((-1.0, -2.0))]
    other = judge(("other", "m", "strict"), cases, answers, oracles, frozenset({"resize"}))  # type: ignore[arg-type]  # as above
    by_group = {row.group: row for row in compare(cases, [one], [other])}
    resize = by_group["resize"]
    assert (resize.cases, resize.beyond, resize.largest, resize.left, resize.unexplained) == (
        1,
        1,
        0.502,
        0.002,
        0,
    )
    assert by_group["text"].left == 0.5
    assert by_group["text"].unexplained == 1
    assert by_group["no resize"].cases == 0
