"""The session `models`: fetches, verifies, inspects and lists models."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.errors import RecipeError, UsageError
from recipes.core.filesystem import storage_errors
from recipes.fetch.download.piece_file import read_note
from recipes.models.fetch import ModelFetcher, pieces_path
from recipes.models.files import PinnedFile, missing, pinned_files
from recipes.models.gguf.reader import GgufFile, read_gguf
from recipes.models.inspect import inspect
from recipes.models.quantisation_chart import draw_mix
from recipes.models.report import inspection_lines, list_lines
from recipes.models.require_sound import demand_sound
from recipes.models.verify import verify_files
from recipes.store.stat_cache import is_unchanged

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from recipes.core.console import Console
    from recipes.core.settings import Settings
    from recipes.manifest.load import Manifests
    from recipes.manifest.schema import Model
    from recipes.store.store import Store


@dataclass(frozen=True)
class ModelJob:
    """What the session works with.

    Parameters
    ----------
    manifests, store, console, settings
        What is pinned, where to, who is told, and what the user asked for.
    """

    manifests: Manifests
    store: Store
    console: Console
    settings: Settings


def run_models(job: ModelJob, options: argparse.Namespace) -> int:
    """Do what the options say.

    Raises
    ------
    RecipeError
        Where it cannot be done.
    """
    actions = {"fetch": _fetch, "verify": _verify, "inspect": _inspect, "list": _list}
    return actions[options.action](job, options)


def _named(job: ModelJob, options: argparse.Namespace, *, needs_one: bool) -> list[Model]:
    names: Sequence[str] = options.names or (() if needs_one else job.manifests.model_names())
    if not names:
        known = job.manifests.model_names()
        raise UsageError(
            where=f"models -- {options.action}",
            expected="the name of a model",
            found="none",
            fix=f"python3 noxfile.py -s models -- {options.action} {known[0] if known else 'NAME'}",
        )
    return [job.manifests.model(name) for name in names]


def _fetch(job: ModelJob, options: argparse.Namespace) -> int:
    fetcher = ModelFetcher(
        job.manifests, job.store, job.console, job.settings, connections=options.connections
    )
    for model in _named(job, options, needs_one=True):
        for file in fetcher.fetch(model, options.from_):
            print(f"{file.file.role:<7} {file.path}")
    return 0


def _verify(job: ModelJob, options: argparse.Namespace) -> int:
    files = [file for model in _named(job, options, needs_one=False) for file in _pinned(job, model, options)]
    rows = verify_files(files, job.store, job.console, full=options.full)
    width = max((len(f"{row.file.model.name}: {row.file.name}") for row in rows), default=0)
    for row in rows:
        print(f"{row.state:<9} {f'{row.file.model.name}: {row.file.name}':<{width}}  {row.file.sha256}")
    absent = (missing(row.file) for row in rows if row.state == "absent" and options.names)
    first = next((row.error for row in rows if row.error), None) or next(absent, None)
    if first is not None:
        print(first, file=sys.stderr)
        return first.exit_code
    return 0


def _pinned(job: ModelJob, model: Model, options: argparse.Namespace) -> tuple[PinnedFile, ...]:
    """Give a model's files; where no model was named, nothing of one that is not pinned."""
    try:
        return pinned_files(model, job.manifests, job.store)
    except RecipeError:
        if options.names:
            raise
        return ()


def _inspect(job: ModelJob, options: argparse.Namespace) -> int:
    for model, mmproj, title in _inspected(job, options):
        found = inspect(model, mmproj, options.context)
        print("\n".join(inspection_lines(found, options.context)))
        if options.picture:
            with storage_errors(options.picture):
                picture = draw_mix(
                    f"{title}: bytes by part and type", (*found.model_shares, *found.mmproj_shares)
                )
                options.picture.write_text(picture, encoding="utf-8")
            print(f"picture: {options.picture}")
        demand_sound(found, title)
    return 0


def _inspected(job: ModelJob, options: argparse.Namespace) -> Iterator[tuple[GgufFile, GgufFile | None, str]]:
    """Give the heads of what was named: a model of the manifests, or a file."""
    for name in options.names or [None]:
        if name is not None and (name.endswith(".gguf") or "/" in name):
            yield (
                read_gguf(Path(name)),
                read_gguf(options.mmproj) if options.mmproj else None,
                Path(name).name,
            )
            continue
        options.names = [name] if name else []
        (model,) = _named(job, options, needs_one=True)
        paths = {}
        for file in pinned_files(model, job.manifests, job.store):
            if not file.path.exists():
                raise missing(file)
            paths[file.file.role] = file.path
        yield read_gguf(paths["model"]), read_gguf(options.mmproj or paths["mmproj"]), model.name


def _list(job: ModelJob, options: argparse.Namespace) -> int:
    rows = [(model, _states(job, model)) for model in _named(job, options, needs_one=False)]
    print("\n".join(list_lines(rows)))
    return 0


def _states(job: ModelJob, model: Model) -> list[str]:
    if any(file.sha256 is None for file in model.files):
        lock = f"python3 noxfile.py -s lock -- --model {model.name}"
        return [
            f"unlocked, and refused until {lock} --write" if f.sha256 is None else "pinned"
            for f in model.files
        ]
    return [_state(job, file) for file in pinned_files(model, job.manifests, job.store)]


def _state(job: ModelJob, file: PinnedFile) -> str:
    if file.path.exists():
        return (
            "here"
            if is_unchanged(file.path, file.sha256, job.store)
            else "here, not verified since it changed"
        )
    note = read_note(pieces_path(file, job.store))
    if note is not None and note.pieces:
        return f"{len(note.pieces) / note.layout.count:.0%} of it has arrived"
    return "not here"
