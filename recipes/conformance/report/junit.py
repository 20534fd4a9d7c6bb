"""The result as JUnit XML, which CI systems show. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.conformance.report.markup import element, to_xml
from recipes.conformance.report.summary import figure_text, summarise
from recipes.conformance.results.outcome import NOTHING, CheckVerdict, has_failed

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from recipes.conformance.results.outcome import Outcome
    from recipes.conformance.results.result import Result

SUITE = "conformance"


def to_junit(result: Result) -> str:
    """Write one test case for each check; its class is the part that it looks at.

    JUnit knows no deviation: such a check passed, and says what it found. Where nothing ran, a failed case is
    added, since CI systems take a suite of skipped cases for a good one.
    """
    cases = [_case(outcome) for outcome in result.outcomes]
    failures = sum(outcome.verdict is CheckVerdict.FAILED for outcome in result.outcomes)
    if not failures and has_failed(result.outcomes):
        cases.append(_nothing_ran(summarise(result.outcomes).words))
        failures = 1
    counts = {
        "tests": str(len(cases)),
        "failures": str(failures),
        "errors": "0",
        "skipped": str(sum(outcome.verdict in NOTHING for outcome in result.outcomes)),
        "time": f"{result.seconds:.3f}",
    }
    facts = {
        "title": result.title,
        "digest": result.digest,
        "command": result.command,
        "machine": result.machine,
    }
    facts |= {f"{file.role} {file.name}": file.digest for file in result.files}
    properties = [element("property", name=name, value=value) for name, value in facts.items()]
    suite = element(
        "testsuite",
        element("properties", *properties),
        *cases,
        name=f"{SUITE} of {result.title}",
        timestamp=f"{result.started:%Y-%m-%dT%H:%M:%S}",  # the format has no place for a zone
        **counts,
    )
    return to_xml(element("testsuites", suite, name=SUITE, **counts))


def _case(outcome: Outcome) -> Element:
    figures = [f"{name}: {figure_text(value)}" for name, value in outcome.figures.items()]
    suspect = [f"suspect: {outcome.suspect}"] if outcome.suspect else []
    text = "\n".join([outcome.words, *suspect, *figures])
    child = None
    if outcome.verdict is CheckVerdict.FAILED:
        message = ". ".join(part.rstrip(".") for part in (outcome.words, *suspect))
        child = element("failure", text, message=message, type="failed")
    elif outcome.verdict in NOTHING:
        child = element("skipped", message=outcome.words)
    elif outcome.verdict is CheckVerdict.DEVIATES:
        child = element("system-out", f"deviates: {text}")
    return element("testcase", child, classname=outcome.part.value, name=outcome.name)


def _nothing_ran(words: str) -> Element:
    failure = element("failure", words, message=words, type="failed")
    return element("testcase", failure, classname=SUITE, name="something was checked")
