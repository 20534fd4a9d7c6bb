"""What a run of attacks gave: a table for people, a record for programs, and outcomes for conformance. Pure."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipes.conformance.hostile.attack import Fault, Kind
from recipes.conformance.results.outcome import CheckVerdict, Outcome, Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from recipes.conformance.hostile.judge import Trial
    from recipes.manifest.schema import Advisory

FORMAT = "hostile/1"
SHOWN = 3  # attacks that an outcome names
MB = 1_000_000
COLUMNS = {
    "died": {Fault.DEAD, Fault.REPORTED},
    "memory": {Fault.MEMORY},
    "silent": {Fault.SILENT, Fault.LATE, Fault.UNANSWERED, Fault.BUSY},
    "wrong": {Fault.WRONG, Fault.MIXED},
    "let in": {Fault.ASKED, Fault.OPEN, Fault.ACCEPTED},
    "refused": {Fault.REFUSED},
    "5xx": {Fault.SERVER_ERROR},
    "gate alone": {Fault.ALONE},
}


@dataclass(frozen=True)
class HostileResult:
    """One run: what was attacked, and each attack with what came of it; `starts` counts the server's starts."""

    title: str
    digest: str
    machine: str
    command: str
    started: datetime  # in UTC
    seconds: float
    starts: int
    trials: tuple[Trial, ...]
    known: tuple[Advisory, ...] = ()

    @property
    def failed(self) -> tuple[Trial, ...]:
        """The attacks that nothing held, known ones included."""
        return tuple(trial for trial in self.trials if is_failure(trial))

    @property
    def unknown(self) -> tuple[Trial, ...]:
        """The attacks that nothing held, and that no advisory of the recipe names."""
        return tuple(trial for trial in self.failed if not issue_of(trial, self.known))


def is_failure(trial: Trial) -> bool:
    """Return whether an attack did what it must not; a file that only the gate holds is a limit that is known."""
    return trial.fault not in {None, Fault.ALONE}


def title(trial: Trial) -> str:
    """Return the name of an attack, with its kind, as an advisory's `hostile` names it."""
    return f"{trial.attack.kind.value}: {trial.attack.name}"


def issue_of(trial: Trial, known: Sequence[Advisory]) -> str:
    """Return the id of the advisory that names an attack, or its whole kind; nothing where none does."""
    names = {trial.attack.kind.value, title(trial)}
    return next((issue.id for issue in known if names & set(issue.hostile)), "")


def table(trials: Sequence[Trial]) -> Iterator[str]:
    """Give the lines of a table: a row for each kind, then a line for each attack that was not held."""
    rows = [("", "attacks", "held", *COLUMNS)]
    for kind in Kind:
        faults = [trial.fault for trial in trials if trial.attack.kind is kind]
        if faults:
            counts = [sum(fault in wanted for fault in faults) for wanted in COLUMNS.values()]
            rows.append(
                (kind.value, str(len(faults)), str(faults.count(None)), *(str(n or "") for n in counts))
            )
    faults = [trial.fault for trial in trials]
    counts = [sum(fault in wanted for fault in faults) for wanted in COLUMNS.values()]
    rows.append(("all", str(len(faults)), str(faults.count(None)), *(str(n or "") for n in counts)))
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    for name, *cells in rows:
        yield "  ".join(
            (name.ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells, widths[1:], strict=True)))
        ).rstrip()


def failures(result: HostileResult) -> Iterator[str]:
    """Give a line for each attack that was not held."""
    for trial in result.failed:
        issue = issue_of(trial, result.known)
        known = f" (known: {issue})" if issue else ""
        fault = trial.fault.value if trial.fault else ""
        yield f"{fault}{known}: {title(trial)}: {trial.words}"


def to_json(result: HostileResult) -> str:
    """Return the record of a run; equal results give equal text."""
    counts = Counter(trial.fault.name.lower() if trial.fault else "held" for trial in result.trials)
    data: dict[str, Any] = {
        "format": FORMAT,
        "verdict": "fails" if result.unknown else "passes",
        "title": result.title,
        "digest": result.digest,
        "machine": result.machine,
        "command": result.command,
        "started": result.started.isoformat(timespec="seconds"),
        "seconds": result.seconds,
        "starts": result.starts,
        "counts": dict(sorted(counts.items())),
        "trials": [
            {
                "kind": trial.attack.kind.value,
                "name": trial.attack.name,
                "fault": trial.fault.name.lower() if trial.fault else None,
                "known": issue_of(trial, result.known) or None,
                "words": trial.words,
                "seconds": trial.seconds,
                "peak_mb": round(trial.peak / MB, 1),
            }
            for trial in result.trials
        ],
    }
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def outcomes(result: HostileResult) -> tuple[Outcome, ...]:
    """Return an outcome of conformance for each kind of attack."""
    return tuple(
        _outcome(kind, trials, result.known)
        for kind in Kind
        if (trials := [trial for trial in result.trials if trial.attack.kind is kind])
    )


def _outcome(kind: Kind, trials: Sequence[Trial], known: Sequence[Advisory]) -> Outcome:
    failed = [trial for trial in trials if is_failure(trial)]
    unknown = [trial for trial in failed if not issue_of(trial, known)]
    alone = [trial for trial in trials if trial.fault is Fault.ALONE]
    shown = [f"{t.attack.name}: {t.words}" for t in (unknown or failed or alone)[:SHOWN]]
    figures = {
        "attacks": len(trials),
        "failed": len(failed),
        "unknown": len(unknown),
        "gate alone": len(alone),
    }
    if not shown:
        return Outcome(
            Part.HOSTILE, kind.value, CheckVerdict.PASSED, f"{len(trials)} attacks held", figures=figures
        )
    ids = sorted({issue_of(trial, known) for trial in failed} - {""})
    known_words = f"; known: {', '.join(ids)}" if ids and not unknown else ""
    words = f"{len(failed) or len(alone)} of {len(trials)} not held{known_words}: {'; '.join(shown)}"
    if unknown:
        return Outcome(Part.HOSTILE, kind.value, CheckVerdict.FAILED, words, "the server", figures)
    return Outcome(Part.HOSTILE, kind.value, CheckVerdict.DEVIATES, words, figures=figures)
