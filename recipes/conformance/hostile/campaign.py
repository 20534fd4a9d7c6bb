"""Runs attacks against one llama.cpp, all of them or the quick ones."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from recipes.conformance.hostile.attack import FOLDER, Fault
from recipes.conformance.hostile.canary import canary
from recipes.conformance.hostile.catalogue import all_attacks
from recipes.conformance.hostile.crowd import crowd
from recipes.conformance.hostile.drawn import drawn
from recipes.conformance.hostile.endpoint_attacks import EMBEDS, RANKS
from recipes.conformance.hostile.file_attacks import try_files
from recipes.conformance.hostile.image_files import small_png
from recipes.conformance.hostile.judge import honest_questions
from recipes.conformance.hostile.report import HostileResult
from recipes.conformance.hostile.supervisor import Supervisor
from recipes.core.cores import usable_cores
from recipes.core.invocation import this_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from recipes.conformance.hostile.attack import Attack
    from recipes.conformance.hostile.extent import Extent
    from recipes.conformance.hostile.judge import Trial
    from recipes.conformance.results.inputs import CheckInputs
    from recipes.core.console import Console
    from recipes.manifest.schema import Advisory
    from recipes.serve.llamacpp.server import Server

# four slots that each hold a conversation; an image of a megapixel fits in
SERVER = ("-np", "4", "-c", "8192")
NO_ANSWERS = {EMBEDS, RANKS}


def attack(
    inputs: CheckInputs,
    extent: Extent,
    console: Console,
    *,
    launch: Callable[[], AbstractContextManager[Server]] | None = None,
    known: tuple[Advisory, ...] = (),
) -> HostileResult:
    """Run attacks against a subject's server, or what `launch` starts with it behind; a dead one is started again.

    A ServerError is raised where the server does not start.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    trials: list[Trial] = []
    questions, starts = honest_questions(inputs), 0
    with canary(small_png(), "image/png") as watched:
        for options in _options(inputs, extent, alone=launch is None):
            words = [word.replace(FOLDER, str(inputs.work)) for word in (*SERVER, *options)]
            run = launch or partial(inputs.server, *words)
            # a server that embeds or ranks answers no questions
            asked = questions if options not in NO_ANSWERS else ()
            with Supervisor(run, watched, asked, extent.patience, extent.memory) as supervisor:
                for trial in _by_request(supervisor, inputs, extent, options):
                    trials.append(trial)
                    _say(console, trial)
                starts += supervisor.starts
    if launch is None:  # a file is judged by the gate there, before a server starts
        with canary() as unasked:
            for trial in try_files(inputs, unasked, questions, extent):
                trials.append(trial)
                _say(console, trial)
    return HostileResult(
        title=inputs.subject.title,
        digest=str(inputs.subject.digest),
        machine=f"{platform.machine()}, {usable_cores()} cores, {platform.system()} {platform.release()}",
        command=this_command("hostile"),
        started=started,
        seconds=round(time.monotonic() - clock, 1),
        starts=starts,
        trials=tuple(trials),
        known=known,
    )


def _wanted(extent: Extent) -> Iterator[Attack]:
    for one in all_attacks():
        if (one.is_quick or not extent.is_quick) and extent.wants(f"{one.kind.value}/{one.name}"):
            yield one


def _options(inputs: CheckInputs, extent: Extent, *, alone: bool) -> Sequence[tuple[str, ...]]:
    """Return the options of each server that is attacked: first of the usual one, then of those that offer more.

    `serve` starts the usual one alone, and an older llama.cpp may not have an option.
    """
    others = {one.options for one in _wanted(extent)} if alone else set()
    there = inputs.subject.server_options
    return ((), *sorted(o for o in others if o and all(w in there for w in o if w.startswith("--"))))


def _by_request(
    supervisor: Supervisor, inputs: CheckInputs, extent: Extent, options: tuple[str, ...]
) -> Iterator[Trial]:
    for one in _wanted(extent):
        if one.options == options:
            yield supervisor.attempt(one)
    if options:
        return
    if extent.drawn:
        yield from drawn(supervisor, extent.drawn, extent.seed)
    if extent.minutes:
        yield from crowd(supervisor, inputs, extent.minutes * 60, extent.seed)


def _say(console: Console, trial: Trial) -> None:
    if trial.fault not in {None, Fault.ALONE}:
        assert trial.fault is not None  # noqa: S101 - for the type checker
        console.say(f"  {trial.fault.value}: {trial.attack.kind.value}: {trial.attack.name}: {trial.words}")
