"""The result as one page for people, which needs nothing but itself: no other file, no script, no network. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recipes.conformance.report.figures import channels_section, distances_section
from recipes.conformance.report.gallery import exhibits_section, image
from recipes.conformance.report.markup import Child, element, section, table, to_html
from recipes.conformance.report.summary import SYMBOLS, RunSummary, count, figure_text, listed, summarise
from recipes.conformance.results.outcome import ORDER, CheckVerdict, Outcome, Part, grade

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

    from recipes.conformance.results.result import Result

STYLE = Path(__file__).with_name("page.css")
MINUTE_S = 60
NAMED = 3  # checks of one cause that the verdict names; all stand below


def to_page(result: Result, screenshot: bytes | None = None) -> str:
    """Write the page, with the PNG file of the web page where it was looked at; equal results give equal text."""
    title = f"Conformance of {result.title}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        # Nothing outside is ever asked for, whatever an answer says.
        element(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; img-src data:; style-src 'unsafe-inline'",
        ),
        element("title", title),
        element("style", STYLE.read_text(encoding="utf-8")),
    )
    summary = summarise(result.outcomes)
    sections = (
        _overview(result, title, summary),
        _grades(result.outcomes),
        _cards(result.outcomes, CheckVerdict.FAILED, "What failed"),
        _cards(result.outcomes, CheckVerdict.DEVIATES, "What deviates in a known way"),
        exhibits_section(result.exhibits),
        distances_section(result.distances),
        channels_section(result.sections),
        _web_page(screenshot),
        _checks(result.outcomes),
        _circumstances(result),
        element("footer", "Made by the conformance suite of pinned-llama."),
    )
    body = element("body", element("main", *(part for part in sections if part is not None)))
    for part in body[0]:
        part.tail = "\n"
    return "<!DOCTYPE html>\n" + to_html(element("html", head, body, lang="en")) + "\n"


def _overview(result: Result, title: str, summary: RunSummary) -> Element:
    """Show what was checked, and the overall verdict."""
    verdict = CheckVerdict.FAILED if summary.has_failed else CheckVerdict.PASSED
    causes = [
        element("li", element("strong", cause.suspect), f" ({_names(cause.checks)})")
        for cause in summary.causes
    ]
    kind = "the tree digest of the bundle" if result.is_bundle else "the digest of its llama-server alone"
    return element(
        "header",
        element("h1", title),
        element(
            "div",
            element("strong", f"{SYMBOLS[verdict]} {summary.headline}"),
            element("p", summary.words),
            element("p", "It fails because of:") if causes else None,
            element("ul", *causes) if causes else None,
            class_=f"verdict {_class(verdict)}",
        ),
        _facts(
            ("Digest", element("span", element("code", result.digest), f", {kind}")),
            ("When", f"{result.started:%Y-%m-%d %H:%M:%S} UTC, for {_duration(result.seconds)}"),
        ),
    )


def _grades(outcomes: Sequence[Outcome]) -> Element:
    given = {grade.part: grade for grade in grade(outcomes)}
    rows = []
    for part in Part:
        found = given.get(part)
        badge = _badge(found.verdict if found else CheckVerdict.NOT_RUN)
        rows.append((part.value, badge, found.words if found else "no check looked at it"))
    return section("Grades", table(("Part", "Grade", "Checks"), rows, class_="checks"))


def _cards(outcomes: Sequence[Outcome], verdict: CheckVerdict, heading: str) -> Element | None:
    found = [outcome for outcome in outcomes if outcome.verdict is verdict]
    if not found:
        return None
    cards = [
        element(
            "article",
            element("h3", f"{SYMBOLS[verdict]} {outcome.part.value}: {outcome.name}"),
            element("p", outcome.words),
            element("p", f"Suspect: {outcome.suspect}", class_="suspect") if outcome.suspect else None,
            _figures(outcome),
            class_=f"card {_class(verdict)}",
        )
        for outcome in found
    ]
    return section(heading, *cards)


def _checks(outcomes: Sequence[Outcome]) -> Element:
    parts: list[Element] = []
    for part in Part:
        found = [outcome for outcome in outcomes if outcome.part is part]
        rows = [
            (outcome.name, _badge(outcome.verdict), element("div", outcome.words, _figures(outcome)))
            for outcome in sorted(found, key=lambda o: ORDER.index(o.verdict))
        ]
        if rows:
            parts.append(element("h3", part.value[0].upper() + part.value[1:]))
            parts.append(table(("Check", "Verdict", "What was found"), rows, class_="checks"))
    return section("All checks", *parts)


def _web_page(screenshot: bytes | None) -> Element | None:
    if screenshot is None:
        return None
    return section(
        "The built-in web page",
        element("p", "As a browser showed it once the answer had come."),
        image(screenshot, "The server's web page after it was asked", class_="screenshot"),
    )


def _circumstances(result: Result) -> Element:
    rows = [(file.role, file.name, element("code", file.digest)) for file in result.files]
    versions = [f"{name} {result.made_with[name]}" for name in sorted(result.made_with)]
    return section(
        "How it was checked",
        element("h3", "Models"),
        table(("Role", "File", "Digest"), rows),
        element("h3", "Circumstances"),
        _facts(
            ("Machine", result.machine),
            ("Command", element("code", result.command)),
            ("Reference made with", listed(versions)),
        ),
    )


def _facts(*facts: tuple[str, Child]) -> Element:
    return element(
        "dl", *(part for name, value in facts for part in (element("dt", name), element("dd", value)))
    )


def _figures(outcome: Outcome) -> Element | None:
    items = [element("li", f"{name}: {figure_text(value)}") for name, value in outcome.figures.items()]
    return element("ul", *items, class_="figures") if items else None


def _badge(verdict: CheckVerdict) -> Element:
    symbol = element("b", SYMBOLS[verdict], aria_hidden="true")
    return element("span", symbol, f" {verdict.value}", class_=f"badge {_class(verdict)}")


def _names(checks: Sequence[Outcome]) -> str:
    names = [f"{check.part.value}: {check.name}" for check in checks[:NAMED]]
    return listed([*names, f"{len(checks) - NAMED} more"] if checks[NAMED:] else names)


def _class(verdict: CheckVerdict) -> str:
    return verdict.value.replace(" ", "-")


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < MINUTE_S:
        return count(whole, "second")
    return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
