"""The session `models`: fetches, verifies, inspects and lists models."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.cli.job import open_context, open_manifests
from recipes.cli.model_changes import add_addition, add_model, remove_models
from recipes.cli.options import CommandLineError, Parser, Session, add_common, positive
from recipes.core.errors import RecipeError
from recipes.core.filesystem import elsewhere_by, storage_errors
from recipes.fetch.download.piece_file import pieces_path, read_note
from recipes.fetch.fetcher import Fetcher
from recipes.models.chat_template import judge_templates
from recipes.models.fetch import ModelFetcher
from recipes.models.files import PinnedFile, missing, paths_by_role, pinned_files
from recipes.models.gguf.reader import GgufFile, read_gguf
from recipes.models.inspect import demand_sound, inspect
from recipes.models.loader.table import read_table
from recipes.models.named_file import is_file_name, model_path
from recipes.models.quantisation_chart import draw_mix
from recipes.models.report import inspection_lines, list_lines
from recipes.models.verify import verify_files
from recipes.store.stat_cache import is_unchanged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from recipes.manifest.load import Manifests
    from recipes.manifest.schema import Model
    from recipes.store.context import Context


MANIFESTS = "manifests in manifests/models/"


def add_options(parser: Parser) -> None:
    """Add the session's actions, each with its options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, summary: str, words: str, example: str) -> Parser:
        action = parser.add_action(actions, name, summary, example)
        action.add_argument("names", nargs="*" if "default" in words else "+", metavar="NAME", help=words)
        add_common(action, reads_manifests=True, default=argparse.SUPPRESS)
        return action

    fetch = add("fetch", "Download models, resumable, and verify them.", MANIFESTS, "qwen3-vl-2b-instruct")
    fetch.add_argument(
        "--from",
        dest="from_",
        type=Path,
        metavar="PATH",
        help="a local file or folder that may have the files; the hub's own cache is always searched",
    )
    fetch.add_argument(
        "--connections", type=positive, default=4, metavar="N", help="at a time for each file (default: 4)"
    )
    verify = add("verify", "Hash models again.", f"{MANIFESTS} (default: all)", "--full pocket")
    verify.add_argument(
        "--full", action="store_true", help="also read files that did not change since they were verified"
    )
    inspect = add(
        "inspect",
        "Show what models are made of, what is wrong with them, and the memory that they need.",
        f"{MANIFESTS}, or GGUF files",
        "./model.gguf --mmproj ./mmproj.gguf",
    )
    inspect.add_argument("--mmproj", type=Path, metavar="FILE", help="a projector to compare with")
    inspect.add_argument(
        "--recipe",
        metavar="NAME",
        help="the llama.cpp that shall load them: a manifest in manifests/recipes/ (default: the default recipe)",
    )
    inspect.add_argument(
        "--context",
        type=positive,
        default=8192,
        metavar="N",
        help="tokens to estimate memory for (default: 8192)",
    )
    inspect.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help="draw the mix of quantisations of one model there, as SVG",
    )
    add("list", "List models, and what of them is on this machine.", f"{MANIFESTS} (default: all)", "")
    add(
        "remove",
        "Remove models from this machine; those that were added are forgotten.",
        MANIFESTS,
        "my-model",
    )
    add_addition(
        add(
            "add",
            "Add a model of your own: a manifest outside the project, by digests.",
            "a GGUF file, or hf:OWNER/REPOSITORY[@REVISION]:FILE",
            "hf:unsloth/Qwen3-VL-8B-Instruct-GGUF:Qwen3-VL-8B-Instruct-Q4_K_M.gguf",
        )
    )


def run(options: argparse.Namespace) -> int:
    """Do what the action says; raise a RecipeError where it cannot be done."""
    actions: dict[str, Callable[[Manifests, Context, argparse.Namespace], int]] = {
        "fetch": _fetch,
        "verify": _verify,
        "inspect": _inspect,
        "list": _list,
        "remove": remove_models,
        "add": add_model,
    }
    return actions[options.action](open_manifests(options), open_context(), options)


def _named(manifests: Manifests, options: argparse.Namespace) -> list[Model]:
    return [manifests.model(name) for name in options.names or manifests.model_names()]


