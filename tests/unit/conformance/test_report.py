from __future__ import annotations

import json
import math
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from recipes.conformance.report.charts import FLOOR, draw_channels, draw_distances
from recipes.conformance.report.gallery import png_size
from recipes.conformance.report.html import to_page
from recipes.conformance.report.json_record import image_names, to_json
from recipes.conformance.report.junit import to_junit
from recipes.conformance.report.markup import element, printable, to_html
from recipes.conformance.report.summary import SYMBOLS, summarise
from recipes.conformance.report.write import write_report
from recipes.conformance.results.outcome import Outcome, Part, Verdict, has_failed
from recipes.conformance.results.result import Distance, Exhibit, File, Result

if TYPE_CHECKING:
    from pathlib import Path

# The smallest PNG there is, 1 x 1; nothing here needs a library that draws.
PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
HOSTILE = "<script>alert(1)</script>\" onload='x' &amp; ]]> \x00\x1b[31m\ud800"
VOID = {"meta", "img", "br", "hr", "input", "link"}

PASSED = Outcome(Part.TEXT, "echo", Verdict.PASSED, "It repeats what it is told.")
PASSED_TOO = Outcome(Part.TEXT, "sum", Verdict.PASSED, "It adds.")
DEVIATES = Outcome(
    Part.NUMERICS, "f32 strict", Verdict.DEVIATES, "0.41 off, 0.0002 left.", figures={"resize filter": 0.39}
)
MASK = "image tokens attend to later ones"
FAILED = Outcome(
    Part.IMAGES,
    "held-out accuracy",
    Verdict.FAILED,
    "141 of 214 right.",
    MASK,
    {"accuracy": 0.65887, "right": 141},
)
FAILED_TOO = Outcome(Part.NUMERICS, "f16 strict", Verdict.FAILED, "1.9 off.", MASK)
ABORTS = Outcome(Part.SERVER, "large image", Verdict.FAILED, "It ended with signal 6.", "n_ubatch")
NOT_RUN = Outcome(Part.PAGE, "question", Verdict.NOT_RUN, "No browser was found.")


def make_result(*outcomes: Outcome, exhibits: tuple[Exhibit, ...] = ()) -> Result:
    return Result(
        title="llama.cpp b7827",
        digest="sha256:" + "8f" * 32,
        is_bundle=True,
        files=(File("model", "pocket.gguf", "sha256:" + "ab" * 32),),
        machine="two cores",
        command="python3 noxfile.py -s conformance",
        started="2026-11-25T10:30:12+00:00",
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
        PASSED, PASSED_TOO, DEVIATES, FAILED, FAILED_TOO, ABORTS, NOT_RUN, exhibits=(RIGHT, WRONG, TEXT_ONLY)
    )


def test_every_outcome_and_its_figures_stand_on_the_page() -> None:
    result = every_kind()
    text = read(to_page(result)).text
    for outcome in result.outcomes:
        assert outcome.name in text
        assert outcome.words in text
    assert f"Suspect: {MASK}" in text
    assert "accuracy: 0.6589" in text
    assert "right: 141" in text


def test_every_exhibit_stands_on_the_page_with_its_pictures_and_whether_it_is_right() -> None:
    reader = read(to_page(every_kind()))
    for exhibit in (RIGHT, WRONG, TEXT_ONLY):
        assert f"asked {exhibit.question} expected {exhibit.expected} given" in reader.text
    pictures = reader.all("img")
    assert len(pictures) == 3
    for picture in pictures:
        source, alt = picture["src"], picture["alt"]
        assert source
        assert alt
        assert b64decode(source.removeprefix("data:image/png;base64,")) == PNG
        assert (picture["width"], picture["height"]) == ("1", "1")
    assert "which ✗ wrong" in reader.text
    assert "colour ✓ right" in reader.text
    assert reader.text.index("1 question answered wrongly") < reader.text.index(
        "2 questions answered rightly"
    )


def test_what_failed_comes_before_the_exhibits_and_those_before_all_checks() -> None:
    text = read(to_page(every_kind())).text
    headings = ("Grades", "What failed", "What deviates", "Questions and answers", "Distance", "All checks")
    places = [text.index(heading) for heading in headings]
    assert places == sorted(places)


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


def test_grades_have_a_word_a_symbol_and_a_class_and_name_the_parts_that_nothing_looked_at() -> None:
    page = to_page(every_kind())
    text = read(page).text
    for verdict in Verdict:
        assert f"{SYMBOLS[verdict]} {verdict.value}" in text
    assert len(set(SYMBOLS.values())) == len(Verdict)
    assert 'class="badge failed"' in page
    assert f"{Part.LOAD.value} {SYMBOLS[Verdict.NOT_RUN]} not run no check looked at it" in text


def test_tables_have_headers() -> None:
    scopes = [cell.get("scope") for cell in read(to_page(every_kind())).all("th")]
    assert {"col", "row"} == set(scopes)


