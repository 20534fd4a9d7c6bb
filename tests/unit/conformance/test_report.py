from __future__ import annotations

import json
import re
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from recipes.conformance.report.charts import FLOOR, draw_channels, draw_distances
from recipes.conformance.report.html import to_page
from recipes.conformance.report.json_record import image_names, to_json
from recipes.conformance.report.junit import to_junit
from recipes.conformance.report.markup import printable
from recipes.conformance.report.positions_chart import draw_positions
from recipes.conformance.report.summary import SYMBOLS, summarise
from recipes.conformance.report.write import write_report
from recipes.conformance.results.outcome import CheckVerdict, Outcome, Part, has_failed
from recipes.conformance.results.result import Distance, Exhibit, Result, UsedFile

if TYPE_CHECKING:
    from pathlib import Path

# The smallest PNG there is, 1 x 1; nothing here needs a library that draws.
PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
HOSTILE = "<script>alert(1)</script>\" onload='x' &amp; ]]> \x00\x1b[31m\ud800"
VOID = {"meta", "img", "br", "hr", "input", "link"}

PASSED = Outcome(Part.TEXT, "echo", CheckVerdict.PASSED, "It repeats what it is told.")
PASSED_TOO = Outcome(Part.TEXT, "sum", CheckVerdict.PASSED, "It adds.")
DEVIATES = Outcome(
    Part.NUMERICS,
    "f32 strict",
    CheckVerdict.DEVIATES,
    "0.41 off, 0.0002 left.",
    figures={"resize filter": 0.39},
)
MASK = "image tokens attend to later ones"
FAILED = Outcome(
    Part.IMAGES,
    "held-out accuracy",
    CheckVerdict.FAILED,
    "141 of 214 right.",
    MASK,
    {"accuracy": 0.65887, "right": 141},
)
FAILED_TOO = Outcome(Part.NUMERICS, "f16 strict", CheckVerdict.FAILED, "1.9 off.", MASK)
ABORTS = Outcome(Part.SERVER, "large image", CheckVerdict.FAILED, "It ended with signal 6.", "n_ubatch")
NOT_RUN = Outcome(Part.PAGE, "question", CheckVerdict.NOT_RUN, "No browser was found.")
ABSENT = Outcome(Part.VIDEO, "videos", CheckVerdict.UNSUPPORTED, "It does not say that it reads videos.")


def make_result(*outcomes: Outcome, exhibits: tuple[Exhibit, ...] = ()) -> Result:
    return Result(
        title="llama.cpp b7827",
        digest="sha256:" + "8f" * 32,
        is_bundle=True,
        files=(UsedFile("model", "pocket.gguf", "sha256:" + "ab" * 32),),
        machine="two cores",
        command="python3 noxfile.py -s conformance",
        started=datetime(2026, 11, 25, 10, 30, 12, tzinfo=UTC),
        seconds=171.4,
        sections=(14, 10, 8),
        outcomes=outcomes,
        exhibits=exhibits,
        distances=(
            Distance("one image", "f32", "strict", resized=False, size=0.03, explained=0.0),
            Distance("large image", "f32", "strict", resized=True, size=1.6, explained=0.0002),
            Distance("one image", "Q8_0", "default", resized=False, size=0.2, explained=0.1),
        ),
        made_with={"transformers": "5.23.0", "torch": "2.13.0"},
    )


RIGHT = Exhibit("colour", (PNG,), "What colour is it?", "red", " red\n")
WRONG = Exhibit("which", (PNG, PNG), "Which image has a ring?", "second", "first")
TEXT_ONLY = Exhibit("echo", (), "Repeat: gide", "gide", "gide")


