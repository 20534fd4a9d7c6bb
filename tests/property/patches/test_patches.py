from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recipes.core.digest import Sha1, hash_tree
from recipes.core.errors import PatchError
from recipes.patches.apply import apply_patch
from recipes.patches.fit import find_drift
from recipes.patches.parse import parse_patch

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow  # many examples, each with real files, programs or servers

SLOW = settings(max_examples=60)  # each example starts real git a few times
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CEILING_DIRECTORIES": tempfile.gettempdir(),
    "LC_ALL": "C",
}


@dataclass(frozen=True)
class Item:
    """One file of a random tree."""

    data: bytes
    executable: bool = False


Tree = dict[str, Item]

# Few lines, so that they repeat; some look like a part of a patch.
LINES = st.sampled_from(
    [
        *(
            b"",
            b"a",
            b"b",
            b"c",
            b"    d",
            b"}",
            b"e\r",
            b"\xff\xfe",
            "ü".encode(),
            b"- ",
            b"-- ",
            b"+",
            b"\t",
        ),
        *(b"--- a/x", b"+++ b/x", b"@@ -1 +1 @@", b"diff --git a/x b/x", b"\\ No newline at end of file"),
    ]
)
DATA = st.builds(
    lambda lines, end: b"\n".join(lines) + end, st.lists(LINES, max_size=24), st.sampled_from([b"\n", b""])
)
PATHS = st.sampled_from(["x", "y", "d", "d/x", "d/e/x", "d/e", "a b", "ü/ß", 'q"q', "-n", "a/b/c", "x b/x"])
ITEMS = st.builds(Item, DATA, st.booleans())
TREES = st.dictionaries(PATHS, ITEMS, min_size=1, max_size=6).filter(
    lambda tree: not any(other.startswith(path + "/") for path in tree for other in tree)
)


@st.composite
def edited(draw: st.DrawFn, tree: Tree) -> Tree:
    """A tree with some files changed, moved, removed or created."""
    result: Tree = {}
    for path, item in tree.items():
        match draw(st.sampled_from(["keep", "lines", "mode", "move", "remove", "rewrite"])):
            case "keep":
                result[path] = item
            case "lines":
                lines = item.data.split(b"\n")
                for _ in range(draw(st.integers(1, 3))):
                    at = draw(st.integers(0, len(lines)))
                    lines[at : at + draw(st.integers(0, 2))] = draw(st.lists(LINES, max_size=2))
                result[path] = replace(item, data=b"\n".join(lines))
            case "mode":
                result[path] = replace(item, executable=not item.executable)
            case "move":
                result[draw(PATHS)] = item
            case "rewrite":
                result[path] = draw(ITEMS)
    for path, item in draw(st.dictionaries(PATHS, ITEMS, max_size=2)).items():
        result.setdefault(path, item)
    return {
        path: result[path] for path in result if not any(path.startswith(other + "/") for other in result)
    }


PAIRS = TREES.flatmap(lambda tree: st.tuples(st.just(tree), edited(tree)))
TRIPLES = PAIRS.flatmap(lambda pair: st.tuples(st.just(pair[0]), st.just(pair[1]), edited(pair[0])))


def write(tree: Tree, top: Path) -> Path:
    for path, item in tree.items():
        place = top / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(item.data)
        place.chmod(0o755 if item.executable else 0o644)
    top.mkdir(exist_ok=True)
    return top