def test_hostile_text_stays_text() -> None:
    outcome = Outcome(Part.TEXT, HOSTILE, Verdict.FAILED, HOSTILE, HOSTILE, {HOSTILE: HOSTILE})
    exhibit = Exhibit(HOSTILE, (HOSTILE.encode("utf-8", "surrogatepass"),), HOSTILE, HOSTILE, HOSTILE)
    result = replace(
        make_result(outcome, exhibits=(exhibit,)),
        title=HOSTILE,
        digest=HOSTILE,
        machine=HOSTILE,
        command=HOSTILE,
        started=HOSTILE,
        files=(File(HOSTILE, HOSTILE, HOSTILE),),
        distances=(Distance(HOSTILE, HOSTILE, HOSTILE, resized=True, size=math.nan, explained=math.inf),),
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
        assert counts == {"tests": "7", "failures": "3", "errors": "0", "skipped": "1", "time": "171.400"}
    assert suite.get("timestamp") == "2026-11-25T10:30:12"
    cases = {(case.get("classname"), case.get("name")): case for case in suite.iter("testcase")}
    assert len(cases) == 7
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


@pytest.mark.parametrize("outcomes", [(), (NOT_RUN,), (NOT_RUN, replace(NOT_RUN, name="other"))])
def test_junit_of_a_run_that_judged_nothing_is_red(outcomes: tuple[Outcome, ...]) -> None:
    root = parse(to_junit(make_result(*outcomes)))
    assert root.get("failures") == "1"
    assert root.get("tests") == str(len(outcomes) + 1)
    assert [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None] == [
        "something was judged"
    ]


@pytest.mark.parametrize(
    ("outcomes", "headline", "words"),
    [
        ((PASSED,), "Passes", "1 of 1 check passed."),
        (
            (PASSED, DEVIATES),
            "Passes, with known deviations",
            "1 of 2 checks passed. 1 deviates from the reference in a known way that is named below.",
        ),
        (
            (PASSED, NOT_RUN),
            "Passes",
            "1 of 2 checks passed. 1 check could not run; the list of all checks says why.",
        ),
        (
            (PASSED, ABORTS, FAILED, FAILED_TOO),
            "Fails",
            "It must not be shipped: 3 of 4 checks failed, in image prompts, numerics and server.",
        ),
        ((PASSED, ABORTS), "Fails", "It must not be shipped: 1 of 2 checks failed, in server."),
        ((NOT_RUN,), "Fails: nothing was judged", "It is not proven to work: none of 1 check ran."),
        ((), "Fails: nothing was judged", "It is not proven to work: there was no check."),
    ],
)
def test_the_verdict_in_words(outcomes: tuple[Outcome, ...], headline: str, words: str) -> None:
    summary = summarise(outcomes)
    assert (summary.headline, summary.words) == (headline, words)
    assert summary.has_failed is has_failed(outcomes)
    result = make_result(*outcomes)
    text = read(to_page(result)).text
    symbol = SYMBOLS[Verdict.FAILED if summary.has_failed else Verdict.PASSED]
    assert f"Conformance of llama.cpp b7827 {symbol} {headline} {words}" in text
    record = json.loads(to_json(result))
    assert (record["verdict"], record["words"]) == ("fails" if summary.has_failed else "passes", words)


def test_each_suspect_is_named_once_with_the_checks_that_point_to_it() -> None:
    causes = summarise((FAILED, PASSED, ABORTS, FAILED_TOO)).causes
    assert [(cause.suspect, len(cause.checks)) for cause in causes] == [(MASK, 2), ("n_ubatch", 1)]
    text = read(to_page(make_result(FAILED, PASSED, ABORTS, FAILED_TOO))).text
    assert (
        f"It fails because of: {MASK} (image prompts: held-out accuracy and numerics: f16 strict) "
        "n_ubatch (server: large image)" in text
    )


def test_many_checks_of_one_cause_are_counted() -> None:
    skipped = tuple(replace(NOT_RUN, name=str(number)) for number in range(6))
    text = read(to_page(make_result(*skipped))).text
    assert "No browser was found. (web page: 0, web page: 1, web page: 2 and 3 more)" in text


def test_equal_results_give_equal_bytes(tmp_path: Path) -> None:
    def same(folder: str, result: Result) -> dict[str, bytes]:
        write_report(result, tmp_path / folder)
        files = sorted(path for path in (tmp_path / folder).rglob("*") if path.is_file())
        return {str(path.relative_to(tmp_path / folder)): path.read_bytes() for path in files}

    other = replace(every_kind(), made_with={"torch": "2.13.0", "transformers": "5.23.0"})
    assert same("one", every_kind()) == same("two", other)


def test_the_folder_holds_the_record_junit_the_page_and_every_picture(tmp_path: Path) -> None:
    screenshot = tmp_path / "shot.png"
    screenshot.write_bytes(PNG + b"shot")
    result = replace(every_kind(), screenshot=screenshot)
    page = write_report(result, tmp_path / "a" / "report")
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
    assert record["format"] == "conformance/1"
    assert record["screenshot"] == "web-page.png"
    assert (page.parent / "web-page.png").read_bytes() == PNG + b"shot"
    for exhibit in record["exhibits"]:
        for image in exhibit["images"]:
            assert (page.parent / image).read_bytes() == PNG
    assert [exhibit["is_right"] for exhibit in record["exhibits"]] == [True, False, True]
    assert {given["part"]: given["verdict"] for given in record["grades"]}["numerics"] == "failed"
    assert "The built-in web page" in read(page.read_text(encoding="utf-8")).text


def test_a_screenshot_that_is_in_the_folder_already_stays(tmp_path: Path) -> None:
    screenshot = tmp_path / "web-page.png"
    screenshot.write_bytes(PNG)
    write_report(replace(every_kind(), screenshot=screenshot), tmp_path)
    assert screenshot.read_bytes() == PNG


def test_the_record_keeps_every_figure_and_no_image() -> None:
    record = json.loads(to_json(every_kind()))
    assert record["outcomes"][3]["figures"] == {"accuracy": 0.65887, "right": 141}
    assert record["distances"][1] == {
        "case": "large image",
        "weights": "f32",
        "setting": "strict",
        "resized": True,
        "size": 1.6,
        "explained": 0.0002,
    }
    assert "iVBORw0KGgo" not in to_json(every_kind())


def test_each_frequency_is_drawn_in_both_layouts() -> None:
    svg = draw_channels((4, 2, 1))
    letters = "".join(text.text or "" for text in svg.iter("text") if text.get("class") == "on-axis")
    assert letters == "tttthhw" + "thwthtt"
    # h, w and the last two t stand where the blocked layout has another axis: legend and four cells
    frames = [rect for rect in svg.iter("rect") if rect.get("class") == "frame"]
    assert len(frames) == 1 + sum(a != b for a, b in zip("tttthhw", "thwthtt", strict=True))
    assert "t t t t h h w" in (svg.get("aria-label") or "")


@pytest.mark.parametrize("sections", [(24, 20, 20), (64, 0, 0), (1, 0, 0)])
def test_the_channels_of_any_size_stay_within_the_drawing(sections: tuple[int, int, int]) -> None:
    svg = draw_channels(sections)
    for rect in svg.iter("rect"):
        assert float(rect.get("x", "")) + float(rect.get("width", "")) <= 1000


def test_unknown_sections_are_said_and_not_drawn() -> None:
    reader = read(to_page(replace(make_result(PASSED), sections=(0, 0, 0))))
    assert "The model's sections are not known." in reader.text


def test_every_distance_is_two_marks_and_resized_ones_are_diamonds() -> None:
    svg = draw_distances(make_result().distances)
    pairs = {pair.findtext("title"): pair for pair in svg.iter("g")}
    assert list(pairs) == [
        "large image, f32, strict, with a resized image: 1.6, of which 0.0002 is not explained",
        "one image, f32, strict: 0.03, of which 0 is not explained",
        "one image, Q8_0, default: 0.2, of which 0.1 is not explained",
    ]
    shapes = [[mark.tag for mark in pair if mark.get("class") in {"raw", "left"}] for pair in pairs.values()]
    assert shapes == [["polygon", "polygon"], ["circle", "circle"], ["circle", "circle"]]
    raw, left = (float(mark.get("cx", "")) for mark in list(pairs.values())[2].iter("circle"))
    assert left < raw


@pytest.mark.parametrize("size", [0.0, FLOOR, 1.0, 31.0, math.inf, math.nan])
def test_any_distance_is_drawn_within_the_drawing(size: float) -> None:
    svg = draw_distances((Distance("a", "f32", "strict", resized=False, size=size, explained=0.0),))
    for mark in svg.iter("circle"):
        assert 0 < float(mark.get("cx", "")) < 1000


def test_all_distances_are_in_a_table_too() -> None:
    text = read(to_page(every_kind())).text
    assert "All 3 differences" in text
    assert "f32 strict large image yes 1.6 0.0002" in text
    assert "f32 strict 2 0.03 1.6 0 0.0002" in text


def test_size_of_a_png_and_of_what_is_none() -> None:
    assert png_size(PNG) == (1, 1)
    assert png_size(PNG[:20]) is None
    assert png_size(b"\xff\xd8\xff") is None


def test_text_after_an_element_keeps_its_place() -> None:
    assert to_html(element("p", "a", element("b", "c"), "d", None, "e")) == "<p>a<b>c</b>de</p>"


def test_a_stranger_s_digest_is_not_called_a_bundle_s() -> None:
    assert "the tree digest of the bundle" in to_page(make_result(PASSED))
    assert "the digest of its llama-server alone" in to_page(replace(make_result(PASSED), is_bundle=False))


@pytest.mark.parametrize(
    ("started", "written"),
    [
        ("2026-11-25T10:30:12Z", "2026-11-25 10:30:12 UTC"),
        ("2026-11-25T11:30:12+01:00", "2026-11-25 10:30:12 UTC"),
        ("2026-11-25T10:30:12", "2026-11-25 10:30:12 UTC"),
        ("yesterday", "yesterday"),
    ],
)
def test_the_time_is_written_for_people(started: str, written: str) -> None:
    assert f"{written}, for 2 min 51 s" in to_page(replace(make_result(PASSED), started=started))
