from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recipes.core.digest import Sha1, hash_tree
from recipes.core.errors import PatchError
from recipes.patches.apply import apply_patch
from recipes.patches.fit import Fit, find_drift
from recipes.patches.model import FileChange, Hunk, ParsedPatch
from recipes.patches.parse import parse_patch
from tests.support import paths

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = paths.DATA / "patches"
NUMBERS = [
    *("one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
]

# name of the file in tests/data/patches: the line that is wrong, and what the error says of it
MALFORMED = {
    "empty.patch": (1, "at least one changed file"),
    "only-message.patch": (14, "at least one changed file"),
    "cut-off.patch": (31, "the last line is cut off"),
    "cut-off-hunk.patch": (31, "the end of the patch after 5 lines of it"),
    "converted-to-crlf.patch": (1, "CR LF at the end of every line"),
    "garbage-between-hunks.patch": (25, "'note to self'"),
    "garbage-at-end.patch": (35, "'note to self'"),
    "two-patches.patch": (35, "'From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001'"),
    "hunk-too-long.patch": (25, "' six'"),
    "hunk-too-short.patch": (24, "'@@ -8,5 +8,5 @@ a heading' after 5 lines of it"),
    "hunk-header-malformed.patch": (18, "'@@ -1,5 @@'"),
    "hunk-shifted.patch": (25, "'@@ -8,5 +9,5 @@ a heading'"),
    "hunks-out-of-order.patch": (25, "'@@ -1,5 +1,5 @@'"),
    "hunk-without-change.patch": (18, "context only"),
    "no-newline-in-the-middle.patch": (18, "only a file's last line without its newline"),
    "no-hunks.patch": (18, "'-- '"),
    "no-names.patch": (16, "'-- '"),
    "names-cut.patch": (17, "'@@ -1,5 +1,5 @@'"),
    "names-differ.patch": (16, "'src/list.txt' and 'src/other.txt'"),
    "names-differ-plain.patch": (1, "'src/list.txt' and 'src/other.txt'"),
    "names-differ-in-git-line.patch": (1, "'a/src/list.txt b/src/lost.txt'"),
    "hunk-before-file.patch": (15, "'@@ -1,5 +1,5 @@'"),
    "no-file.patch": (1, "/dev/null twice"),
    "no-prefix.patch": (1, "'src/list.txt'"),
    "new-file-with-context.patch": (6, "one hunk, which holds the whole file"),
    "contradicting-header.patch": (1, "header lines that contradict each other"),
    "half-a-renaming.patch": (1, "header lines that contradict each other"),
    "mode-twice.patch": (3, "'old mode 100644'"),
    "file-twice.patch": (25, "'src/list.txt' again"),
    "file-in-file.patch": (8, "'src/new' as a file"),
    "binary.patch": (4, "a binary one"),
    "binary-differs.patch": (3, "a binary one"),
    "copy.patch": (3, "a copy"),
    "link.patch": (2, "mode '120000'"),
    "submodule.patch": (2, "mode '160000'"),
    "path-parent.patch": (1, "'../evil.txt': a path with `..`"),
    "path-parent-inside.patch": (1, "'src/../../evil.txt': a path with `..`"),
    "path-absolute.patch": (1, "'/tmp/evil.txt': an absolute path"),
    "path-dot.patch": (1, "'./evil.txt': a path with `.` or an empty part"),
    "path-git-folder.patch": (1, "'.git/hooks/post-checkout': git's own folder"),
    "path-git-folder-case.patch": (1, "'src/.GIT/config': git's own folder"),
    "path-newline.patch": (1, "'evil\\ntxt': the character '\\n'"),
    "path-nul.patch": (1, "'evil\\x00txt': the character '\\x00'"),
    "path-backslash.patch": (1, "'..\\\\evil.txt': a path with a backslash"),
    "path-not-utf8.patch": (1, "'\\\\xff.txt': not UTF-8"),
    "path-badly-quoted.patch": (2, "'\"b/evil\\\\q\"'"),
    "rename-to-parent.patch": (1, "'../evil.txt': a path with `..`"),
}
GOOD = {"good.patch", "good-plain.patch", "good-many.patch"}


def read(name: str) -> ParsedPatch:
    return parse_patch((DATA / name).read_bytes(), f"patches/{name}")


def text(*lines: str) -> str:
    return "".join(line + "\n" for line in lines)


def numbers(**changed: str) -> list[str]:
    return [changed.get(number, number) for number in NUMBERS]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The source that the good patches are made for."""
    top = tmp_path / "tree"
    for folder in (top / "src", top / "old"):
        folder.mkdir(parents=True)
    (top / "src/list.txt").write_text(text(*NUMBERS))
    (top / "run.sh").write_text("#!/bin/sh\n")
    (top / "run.sh").chmod(0o755)
    (top / "old/crlf.txt").write_bytes(b"dos\r\nline\r\n")
    return top


def refusal(name: str, tree: Path) -> PatchError:
    """The error of a patch that must not apply; the tree must be as it was."""
    before = hash_tree(tree, Sha1)
    with pytest.raises(PatchError) as caught:
        apply_patch(read(name), tree)
    assert hash_tree(tree, Sha1) == before
    assert caught.value.exit_code == 15
    return caught.value


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_or_unsafe_patch_is_refused_with_its_line_and_reason(name: str) -> None:
    line, word = MALFORMED[name]
    with pytest.raises(PatchError) as caught:
        read(name)
    error = caught.value
    assert error.where == f"patches/{name}:{line}"
    assert word in f"{error.expected}: {error.found}"
    is_attack = name.startswith(("path-", "rename-to")) and name != "path-badly-quoted.patch"
    assert ("do not use this patch" in error.fix) == is_attack


def test_a_line_too_many_in_a_hunk_is_the_one_that_is_named() -> None:
    with pytest.raises(PatchError) as caught:
        parse_patch(b"--- a/x\n+++ b/x\n@@ -1 +1,2 @@\n-one\n-two\n+un\n+deux\n", "p")
    assert caught.value.where == "p:5"
    assert caught.value.expected == "1 lines before and 2 after, as the hunk's header says"
    assert caught.value.found == "'-two' after 1 lines of it"


def test_each_patch_in_the_data_folder_is_tested() -> None:
    assert {path.name for path in DATA.glob("*.patch")} == MALFORMED.keys() | GOOD


def test_a_hunk_knows_its_place_and_its_lines() -> None:
    (change,) = read("good.patch").changes
    assert change == FileChange(14, "src/list.txt", "src/list.txt", "100644", "100644", change.hunks)
    assert change.hunks[1] == Hunk(
        25,
        7,
        7,
        (
            (" ", b"eight\n"),
            (" ", b"nine\n"),
            (" ", b"ten\n"),
            ("-", b"eleven\n"),
            ("+", b"onze\n"),
            (" ", b"twelve\n"),
        ),
    )


@pytest.mark.parametrize("name", ["good.patch", "good-plain.patch"])
def test_a_good_patch_changes_its_lines_and_nothing_else(name: str, tree: Path) -> None:
    assert apply_patch(read(name), tree) == ("src/list.txt",)
    assert (tree / "src/list.txt").read_text() == text(*numbers(two="deux", eleven="onze"))
    assert sorted(path.name for path in tree.iterdir()) == ["old", "run.sh", "src"]


def test_files_are_renamed_created_and_removed_and_modes_and_line_endings_kept(tree: Path) -> None:
    before = os.umask(0o777)
    try:
        changed = apply_patch(read("good-many.patch"), tree)
    finally:
        os.umask(before)
    assert changed == (
        "old/crlf.txt",
        "run.sh",
        "src/list.txt",
        "src/moved.txt",
        'sub/déjà "vu".txt',
        "sub/empty",
    )
    assert {str(path.relative_to(tree)): f"{path.stat().st_mode & 0o7777:o}" for path in tree.rglob("*")} == {
        "run.sh": "644",
        "src": "755",
        "src/moved.txt": "644",
        "sub": "755",
        'sub/déjà "vu".txt': "755",
        "sub/empty": "644",
    }
    assert (tree / "src/moved.txt").read_text() == text(*NUMBERS[:-1]) + "douze"
    assert (tree / 'sub/déjà "vu".txt').read_bytes() == b"crlf stays\r\nlast, without newline"


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_patch_that_is_applied_already_says_so(name: str, tree: Path) -> None:
    changed = apply_patch(read(name), tree)
    error = refusal(name, tree)
    assert error.where == f"patches/{name}"
    assert error.expected == "a source without this change"
    named = 'src/moved.txt, run.sh, old/crlf.txt, sub/déjà "vu".txt, sub/empty'
    assert error.found == f"the patch is applied already, to {named if len(changed) > 1 else 'src/list.txt'}"
    assert {report.fit for report in find_drift(read(name), tree)} == {Fit.APPLIED}


HUNK = ":18: hunk 1 of src/list.txt"
# what src/list.txt holds instead (None: it is absent): the patch, the refused place, and words of both sides
MISFITS: dict[str, tuple[str | None, str, str, str, str]] = {
    "applied": (text(*numbers(eleven="onze")), "good", ":25: hunk 2 of src/list.txt", "without", "already"),
    "1 line lower": (text("zero", *NUMBERS), "good", HUNK, "line 1", "line 2, 1 line further down"),
    "2 lines lower": (text("-", "zero", *NUMBERS), "good", HUNK, "line 1", "line 3, 2 lines further down"),
    "fuzz": (
        text(*numbers(five="cinq")),
        "good",
        HUNK,
        "line 5: 'five'",
        "line 5: 'cinq'\n(the hunk applies only with fuzz",
    ),
    "differs": (
        text("zero", *numbers(two="TWO", three="THREE")),
        *("good", HUNK, "line 3: 'two'\nline 4: 'three'"),
        "line 3: 'TWO'\nline 4: 'THREE'\n(the hunk does not apply; the lines most like its own are 1 line further",
    ),
    "another file": (
        *("something else\nwithout newline", "good", HUNK, "line 1: 'one'\nline 2: 'two'\nline 3: 'three'"),
        "line 1: 'something else'\nline 2: 'without newline' and no newline\nline 3: the end of the file",
    ),
    "not the end": (
        *(text(*NUMBERS, "thirteen"), "good-many", ":21: hunk 1 of src/moved.txt"),
        *("line 13: the end of the file", "line 13: 'thirteen'\n(the hunk applies only with fuzz"),
    ),
    "no newline": (
        *(text(*NUMBERS)[:-1], "good-many", ":21: hunk 1 of src/moved.txt"),
        *("line 12: 'twelve'", "line 12: 'twelve' and no newline"),
    ),
    "CR LF": (text(*NUMBERS).replace("\n", "\r\n"), "good", HUNK, "line 3: 'three'", "line 3: 'three\\r'"),
    "absent": (None, "good", ":14: src/list.txt", "a file 'src/list.txt'", "none"),
}


def put_list(tree: Path, content: str | None) -> None:
    (tree / "src/list.txt").unlink()
    if content is not None:
        (tree / "src/list.txt").write_bytes(content.encode())


@pytest.mark.parametrize(("content", "patch", "where", "expected", "found"), MISFITS.values(), ids=MISFITS)
def test_a_file_that_a_patch_does_not_fit_is_refused_with_the_lines_that_differ(  # noqa: PLR0913, PLR0917 - a table's columns
    tree: Path, content: str | None, patch: str, where: str, expected: str, found: str
) -> None:
    put_list(tree, content)
    error = refusal(f"{patch}.patch", tree)
    assert error.where == f"patches/{patch}.patch{where}"
    assert expected in error.expected
    assert found in error.found


@pytest.mark.parametrize(
    ("name", "reports"),
    [
        (
            "1 line lower",
            [
                f"{{}}:{at}: hunk {n} applies only at another line, 1 line further down"
                for n, at in ((1, 1), (2, 8))
            ],
        ),
        (
            "fuzz",
            [
                "{}:1: hunk 1 applies only with fuzz\n  line 5: expected 'five', found 'cinq'",
                "{}:8: hunk 2 applies",
            ],
        ),
        ("absent", ["{} does not apply: expected a file 'src/list.txt', found none"]),
    ],
)
def test_the_drift_of_each_hunk_is_reported(tree: Path, name: str, reports: list[str]) -> None:
    put_list(tree, MISFITS[name][0])
    found = [str(report) for report in find_drift(read("good.patch"), tree)]
    assert found == [report.format("src/list.txt") for report in reports]


def test_nothing_is_changed_where_only_the_last_file_does_not_fit(tree: Path) -> None:
    (tree / "sub").mkdir()
    (tree / "sub/empty").write_text("no longer")
    error = refusal("good-many.patch", tree)
    assert error.where == "patches/good-many.patch:47: sub/empty"
    assert error.expected == "no file 'sub/empty' yet"
    assert error.found == "one with other content"


def test_another_mode_than_the_patch_expects_is_refused(tree: Path) -> None:
    (tree / "src/list.txt").chmod(0o755)
    error = refusal("good.patch", tree)
    assert (error.expected, error.found) == ("mode 100644", "mode 100755")


def test_an_empty_file_to_be_removed_must_be_empty(tree: Path) -> None:
    removal = b"diff --git a/run.sh b/run.sh\ndeleted file mode 100755\nindex e69de29..0000000\n"
    with pytest.raises(PatchError) as caught:
        apply_patch(parse_patch(removal, "p"), tree)
    assert caught.value.where == "p:1: run.sh"
    assert (caught.value.expected, caught.value.found) == ("an empty file to remove", "one of 10 bytes")
    (tree / "run.sh").write_text("")
    assert apply_patch(parse_patch(removal, "p"), tree) == ("run.sh",)
    assert not (tree / "run.sh").exists()


@pytest.mark.parametrize("where", ["folder", "file"])
def test_nothing_is_read_or_written_through_a_link(where: str, tree: Path) -> None:
    outside = tree.parent / "outside"
    outside.mkdir()
    (tree / "src/list.txt").rename(outside / "list.txt")
    if where == "folder":
        (tree / "src").rmdir()
        (tree / "src").symlink_to(outside)
    else:
        (tree / "src/list.txt").symlink_to(outside / "list.txt")
    error = refusal("good.patch", tree)
    assert error.where == "patches/good.patch:14: src/list.txt"
    assert error.found == ("'src', which is a link" if where == "folder" else "a link")
    assert (outside / "list.txt").read_text() == text(*NUMBERS)


def test_a_new_file_is_not_made_below_a_link(tree: Path) -> None:
    outside = tree.parent / "outside"
    outside.mkdir()
    (tree / "sub").symlink_to(outside)
    error = refusal("good-many.patch", tree)
    assert error.found == "'sub', which is a link"
    assert list(outside.iterdir()) == []


def test_a_file_takes_the_place_of_a_folder_that_the_patch_empties_and_back(tree: Path) -> None:
    there = (
        b"diff --git a/src/list.txt b/src\nsimilarity index 100%\nrename from src/list.txt\nrename to src\n"
    )
    back = (
        b"diff --git a/src b/src/list.txt\nsimilarity index 100%\nrename from src\nrename to src/list.txt\n"
    )
    before = hash_tree(tree, Sha1)
    apply_patch(parse_patch(there, "p"), tree)
    assert (tree / "src").read_text() == text(*NUMBERS)
    apply_patch(parse_patch(back, "p"), tree)
    assert hash_tree(tree, Sha1) == before
    (tree / "src/other").write_text("in the way")
    with pytest.raises(PatchError) as caught:
        apply_patch(parse_patch(there, "p"), tree)
    assert (caught.value.expected, caught.value.found) == ("a file", "a folder")


def test_two_files_change_places(tree: Path) -> None:
    there = b"diff --git a/%b b/%b\nsimilarity index 100%%\nrename from %b\nrename to %b\n"
    names = (b"src/list.txt", b"run.sh")
    swap = parse_patch(there % (names * 2) + there % (names[::-1] * 2), "p")
    assert apply_patch(swap, tree) == ("run.sh", "src/list.txt")
    assert (tree / "run.sh").read_text() == text(*NUMBERS)
    assert (tree / "src/list.txt").read_text() == "#!/bin/sh\n"
    assert (tree / "src/list.txt").stat().st_mode & 0o777 == 0o755
    assert [report.fit for report in find_drift(swap, tree)] == [Fit.EXACT, Fit.EXACT]


def test_a_file_with_a_hard_link_elsewhere_is_replaced_and_the_other_keeps_its_content(tree: Path) -> None:
    (tree.parent / "other").hardlink_to(tree / "src/list.txt")
    apply_patch(read("good.patch"), tree)
    assert (tree.parent / "other").read_text() == text(*NUMBERS)


STEPS = 11  # renames, folders made and folders removed that bring good-many.patch in


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", range(STEPS))
def test_an_interruption_at_any_step_leaves_the_tree_as_it_was(
    step: int, when: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mode for path in tree.rglob("*")}, hash_tree(tree, Sha1)
    taken = 0

    def interrupted(name: str) -> Callable[..., object]:
        real = getattr(Path, name)

        def call(self: Path, *args: object) -> object:
            nonlocal taken
            taken += 1
            if taken == step + 1 and when == "before":
                raise KeyboardInterrupt
            result = real(self, *args)
            if taken == step + 1:
                raise KeyboardInterrupt
            return result

        return call

    for name in ("rename", "mkdir", "rmdir"):
        monkeypatch.setattr(Path, name, interrupted(name))
    with pytest.raises(KeyboardInterrupt):
        apply_patch(read("good-many.patch"), tree)
    monkeypatch.undo()
    assert ({path: path.stat().st_mode for path in tree.rglob("*")}, hash_tree(tree, Sha1)) == before


def test_a_file_system_that_refuses_ends_in_a_store_error_and_the_tree_as_it_was(tree: Path) -> None:
    (tree / "src/list.txt").write_text(text(*NUMBERS) + "x" * 2000)
    patch = (DATA / "good.patch").read_bytes()
    (tree.parent / "p.patch").write_bytes(patch)
    before = hash_tree(tree, Sha1)
    script = (
        "import resource, sys, pathlib\n"
        "from recipes.patches.parse import parse_patch\n"
        "from recipes.patches.apply import apply_patch\n"
        "from recipes.core.errors import StoreError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "tree = pathlib.Path(sys.argv[1])\n"
        "try:\n"
        "    apply_patch(parse_patch((tree.parent / 'p.patch').read_bytes(), 'p'), tree)\n"
        "except StoreError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tree)],
        capture_output=True,
        text=True,
        check=True,
        cwd=paths.PROJECT,
    )
    assert "File too large" in done.stdout
    assert hash_tree(tree, Sha1) == before
    assert sorted(path.name for path in tree.iterdir()) == ["old", "run.sh", "src"]
