"""Starts a server on model files that lie: it refuses them in words, or loads them and lives."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.conformance.hostile.attack import Attack, Fault, Kind, Seen, Target
from recipes.conformance.hostile.judge import ANSWER_S, DIES_S, MOST_ABOVE_IDLE, Trial
from recipes.conformance.hostile.memory_watch import MemoryWatch, watched
from recipes.conformance.hostile.model_files import drafts
from recipes.conformance.results.inputs import server_arguments
from recipes.core.errors import RecipeError
from recipes.core.process import Command, start
from recipes.models.chat_template import judge_templates
from recipes.models.gguf.reader import read_gguf
from recipes.models.inspect import demand_sound, inspect
from recipes.serve.llamacpp.installation import SERVER
from recipes.serve.llamacpp.listen_address import LOOPBACK, free_port
from recipes.serve.llamacpp.server import (
    EndedError,
    Server,
    UnhealthyError,
    base_url,
    describe_status,
    wait_for_health,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from recipes.conformance.hostile.canary import Canary
    from recipes.conformance.hostile.extent import Extent
    from recipes.conformance.hostile.judge import Question
    from recipes.conformance.results.inputs import CheckInputs

LOADS_S = 60.0
CONTEXT = 4096
QUICK = {
    "scores of one byte",
    "385 experts",
    "a million layers of bytes",
    "template: a macro that calls itself",
    "one mean",
}
QUICK |= {
    "a tensor of no size",
    "a tensor beyond the end",
    "eos out of range",
    "plamo2 with a byte below 0",
    "patches of 0",
}


def try_files(
    inputs: CheckInputs, canary: Canary, questions: Sequence[Question], extent: Extent
) -> Iterator[Trial]:
    """Start a server on each file, and give what came of it; a file whose name is not wanted is left out."""
    bench = Bench(inputs, canary, questions, extent.patience)
    folder = inputs.work / "files"
    folder.mkdir()
    for role, name, change, draft in drafts(inputs.model, inputs.mmproj):
        title = f"{role}: {name}"
        if (extent.is_quick and name not in QUICK) or not extent.wants(f"{Kind.FILES.value}/{title}"):
            continue
        path = folder / f"{role}.gguf"
        path.write_bytes(change(draft))
        yield bench.attempt(title, (path, inputs.mmproj) if role == "model" else (inputs.model, path))


@dataclass(frozen=True)
class Bench:
    """What every file is tried with."""

    inputs: CheckInputs
    canary: Canary
    questions: Sequence[Question]
    patience: float = 1.0

    def attempt(self, name: str, pair: tuple[Path, Path]) -> Trial:
        """Judge a pair of files as `serve` does, and start a server on them all the same."""
        started, refusal = time.monotonic(), gate(*pair)
        seen, peak = self.load(pair)
        words = f"{seen.words}; the gate {f'refuses it: {refusal}' if refusal else 'lets it pass'}"
        fault = Fault.ALONE if seen.fault and refusal else seen.fault
        attack = Attack(Kind.FILES, name, lambda _: seen)
        return Trial(attack, words, fault, round(time.monotonic() - started, 2), peak)

    def load(self, pair: tuple[Path, Path]) -> tuple[Seen, int]:
        """Start a server on a pair of files, and ask it; return what was seen, and the peak of memory in bytes."""
        subject, work = self.inputs.subject, self.inputs.work
        program = subject.path(SERVER)
        if program is None:
            raise FileNotFoundError(SERVER)
        port, log = free_port(), work / "file.log"
        arguments = server_arguments(subject, *pair, ("-c", str(CONTEXT)))
        argv = (str(program), "--host", LOOPBACK, "--port", str(port), *arguments)
        variables = {"HOME": str(work), "TMPDIR": str(work), "LC_ALL": "C"}
        with start(Command(argv, work, variables), log) as process, watched(process.pid) as watch:
            return self._ask(Server(base_url(LOOPBACK, port), process, log), watch), watch.peak

    def _ask(self, server: Server, watch: MemoryWatch) -> Seen:
        try:
            wait_for_health(server, LOADS_S * self.patience)
        except EndedError as error:
            fault = too_much(watch) or (Fault.DEAD if error.status < 0 else None)
            return Seen(f"ended at load with {describe_status(error.status)}", fault)
        except UnhealthyError:
            return Seen(f"not healthy within {LOADS_S * self.patience:g} s", Fault.SILENT)
        target = Target(server, self.canary, self.patience)
        for question in self.questions:  # any answer is right: the model is another one
            seen = question.ask(target, ANSWER_S)
            if seen and seen.fault is Fault.LATE:
                return Seen(f"loaded; {seen.words}", Fault.LATE)
        status = server.process.wait(DIES_S) if not target.is_healthy() else None
        if status is not None:
            return Seen(f"loaded, then ended with {describe_status(status)}", too_much(watch) or Fault.DEAD)
        return Seen("loaded, and lives", too_much(watch))


def gate(model: Path, mmproj: Path) -> str:
    """Return why `serve` refuses a pair of files; nothing where it takes them."""
    try:
        head = read_gguf(model)
        templates = judge_templates(head)
        demand_sound(inspect(head, read_gguf(mmproj), CONTEXT, templates=templates), model.name)
    except RecipeError as error:
        return error.found.splitlines()[0] if error.found else error.expected
    return ""


def too_much(watch: MemoryWatch) -> Fault | None:
    """Return the fault of more memory than a small model may take, if it took that."""
    return Fault.MEMORY if watch.peak > MOST_ABOVE_IDLE else None
