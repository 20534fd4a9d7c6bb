"""The results that are kept: docs/benchmarks.json, and docs/benchmarks.md that is written of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from recipes.pocket.reference.markdown import markdown_table
from tests.benchmarks.comparison import HEADER, Comparison, cells
from tests.benchmarks.machine import Machine  # noqa: TC001 - msgspec reads it from the annotation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

INTRODUCTION = """\
# Benchmarks

Written by `python3 noxfile.py -s bench`; do not edit. Each ratio is of one run on one machine: ours and the
peer take turns, and the figures are medians (least to greatest). A ratio's range is that of neighbouring turns.
A rate, in GB/s or tokens/s, is better the higher it is; a time, in s, the lower.
"""


@dataclass(frozen=True)
class Measured:
    """What one measurement gives: its rows, and what a reader must know of them."""

    rows: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """The last result of one measurement."""

    name: str
    title: str
    date: str
    command: str
    machine: Machine
    rows: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ledger:
    """All that is kept, in the order in which measurements are listed."""

    sections: tuple[Section, ...] = ()
    format: str = "benchmarks/1"


def with_section(ledger: Ledger, section: Section, order: Sequence[str]) -> Ledger:
    """Return a ledger in which one section is new and the others are as they were."""
    kept = {old.name: old for old in ledger.sections} | {section.name: section}
    return replace(ledger, sections=tuple(kept[name] for name in order if name in kept))


def encode(record: object) -> bytes:
    """Return a record as JSON that people can read."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def machine_fact(machine: Machine) -> str:
    """Say what a result was measured on."""
    return (
        f"machine: {machine.cpu}, {machine.cores} cores, {machine.memory_gb:.0f} GB, {machine.kernel};"
        f" load average before: {machine.load:.2f}"
    )


def markdown(ledger: Ledger) -> str:
    every = [(section.name, *cells(row)) for section in ledger.sections for row in section.rows]
    parts = [INTRODUCTION, markdown_table(("measurement", *HEADER), every) + "\n"]
    for section in ledger.sections:
        facts = (
            f"measured: {section.date}",
            machine_fact(section.machine),
            f"command: `{section.command}`",
            *section.notes,
        )
        parts.append(f"## {section.name}: {section.title}\n")
        parts.append("\n".join(f"- {fact}" for fact in facts) + "\n")
    return "\n".join(parts)


def plain_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def record(section: Section, order: Sequence[str], folder: Path) -> None:
    """Write one new result beside those that are kept."""
    path = folder / "benchmarks.json"
    ledger = msgspec.json.decode(path.read_bytes(), type=Ledger) if path.exists() else Ledger()
    ledger = with_section(ledger, section, order)
    folder.mkdir(exist_ok=True)
    path.write_bytes(encode(ledger))
    (folder / "benchmarks.md").write_text(markdown(ledger), encoding="utf-8")
