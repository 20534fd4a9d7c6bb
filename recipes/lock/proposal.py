"""New pins as text, pure: a new source and its patches -> the manifest that would say so, and the difference."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs
from packaging.utils import canonicalize_name

from recipes.build.plan.plan import make_plan
from recipes.core.digest import Sha1, Sha256
from recipes.manifest.edit_lists import NewItem, rename_key, rewrite_list
from recipes.manifest.edit_values import dump_canonical, replace_pins
from recipes.manifest.schema import (
    ArchiveOrigin,
    GitOrigin,
    Origin,
    Platform,
    PypiOrigin,
    Recipe,
    Source,
    Toolchain,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from recipes.build.plan.plan import Plan
    from recipes.manifest.strict_yaml import Steps

UNPINNED = "not built yet from these pins"
PAGE_UNPINNED = "not known until it is built from these pins"
IMAGE_UNPINNED = "not made yet of this bundle"
SHORTEST_COMMIT = 7  # git abbreviates no id to less
DAY_S = 86400


@dataclass(frozen=True)
class NewSource:
    """A new source: what one origin delivered, and what it is.

    `git` is where git has the same commit; None to leave that to the manifest. The commit and the build number are as
    upstream names them; `epoch` is midnight of its day, in seconds since 1970.
    """

    origin: PypiOrigin | ArchiveOrigin
    git: GitOrigin | None
    commit: Sha1
    build_number: int
    tree: Sha1
    tree_sha256: Sha256
    epoch: int


class PatchPin(NamedTuple):
    """What is pinned of one patch, by its number in the series, from 0."""

    number: int
    sha256: Sha256
    tree: Sha1
    tree_sha256: Sha256


class Placed(NamedTuple):
    """An origin, and the one in the manifest that it stays or succeeds; None where it is new."""

    origin: Origin
    before: int | None


class Change(NamedTuple):
    """One file of the project, by its path from there; None where there was none, or is none any more."""

    path: str
    old: str | None
    new: str | None


def choose_origins(
    old: Sequence[Origin], new: PypiOrigin | ArchiveOrigin, git: GitOrigin | None, *, same_tree: bool
) -> tuple[Placed, ...]:
    """Decide which origins a source has from now on.

    Origins of one source are interchangeable. So one that gives the pinned tree joins the others; and where the tree is
    another, only git stays, which gives any commit that it is asked for. The new one succeeds one of the same package,
    its own version first, or of the same address. `git` is added where the manifest has none.
    """
    alike = [index for index, origin in enumerate(old) if _place(origin) == _place(new)]
    succeeded = min(alike, key=lambda index: _version(old[index]) != _version(new), default=None)
    placed = [
        Placed(new if index == succeeded else origin, index)
        for index, origin in enumerate(old)
        if index == succeeded or same_tree or isinstance(origin, GitOrigin)
    ]
    if succeeded is None:
        at = next((at for at, one in enumerate(placed) if isinstance(one.origin, GitOrigin)), len(placed))
        placed.insert(at, Placed(new, None))
    if git and not any(isinstance(one.origin, GitOrigin) for one in placed):
        placed.append(Placed(git, None))
    return tuple(placed)


def propose_source(text: str, recipe: Recipe, found: NewSource) -> str:
    """Return the manifest that pins a new source; patches and outputs stay as they are.

    This and the functions below raise ValueError where the manifest is laid out so that it cannot be edited in place.
    """
    source = recipe.source
    result = _write_origins(text, source, found)
    fields = ("commit", "build_number", "tree", "tree_sha256", "epoch")
    changed = [name for name in fields if getattr(found, name) != getattr(source, name)]
    result = replace_pins(result, {("source", name): _scalar(getattr(found, name)) for name in changed})
    if "epoch" in changed:
        old, new = _date(source.epoch), _date(found.epoch)
        result = re.sub(rf"(?m)^( *epoch: *{found.epoch} *#.*?){re.escape(old)}", rf"\g<1>{new}", result)
    return replace_pins(result, _build_identity(recipe, found))


def propose_patches(text: str, recipe: Recipe, pins: Sequence[PatchPin]) -> str:
    """Return the manifest with these pins of its patches."""
    changes: dict[Steps, str] = {}
    for pin in pins:
        for name in ("sha256", "tree", "tree_sha256"):
            value = getattr(pin, name)
            if value != getattr(recipe.patches[pin.number], name):
                changes["patches", pin.number, name] = value.hex
    return replace_pins(text, changes)


def unpin_outputs(
    text: str,
    before: Recipe,
    after: Recipe,
    toolchain: Callable[[str], Toolchain],
    may_give: Callable[[Plan], bool],
) -> str:
    """Return the manifest without the output digests that its new pins no longer give.

    `may_give` tells whether the output that is pinned can come out of a plan.
    """
    for name, platform in before.platforms.items():
        tools = toolchain(platform.toolchain)
        plan = make_plan(after, name, tools)
        same_plan = make_plan(before, name, tools).digest == plan.digest
        if platform.output is not None and not (same_plan and may_give(plan)):
            text = rename_key(text, ("platforms", name, "output"), "output_unpinned", UNPINNED)
            text = _unpin_image(text, platform, name)
    return text


def unpin_page(text: str, before: Recipe, after: Recipe) -> str:
    """Return the manifest without the digest of a page that is built from another source, or called another build's."""
    page = before.page
    made_of = [(each.source.commit, each.source.epoch, each.page) for each in (before, after)]
    if page is None or page.tree_sha256 is None or made_of[0] == made_of[1]:
        return text
    return rename_key(text, ("page", "tree_sha256"), "tree_unpinned", PAGE_UNPINNED)


