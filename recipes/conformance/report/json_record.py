"""The result as a record for programs: result.json, and the names of the pictures beside it. Pure."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict
from typing import TYPE_CHECKING

from recipes.conformance.report.summary import summarise
from recipes.conformance.results.outcome import grade

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recipes.conformance.results.outcome import Outcome
    from recipes.conformance.results.result import Distance, Result

FORMAT = "conformance/1"
IMAGES = "images"
SCREENSHOT = "web-page.png"


def image_names(result: Result) -> tuple[tuple[str, ...], ...]:
    """Name the file of each exhibit's pictures, relative to the record."""
    return tuple(
        tuple(
            f"{IMAGES}/{number:03}-{_slug(exhibit.name)}-{place}.png"
            for place in range(1, len(exhibit.images) + 1)
        )
        for number, exhibit in enumerate(result.exhibits, start=1)
    )


def to_json(result: Result) -> str:
    """Write all of a result but its pictures, which it names; equal results give equal text."""
    summary = summarise(result.outcomes)
    data = {
        "format": FORMAT,
        "verdict": "fails" if summary.has_failed else "passes",
        "headline": summary.headline,
        "words": summary.words,
        "causes": [cause.suspect for cause in summary.causes],
        "title": result.title,
        "digest": result.digest,
        "is_bundle": result.is_bundle,
        "files": [asdict(file) for file in result.files],
        "machine": result.machine,
        "command": result.command,
        "started": result.started,
        "seconds": _number(result.seconds),
        "sections": list(result.sections),
        "made_with": _sorted(result.made_with),
        "grades": [
            {"part": given.part.value, "verdict": given.verdict.value, "words": given.words}
            for given in grade(result.outcomes)
        ],
        "outcomes": [_outcome(outcome) for outcome in result.outcomes],
        "exhibits": [
            {
                "name": exhibit.name,
                "images": list(names),
                "question": exhibit.question,
                "expected": exhibit.expected,
                "given": exhibit.given,
                "is_right": exhibit.is_right,
            }
            for exhibit, names in zip(result.exhibits, image_names(result), strict=True)
        ],
        "distances": [_distance(distance) for distance in result.distances],
        "screenshot": SCREENSHOT if result.screenshot else None,
    }
    # Escaped to ASCII: half a surrogate pair, which a model can say, has no UTF-8.
    return json.dumps(data, indent=2, allow_nan=False) + "\n"


def _outcome(outcome: Outcome) -> dict[str, object]:
    return {
        "part": outcome.part.value,
        "name": outcome.name,
        "verdict": outcome.verdict.value,
        "words": outcome.words,
        "suspect": outcome.suspect,
        "figures": _sorted(outcome.figures),
    }


def _distance(distance: Distance) -> dict[str, object]:
    return asdict(distance) | {"size": _number(distance.size), "explained": _number(distance.explained)}


def _sorted(figures: Mapping[str, float | int | str]) -> dict[str, float | int | str]:
    return {name: _number(figures[name]) for name in sorted(figures)}


def _number(value: float | str) -> float | str:
    """Give a number as JSON knows them; infinity and no-number become words."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "exhibit"
