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


def test_all_items_that_stay_leave_the_text_as_it_is() -> None:
    assert rewrite_list(TEXT, ("items",), (0, 1, 2)) == TEXT


def test_an_item_goes_with_the_comments_above_it_and_no_others() -> None:
    assert rewrite_list(TEXT, ("items",), (0, 2)) == TEXT.replace(
        "  # the second one,\n  # in two lines\n  - kind: two\n    inner:\n      - deep # down\n", ""
    )
    assert rewrite_list(TEXT, ("items",), (1, 2)) == TEXT.replace(
        "  # the first one\n  - kind: one # of its kind\n    list: [a, b]\n\n", ""
    )
    assert rewrite_list(TEXT, ("items",), (0, 1)) == TEXT.replace("  - kind: three\n", "")


def test_a_new_item_is_written_where_it_stands_in_the_order() -> None:
    new = NewItem("kind: new\nlist:\n  - x\n")
    written = "  - kind: new\n    list:\n      - x\n"
    assert rewrite_list(TEXT, ("items",), (new, 0, 1, 2)) == TEXT.replace(
        "  # the first", written + "  # the first"
    )
    assert rewrite_list(TEXT, ("items",), (0, 1, 2, new)) == TEXT.replace("# the end", written + "# the end")


def test_a_new_item_that_succeeds_another_keeps_its_comments() -> None:
    assert rewrite_list(TEXT, ("items",), (0, NewItem("kind: new\n", 1), 2)) == TEXT.replace(
        "  - kind: two\n    inner:\n      - deep # down\n", "  - kind: new\n"
    )


def test_items_change_places() -> None:
    text = "a:\n- x: 1\n- x: 2\n"
    assert rewrite_list(text, ("a",), (1, 0)) == "a:\n- x: 2\n- x: 1\n"


def test_a_list_at_the_end_of_a_text_without_a_final_newline_can_be_rewritten() -> None:
    assert rewrite_list("a:\n  - x: 1\n  - x: 2", ("a",), (1, 0)) == "a:\n  - x: 2\n  - x: 1\n"


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
