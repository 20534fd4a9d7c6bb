from __future__ import annotations

import os
from pathlib import Path

import pytest

from recipes.core.digest import Sha256, TreeEntry, blob_entries, tree_of_entries
from recipes.store.tree_listing import decode, differences, encode, read

ONE = TreeEntry("100644", "1" * 64)
TWO = TreeEntry("100644", "2" * 64)
PROGRAM = TreeEntry("100755", "1" * 64)
LINK = TreeEntry("120000", "1" * 64)
OTHER_LINK = TreeEntry("120000", "2" * 64)
NOWHERE = Path("/nowhere")


def test_a_listing_is_sorted_and_comes_back_with_any_name() -> None:
    files = {"b": ONE, "a/x\ny\tz": PROGRAM, os.fsdecode(b"\xff"): LINK}
    data = encode(files)
    assert data.startswith(b"100755 " + b"1" * 64 + b"\ta/x\ny\tz\0")
    assert decode(data) == files
    assert decode(b"") == {}


def test_a_listing_is_used_only_for_the_tree_that_it_lists(tmp_path: Path) -> None:
    files = {"a": ONE}
    path = tmp_path / "listing"
    tree = tree_of_entries(files, Sha256)
    assert read(path, tree) is None
    path.write_bytes(encode(files))
    assert read(path, tree) == files
    path.write_bytes(encode({"a": TWO}))
    assert read(path, tree) is None


@pytest.mark.parametrize("data", [b"garbage\0", b"100644 xx\ta\0", b"\xff\xff\ta\0", b"\0\0", b"1 2 3\ta\0"])
def test_a_damaged_listing_is_no_listing(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "listing").write_bytes(data)
    assert read(tmp_path / "listing", Sha256("0" * 64)) is None


@pytest.mark.parametrize(
    ("before", "now", "line"),
    [
        (ONE, TWO, "changed: f"),
        (ONE, None, "missing: f"),
        (None, ONE, "extra: f"),
        (ONE, PROGRAM, "executable now: f"),
        (PROGRAM, ONE, "no longer executable: f"),
        (PROGRAM, TWO, "no longer executable: f"),
        (ONE, LINK, "a link now: f"),
        (LINK, TWO, "no longer a link: f"),
    ],
)
def test_each_difference_has_its_word(before: TreeEntry | None, now: TreeEntry | None, line: str) -> None:
    recorded = {"same": ONE} | ({"f": before} if before else {})
    present = {"same": ONE} | ({"f": now} if now else {})
    assert differences(recorded, present, NOWHERE) == line


def test_a_changed_link_says_where_it_leads_now(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("./a\n/")
    assert differences({"link": LINK}, {"link": OTHER_LINK}, tmp_path) == "leads to './a\\n/' now: link"


@pytest.mark.parametrize(("count", "more"), [(5, []), (6, ["and 1 more"]), (9, ["and 4 more"])])
def test_five_files_are_named_and_the_rest_counted(count: int, more: list[str]) -> None:
    found = differences({}, {f"f{number}": ONE for number in range(count)}, NOWHERE)
    assert found.splitlines() == [*(f"extra: f{number}" for number in range(5)), *more]


def test_differences_of_all_kinds_are_in_the_order_of_the_names() -> None:
    recorded, present = {"b": ONE, "c": ONE}, {"a": ONE, "c": TWO}
    assert differences(recorded, present, NOWHERE).splitlines() == ["extra: a", "missing: b", "changed: c"]


def test_a_strange_name_stays_on_its_line() -> None:
    assert differences({}, {os.fsdecode(b"a\xff\n"): ONE}, NOWHERE) == "extra: 'a\\udcff\\n'"


def test_without_a_listing_the_files_are_not_guessed() -> None:
    assert "listing of this tree is lost" in differences(None, {"f": ONE}, NOWHERE)


def test_a_listing_of_a_real_tree_gives_its_digest(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"x")
    files = blob_entries(tmp_path, Sha256)
    assert tree_of_entries(decode(encode(files)), Sha256) == tree_of_entries(files, Sha256)
