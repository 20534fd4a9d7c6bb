"""What the last releases of this project need: by the manifests of its git tags, and by those that lie here."""

from __future__ import annotations

import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.plan.plan import make_plan
from recipes.build.toolchain.toolchain import PLACE, runtime_key, toolchain_key
from recipes.core.errors import RecipeError, UsageError
from recipes.core.filesystem import storage_errors
from recipes.core.process import Command, capture
from recipes.manifest.load import Manifests
from recipes.manifest.strict_yaml import read
from recipes.registry.collect import Pinned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from recipes.manifest.strict_yaml import Value
    from recipes.store.context import Context

FOLDER = "manifests/recipes"
RELEASES = "v*"  # how the tags of releases are named
GIT_TIMEOUT_S = 60.0


def pins_of(documents: Iterable[Value]) -> Pinned:
    """Return what recipes pin, whatever their schema's version: outputs, the last patched source, the page. Pure."""
    trees: set[str] = set()
    unpinned: set[str] = set()
    for document in documents:
        recipe = _table(document)
        source = _table(recipe.get("source"))
        patches = recipe.get("patches")
        last = _table(patches[-1]) if isinstance(patches, list) and patches else source
        trees |= {
            str(each["tree_sha256"])
            for each in (source, last, _table(recipe.get("page")))
            if "tree_sha256" in each
        }
        for name, platform in _table(recipe.get("platforms")).items():
            if output := _table(platform).get("output"):
                trees.add(str(output))
            else:
                unpinned.add(f"{recipe.get('name')}@{name}")
    return Pinned(frozenset(trees), frozenset(unpinned))


def runtimes_of(manifests: Manifests) -> frozenset[str]:
    """Return the tags of all runtime libraries that a recipe is built with, on each machine with a pinned compiler.

    Raises what loading the manifests raises.
    """
    found = set[str]()
    for recipe in map(manifests.recipe, manifests.recipe_names()):
        for name, platform in recipe.platforms.items():
            toolchain = manifests.toolchain(platform.toolchain)
            if (plan := make_plan(recipe, name, toolchain)).hermetic:
                unpacked = (toolchain_key(toolchain, host) for host in toolchain.hosts)
                found |= {runtime_key(plan, each, PLACE) for each in unpacked}
    return frozenset(found)


def find_pinned(context: Context, manifests: Manifests, most: int) -> tuple[Pinned, tuple[str, ...]]:
    """Return what the manifests here and those of the last `most` releases pin, and the names of those releases.

    What runtime libraries are called is asked of this version. Raises UsageError where git cannot say which releases
    there are, ManifestError where a recipe cannot be read, and StoreError where the disk refuses.
    """
    project = manifests.project
    names = tuple(_git(project, "tag", "--list", RELEASES, "--sort=-creatordate").split()[:most])
    pins, runtimes, unread = _pins_in(project, project), runtimes_of(manifests), list[str]()
    for name in names:
        with context.store.scratch("release-of-gc") as scratch:
            archive = scratch / "release.tar"
            _git(project, "archive", "--format=tar", f"--output={archive}", name)
            with storage_errors(scratch), tarfile.open(archive) as tar:
                tar.extractall(scratch / "release", filter="data")
            pins += _pins_in(scratch / "release", Path(name))
            try:
                runtimes |= runtimes_of(Manifests(scratch / "release"))
            except RecipeError as error:
                context.console.warn(
                    f"runtime libraries stay: this version cannot read {name}: {error.where}"
                )
                unread.append(name)
    return replace(pins_of(pins), runtimes=runtimes, unread=tuple(unread)), names


def _pins_in(project: Path, shown: Path) -> list[Value]:
    return [
        read(path.read_text("utf-8"), str(shown / FOLDER / path.name)).data
        for path in sorted((project / FOLDER).glob("*.yaml"))
    ]


def _git(project: Path, *words: str) -> str:
    program = shutil.which("git")
    environment = {"PATH": os.defpath, "HOME": os.environ.get("HOME", "/")}
    try:
        if program is None:
            raise FileNotFoundError("the program git is not installed")
        done = capture(Command((program, "-C", str(project), *words), project, environment), GIT_TIMEOUT_S)
    except OSError as error:
        raise _no_releases(project, str(error)) from error
    if done.status != 0:
        raise _no_releases(project, done.err.strip())
    return done.out


def _no_releases(project: Path, found: str) -> RecipeError:
    return UsageError(
        where=str(project),
        expected="a git repository with this project's releases, whose manifests say what is still needed",
        found=found,
        fix="run it in a clone with its tags: git fetch --tags",
    )


def _table(value: Value | None) -> Mapping[str, Value]:
    return value if isinstance(value, dict) else {}
