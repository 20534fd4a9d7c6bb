"""What was measured, as docs/assets/fidelity.json holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from recipes.core.errors import VerifyError
from recipes.manifest.load import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

LEDGER = PROJECT / "docs" / "assets" / "fidelity.json"
AGAIN = "python3 noxfile.py -s fidelity -- --recipe b11312 --recipe b6751 --write"
GROUPS = ("text", "no resize", "resize", "clips")
DIGITS = 7  # of a difference, behind the point: what f32 can tell
# Natural logarithms that a difference may have without being explained: rounding in f32; and in the default setting,
# where K and V have 16 bits, what conformance tolerates of it.
LIMITS = {"strict": 0.005, "default": 0.03}
# What two ledgers must have in common for their figures to stand in one table.
SAME = ("format", "made_with", "prompts", "servers", "limits", "models", "cases")


class MeasuredModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model: its name, what sets it apart, the seed of its weights (None: trained), SHA-256 of its two files."""

    name: str
    words: str
    seed: int | None
    model: str
    mmproj: str


class MeasuredSubject(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One llama.cpp, with the version that its server prints, and its known deviations by setting.

    The digest is the bundle's; for one that this project did not build, that of its llama-server alone. Where it
    `is_examined`, every difference beyond the limit was to be explained.
    """

    title: str
    version: str
    digest: str
    known: dict[str, tuple[str, ...]]
    is_examined: bool
    command: str
    machine: str
    date: str


class AskedCase(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A prompt asked of a server that is run one way: what it tries, its group and its tokens, images included."""

    prompt: str
    kind: str
    group: str
    server: str
    tokens: int


class ModelDifferences(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one subject gave with one model in one setting, case by case; None where it gave no answer.

    `sizes` are the largest differences of a logarithm from the reference, `left` the same from the reference with the
    subject's known deviations. `failures` says how often there was no answer, by the reason.
    """

    subject: str
    model: str
    setting: str
    sizes: tuple[float | None, ...]
    left: tuple[float | None, ...]
    failures: dict[str, int]


class RouterChoice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A router's choice in the reference: layer, token, and the gap of probability between the two experts."""

    layer: int
    token: int
    gap: float


class BeyondLimit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A case that known deviations leave beyond the limit; `size` and `left` are as in a row.

    `narrowest` is the narrowest choice of a router in the reference, over all layers and tokens; None in a dense
    model. `turned` are narrow choices that, decided the other way, bring the reference to what was measured, and
    `after` is the difference that they leave; or, where that is more than the limit, what the closest of the
    trembling simulations leaves. `trembled` is how many of the simulations with pixels that are a millionth off are
    within the limit of what was measured, and how many there were; None where none was tried.
    """

    subject: str
    model: str
    setting: str
    case: int
    size: float
    left: float
    narrowest: float | None
    turned: tuple[RouterChoice, ...]
    after: float
    trembled: tuple[int, int] | None = None


class Comparison(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two subjects on the cases of a group, of all models, that both answered.

    `beyond` is how many differ by more than the limit of the strict setting; `left` the largest difference that known
    deviations and near-ties of routers do not account for; `unexplained` how many leave more than the setting's
    limit.
    """

    one: str
    other: str
    setting: str
    group: str
    cases: int
    beyond: int
    largest: float
    left: float
    unexplained: int


class Ledger(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that was measured with the same reference, of one run or several.

    `made_with` are versions by name of what the reference is, `prompts` the SHA-256 of all texts and pixels.
    """

    made_with: dict[str, str]
    prompts: str
    servers: dict[str, tuple[str, ...]]
    limits: dict[str, float]
    models: tuple[MeasuredModel, ...]
    subjects: tuple[MeasuredSubject, ...]
    cases: tuple[AskedCase, ...]
    rows: tuple[ModelDifferences, ...]
    beyond: tuple[BeyondLimit, ...]
    comparisons: tuple[Comparison, ...]
    format: str = "fidelity/2"


def encode(ledger: Ledger) -> bytes:
    """Return the file: one line for each thing, so that a diff can be read."""
    data = msgspec.to_builtins(ledger)
    lines = []
    for name, value in data.items():
        if isinstance(value, list | tuple):
            inner = ",\n".join(f"  {msgspec.json.encode(item).decode()}" for item in value)
            lines.append(f' "{name}": [\n{inner}\n ]')
        else:
            lines.append(f' "{name}": {msgspec.json.encode(value).decode()}')
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def read(path: Path) -> Ledger:
    """Read the file; a VerifyError is raised where it is not one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ledger)
    except (OSError, msgspec.DecodeError) as error:
        raise VerifyError(
            where=str(path),
            expected="what fidelity measured",
            found=str(error),
            fix=f"git checkout {path.name}, or {AGAIN}",
        ) from error


def keep(before: Ledger, found: Ledger) -> Ledger:
    """Return all that was found, and what was measured before of llama.cpps that were not measured again.

    Of `before`, the subjects that `found` has not are kept, and their comparisons with its first one. A VerifyError
    is raised where the two were measured with other references, or where the subject that comparisons are with is
    another llama.cpp than it was.
    """
    for name in SAME:
        if getattr(before, name) != getattr(found, name):
            raise _apart(f"the same {name}", f"others in {LEDGER.name}")
    measured = {subject.title for subject in found.subjects}
    kept = tuple(subject for subject in before.subjects if subject.title not in measured)
    first, then = found.subjects[0], before.subjects[0]
    if kept and (first.title, first.digest) != (then.title, then.digest):
        raise _apart(
            f"{then.title}, {then.digest}, which the others were compared with",
            f"{first.title}, {first.digest}",
        )
    titles = {subject.title for subject in kept}
    return msgspec.structs.replace(
        found,
        subjects=(*found.subjects, *kept),
        rows=(*found.rows, *(row for row in before.rows if row.subject in titles)),
        beyond=(*found.beyond, *(item for item in before.beyond if item.subject in titles)),
        comparisons=(*found.comparisons, *(item for item in before.comparisons if item.other in titles)),
    )


def _apart(expected: str, found: str) -> VerifyError:
    return VerifyError(
        where="fidelity --keep",
        expected=expected,
        found=found,
        fix="measure all of them in one run, without --keep",
    )
