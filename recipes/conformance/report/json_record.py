"""The result as a record for programs: result.json, and the names of the images beside it. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING

from recipes.conformance.report.summary import summarise
from recipes.conformance.results.outcome import grade

if TYPE_CHECKING:
    from recipes.conformance.results.outcome import Outcome
    from recipes.conformance.results.result import Result

FORMAT = "conformance/1"
IMAGES = "images"
SCREENSHOT = "web-page.png"


def image_names(result: Result) -> tuple[tuple[str, ...], ...]:
    """Name the file of each exhibit's images, relative to the record."""
    return tuple(
        tuple(
            f"{IMAGES}/{number:03}-{_slug(exhibit.name)}-{place}.png"
            for place in range(1, len(exhibit.images) + 1)
        )
        for number, exhibit in enumerate(result.exhibits, start=1)
    )


def to_json(result: Result) -> str:
    """Write all of a result but its images, which it names; equal results give equal text."""
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
        "started": result.started.isoformat(timespec="seconds"),
        "seconds": result.seconds,
        "sections": list(result.sections),
        "made_with": dict(sorted(result.made_with.items())),
        "grades": [
            asdict(given) | {"part": given.part.value, "verdict": given.verdict.value}
            for given in grade(result.outcomes)
        ],
        "outcomes": [_outcome(outcome) for outcome in result.outcomes],
        "exhibits": [
            asdict(exhibit) | {"images": list(names), "is_right": exhibit.is_right}
            for exhibit, names in zip(result.exhibits, image_names(result), strict=True)
        ],
        "distances": [asdict(distance) for distance in result.distances],
        "screenshot": SCREENSHOT if result.screenshot else None,
    }
    # Escaped to ASCII: half a surrogate pair, which a model can say, has no UTF-8.
    return json.dumps(data, indent=2, allow_nan=False) + "\n"


def _outcome(outcome: Outcome) -> dict[str, object]:
    return asdict(outcome) | {
        "part": outcome.part.value,
        "verdict": outcome.verdict.value,
        "figures": dict(sorted(outcome.figures.items())),
    }


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "exhibit"
