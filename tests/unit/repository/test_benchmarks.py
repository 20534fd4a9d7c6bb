from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.benchmarks.comparison import Comparison, Kind, Target, cells, difference, is_met, ratio
from tests.benchmarks.machine import Machine
from tests.benchmarks.report import Ledger, Section, encode, markdown, plain_table, record, with_section
from tests.benchmarks.turns import Options, UnmeasurableError, run_program, take_turns

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = Machine("A processor (family 1, model 2)", 2, 25.2, "Linux 6.1", 0.25)
ORDER = ("cold-build", "hash")
MISSING = "nix-build is not installed"


def compared(
    kind: Kind = Kind.RATIO_AT_MOST,
    limit: float = 1.03,
    ours: tuple[float, ...] = (103.0, 99.0, 500.0),
    theirs: tuple[float, ...] = (100.0, 90.0, 101.0),
) -> Comparison:
    return Comparison("a build", "cmake && ninja", "s", ours, theirs, Target(kind, limit))


def section(name: str, *rows: Comparison, date: str = "2026-01-02 03:04 UTC") -> Section:
    return Section(name, f"all about {name}", date, f"nox -s bench -- {name}", MACHINE, rows, ("a note",))


def test_a_ratio_is_that_of_the_medians_so_that_one_disturbed_turn_does_not_decide() -> None:
    assert (ratio(compared()), difference(compared())) == (1.03, 3.0)


@pytest.mark.parametrize(
    ("kind", "limit", "met"),
    [
        (Kind.RATIO_AT_MOST, 1.03, True),
        (Kind.RATIO_AT_MOST, 1.029, False),
        (Kind.RATIO_AT_LEAST, 1.03, True),
        (Kind.RATIO_AT_LEAST, 1.031, False),
        (Kind.DIFFERENCE_AT_MOST, 3.0, True),
        (Kind.DIFFERENCE_AT_MOST, 2.9, False),
    ],
)
def test_a_target_is_met_up_to_its_very_limit(kind: Kind, limit: float, met: bool) -> None:  # noqa: FBT001 - a table's column
    row = compared(kind, limit)
    assert is_met(row) is met
    assert cells(row)[-1] == ("met" if met else "MISSED")


@pytest.mark.parametrize(
    ("row", "met", "shown"),
    [
        (
            compared(),
            True,
            "a build|103 s (99 to 500)|cmake && ninja|100 s (90 to 101)|1.030 (1.030 to 4.950)|at most 1.03|met",
        ),
        (
            compared(Kind.DIFFERENCE_AT_MOST, 0.3, (1.0,), (0.5,)),
            False,
            "a build|1 s (1 to 1)|cmake && ninja|0.5 s (0.5 to 0.5)|+0.50 s|at most +0.30 s|MISSED",
        ),
        (
            Comparison("a build", "nix-build", "s", (2.0,), (1.0,)),
            None,
            "a build|2 s (2 to 2)|nix-build|1 s (1 to 1)|2.000 (2.000 to 2.000)|-|no target",
        ),
        (
            Comparison(
                "a build", "nix", "s", (2.0,), target=Target(Kind.RATIO_AT_MOST, 1.0), missing=MISSING
            ),
            None,
            f"a build|2 s (2 to 2)|nix|-|-|at most 1.00|not measured: {MISSING}",
        ),
    ],
    ids=["ratio", "difference", "no target", "missing"],
)
def test_a_row_says_medians_their_range_and_what_became_of_its_target(
    row: Comparison, met: object, shown: str
) -> None:
    assert is_met(row) is met
    assert "|".join(cells(row)) == shown


@pytest.mark.parametrize(
    ("ours", "theirs"), [((), ()), ((1.0, 2.0), (1.0,)), ((1.0,), (0.0,)), ((-1.0,), (1.0,))]
)
def test_figures_that_cannot_be_compared_are_refused(
    ours: tuple[float, ...], theirs: tuple[float, ...]
) -> None:
    with pytest.raises(ValueError, match="a build: "):
        compared(ours=ours, theirs=theirs)


def test_a_plain_table_is_aligned_and_has_no_space_at_line_ends() -> None:
    assert plain_table(("what", "x"), [("a", "1"), ("longer", "")]) == "what    x\na       1\nlonger"


def test_a_section_takes_the_place_of_its_older_result_in_the_order_of_the_list() -> None:
    ledger = with_section(Ledger((section("gone"), section("hash"))), section("cold-build"), ORDER)
    assert [each.name for each in ledger.sections] == list(ORDER)  # one that is measured no more is dropped
    newer = section("cold-build", compared(), date="2027-01-01 00:00 UTC")
    assert with_section(ledger, newer, ORDER).sections == (newer, ledger.sections[1])


def test_a_ledger_is_read_as_it_was_written() -> None:
    missing = Comparison("a build", "nix-build", "s", missing="not installed")
    rows = (compared(), missing, compared(Kind.RATIO_AT_LEAST, 0.9))
    ledger = Ledger((section("cold-build", *rows),))
    assert msgspec.json.decode(encode(ledger), type=Ledger) == ledger


def test_the_page_has_one_table_of_all_rows_and_says_of_each_section_where_it_was_measured() -> None:
    page = markdown(Ledger((section("cold-build", compared()), section("hash", compared(limit=1.0)))))
    assert page.count("\n| --- ") == 1
    assert "| cold-build | a build | 103 s (99 to 500) | cmake && ninja | 100 s (90 to 101) |" in page
    assert "| at most 1.00 | MISSED |" in page
    assert (
        "## hash: all about hash\n\n"
        "- measured: 2026-01-02 03:04 UTC\n"
        "- machine: A processor (family 1, model 2), 2 cores, 25 GB, Linux 6.1; load average before: 0.25\n"
        "- command: `nox -s bench -- hash`\n"
        "- a note\n"
    ) in page


def test_a_new_result_is_recorded_beside_those_that_are_kept(tmp_path: Path) -> None:
    for name in reversed(ORDER):
        record(section(name, compared()), ORDER, tmp_path / "docs")
    kept = msgspec.json.decode((tmp_path / "docs" / "benchmarks.json").read_bytes(), type=Ledger)
    assert [each.name for each in kept.sections] == list(ORDER)
    assert (tmp_path / "docs" / "benchmarks.md").read_text() == markdown(kept)


def test_both_sides_take_turns() -> None:
    calls: list[str] = []
    values = iter(range(1, 7))

    def side(name: str) -> float:
        calls.append(name)
        return float(next(values))

    said: list[str] = []
    actions = {"ours": lambda: side("ours"), "peer": lambda: side("peer")}
    turns = take_turns(3, actions, said.append, settle=lambda: calls.append("settle"))
    assert calls == ["settle", "ours", "settle", "peer"] * 3
    assert turns == {"ours": (1.0, 3.0, 5.0), "peer": (2.0, 4.0, 6.0)}
    assert " 1 of 3: " in said[0]
    assert said[0].endswith(" ours: 1 s")


def test_the_number_of_turns_is_the_users_else_the_measurements_own(tmp_path: Path) -> None:
    assert Options(tmp_path).turns(5) == 5
    assert Options(tmp_path, quick=True).turns(5) == 2
    assert Options(tmp_path, quick=True, repeats=7).turns(5) == 7


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("sh", "-c", "echo no luck; exit 3"), r"(?s)sh -c .*: exit status 3\nno luck"),
        (("no-such-program",), r"^no-such-program: "),
    ],
)
def test_a_program_that_fails_or_is_missing_ends_the_measurement(argv: tuple[str, ...], said: str) -> None:
    with pytest.raises(UnmeasurableError, match=said):
        run_program(argv)
