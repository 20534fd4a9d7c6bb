"""What the last releases of this project pin: read from the manifests of its git tags, and from those that lie here."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from recipes.core.errors import RecipeError, UsageError
from recipes.core.process import Command, capture
from recipes.manifest.strict_yaml import read
from recipes.registry.collect import Pinned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from recipes.manifest.strict_yaml import Value

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


def find_pinned(project: Path, most: int) -> tuple[Pinned, tuple[str, ...]]:
    """Return what the manifests here and those of the last `most` releases pin, and the names of those releases.

    Raises UsageError where git cannot say which releases there are, and ManifestError where a recipe cannot be read.
    """
    names = tuple(_git(project, "tag", "--list", RELEASES, "--sort=-creatordate").split()[:most])
    documents = [
        read(path.read_text("utf-8"), str(path)).data for path in sorted((project / FOLDER).glob("*.yaml"))
    ]
    for name in names:
        documents += [read(text, f"{name}:{path}").data for path, text in _recipes_of(project, name)]
    return pins_of(documents), names


def _recipes_of(project: Path, name: str) -> Iterator[tuple[str, str]]:
    for path in _git(project, "ls-tree", "--name-only", f"{name}:{FOLDER}").splitlines():
        if path.endswith(".yaml"):
            yield path, _git(project, "show", f"{name}:{FOLDER}/{path}")


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