class Reader(HTMLParser):
    """Demands that every element is closed where it should be, and keeps what a reader sees."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.seen if name == tag]


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def parse(xml: str) -> ET.Element:
    return ET.fromstring(xml.encode())  # noqa: S314 - what we wrote ourselves


def every_kind() -> Result:
    return make_result(
        PASSED,
        PASSED_TOO,
        DEVIATES,
        FAILED,
        FAILED_TOO,
        ABORTS,
        NOT_RUN,
        ABSENT,
        exhibits=(RIGHT, WRONG, TEXT_ONLY),
    )


def test_every_outcome_distance_and_circumstance_stands_on_the_page_in_order() -> None:
    result = every_kind()
    page = to_page(result)
    reader = read(page)
    for outcome in result.outcomes:
        assert outcome.name in reader.text
        assert outcome.words in reader.text
    headings = ("Grades", "What failed", "What deviates", "Questions and answers", "Distance", "All checks")
    places = [reader.text.index(heading) for heading in headings]
    assert places == sorted(places)
    for words in (
        f"Suspect: {MASK}",
        "accuracy: 0.6589",
        "right: 141",
        "All 3 differences",
        "f32 strict large image yes 1.6 0.0002",
        "f32 strict 2 0.03 1.6 0 0.0002",
        "2026-11-25 10:30:12 UTC, for 2 min 51 s",
        f"{Part.LOAD.value} {SYMBOLS[CheckVerdict.NOT_RUN]} not run",  # nothing looked at it
    ):
        assert words in reader.text
    for verdict in CheckVerdict:
        assert f"{SYMBOLS[verdict]} {verdict.value}" in reader.text
    assert len(set(SYMBOLS.values())) == len(CheckVerdict)
    assert 'class="badge failed"' in page
    assert {cell.get("scope") for cell in reader.all("th")} == {"col", "row"}


@pytest.mark.parametrize(("is_bundle", "whose"), [(True, "of the bundle"), (False, "of its llama-server")])
def test_the_page_says_whose_digest_it_is(*, is_bundle: bool, whose: str) -> None:
    page = to_page(replace(make_result(PASSED), is_bundle=is_bundle))
    assert [word in page for word in ("of the bundle", "of its llama-server")].count(True) == 1
    assert whose in page


def test_every_exhibit_stands_on_the_page_with_its_images_and_whether_it_is_right() -> None:
    reader = read(to_page(every_kind()))
    for exhibit in (RIGHT, WRONG, TEXT_ONLY):
        assert f"asked {exhibit.question} expected {exhibit.expected} given" in reader.text
    images = reader.all("img")
    assert len(images) == 3
    for image in images:
        source, alt = image["src"], image["alt"]
        assert source
        assert alt
        assert b64decode(source.removeprefix("data:image/png;base64,")) == PNG
        assert (image["width"], image["height"]) == ("1", "1")
    assert "which ✗ wrong" in reader.text
    assert "colour ✓ right" in reader.text
    assert reader.text.index("1 question answered wrongly") < reader.text.index(
        "2 questions answered rightly"
    )


def test_the_page_needs_nothing_but_itself() -> None:
    page = to_page(every_kind(), screenshot=PNG)
    reader = read(page)
    assert not reader.all("script")
    assert not reader.all("link")
    sources = [
        attributes[name] for _, attributes in reader.seen for name in ("src", "href") if name in attributes
    ]
    assert sources
    assert all(str(source).startswith("data:image/png;base64,") for source in sources)
    assert "url(" not in page
    assert "@import" not in page


def test_hostile_text_stays_text() -> None:
    outcome = Outcome(Part.TEXT, HOSTILE, CheckVerdict.FAILED, HOSTILE, HOSTILE, {HOSTILE: HOSTILE})
    exhibit = Exhibit(HOSTILE, (HOSTILE.encode("utf-8", "surrogatepass"),), HOSTILE, HOSTILE, HOSTILE)
    result = replace(
        make_result(outcome, exhibits=(exhibit,)),
        title=HOSTILE,
        digest=HOSTILE,
        machine=HOSTILE,
        command=HOSTILE,
        files=(UsedFile(HOSTILE, HOSTILE, HOSTILE),),
        distances=(Distance(HOSTILE, HOSTILE, HOSTILE, resized=True, size=1.0, explained=0.0),),
        made_with={HOSTILE: HOSTILE},
    )
    page = to_page(result)
    reader = read(page)
    assert not reader.all("script")
    assert "onload" not in {name for _, attributes in reader.seen for name in attributes}
    assert reader.text.count("<script>alert(1)</script>") > 10
    for text in (page, to_junit(result), to_json(result)):
        assert text.encode("utf-8")
        assert "\x00" not in text
    cases = parse(to_junit(result)).iter("testcase")
    assert [case.get("name") for case in cases] == [printable(HOSTILE)]
    assert json.loads(to_json(result))["outcomes"][0]["words"] == HOSTILE
    assert image_names(result) == (("images/001-script-alert-1-script-onload-x-amp-31m-1.png",),)


def test_junit_counts_and_says_each_kind_as_ci_systems_read_it() -> None:
    root = parse(to_junit(every_kind()))
    suite = root.find("testsuite")
    assert suite is not None
    for holder in (root, suite):
        counts = {name: holder.get(name) for name in ("tests", "failures", "errors", "skipped", "time")}
        assert counts == {"tests": "8", "failures": "3", "errors": "0", "skipped": "2", "time": "171.400"}
    assert suite.get("timestamp") == "2026-11-25T10:30:12"
    cases = {(case.get("classname"), case.get("name")): case for case in suite.iter("testcase")}
    assert len(cases) == 8
    failure = cases["image prompts", "held-out accuracy"].find("failure")
    assert failure is not None
    assert failure.get("message") == f"141 of 214 right. suspect: {MASK}"
    assert failure.text == f"141 of 214 right.\nsuspect: {MASK}\naccuracy: 0.6589\nright: 141"
    skipped = cases["web page", "question"].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "No browser was found."
    assert cases["numerics", "f32 strict"].find("failure") is None
    assert cases["numerics", "f32 strict"].findtext("system-out", "").startswith("deviates: 0.41 off")
    assert len(cases["text", "echo"]) == 0
    properties = {item.get("name"): item.get("value") for item in suite.iter("property")}
    assert properties["digest"] == "sha256:" + "8f" * 32
    assert properties["model pocket.gguf"] == "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("outcomes", "headline", "key_words"),
    [
        ((PASSED,), "Passes", "1 of 1 check passed"),
        ((PASSED, DEVIATES), "Passes, with known deviations", "1 of 2 checks passed. 1 deviates"),
        ((PASSED, NOT_RUN), "Passes", "1 of 2 checks passed. 1 check could not run"),
        ((PASSED, ABORTS, FAILED, FAILED_TOO), "Fails", "in image prompts, numerics and server"),
        ((PASSED, ABORTS), "Fails", "1 of 2 checks failed, in server"),
        ((NOT_RUN,), "Fails: nothing was checked", "none of 1 check ran"),
        ((PASSED, ABSENT), "Passes", "1 of 2 checks passed. Not supported: video."),
        ((), "Fails: nothing was checked", "there was no check"),
    ],
)
def test_page_record_and_junit_agree_on_the_verdict(
    outcomes: tuple[Outcome, ...], headline: str, key_words: str
) -> None:
    summary = summarise(outcomes)
    assert summary.headline == headline
    assert key_words in summary.words
    assert summary.has_failed is has_failed(outcomes)
    result = make_result(*outcomes)
    symbol = SYMBOLS[CheckVerdict.FAILED if summary.has_failed else CheckVerdict.PASSED]
    assert f"{symbol} {headline} {summary.words}" in read(to_page(result)).text
    assert json.loads(to_json(result))["verdict"] == ("fails" if summary.has_failed else "passes")
    root = parse(to_junit(result))
    failed = [case for case in root.iter("testcase") if case.find("failure") is not None]
    assert root.get("failures") == str(len(failed))
    assert bool(failed) is summary.has_failed  # CI systems take a suite of skipped cases for a good one
    assert root.get("tests") == str(len(list(root.iter("testcase"))))


def test_each_suspect_is_named_once_with_the_checks_that_point_to_it() -> None:
    causes = summarise((FAILED, PASSED, ABORTS, FAILED_TOO)).causes
    assert [(cause.suspect, len(cause.checks)) for cause in causes] == [(MASK, 2), ("n_ubatch", 1)]
    text = read(to_page(make_result(FAILED, PASSED, ABORTS, FAILED_TOO))).text
    assert re.search(rf"{re.escape(MASK)} \([^)]*accuracy and [^)]*f16 strict\) n_ubatch \(server:", text)
    skipped = tuple(replace(NOT_RUN, name=str(number)) for number in range(6))
    assert "and 3 more)" in read(to_page(make_result(*skipped))).text


def test_the_folder_holds_the_record_junit_the_page_and_every_image(tmp_path: Path) -> None:
    screenshot = tmp_path / "shot.png"
    screenshot.write_bytes(PNG + b"shot")
    result = replace(every_kind(), screenshot=screenshot)
    page = write_report(result, tmp_path / "a" / "report")
    first = {path: path.read_bytes() for path in page.parent.rglob("*") if path.is_file()}
    # the order of versions does not matter, and the screenshot may lie in the folder already
    other = replace(result, made_with={"torch": "2.13.0", "transformers": "5.23.0"})
    write_report(replace(other, screenshot=page.parent / "web-page.png"), page.parent)
    assert {path: path.read_bytes() for path in first} == first
    assert page == tmp_path / "a" / "report" / "index.html"
    assert sorted(str(path.relative_to(page.parent)) for path in page.parent.rglob("*")) == [
        "images",
        "images/001-colour-1.png",
        "images/002-which-1.png",
        "images/002-which-2.png",
        "index.html",
        "junit.xml",
        "result.json",
        "web-page.png",
    ]
    record = json.loads((page.parent / "result.json").read_bytes())
    assert "iVBORw0KGgo" not in json.dumps(record)  # images lie beside it
    assert record["format"] == "conformance/1"
    assert record["screenshot"] == "web-page.png"
    assert (page.parent / "web-page.png").read_bytes() == PNG + b"shot"
    for exhibit in record["exhibits"]:
        for image in exhibit["images"]:
            assert (page.parent / image).read_bytes() == PNG
    assert [exhibit["is_right"] for exhibit in record["exhibits"]] == [True, False, True]
    assert {given["part"]: given["verdict"] for given in record["grades"]}["numerics"] == "failed"
    assert record["outcomes"][3]["figures"] == {"accuracy": 0.65887, "right": 141}
    assert record["started"] == "2026-11-25T10:30:12+00:00"
    assert record["distances"][1] == {
        "case": "large image",
        "weights": "f32",
        "setting": "strict",
        "resized": True,
        "size": 1.6,
        "explained": 0.0002,
    }
    assert "The built-in web page" in read(page.read_text(encoding="utf-8")).text


def test_each_frequency_is_drawn_in_both_layouts() -> None:
    svg = draw_channels((4, 2, 1))
    letters = "".join(text.text or "" for text in svg.iter("text") if text.get("class") == "on-axis")
    assert letters == "tttthhw" + "thwthtt"
    # h, w and the last two t stand where the blocked layout has another axis: legend and four cells
    frames = [rect for rect in svg.iter("rect") if rect.get("class") == "frame"]
    assert len(frames) == 1 + sum(a != b for a, b in zip("tttthhw", "thwthtt", strict=True))
    assert "t t t t h h w" in (svg.get("aria-label") or "")


def test_the_positions_of_an_image_and_of_a_clip_are_drawn_side_by_side() -> None:
    svg = draw_positions()
    seen = [text.text for text in svg.iter("text") if text.get("class") == "on-axis"]
    image = ["2"] * 6, ["2"] * 3 + ["3"] * 3, ["2", "3", "4"] * 2
    assert tuple(seen[at::3][:6] for at in range(3)) == image
    assert len(seen) == 3 * 6 * 3  # an image and two pairs
    assert "(9 10 11) (12 12 12) (13 13 13)" in (svg.get("aria-label") or "")
    for text in svg.iter("text"):
        assert 0 < float(text.get("x", "")) < 1000


@pytest.mark.parametrize("sections", [(24, 20, 20), (64, 0, 0), (1, 0, 0)])
@pytest.mark.parametrize("size", [0.0, FLOOR, 1.0, 31.0])
def test_any_figures_are_drawn_within_the_drawing(sections: tuple[int, int, int], size: float) -> None:
    for rect in draw_channels(sections).iter("rect"):
        assert float(rect.get("x", "")) + float(rect.get("width", "")) <= 1000
    svg = draw_distances((Distance("a", "f32", "strict", resized=False, size=size, explained=0.0),))
    for mark in svg.iter("circle"):
        assert 0 < float(mark.get("cx", "")) < 1000


def test_every_distance_is_two_marks_and_resized_ones_are_diamonds() -> None:
    svg = draw_distances(make_result().distances)
    pairs = {pair.findtext("title"): pair for pair in svg.iter("g")}
    assert [re.findall(r"^(.+?, .+?),.*: ([\d.]+), \D*([\d.]+) ", str(title)) for title in pairs] == [
        [("large image, f32", "1.6", "0.0002")],
        [("one image, f32", "0.03", "0")],
        [("one image, Q8_0", "0.2", "0.1")],
    ]
    shapes = [[mark.tag for mark in pair if mark.get("class") in {"raw", "left"}] for pair in pairs.values()]
    assert shapes == [["polygon", "polygon"], ["circle", "circle"], ["circle", "circle"]]
    raw, left = (float(mark.get("cx", "")) for mark in list(pairs.values())[2].iter("circle"))
    assert left < raw