def propose_page(text: str, recipe: Recipe, digest: Sha256) -> str:
    """Return the manifest that pins the digest of the page, which the recipe has."""
    if recipe.page is not None and recipe.page.tree_unpinned is not None:
        return rename_key(text, ("page", "tree_unpinned"), "tree_sha256", digest.hex)
    return replace_pins(text, {("page", "tree_sha256"): digest.hex})


def propose_output(text: str, recipe: Recipe, platform: str, digest: Sha256) -> str:
    """Return the manifest that pins the digest of a platform's bundle; of another bundle no image is pinned."""
    path: Steps = ("platforms", platform)
    before = recipe.platforms[platform]
    if before.output is None:
        return rename_key(text, (*path, "output_unpinned"), "output", digest.hex)
    text = replace_pins(text, {(*path, "output"): digest.hex})
    return text if before.output == digest else _unpin_image(text, before, platform)


def propose_image(text: str, recipe: Recipe, platform: str, digest: Sha256) -> str:
    """Return the manifest that pins the digest of a platform's container image, which pins its bundle already."""
    path: Steps = ("platforms", platform)
    if recipe.platforms[platform].image_unpinned is not None:
        return rename_key(text, (*path, "image_unpinned"), "image", digest.hex)
    return replace_pins(text, {(*path, "image"): digest.hex})


def _unpin_image(text: str, before: Platform, name: str) -> str:
    if before.image is None:
        return text
    return rename_key(text, ("platforms", name, "image"), "image_unpinned", IMAGE_UNPINNED)


def unified_diff(changes: Sequence[Change]) -> str:
    """Return the changes as `git apply` and `patch -p1` take them; empty where nothing changes."""
    parts: list[str] = []
    for change in changes:
        old, new = (text.splitlines(keepends=True) for text in (change.old or "", change.new or ""))
        before = "/dev/null" if change.old is None else f"a/{change.path}"
        after = "/dev/null" if change.new is None else f"b/{change.path}"
        for line in difflib.unified_diff(old, new, before, after):
            parts += [line] if line.endswith("\n") else [f"{line}\n", "\\ No newline at end of file\n"]
    return "".join(parts)


def find_old_names(text: str, source: Source) -> tuple[tuple[int, str], ...]:
    """Return the lines, from 1, in which a manifest still names its former source."""
    commit = source.commit.hex[:SHORTEST_COMMIT]
    names = rf"b{source.build_number}|{commit}[0-9a-f]*|{_date(source.epoch)}"
    pattern = re.compile(rf"(?<![0-9A-Za-z])({names})(?![0-9A-Za-z])")
    return tuple((number, line) for number, line in enumerate(text.splitlines(), 1) if pattern.search(line))


def midnight(time_s: float) -> int:
    """Return the beginning of a day, in UTC: builds need a fixed time, and nothing finer than the day."""
    return int(time_s) // DAY_S * DAY_S


def _place(origin: Origin) -> tuple[str, str]:
    if isinstance(origin, PypiOrigin):
        return "pypi", canonicalize_name(origin.project)
    return ("git" if isinstance(origin, GitOrigin) else "archive"), origin.url


def _version(origin: Origin) -> str:
    return origin.version if isinstance(origin, PypiOrigin) else ""


def _write_origins(text: str, source: Source, found: NewSource) -> str:
    placed = choose_origins(source.origins, found.origin, found.git, same_tree=found.tree == source.tree)
    items: list[int | NewItem] = []
    changes: dict[Steps, str] = {}
    for at, (origin, index) in enumerate(placed):
        old = source.origins[index] if index is not None else None
        scalars = _scalars_to_change(old, origin)
        if old is None or index is None or scalars is None:
            items.append(NewItem(dump_canonical(origin), index))
        else:
            items.append(index)
            changes |= {("source", "origins", at, name): value for name, value in scalars.items()}
    if items != list(range(len(source.origins))):
        text = rewrite_list(text, ("source", "origins"), items)
    return replace_pins(text, changes)


def _scalars_to_change(old: Origin | None, new: Origin) -> Mapping[str, str] | None:
    """Return what makes one origin the other where only values differ; None where keys or lists do."""
    if type(old) is not type(new):
        return None
    before, after = structs.asdict(old), structs.asdict(new)
    changed = {name: (before[name], value) for name, value in after.items() if before[name] != value}
    if any(isinstance(value, tuple) or None in {was, value} for was, value in changed.values()):
        return None
    return {name: _scalar(value) for name, (_, value) in changed.items()}


def _build_identity(recipe: Recipe, found: NewSource) -> dict[Steps, str]:
    """Return what tells the builds of programs and page their number and commit, as far as it says the pinned ones."""
    commit = recipe.source.commit.hex
    changes: dict[Steps, str] = {}
    numbers = {f"{sign}{recipe.source.build_number}": f"{sign}{found.build_number}" for sign in ("", "b")}
    if recipe.page is not None:
        for name, value in recipe.page.environment.items():
            if value in numbers:
                changes["page", "environment", name] = numbers[value]
    holders: list[tuple[Steps, Mapping[str, str]]] = [((), recipe.cmake)]
    holders += ((("platforms", name), platform.cmake) for name, platform in recipe.platforms.items())
    for path, options in holders:
        for option, value in options.items():
            steps: Steps = (*path, "cmake", option)
            if option.endswith("BUILD_NUMBER") and value == str(recipe.source.build_number):
                changes[steps] = str(found.build_number)
            if option.endswith("BUILD_COMMIT") and len(value) >= SHORTEST_COMMIT and commit.startswith(value):
                changes[steps] = found.commit.hex[: len(value)]
    return changes


def _scalar(value: object) -> str:
    return value.hex if isinstance(value, Sha1 | Sha256) else str(value)


def _date(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).date().isoformat()
