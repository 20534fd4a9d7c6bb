"""`models -- add` and `models -- remove`: what a user has besides the project's models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recipes.cli.options import CommandLineError
from recipes.core.errors import UsageError
from recipes.core.filesystem import size_text
from recipes.core.invocation import this_command
from recipes.models.own_files import own_model
from recipes.models.own_manifest import write_own
from recipes.models.remove import remove_model
from recipes.serve.running import running_servers

if TYPE_CHECKING:
    import argparse

    from recipes.cli.options import Parser
    from recipes.manifest.load import Manifests
    from recipes.store.context import Context

HUB_PREFIX = "hf:"


def add_addition(parser: Parser) -> None:
    """Add the options of `add`."""
    parser.add_argument(
        "--mmproj",
        metavar="FILE",
        help="its projector: a file, or one of the same repository (default: the only one beside it)",
    )
    parser.add_argument("--name", metavar="NAME", help="what it is called here (default: as its file)")


def add_model(manifests: Manifests, context: Context, options: argparse.Namespace) -> int:
    """Pin a model of a hub, or take files of this machine; raise a RecipeError where they are no model."""
    if len(options.names) > 1:
        raise CommandLineError(
            f"error: models -- add: one model at a time; `{options.names[1]}` is one word too many"
        )
    word = options.names[0]
    if word.startswith(HUB_PREFIX):
        from recipes.lock.own_model import pin_hub_model  # it needs the hub's client

        again = this_command(f"models add {word}")
        model = pin_hub_model(manifests, context, word, options.mmproj, options.name, again)
    else:
        mmproj = Path(options.mmproj) if options.mmproj else None
        model = own_model(manifests, context, word, mmproj, options.name)
    path = write_own(manifests, model)
    for file in model.files:
        print(f"{file.role:<7} {file.name}, {size_text(file.size_bytes)}, sha256 {file.sha256.hex}")
    if model.revision:
        print(f"commit  {model.revision.hex}")
    print(f"written {path}")
    print(model.trusts)
    print(f"python3 noxfile.py -s serve -- --model {model.name}")
    return 0


def remove_models(manifests: Manifests, context: Context, options: argparse.Namespace) -> int:
    """Remove models; raise a RecipeError for one that runs or cannot be removed."""
    models = [manifests.model(name) for name in options.names]
    for server in running_servers(context.store):
        for name in set(server.models) & set(options.names):
            raise UsageError(
                where=f"models -- remove: {name}",
                expected="a model that no server uses",
                found=f"{server.base} serves it",
                fix=f"python3 noxfile.py -s serve -- --stop {server.port}, then {this_command('models')}",
            )
    for model in models:
        freed = remove_model(manifests, context, model)
        print(f"removed {model.name}: {size_text(freed)} freed")
    return 0
