"""The measurement: each model is made, the reference asked, then every llama.cpp; the reference's sums run beside."""

from __future__ import annotations

import platform
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from recipes.core.cores import usable_cores
from recipes.core.digest import hash_file
from recipes.evalset.prompts import digest
from recipes.models.gguf.rewrite import write_f32
from recipes.pocket.fidelity import results as ledger
from recipes.pocket.fidelity.analysis import compare_subjects, compare_with_reference
from recipes.pocket.fidelity.model_shapes import SHAPES, write
from recipes.pocket.fidelity.query_server import ServerSetup, ask_all, asked_prompt
from recipes.pocket.fidelity.random_prompts import trials
from recipes.pocket.fidelity.reference_run import Changes, Oracle
from recipes.pocket.fidelity.servers import SERVERS, SETTINGS
from recipes.pocket.model import files
from recipes.pocket.model.import_gguf import load
from recipes.pocket.model.tokenizer import train_tokenizer
from recipes.pocket.reference.reference import Reference, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from recipes.pocket.fidelity.analysis import Compared
    from recipes.pocket.fidelity.model_shapes import Shape
    from recipes.pocket.fidelity.query_server import Answer
    from recipes.pocket.fidelity.random_prompts import PromptTrial
    from recipes.serve.llamacpp.installation import Installation

TRAINED = "pocket"


@dataclass(frozen=True)
class Contender:
    """One llama.cpp that is measured, with its deviations by setting; None where nothing is known of it."""

    title: str
    subject: Installation
    known: dict[str, frozenset[str]] | None

    def of(self, setting: str) -> frozenset[str] | None:
        """Return its deviations in a setting."""
        return None if self.known is None else self.known[setting]


def measure(contenders: Sequence[Contender], command: str, say: Callable[[str], None]) -> ledger.Ledger:
    """Measure llama.cpps on every model, in every setting, and compare the first with each other one.

    `command` is what the user typed, for the record.
    """
    asked = trials()
    pairs = [(trial, server) for trial in asked for server in trial.servers]
    cases: tuple[ledger.AskedCase, ...] = ()
    models: list[ledger.MeasuredModel] = []
    compared: dict[tuple[str, str], list[Compared]] = defaultdict(list)
    torch.set_num_threads(1)  # the other cores are the servers'
    with tempfile.TemporaryDirectory(prefix="fidelity-") as folder:
        work = Path(folder)
        for shape in (None, *SHAPES):
            model = write_model(shape, work)
            models.append(model)
            paths = _paths(work)
            reference = Reference(*load(*paths))
            oracles = {trial.prompt.name: Oracle(reference, trial.prompt) for trial in asked}
            cases = tuple(_case(trial, server, oracles) for trial, server in pairs)
            with ThreadPoolExecutor(1) as beside:
                waiting = {
                    (contender.title, setting): beside.submit(
                        ask, contender.subject, ServerSetup(*paths, setting, work), pairs, oracles
                    )
                    for contender, setting in product(contenders, SETTINGS)
                }
                for contender, setting in product(contenders, SETTINGS):
                    for oracle in oracles.values():  # while the server computes
                        oracle.logprobs(Changes(contender.of(setting) or frozenset()))
                    answers = waiting[contender.title, setting].result()
                    names = (contender.title, model.name, setting)
                    found = compare_with_reference(names, cases, answers, oracles, contender.of(setting))
                    compared[contender.title, setting].append(found)
                    say(line_of(found))
    first, *others = contenders
    return ledger.Ledger(
        made_with=versions(),
        prompts=digest(trial.prompt for trial in asked),
        servers=SERVERS,
        limits=ledger.LIMITS,
        models=tuple(models),
        subjects=tuple(_subject(contender, command) for contender in contenders),
        cases=cases,
        rows=tuple(item.row for found in compared.values() for item in found),
        beyond=tuple(row for found in compared.values() for item in found for row in item.beyond),
        comparisons=tuple(
            row
            for other, setting in product(others, SETTINGS)
            for row in compare_subjects(cases, compared[first.title, setting], compared[other.title, setting])
        ),
    )


def write_model(shape: Shape | None, work: Path) -> ledger.MeasuredModel:
    """Write a model's two files in f32, and return what is recorded of it; None stands for the pocket model."""
    model, mmproj = _paths(work)
    if shape is None:
        write_f32(files.MODEL, model)
        write_f32(files.MMPROJ, mmproj)
    else:
        write(shape, train_tokenizer(), model, mmproj)
    return ledger.MeasuredModel(
        name=shape.name if shape else TRAINED,
        words=shape.words if shape else "the trained one",
        seed=shape.seed if shape else None,
        model=hash_file(model).hex,
        mmproj=hash_file(mmproj).hex,
    )


def ask(
    subject: Installation,
    run: ServerSetup,
    pairs: Sequence[tuple[PromptTrial, str]],
    oracles: Mapping[str, Oracle],
) -> list[Answer]:
    """Ask a subject every case of a model in a setting; the answers come in the order of the cases."""
    answers: dict[int, Answer] = {}
    for server in SERVERS:
        numbers = [number for number, pair in enumerate(pairs) if pair[1] == server]
        questions = []
        for number in numbers:
            prompt = pairs[number][0].prompt
            oracle = oracles[prompt.name]
            questions.append(asked_prompt(prompt, oracle.likeliest, oracle.tokens))
        answers |= zip(numbers, ask_all(subject, run, server, questions), strict=True)
    return [answers[number] for number in range(len(pairs))]


def line_of(found: Compared) -> str:
    """Say in a line what came of one model in one setting."""
    row = found.row
    sizes, left = ([value for value in part if value is not None] for part in (row.sizes, row.left))
    return (
        f"{row.subject}, {row.model}, {row.setting}: {max(sizes, default=0.0):.5f} off, {max(left, default=0.0):.5f}"
        f" left, {len(found.beyond)} beyond, {len(row.sizes) - len(sizes)} without an answer"
    )


def _paths(work: Path) -> tuple[Path, Path]:
    return work / "model.gguf", work / "mmproj.gguf"


def _case(trial: PromptTrial, server: str, oracles: Mapping[str, Oracle]) -> ledger.AskedCase:
    return ledger.AskedCase(
        prompt=trial.prompt.name,
        kind=trial.kind,
        group=trial.group,
        server=server,
        tokens=oracles[trial.prompt.name].length,
    )


def _subject(contender: Contender, command: str) -> ledger.MeasuredSubject:
    return ledger.MeasuredSubject(
        title=contender.title,
        version=contender.subject.title,
        digest=str(contender.subject.digest),
        known={setting: tuple(sorted(contender.of(setting) or ())) for setting in SETTINGS},
        is_examined=contender.known is not None,
        command=command,
        machine=f"{platform.machine()}, {usable_cores()} cores, {platform.system()} {platform.release()}",
        date=f"{datetime.now(tz=UTC):%Y-%m-%d}",
    )
