"""The tables of docs/explanation/fidelity.md, written of a ledger between two marks. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.core.errors import VerifyError
from recipes.manifest.load import PROJECT
from recipes.pocket.fidelity.results import GROUPS
from recipes.pocket.fidelity.summary import Selection, figure, tally, values
from recipes.pocket.reference.markdown import markdown_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recipes.pocket.fidelity.results import BeyondLimit, Ledger

PAGE = PROJECT / "docs" / "explanation" / "fidelity.md"
BEGIN = "<!-- Begin: written by `python3 noxfile.py -s fidelity -- --write` of docs/assets/fidelity.json. -->"
END = "<!-- End of what is written. -->"
NONE = "none"
SHOWN = ("no resize", "resize", "text", "clips")  # groups, as the tables have them


def with_tables(page: str, ledger: Ledger) -> str:
    """Return the page with what stands between its marks replaced.

    A VerifyError is raised where it has not both marks, once each and in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise VerifyError(
            where="docs/explanation/fidelity.md",
            expected=f"{BEGIN} and {END}, once each and in this order",
            found="another page",
            fix="git checkout docs/explanation/fidelity.md",
        )
    return f"{before}{BEGIN}\n\n{tables(ledger)}\n\n{END}{after}"


def tables(ledger: Ledger) -> str:
    """Return all tables."""
    return "\n\n".join(
        [
            facts(ledger),
            *(part for setting in ledger.limits for part in maxima(ledger, setting)),
            *by_model(ledger),
            *by_server(ledger),
            *listing(ledger),
            *crossed(ledger),
            *named(ledger),
        ]
    )


def facts(ledger: Ledger) -> str:
    """Say how it was measured."""
    images = sum(case.group != "text" for case in ledger.cases)
    prompts = len({case.prompt for case in ledger.cases})
    versions = ", ".join(f"{name} {version}" for name, version in ledger.made_with.items())
    runs: dict[tuple[str, str, str], list[str]] = {}
    for subject in ledger.subjects:
        runs.setdefault((subject.date, subject.command, subject.machine), []).append(subject.title)
    measured = "\n".join(
        f"{', '.join(titles)}: measured on {date} with `{command}`, on {machine}.\n"
        for (date, command, machine), titles in runs.items()
    )
    return (
        f"{measured}\nThe reference: {versions}.\n"
        f"{len(ledger.models)} models were asked {prompts} prompts each in {len(ledger.cases)} cases, {images} of them"
        " with images or clips; a case is a prompt and a way to run the server."
    )


def _largest(ledger: Ledger, chosen: Selection, *, left: bool = False) -> str:
    return figure(max(values(ledger, chosen, left=left), default=None))


def maxima(ledger: Ledger, setting: str) -> Iterator[str]:
    """Yield a setting's largest differences of each subject, and what accounts for them."""
    yield f"### Largest difference, {setting} setting"
    limit = f"{ledger.limits[setting]:g}"
    rows = []
    for subject in ledger.subjects:
        groups = [_largest(ledger, Selection(subject.title, setting, group=group)) for group in SHOWN]
        counts = tally(ledger, subject.title, setting)
        causes = (
            [counts.known, counts.tied, counts.rounded, counts.neither]
            if subject.is_examined
            else ["", "", "", counts.beyond]
        )
        rows.append((subject.title, *groups, *map(str, (counts.beyond, *causes, counts.unanswered))))
    heads = (
        "llama.cpp",
        "no resize",
        "resize",
        "text",
        "clips",
        f"beyond {limit}",
        "known",
        "near-tie",
        "rounding",
        "none",
    )
    yield markdown_table((*heads, "no answer"), rows, texts=1)


def by_model(ledger: Ledger) -> Iterator[str]:
    """Yield the same in the strict setting, model by model."""
    yield "### By model, strict setting: no resize / resize / text / clips"
    heads = ("model", "what sets it apart", *(subject.title for subject in ledger.subjects))
    rows = [
        (
            model.name,
            model.words,
            *(
                " / ".join(
                    _largest(ledger, Selection(subject.title, "strict", model.name, group)) for group in SHOWN
                )
                for subject in ledger.subjects
            ),
        )
        for model in ledger.models
    ]
    yield markdown_table(heads, rows, texts=2)