def _fetch(manifests: Manifests, context: Context, options: argparse.Namespace) -> int:
    fetcher = ModelFetcher(manifests, replace(Fetcher.of(context), connections=options.connections))
    for model in _named(manifests, options):
        for file in fetcher.fetch(model, options.from_):
            print(f"{file.file.role:<7} {file.path}")
    return 0


def _verify(manifests: Manifests, context: Context, options: argparse.Namespace) -> int:
    pinned = partial(_pinned, manifests, context, options)
    files = [file for model in _named(manifests, options) for file in pinned(model)]
    rows = verify_files(files, context, full=options.full)
    width = max((len(f"{row.file.model.name}: {row.file.name}") for row in rows), default=0)
    for row in rows:
        print(f"{row.state:<9} {f'{row.file.model.name}: {row.file.name}':<{width}}  {row.file.sha256}")
    absent = (missing(row.file) for row in rows if row.state == "absent" and options.names)
    first = next((row.error for row in rows if row.error), None) or next(absent, None)
    if first is not None:
        print(first, file=sys.stderr)
        return first.exit_code
    return 0


def _pinned(
    manifests: Manifests, context: Context, options: argparse.Namespace, model: Model
) -> tuple[PinnedFile, ...]:
    """Return a model's files; where no model was named, nothing of one that is not pinned."""
    try:
        return pinned_files(model, manifests, context.store)
    except RecipeError:
        if options.names:
            raise
        return ()


def _inspect(manifests: Manifests, context: Context, options: argparse.Namespace) -> int:
    if options.picture and len(options.names) > 1:
        text = "error: models -- inspect: --picture draws one model; name one, or leave it out"
        raise CommandLineError(text)
    recipe = manifests.recipe(options.recipe or manifests.defaults().recipe)
    table = read_table(manifests, recipe.name)
    for model, mmproj, title in _inspected(manifests, context, options):
        found = inspect(model, mmproj, options.context, table, judge_templates(model))
        print("\n".join(inspection_lines(found, options.context)))
        print(f"checked for:   the llama.cpp of {recipe.name}")
        if options.picture:
            with elsewhere_by("give --picture"), storage_errors(options.picture):
                shares = (*found.model_shares, *found.mmproj_shares)
                image = draw_mix(f"{title}: bytes by part and type", shares)
                options.picture.write_text(image, encoding="utf-8")
            print(f"image: {options.picture}")
        demand_sound(found, title)
    return 0


def _inspected(
    manifests: Manifests, context: Context, options: argparse.Namespace
) -> Iterator[tuple[GgufFile, GgufFile | None, str]]:
    """Return the heads of what was named: a model of the manifests, or a file."""
    for name in options.names:
        if is_file_name(name, manifests.model_names()):
            mmproj = read_gguf(options.mmproj) if options.mmproj else None
            yield read_gguf(model_path(name)), mmproj, Path(name).name
            continue
        model = manifests.model(name)
        paths = paths_by_role(model, manifests, context.store)
        yield read_gguf(paths["model"]), read_gguf(options.mmproj or paths["mmproj"]), model.name


def _list(manifests: Manifests, context: Context, options: argparse.Namespace) -> int:
    rows = [(model, _states(manifests, context, model)) for model in _named(manifests, options)]
    print("\n".join(list_lines(rows)))
    return 0


def _states(manifests: Manifests, context: Context, model: Model) -> list[str]:
    if any(file.sha256 is None for file in model.files):
        lock = f"python3 noxfile.py -s lock -- --model {model.name}"
        unlocked = f"unlocked, and refused until {lock} --write"
        return [unlocked if file.sha256 is None else "pinned" for file in model.files]
    return [_state(context, file) for file in pinned_files(model, manifests, context.store)]


def _state(context: Context, file: PinnedFile) -> str:
    if file.path.exists():
        verified = is_unchanged(file.path, file.sha256, context.store)
        return "here" if verified else "here, not verified since it changed"
    if (note := read_note(pieces_path(context.store, file.sha256))) and note.pieces:
        return f"{len(note.pieces) / note.layout.count:.0%} of it has arrived"
    return "not here"


SESSION = Session(
    "models", "Fetch, verify, inspect, list, add and remove models.", add_options, run, example="fetch --help"
)
