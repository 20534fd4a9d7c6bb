"""docs/scale.json, which holds what was measured, and docs/scale.md, which is written of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from recipes.pocket.reference.markdown import markdown_table
from tests.scale.arithmetic import Assumptions, Cost, Size, cost, mean_bytes

if TYPE_CHECKING:
    from pathlib import Path

JSON, PAGE = "scale.json", "scale.md"
INTRODUCTION = """\
# A shared registry at scale

Written by `python -m tests.scale`; do not edit. Nothing here ran at this size: it is arithmetic
(`tests/scale/arithmetic.py`) over the assumptions below and the sizes of real bundles. Change an assumption there, and
write it again.
"""
KINDS = ("bundle", "source", "page", "runtime")
OTHERS = (
    Assumptions(),
    Assumptions(fresh=0.2),
    Assumptions(changed=0.2),
    Assumptions(jobs=10_000),
)


@dataclass(frozen=True)
class Record:
    """What was measured: when, and each stage."""

    date: str
    sizes: tuple[Size, ...]


def read(folder: Path) -> Record:
    """Read what was measured last."""
    return msgspec.json.decode((folder / JSON).read_bytes(), type=Record)


def write(record: Record, folder: Path) -> None:
    """Write both files."""
    data = msgspec.json.format(msgspec.json.encode(record), indent=1)
    (folder / JSON).write_bytes(data + b"\n")
    (folder / PAGE).write_text(markdown(record), encoding="utf-8")


def markdown(record: Record) -> str:
    """Return the page."""
    assumed, sizes = Assumptions(), record.sizes
    found = cost(assumed, sizes)
    parts = [
        INTRODUCTION,
        "## Assumptions\n",
        markdown_table(("assumed", "value"), _assumptions(assumed), 1),
        "\n## Sizes\n",
        f"Measured on {record.date} of what one store had, packed as `publish` packs it. None is of CUDA.\n",
        markdown_table(("what", "of", "unpacked", "packed", "documents"), [_size(each) for each in sizes], 2),
        f"\nA bundle, with its documents, is {_mb(mean_bytes(sizes, 'bundle'))} on average; each platform counts so.\n",
        "## What comes out\n",
        markdown_table(("what", "value"), _outcome(assumed, found), 1),
        "\n## With other assumptions\n",
        markdown_table(
            ("jobs a day", "fresh machines", "new pins", "stored", "egress a day", "hits", "built here"),
            [_other(each, cost(each, sizes)) for each in OTHERS],
            0,
        ),
        "",
    ]
    return "\n".join(parts)


def _assumptions(assumed: Assumptions) -> list[tuple[str, str]]:
    return [
        ("CI jobs a day, each with one bundle", f"{assumed.jobs:,}"),
        ("platforms of a recipe", str(assumed.platforms)),
        ("recipes", str(assumed.recipes)),
        ("jobs on a machine with an empty store", f"{assumed.fresh:.0%}"),
        ("jobs with pins that nobody built before", f"{assumed.changed:.0%}"),
        ("bumps a week, each of one recipe", f"{assumed.bumps:g}"),
        ("releases that `gc` keeps, besides the current pins", str(assumed.releases)),
        ("minutes to build one bundle on one worker", f"{assumed.build_minutes:g}"),
        ("workers that build a bump together", str(assumed.workers)),
    ]


def _size(size: Size) -> tuple[str, ...]:
    documents = _mb(size.document_bytes) if size.document_bytes else "-"
    return (size.kind, size.name, _mb(size.tree_bytes), _mb(size.layer_bytes), documents)


def _outcome(assumed: Assumptions, found: Cost) -> list[tuple[str, str]]:
    asked = found.hits + found.built
    month = found.pulled_bytes * 30 + assumed.bumps * 30 / 7 * found.bump_pulled_bytes
    return [
        ("stored: current pins and releases", _gb(found.stored_bytes)),
        ("egress a day", _gb(found.pulled_bytes)),
        ("egress in 30 days, with the bumps", _gb(month)),
        ("jobs that find the bundle on their machine, a day", f"{found.local:,.0f}"),
        (
            "jobs that take it from the registry, a day",
            f"{found.hits:,.0f} ({found.hits / asked:.1%} of those that ask)",
        ),
        ("jobs that build, a day", f"{found.built:,.0f}"),
        ("hours of building a day", f"{found.build_hours:.1f}"),
        ("the same without a registry", f"{found.build_hours_alone:.1f}"),
        (
            "a bump: hours of building, and until all is there",
            f"{found.bump_hours:.1f}, {found.bump_wall_hours:.1f}",
        ),
        ("a bump: sent to the registry", _gb(found.bump_sent_bytes)),
        ("a bump: pulled by workers, and by machines that had the old one", _gb(found.bump_pulled_bytes)),
        ("a bump: stored more, until `gc` drops a release", _gb(found.bump_stored_bytes)),
    ]


def _other(assumed: Assumptions, found: Cost) -> tuple[str, ...]:
    return (
        f"{assumed.jobs:,}",
        f"{assumed.fresh:.0%}",
        f"{assumed.changed:.0%}",
        _gb(found.stored_bytes),
        _gb(found.pulled_bytes),
        f"{found.hits:,.0f}",
        f"{found.built:,.0f}",
    )


def _mb(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def _gb(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.2f} GB"
