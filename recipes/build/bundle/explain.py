"""Explains how two builds of one plan differ: which file, where in it, and probably why; diffoscope says the rest."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from recipes.build.bundle.cause import likely_causes
from recipes.build.bundle.compare import compare
from recipes.build.bundle.parts import parts_of
from recipes.core.log import LOGGER
from recipes.core.process import Command, capture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIFFOSCOPE = "diffoscope"
DIFFOSCOPE_S = 900.0
DIFFERENT = 1  # its exit status where it has found something


def explain(left: Path, right: Path) -> Iterator[str]:
    """Return a line for each file that differs between two folders, and one for each likely cause."""
    for found in compare(left, right):
        yield str(found)
        if found.offset is not None:
            causes = likely_causes(parts_of(left / found.name), parts_of(right / found.name))
            yield from (f"  {cause}" for cause in causes)


def diffoscope(left: Path, right: Path, report: Path) -> Path | None:
    """Let diffoscope write its report, and return where that is; None where it is not installed or found nothing."""
    program = shutil.which(DIFFOSCOPE)
    if program is None:
        return None
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    command = Command((program, "--text", str(report), str(left), str(right)), report.parent, kept)
    try:
        done = capture(command, DIFFOSCOPE_S)
    except (OSError, TimeoutError) as error:
        LOGGER.warning("diffoscope: %s", error)
        return None
    if done.status != DIFFERENT:
        LOGGER.warning("diffoscope ended with %d: %s", done.status, done.err[-1000:])
        return None
    return report
