"""What a bump would change, as a table for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from recipes.lock.succession import SHOWN_DIGITS
from recipes.manifest.schema import ArchiveOrigin, GitOrigin, PypiOrigin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recipes.lock.bump_recipe import RecipeBump
    from recipes.lock.proposal import Change
    from recipes.manifest.schema import Origin

Row = tuple[str, str, str]


def table_of(bump: RecipeBump) -> str:
    """Return the table of one recipe; each row is of something that changes, or that a person must look at."""
    before, after = bump.before, bump.after
    head = (
        before.name if before.name == after.name else f"{before.name} -> {after.name}, a new recipe beside it"
    )
    return f"{head}\n{align([*_source(bump), *_patches(bump), *_build(bump), *_looks(bump)])}"


def table_of_model(name: str, change: Change, differing: Sequence[str]) -> str:
    """Return the table of one model."""
    state = "changed" if change.old != change.new else "as pinned"
    return align([("model", name, state), *(("", "", f"other bytes: {line}") for line in differing)])


def align(rows: Sequence[Row]) -> str:
    """Return rows as lines, in columns."""
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return "\n".join(f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows)


def _source(bump: RecipeBump) -> Iterator[Row]:
    old, new = bump.before.source, bump.new
    yield "build", f"b{old.build_number} of {_day(old.epoch)}", f"b{new.build_number} of {_day(new.epoch)}"
    yield "commit", old.commit.hex[:SHOWN_DIGITS], new.commit.hex
    yield "tree", old.tree.hex[:SHOWN_DIGITS], new.tree.hex
    for number, origin in enumerate(bump.after.source.origins):
        yield "origins" if number == 0 else "", "", _origin(origin)
    for name, was, becomes in bump.vendored:
        yield name, was.partition("@")[2], becomes.partition("@")[2]


def _patches(bump: RecipeBump) -> Iterator[Row]:
    for one in bump.series:
        file = one.trial.file.rpartition("/")[2]
        yield f"patch {one.number + 1}", one.outcome.value, file
        for note in one.notes:
            yield "", "", f"  {note}"


def _build(bump: RecipeBump) -> Iterator[Row]:
    options = bump.options
    for place in options.new:
        yield "cmake", "new, not named", place
    for place in options.gone:
        yield "cmake", "named, and gone", place
    if options.kept:
        yield "cmake", "not named, in both", ", ".join(place.partition(" ")[0] for place in options.kept)
    if (page := bump.after.page) is not None:
        if bump.page_packages:  # else it cannot be written, for a reason that is said
            yield (
                "page",
                "packages",
                f"{bump.page_packages}, each by digest in {page.folder}/package-lock.json",
            )
        before = bump.before.page.environment if bump.before.page else {}
        for name, value in page.environment.items():
            if before.get(name) != value:
                yield "page", name, value
        yield "page", "unpinned", f"its tree: {page.tree_unpinned}"
    for name, platform in bump.after.platforms.items():
        if bump.before.platforms[name].output is not None:
            yield "output", "unpinned", f"{name}: {platform.output_unpinned}"


def _looks(bump: RecipeBump) -> Iterator[Row]:
    for look in bump.looks:
        if look.why:
            yield "advisory", look.status, f"{look.advisory}: look again: {look.why}"
    for line in bump.by_hand:
        yield "by hand", "names the old one", line
    for change in bump.changes:
        state = "new" if change.old is None else "removed" if change.new is None else "changed"
        yield "file", state, change.path


def _origin(origin: Origin) -> str:
    match origin:
        case PypiOrigin():
            return f"{origin.project}=={origin.version}"
        case ArchiveOrigin() | GitOrigin():
            return origin.url


def _day(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).date().isoformat()
