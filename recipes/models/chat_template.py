"""Judges a model's chat templates: each is rendered once, in a process of its own with limits, before llama.cpp does.

The engine is not llama.cpp's. It is Jinja's own, which most publishers write for: what depends on how the C++ engine
counts its stack or its steps cannot be seen here.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from recipes.core.filesystem import storage_errors
from recipes.core.process import Command, capture
from recipes.models.gguf.findings import Finding, Severity
from recipes.models.gguf.reader import escaped

if TYPE_CHECKING:
    from recipes.models.gguf.reader import GgufFile

KEY = "tokenizer.chat_template"
PROGRAM = Path(__file__).with_name("render_template.py")
MOST_BYTES = 1 << 20  # of a template; the longest published ones have some tens of kB
MEMORY_BYTES = 512 << 20
PROCESSOR_S = 5
TIME_S = 120.0  # of the clock, on a busy machine
SHOWN_CHARACTERS = 200
FIX = "serve another model's file: llama.cpp runs this program at each start and each question"


class Outcome(msgspec.Struct, frozen=True):
    """What the child says."""

    outcome: str
    what: str


def judge_templates(file: GgufFile) -> tuple[Finding, ...]:
    """Render each chat template of a model; return an error for each that must not be run.

    A StoreError is raised where no temporary file can be written.
    """
    found = []
    for key, value in file.metadata.items():
        if key == KEY or key.startswith(KEY + "."):
            if not isinstance(value.content, str):
                what = f"is {value.type.name}, not STRING"
                found.append(Finding(Severity.ERROR, what, escaped(key)))
            elif finding := judge_template(value.content, escaped(key)):
                found.append(finding)
    return tuple(found)


def judge_template(text: str, where: str) -> Finding | None:
    """Render a template; return what is wrong with it, None if nothing is."""
    if len(text.encode()) > MOST_BYTES:
        return Finding(Severity.ERROR, f"has {len(text.encode())} bytes, more than {MOST_BYTES}", where, FIX)
    with tempfile.TemporaryDirectory(prefix="pinned-llama-template-") as folder:
        path = Path(folder) / "template.jinja"
        with storage_errors(path):
            path.write_text(text, encoding="utf-8")
        limits = (str(MEMORY_BYTES), str(PROCESSOR_S))
        argv = (sys.executable, "-I", str(PROGRAM), str(path), *limits)
        try:
            answer = capture(Command(argv, Path(folder)), TIME_S)
        except TimeoutError:
            return Finding(Severity.ERROR, f"was not rendered within {TIME_S:g} s", where, FIX)
    try:
        outcome = msgspec.json.decode(answer.out, type=Outcome)
    except msgspec.MsgspecError:
        most = f"{MEMORY_BYTES >> 20} MiB of memory and {PROCESSOR_S} s of processor time"
        return Finding(Severity.ERROR, f"cannot be rendered with {most}", where, FIX)
    if outcome.outcome == "rendered":
        return None
    severity = Severity.WARNING if outcome.outcome == "raised" else Severity.ERROR
    return Finding(severity, repr(outcome.what[:SHOWN_CHARACTERS])[1:-1], where, FIX)
