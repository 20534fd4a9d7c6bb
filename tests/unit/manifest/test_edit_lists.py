"""Edits of lists and keys keep every other character, or are refused."""

from __future__ import annotations

import re

import pytest

from recipes.manifest.edit_lists import NewItem, rename_key, rewrite_list

TEXT = """\
# what this is
name: a # its name
items:
  # the first one
  - kind: one # of its kind
    list: [a, b]

  # the second one,
  # in two lines
  - kind: two
    inner:
      - deep # down
  - kind: three
# the end
last: yes
"""


FIRST = "  # the first one\n  - kind: one # of its kind\n    list: [a, b]\n\n"
SECOND = "  - kind: two\n    inner:\n      - deep # down\n"
COMMENT = "  # the second one,\n  # in two lines\n"
NEW, WRITTEN = NewItem("kind: new\nlist:\n  - x\n"), "  - kind: new\n    list:\n      - x\n"


@pytest.mark.parametrize(
    ("items", "old", "new"),
    [
        ((0, 1, 2), "", ""),
        ((0, 2), COMMENT + SECOND, ""),
        ((1, 2), FIRST, ""),
        ((0, 1), "  - kind: three\n", ""),
        ((NEW, 0, 1, 2), FIRST, WRITTEN + FIRST),
        ((0, 1, 2, NEW), "# the end", WRITTEN + "# the end"),
        ((0, NewItem("kind: new\n", 1), 2), SECOND, "  - kind: new\n"),
    ],
    ids=["all stay", "second goes", "first goes", "last goes", "new first", "new last", "comments stay"],
)
def test_an_item_goes_and_comes_with_its_comments_and_no_others(
    items: tuple[int | NewItem, ...], old: str, new: str
) -> None:
    assert not old or TEXT.count(old) == 1
    assert rewrite_list(TEXT, ("items",), items) == (TEXT.replace(old, new) if old else TEXT)


@pytest.mark.parametrize("end", ["", "\n"])
def test_items_change_places_at_any_indentation_and_end(end: str) -> None:
    assert rewrite_list(f"a:\n- x: 1\n- x: 2{end}", ("a",), (1, 0)) == "a:\n- x: 2\n- x: 1\n"
    assert rewrite_list(f"a:\n  - x: 1\n  - x: 2{end}", ("a",), (1, 0)) == "a:\n  - x: 2\n  - x: 1\n"


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("a: [1, 2]\n", ("a",), "a[0] does not begin a line with its dash"),
        ("a: []\n", ("a",), "a is not a list that has items"),
        ("a: b\n", ("a",), "a is not a list"),
        ("a: b\n", ("c", 0, "d"), "c[0].d is not a list"),
        ("a:\n  -\n    x: 1\n", ("a",), "a[0] does not begin a line with its dash"),
        ("a:\n  - x: [1,\n      2\n    ]\n", ("a",), "cannot edit a in this layout"),
    ],
)
def test_a_list_in_another_layout_is_refused(text: str, path: tuple[str | int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        rewrite_list(text, path, (NewItem("x: 3\n"),))


def test_a_key_is_renamed_where_it_stands_with_its_comment() -> None:
    text = "p:\n  one:\n    old: a b c # why\n    other: old\n"
    assert rename_key(text, ("p", "one", "old"), "new", "13") == (
        'p:\n  one:\n    new: "13" # why\n    other: old\n'
    )
    assert rename_key("- old: 1\n  b: 2\n", (0, "old"), "new", "3") == "- new: 3\n  b: 2\n"


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("a: {old: 1}\n", ("a", "old"), "there is no key a.old on a line of its own"),
        ("a: 1\n", ("b",), "there is no key b on a line of its own"),
        ('"old": 1\n', ("old",), "the key old does not begin its line"),
        ("old: >-\n  folded\n", ("old",), "new is not a scalar within a line"),
    ],
)
def test_a_key_in_another_layout_is_refused(text: str, path: tuple[str | int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        rename_key(text, path, "new", "2")