def by_server(ledger: Ledger) -> Iterator[str]:
    """Yield what known deviations leave in the strict setting, by the way that the server is run."""
    yield "### By the way the server is run, strict setting: what known deviations leave"
    heads = ("server", "options", *(subject.title for subject in ledger.subjects))
    rows = [
        (
            name,
            f"`{' '.join(options)}`",
            *(
                _largest(ledger, Selection(subject.title, "strict", server=name), left=True)
                for subject in ledger.subjects
            ),
        )
        for name, options in ledger.servers.items()
    ]
    yield markdown_table(heads, rows, texts=2)


def listing(ledger: Ledger) -> Iterator[str]:
    """List every case that known deviations leave beyond the limit; of the other subjects what nothing explains."""
    first = ledger.subjects[0].title
    yield f"### Every case of {first} that known deviations leave beyond the limit"
    yield _listed(ledger, [item for item in ledger.beyond if item.subject == first])
    yield "### Every case of the others that nothing known explains"
    others = [item for item in ledger.beyond if item.subject != first]
    yield _listed(ledger, [item for item in others if item.after > ledger.limits[item.setting]])


def _listed(ledger: Ledger, found: Sequence[BeyondLimit]) -> str:
    if not found:
        return "None, in no setting."
    heads = (
        *("llama.cpp", "setting", "model", "prompt", "server"),
        *("difference", "left", "router's narrowest gap", "explained by"),
    )
    rows = [
        (
            item.subject,
            item.setting,
            item.model,
            ledger.cases[item.case].prompt,
            ledger.cases[item.case].server,
            figure(item.size),
            figure(item.left),
            "dense" if item.narrowest is None else f"{item.narrowest:.1e}",
            cause(ledger, item),
        )
        for item in found
    ]
    return markdown_table(heads, rows, texts=5)


def cause(ledger: Ledger, item: BeyondLimit) -> str:
    """Say what explains a case beyond the limit."""
    if item.after > ledger.limits[item.setting]:
        return "nothing that is known"
    if item.trembled and item.trembled[0]:
        return (
            f"rounding: with pixels a millionth off, {item.trembled[0]} of {item.trembled[1]} simulations come within"
            f" the limit, the closest to {figure(item.after)}"
        )
    choices = ", ".join(f"layer {c.layer}, token {c.token} ({c.gap:.1e})" for c in item.turned)
    return f"near-tie: {choices}; decided the other way it leaves {figure(item.after)}"


def crossed(ledger: Ledger) -> Iterator[str]:
    """Yield the first subject against each other one."""
    yield f"### {ledger.subjects[0].title} against the others"
    heads = (
        "other",
        "setting",
        "group",
        "cases",
        "differ by more than 0.005",
        "largest",
        "left",
        "unexplained",
    )
    known = {subject.title for subject in ledger.subjects if subject.is_examined}
    rows = [
        (
            item.other,
            item.setting,
            item.group,
            str(item.cases),
            str(item.beyond),
            figure(item.largest) if item.cases else NONE,
            *((figure(item.left), str(item.unexplained)) if item.other in known and item.cases else ("", "")),
        )
        for item in sorted(
            ledger.comparisons,
            key=lambda item: (item.other, item.setting != "strict", GROUPS.index(item.group)),
        )
    ]
    yield markdown_table(heads, rows, texts=3) if rows else "Only one was measured."


def named(ledger: Ledger) -> Iterator[str]:
    """Say what exactly was measured: digests, and the deviations that were taken for known."""
    yield "### What was measured"
    subjects = [
        (
            subject.title,
            subject.version,
            f"`{subject.digest}`",
            ", ".join(subject.known["strict"]) or NONE,
            ", ".join(subject.known["default"]) or NONE,
        )
        for subject in ledger.subjects
    ]
    yield markdown_table(
        ("llama.cpp", "version", "digest", "known, strict", "known, default"), subjects, texts=5
    )
    models = [
        (
            model.name,
            "trained" if model.seed is None else str(model.seed),
            f"`{model.model}`",
            f"`{model.mmproj}`",
        )
        for model in ledger.models
    ]
    yield markdown_table(
        ("model", "seed", "SHA-256 of the language model", "of the projector"), models, texts=4
    )
    silent = [
        (row.subject, row.model, row.setting, words, str(n))
        for row in ledger.rows
        for words, n in row.failures.items()
    ]
    if silent:
        yield "Cases without an answer:"
        yield markdown_table(("llama.cpp", "model", "setting", "what came instead", "cases"), silent, texts=4)
