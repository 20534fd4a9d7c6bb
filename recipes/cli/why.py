"""The session `why`: what differs between two plans, records, bundles, archives or commits, down to the pin."""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.plan.difference import Difference, compare_records
from recipes.build.plan.plan import make_plan
from recipes.cli.job import open_manifests
from recipes.cli.options import Parser, Session, add_platform
from recipes.core.errors import RecipeError, UndecidedError, UsageError
from recipes.core.filesystem import shown
from recipes.manifest.load import Manifests

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from recipes.core.digest import TreeEntry

ANY_OF = (
    "RECIPE@PLATFORM; a build.json, a bundle's folder or archive;"
    " or a commit of this repository, as COMMIT or COMMIT:RECIPE@PLATFORM"
)
MOST_RECORD_BYTES = 4 << 20
GIT_S = 60.0
SHOWN_CHARACTERS = 60
SHOWN_DIGITS = 12  # of a digest
DIGEST = re.compile(r"\b[0-9a-f]{40,64}\b")


@dataclass(frozen=True)
class Side:
    """One of the two: what it is, its record, and where it is a bundle, its folder and the digest of each file."""

    name: str
    record: Mapping[str, object]
    folder: Path | None = None
    files: Mapping[str, TreeEntry] | None = None


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    parser.add_argument("left", metavar="A", help=ANY_OF)
    parser.add_argument("right", metavar="B", help="the same")
    add_platform(parser, architecture=False)


def run(options: argparse.Namespace) -> int:
    """Print a table of what differs."""
    with ExitStack() as stack:
        left, right = (stack.enter_context(_side(text, options)) for text in (options.left, options.right))
        print(f"A: {left.name}\nB: {right.name}")
        rows = compare_records(left.record, right.record)
        print_table(rows)
        lines = list(_files(left, right))
        for line in lines or ([] if rows else ["nothing differs"]):
            print(line)
    return 0


def print_table(rows: tuple[Difference, ...]) -> None:
    """Print a row for each difference: what it is, its value in A and in B, and where it is pinned."""
    if not rows:
        return
    table = [("what", "A", "B", "pinned in")]
    table += [(shown(row.what), _clip(row.left), _clip(row.right), shown(row.pin) or "-") for row in rows]
    widths = [max(len(cells[column]) for cells in table) for column in range(3)]
    for cells in table:
        print("  ".join((*(cell.ljust(width) for cell, width in zip(cells, widths, strict=False)), cells[3])))


@contextmanager
def _side(text: str, options: argparse.Namespace) -> Iterator[Side]:
    """Yield one of the two; raises UsageError where a text names nothing."""
    manifests = open_manifests(options)
    path = Path(text)
    if path.is_file() and path.suffix == ".json":
        yield Side(text, _record(path.read_bytes()[:MOST_RECORD_BYTES], text))
    elif path.exists():
        from recipes.cli.evidence_input import opened_bundle

        with opened_bundle(path) as (folder, subject):
            yield Side(f"{text}, {subject.tree}", _record(subject.record or b"", text), folder, subject.files)
    elif "@" in text and ":" not in text:
        yield Side(f"{text}, of this checkout", _plan(manifests, text, options))
    else:
        with _at_commit(manifests.project, text) as (commit, older, chosen):
            yield Side(
                f"{chosen or 'the default recipe'} at {commit}", _plan_at(older, chosen, options, text)
            )


def _record(data: bytes, where: str) -> Mapping[str, object]:
    """Return a record: build.json, or a plan alone."""
    from recipes.evidence.json_document import read_object

    try:
        content = read_object(data)
    except ValueError as error:
        content, found = {}, str(error)
    else:
        found = "an object without a plan"
    if "plan" in content:
        return content
    if "inputs" in content:
        return {"plan": content}
    raise UsageError(
        where=shown(where),
        expected="a bundle with a build.json, or such a file",
        found=found,
        fix="name what `build` made",
    )


def _plan(manifests: Manifests, chosen: str, options: argparse.Namespace) -> Mapping[str, object]:
    """Return the record that a recipe and platform would give."""
    from recipes.build.toolchain.toolchain import default_platform

    recipe_name, _, platform = chosen.partition("@")
    recipe = manifests.recipe(recipe_name or options.recipe or manifests.defaults().recipe)
    name = platform or options.platform or default_platform(manifests.defaults(), recipe)
    toolchain = manifests.toolchain(manifests.platform(recipe, name).toolchain)
    return make_plan(recipe, name, toolchain).record()


def _plan_at(
    manifests: Manifests, chosen: str, options: argparse.Namespace, text: str
) -> Mapping[str, object]:
    try:
        return _plan(manifests, chosen, options)
    except UsageError:
        raise
    except RecipeError as error:
        raise UndecidedError(
            where=f"{text}: {error.where}",
            expected="manifests that this checkout's code can read",
            found=f"{error.found}; expected {error.expected}",
            fix="check that commit out and build there: then name its build.json",
        ) from error


@contextmanager
def _at_commit(project: Path, text: str) -> Iterator[tuple[str, Manifests, str]]:
    """Yield the manifests of a commit: its id, they, and the recipe and platform that the text names, or ""."""
    import os
    import tempfile

    from recipes.core.process import Command, capture
    from recipes.fetch.archives.unpack import unpack

    revision, _, chosen = text.partition(":")
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}

    def git(*words: str) -> str:
        try:
            done = capture(Command(("git", *words), project, kept), GIT_S)
            found = done.err.strip() or f"exit status {done.status}"
        except OSError as error:
            done, found = None, f"git: {error.strerror}"
        if done is None or done.status != 0:
            raise UsageError(where=shown(text), expected=ANY_OF, found=found, fix="name one that is there")
        return done.out.strip()

    with tempfile.TemporaryDirectory(prefix="pinned-llama-") as work:
        commit = git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
        archive, folder = Path(work) / "a.tar", Path(work) / "tree"
        git("archive", "--format=tar", "-o", str(archive), commit, "--", "manifests", "patches")
        unpack(archive, folder, subdirectory=".", drop=(), where=shown(text))
        yield commit, Manifests(folder), chosen


def _files(left: Side, right: Side) -> Iterator[str]:
    """Return lines about the files of two bundles that differ."""
    if left.files is None or right.files is None or left.folder is None or right.folder is None:
        return
    if left.files != right.files:
        from recipes.build.bundle.explain import explain

        yield from explain(left.folder, right.folder)


def _clip(text: str) -> str:
    text = DIGEST.sub(lambda match: f"{match[0][:SHOWN_DIGITS]}..", text) or "nothing"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 2]}.."


SESSION = Session(
    "why",
    "Say what differs between two plans, records, bundles, archives or commits, down to the pin.",
    add_options,
    run,
    example="b6751@linux-x86_64-cpu b11312@linux-x86_64-cpu",
)