def git(folder: Path, *argv: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", *argv], cwd=folder, env=ENVIRONMENT, input=given, capture_output=True, check=False
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    assert git(folder, "init", "--quiet").returncode == 0
    return folder


def diff(old: Tree, new: Tree, repository: Path) -> bytes:
    """What git says is between two trees, renames included."""
    stream = [b"feature done"]
    for name, tree in (("old", old), ("new", new)):
        stream += [f"commit refs/heads/{name}".encode(), b"committer a <a> 0 +0000", b"data 0", b"deleteall"]
        for path, item in tree.items():
            mode = "100755" if item.executable else "100644"
            stream += [f"M {mode} inline {path}\ndata {len(item.data)}".encode(), item.data]
    done = git(repository, "fast-import", "--quiet", "--force", given=b"\n".join([*stream, b"done", b""]))
    assert done.returncode == 0, done.stderr
    return git(repository, "diff", "--find-renames=40%", "old", "new").stdout


@contextmanager
def workplace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def git_applies(patch: bytes, tree: Path, work: Path) -> bool:
    """Whether git applies a patch without any offset; the tree is changed then."""
    (work / "patch").write_bytes(patch)
    done = git(tree, "apply", "--verbose", "--whitespace=nowarn", str(work / "patch"))
    return done.returncode == 0 and b"offset" not in done.stderr and b"warning" not in done.stderr


@SLOW
@given(pair=PAIRS)
def test_what_git_diff_says_gives_exactly_the_edited_tree_and_is_applied_only_once(
    repository: Path, pair: tuple[Tree, Tree]
) -> None:
    old, new = pair
    with workplace() as work:
        data = diff(old, new, repository)
        assume(data)
        patch = parse_patch(data, "p")
        tree, wanted = write(old, work / "tree"), write(new, work / "wanted")
        changed = apply_patch(patch, tree)
        assert hash_tree(tree, Sha1) == hash_tree(wanted, Sha1)
        assert set(changed) == {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
        try:
            apply_patch(patch, tree)
        except PatchError as error:
            assert "applied already" in error.found  # noqa: PT017 - the other way out is judged below
            assert hash_tree(tree, Sha1) == hash_tree(wanted, Sha1)
        else:
            assert git_applies(data, wanted, work)  # lines that repeat: both trees look the same to it


@SLOW
@given(triple=TRIPLES)
def test_a_patch_applies_to_another_tree_exactly_where_git_applies_it_without_offset(
    repository: Path, triple: tuple[Tree, Tree, Tree]
) -> None:
    old, new, other = triple
    with workplace() as work:
        data = diff(old, new, repository)
        assume(data)
        tree, peer = write(other, work / "tree"), write(other, work / "peer")
        before = hash_tree(tree, Sha1)
        patch = parse_patch(data, "p")
        reports = find_drift(patch, tree)
        try:
            apply_patch(patch, tree)
            applied = True
        except PatchError:
            applied = False
        assert applied is all(report.fit.value == "applies" for report in reports)
        is_lax = b"\n\\ No newline" in data  # git takes a last line with a newline for the one without
        assert applied is git_applies(data, peer, work) or (is_lax and not applied)
        assert hash_tree(tree, Sha1) == (hash_tree(peer, Sha1) if applied else before)


CUTS = st.lists(
    st.tuples(
        st.integers(0, 1 << 16),
        st.integers(0, 8),
        st.binary(max_size=8) | LINES.map(lambda line: b"\n" + line),
    ),
    min_size=1,
    max_size=4,
)


def harmed(data: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
    """Replace a few runs of bytes, each by its place, its length and what comes instead."""
    for place, length, new in cuts:
        at = place % (len(data) + 1)
        data = data[:at] + new + data[at + length :]
    return data


@SLOW
@given(pair=PAIRS, cuts=CUTS)
def test_a_damaged_patch_is_refused_whole_or_applies_as_it_does_for_git(
    repository: Path, pair: tuple[Tree, Tree], cuts: list[tuple[int, int, bytes]]
) -> None:
    old, new = pair
    with workplace() as work:
        data = diff(old, new, repository)
        assume(data)
        tree, peer = write(old, work / "tree"), write(old, work / "peer")
        before, beside = hash_tree(tree, Sha1), set(work.iterdir())
        bad = harmed(data, cuts)
        try:
            apply_patch(parse_patch(bad, "p"), tree)
        except PatchError as error:
            assert error.where.startswith("p")  # noqa: PT017 - the other way out is judged below
            assert hash_tree(tree, Sha1) == before
        else:
            assert git_applies(bad, peer, work)
            assert hash_tree(tree, Sha1) == hash_tree(peer, Sha1)
        assert set(work.iterdir()) - {work / "patch"} == beside


@given(st.binary(max_size=200) | st.lists(LINES, max_size=30).map(b"\n".join))
def test_any_bytes_are_a_patch_or_a_patch_error(data: bytes) -> None:
    try:
        patch = parse_patch(data, "p")
    except PatchError:
        return
    assert patch.changes
