"""Which recipe a newer source makes, under which name, and the line that the changelog gets. Pure.

A recipe that is named after its build keeps its source: b6751 is succeeded by a new recipe b6900, which begins as its
copy, with patches of its own. A recipe with another name, as `current`, is changed where it stands.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from msgspec import structs

from recipes.lock.rebase import Outcome
from recipes.manifest.edit_lists import rewrite_list
from recipes.manifest.edit_values import replace_pins

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from recipes.lock.proposal import NewSource
    from recipes.lock.rebase import Rebased
    from recipes.manifest.schema import Recipe
    from recipes.manifest.strict_yaml import Steps

SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Successor:
    """A recipe's text and itself, as they are before the new source is pinned: under its new name, if it gets one.

    `files` are where its patches lie from now on, below patches/.
    """

    recipe: Recipe
    text: str
    files: tuple[str, ...]


def is_named_after_build(recipe: Recipe) -> bool:
    """Whether a recipe's name is that of its build."""
    return recipe.name == f"b{recipe.source.build_number}"


def succeed(recipe: Recipe, text: str, build_number: int, shared: Collection[str]) -> Successor:
    """Return what a recipe's new pins are written into.

    `shared` are files of patches that other recipes pin too: where the recipe stays, these are left to the others.
    Raises ValueError where the manifest is laid out so that it cannot be edited in place.
    """
    name = f"b{build_number}" if is_named_after_build(recipe) else recipe.name
    files = tuple(
        patch.file
        if name == recipe.name and patch.file not in shared
        else _below(name, recipe.name, patch.file)
        for patch in recipe.patches
    )
    changes: dict[Steps, str] = {("name",): name} if name != recipe.name else {}
    for number, (patch, file) in enumerate(zip(recipe.patches, files, strict=True)):
        if file != patch.file:
            changes["patches", number, "file"] = file
    patches = tuple(
        structs.replace(patch, file=file) for patch, file in zip(recipe.patches, files, strict=True)
    )
    text = replace_pins(text, changes) if changes else text
    if name != recipe.name:  # as evidence names them
        text = text.replace(f"patches/{recipe.name}/", f"patches/{name}/")
    return Successor(structs.replace(recipe, name=name, patches=patches), text, files)


def keep_patches(successor: Successor, kept: Sequence[int]) -> Successor:
    """Return it with some of its patches only, by their numbers; raises ValueError as `succeed` does."""
    if len(kept) == len(successor.files):
        return successor
    recipe = successor.recipe
    return Successor(
        structs.replace(recipe, patches=tuple(recipe.patches[number] for number in kept)),
        rewrite_list(successor.text, ("patches",), list(kept)),
        tuple(successor.files[number] for number in kept),
    )


def changelog_line(before: Recipe, after: Recipe, new: NewSource, series: Sequence[Rebased]) -> str:
    """Return what the changelog says of a bump."""
    counts = Counter(one.outcome for one in series)
    patches = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome if counts[outcome])
    day = datetime.fromtimestamp(new.epoch, UTC).date().isoformat()
    source = f"llama.cpp b{new.build_number} of {day}, commit {new.commit.hex[:SHOWN_DIGITS]}"
    subject = (
        f"the recipe `{after.name}` succeeds `{before.name}`"
        if after.name != before.name
        else f"`{after.name}`"
    )
    return f"- Pins: {subject}: {source}" + (f"; patches: {patches}." if patches else ".")


def add_to_changelog(text: str, lines: Sequence[str]) -> str:
    """Return a changelog (keepachangelog.com) with lines under `Changed` of what is not released yet."""
    added = "".join(f"{line}\n" for line in lines)
    unreleased = re.search(r"(?m)^## \[Unreleased\][^\n]*\n", text)
    if unreleased is None:
        first = re.search(r"(?m)^## ", text)
        at = first.start() if first else len(text)
        return f"{text[:at]}## [Unreleased]\n\n### Changed\n\n{added}\n{text[at:]}"
    following = re.compile(r"(?m)^## ").search(text, unreleased.end())
    end = following.start() if following else len(text)
    changed = re.compile(r"(?m)^### Changed[^\n]*\n\n?").search(text, unreleased.end(), end)
    if changed:
        return text[: changed.end()] + added + text[changed.end() :]
    gap = "" if text[:end].endswith("\n\n") else "\n" if text[:end].endswith("\n") else "\n\n"
    return f"{text[:end]}{gap}### Changed\n\n{added}" + ("\n" if text[end:] else "") + text[end:]


def _below(name: str, before: str, file: str) -> str:
    path = PurePosixPath(file)
    rest = path.relative_to(before) if path.is_relative_to(before) else PurePosixPath(path.name)
    return str(PurePosixPath(name) / rest)
