"""What is written of the figures of fidelity: counts, tables and drawing; the committed ones are the generated."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
import pytest

from recipes.conformance.report.markup import to_xml
from recipes.core.errors import VerifyError
from recipes.pocket.fidelity.docs_page import BEGIN, END, PAGE, tables, with_tables
from recipes.pocket.fidelity.plot import HIGH, LEFT, LOW, RIGHT, draw, heights, place_of
from recipes.pocket.fidelity.results import (
    AGAIN,
    LEDGER,
    LIMITS,
    AskedCase,
    BeyondLimit,
    Comparison,
    Ledger,
    MeasuredModel,
    MeasuredSubject,
    ModelDifferences,
    RouterChoice,
    encode,
    keep,
    read,
)
from recipes.pocket.fidelity.summary import Selection, Tally, apart, figure, tally, values

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element


def a_case(prompt: str, group: str, server: str = "ubatch 32") -> AskedCase:
    return AskedCase(prompt=prompt, kind="image", group=group, server=server, tokens=40)


def a_row(
    subject: str, sizes: list[float | None], left: list[float | None] | None = None, setting: str = "strict"
) -> ModelDifferences:
    return ModelDifferences(
        subject=subject,
        model="one",
        setting=setting,
        sizes=tuple(sizes),
        left=tuple(left or sizes),
        failures={"no answer: ConnectionError": sizes.count(None)} if None in sizes else {},
    )


def a_subject(title: str, *known: str, is_examined: bool = True) -> MeasuredSubject:
    return MeasuredSubject(
        title=title,
        version=f"{title}, version 1",
        digest="sha256:00",
        known={"strict": known, "default": known},
        is_examined=is_examined,
        command=f"python3 noxfile.py -s fidelity -- --recipe {title}",
        machine="x86_64, 2 cores, Linux 6",
        date="2026-11-25",
    )


def beyond(case: int, left: float, after: float, *turned: RouterChoice) -> BeyondLimit:
    return BeyondLimit(
        subject="ours",
        model="one",
        setting="strict",
        case=case,
        size=left,
        left=left,
        narrowest=2e-7,
        turned=turned,
        after=after,
    )


@pytest.fixture
def ledger() -> Ledger:
    """Of ours: a near-tie, a rest that nothing explains, and a case without an answer. Of theirs: a known resize."""
    return Ledger(
        made_with={"torch": "2.13.0"},
        prompts="11",
        servers={"ubatch 32": ("-ub", "32"), "ubatch 64": ("-ub", "64")},
        limits=LIMITS,
        models=(MeasuredModel(name="one", words="dense | tied", seed=7, model="22", mmproj="33"),),
        subjects=(a_subject("ours"), a_subject("theirs", "resize"), a_subject("strange", is_examined=False)),
        cases=(
            a_case("text 1", "text"),
            a_case("image 1", "no resize"),
            a_case("image 2", "no resize", "ubatch 64"),
            a_case("resized 1", "resize"),
        ),
        rows=(
            a_row("ours", [0.001, 0.02, 0.0061, None]),
            a_row("theirs", [0.001, 0.002, 0.003, 1.5], [0.001, 0.002, 0.003, 0.004]),
            a_row("strange", [0.001, 0.4, 0.003, 1.5]),
            *(
                a_row(title, [0.0, 0.0, 0.0, 0.0], setting="default")
                for title in ("ours", "theirs", "strange")
            ),
        ),
        beyond=(
            beyond(1, 0.02, 0.0004, RouterChoice(layer=1, token=6, gap=2e-7)),
            beyond(2, 0.0061, 0.0061),
        ),
        comparisons=(
            Comparison(
                one="ours",
                other="theirs",
                setting="strict",
                group="resize",
                cases=9,
                beyond=8,
                largest=1.5,
                left=0.004,
                unexplained=0,
            ),
        ),
    )


def test_rounding_is_told_apart_from_near_ties(ledger: Ledger) -> None:
    trembled = msgspec.structs.replace(ledger.beyond[1], after=0.0003, trembled=(9, 16))
    shaken = msgspec.structs.replace(ledger, beyond=(ledger.beyond[0], trembled))
    assert tally(shaken, "ours", "strict") == Tally(2, known=0, tied=1, rounded=1, neither=0, unanswered=1)
    assert re.search(r"rounding: .* 9 of 16 .* 0\.000300 \|", tables(shaken))


def row_of(text: str, heading: str, first: str) -> str:
    """Return the cells of a row below a heading, without the first."""
    below = text.split(heading, 1)[1]
    line = next(line for line in below.splitlines() if line.startswith(f"| {first} |"))
    return line.removeprefix(f"| {first} | ").removesuffix(" |")


def test_the_committed_page_and_drawing_are_the_generated_ones() -> None:
    ledger = read(LEDGER)
    page = PAGE.read_text("utf-8")
    again = "run `python3 noxfile.py -s fidelity -- --draw` and commit what it writes"
    assert with_tables(page, ledger) == page, again
    assert LEDGER.with_suffix(".svg").read_text("utf-8") == to_xml(draw(ledger)), again
    assert LEDGER.read_bytes() == encode(ledger)


def test_a_ledger_comes_back_as_it_was_written(ledger: Ledger) -> None:
    assert msgspec.json.decode(encode(ledger), type=Ledger) == ledger


def test_what_is_no_ledger_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    path = tmp_path / "fidelity.json"
    path.write_text('{"prompts": 1}')
    with pytest.raises(VerifyError) as caught:
        read(path)
    assert caught.value.where == str(path)
    assert "$.prompts" in caught.value.found
    assert AGAIN in caught.value.fix


@pytest.mark.parametrize(
    ("subject", "counts"),
    [("ours", (2, 0, 1, 0, 1, 1)), ("theirs", (1, 1, 0, 0, 0, 0)), ("strange", (2, 0, 0, 0, 2, 0))],
)
def test_each_case_beyond_the_limit_is_counted_once(
    ledger: Ledger, subject: str, counts: tuple[int, ...]
) -> None:
    assert tally(ledger, subject, "strict") == Tally(*counts)


def test_values_are_those_of_the_selection(ledger: Ledger) -> None:
    assert values(ledger, Selection("ours", "strict")) == [0.001, 0.02, 0.0061]
    assert values(ledger, Selection("ours", "strict", group="no resize")) == [0.02, 0.0061]
    assert values(ledger, Selection("ours", "strict", server="ubatch 64")) == [0.0061]
    assert values(ledger, Selection("theirs", "strict", "one", "resize"), left=True) == [0.004]
    assert values(ledger, Selection("theirs", "strict", "two")) == []
    assert apart((-1.0, -2.0), (-1.5, -1.9)) == 0.5


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1.23456, "1.235"),
        (0.00123, "0.0012"),
        (0.0000042, "0.000004"),
        (0.0, "0.000000"),
        (None, "no answer"),
    ],
)
def test_figures_keep_two_digits_that_count(value: float | None, words: str) -> None:
    assert figure(value) == words


def test_the_tables_say_what_was_measured(ledger: Ledger) -> None:
    text = tables(ledger)
    assert re.search(r"1 models\D+4 prompts\D+4 cases\D+3 of", text)
    strict = "### Largest difference, strict setting"
    for subject, cells in (
        ("ours", "0.020 | no answer | 0.0010 | no answer | 2 | 0 | 1 | 0 | 1 | 1"),
        ("theirs", "0.0030 | 1.500 | 0.0010 | no answer | 1 | 1 | 0 | 0 | 0 | 0"),
        ("strange", "0.400 | 1.500 | 0.0010 | no answer | 2 |  |  |  | 2 | 0"),
    ):
        assert row_of(text, strict, subject) == cells
    assert "beyond 0.005" in text
    assert row_of(text, "### By model", "one").startswith(
        "dense \\| tied | 0.020 / no answer / 0.0010 / no answer | "
    )
    assert row_of(text, "### By the way", "ubatch 64") == "`-ub 64` | 0.0061 | 0.0030 | 0.0030"
    assert "| ours | one | strict | no answer: ConnectionError | 1 |" in text


TIED = (
    "| strict | one | image 1 | ubatch 32 | 0.020 | 0.020 | 2.0e-07 |"
    " near-tie: layer 1, token 6 (2.0e-07); decided the other way it leaves 0.000400 |"
)
UNEXPLAINED = "| strict | one | image 2 | ubatch 64 | 0.0061 | 0.0061 | 2.0e-07 | nothing that is known |"


def test_every_case_beyond_the_limit_is_listed_with_its_cause(ledger: Ledger) -> None:
    text = tables(ledger)
    assert f"| ours {TIED}" in text
    assert f"| ours {UNEXPLAINED}" in text


def test_of_the_others_only_what_nothing_explains_is_listed(ledger: Ledger) -> None:
    theirs = [msgspec.structs.replace(item, subject="theirs") for item in ledger.beyond]
    text = tables(msgspec.structs.replace(ledger, beyond=tuple(theirs)))
    assert TIED not in text
    assert f"| theirs {UNEXPLAINED}" in text
    assert text.count("None, in no setting.") == 1


def test_a_comparison_says_what_is_left_only_where_something_is_known(ledger: Ledger) -> None:
    assert "| theirs | strict | resize | 9 | 8 | 1.500 | 0.0040 | 0 |" in tables(ledger)
    other = msgspec.structs.replace(ledger.comparisons[0], other="strange")
    strange = msgspec.structs.replace(ledger, comparisons=(other,))
    assert "| strange | strict | resize | 9 | 8 | 1.500 |  |  |" in tables(strange)


def test_only_what_stands_between_the_marks_is_replaced(ledger: Ledger) -> None:
    page = f"before\n{BEGIN}\nby hand\n{END}\nafter\n"
    assert with_tables(page, ledger) == f"before\n{BEGIN}\n\n{tables(ledger)}\n\n{END}\nafter\n"


@pytest.mark.parametrize(
    "page", ["", BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}"]
)
def test_a_page_without_its_marks_is_refused(page: str, ledger: Ledger) -> None:
    with pytest.raises(VerifyError) as caught:
        with_tables(page, ledger)
    assert caught.value.where == "docs/explanation/fidelity.md"
    assert BEGIN in caught.value.expected


def texts(root: Element) -> list[str]:
    return [element.text or "" for element in root.iter("text")]


def test_the_drawing_has_a_hill_and_a_number_for_each_group(ledger: Ledger) -> None:
    drawn = draw(ledger)
    words = texts(drawn)
    assert words.count("ours") == words.count("theirs") == 2
    assert "resize: no answer" in words
    assert {"0.020", "1.500", "0.0010", "limit 0.005", "limit 0.03"} <= set(words)
    assert len([*drawn.iter("path")]) == 3 * 3 * 2 - 1
    assert "of hills" not in to_xml(drawn)
    titles = [re.findall(r"(.+): (\d+)\D+([\d.]+)$", element.text or "") for element in drawn.iter("title")]
    assert titles[:2] == [[("text", "1", "0.0010")], [("no resize", "2", "0.020")]]


def test_the_scale_is_logarithmic_and_bounded() -> None:
    assert place_of(10.0**LOW) == place_of(0.0) == LEFT
    assert place_of(10.0**HIGH) == place_of(250.0) == RIGHT
    assert place_of(1.0) - place_of(0.1) == pytest.approx(place_of(0.1) - place_of(0.01))


def test_a_hill_counts_every_case() -> None:
    high = heights([0.0, 1e-9, 0.011, 500.0])
    assert (high[0], high[-1], high.count(0.0)) == (1.0, 0.5, len(high) - 3)
    assert set(heights([])) == {0.0}


def measured_again(ledger: Ledger, *titles: str) -> Ledger:
    """Give a ledger of some of its subjects, on another day."""
    return msgspec.structs.replace(
        ledger,
        subjects=tuple(
            msgspec.structs.replace(subject, date="2026-12-01")
            for subject in ledger.subjects
            if subject.title in titles
        ),
        rows=tuple(row for row in ledger.rows if row.subject in titles),
        beyond=tuple(item for item in ledger.beyond if item.subject in titles),
        comparisons=tuple(item for item in ledger.comparisons if item.other in titles),
    )


def test_what_was_not_measured_again_is_kept_with_its_day(ledger: Ledger) -> None:
    joined = keep(ledger, measured_again(ledger, "ours", "strange"))
    assert [(subject.title, subject.date) for subject in joined.subjects] == [
        ("ours", "2026-12-01"),
        ("strange", "2026-12-01"),
        ("theirs", "2026-11-25"),
    ]
    assert sorted(joined.rows, key=str) == sorted(ledger.rows, key=str)
    assert (joined.beyond, joined.comparisons) == (ledger.beyond, ledger.comparisons)
    page = tables(joined)
    assert re.search(r"\bours: \D+ 2026-12-01 ", page)
    assert re.search(r"\btheirs: \D+ 2026-11-25 ", page)


def test_nothing_is_kept_of_what_was_all_measured_again(ledger: Ledger) -> None:
    again = measured_again(ledger, "ours", "theirs", "strange")
    assert keep(ledger, again) == again


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"prompts": "12"}, "the same prompts"),
        ({"made_with": {"torch": "2.14.0"}}, "the same made_with"),
        ({"subjects": (a_subject("theirs"),)}, "ours, sha256:00"),
    ],
    ids=["prompts", "reference", "first subject"],
)
def test_figures_of_another_reference_do_not_stand_beside(
    ledger: Ledger, change: dict[str, object], named: str
) -> None:
    with pytest.raises(VerifyError) as caught:
        keep(ledger, msgspec.structs.replace(measured_again(ledger, "ours"), **change))
    assert caught.value.where == "fidelity --keep"
    assert caught.value.expected.startswith(named)
