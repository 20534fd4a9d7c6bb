"""Strict YAML: what is read, and what is refused.

The bad files are in tests/data/manifests/bad.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from recipes.core.errors import ManifestError
from recipes.manifest import strict_yaml as document
from recipes.manifest.strict_yaml import MAX_BYTES, MAX_DEPTH, Document, dotted, read, read_file, shorten
from tests.support import paths

if TYPE_CHECKING:
    from pathlib import Path

BAD = paths.DATA / "manifests" / "bad"

# file: where behind the file's name, and a word of the refusal
REFUSALS = {
    "alias": (":2: other", "alias `*base`"),
    "alias_bomb": (":1: a", "anchor `&a`"),
    "anchor": (":1: base", "anchor `&base`"),
    "bidirectional_control": (":2", "U+202E"),
    "byte_order_mark": (":1", "a byte order mark"),
    "carriage_return": (":1", "a carriage return"),
    "colon_in_text": (":2", "goes in quotes"),
    "directive": (":1", "directive"),
    "duplicate_key": (":4: source.sha256", "on line 2 and again on line 4"),
    "empty": ("", "nothing"),
    "empty_item": (":3: targets[1]", "nothing"),
    "empty_key": (":2", "`~`"),
    "empty_value": (":2: sha256", "nothing"),
    "escaped_nul": (":2: url", "a NUL"),
    "quoted_nothing_as_key": (":1", "an empty key"),
    "final_line_break": (":2: summary", "a line break at its end"),
    "list_as_key": (":2", "as a key"),
    "merge_key": (":2: one", "merge key"),
    "multiline_key": (":1", r"one\ntwo"),
    "no_break_space": (":1", "U+00A0"),
    "not_utf8": (":2", "0xe9"),
    "nul_byte": (":2", "a NUL"),
    "null_value": (":1: output", "`null`"),
    "object_tag": (":1: name", "tag `!!python/object/apply:os.system`"),
    "only_comments": ("", "nothing"),
    "tab": (":2", "a tab"),
    "tag": (":1: size_bytes", "tag `!!int`"),
    "text_behind_the_end": (":3", "`name: b`"),
    "too_deep": (f":1: a{'[0]' * 19}", "level 21"),
    "two_documents": (":2", "a second one"),
    "unclosed_list": (":3", "begins on line 2"),
    "unclosed_quote": (":3", "begins on line 1"),
    "unknown_escape": (":1", "escape character"),
    "utf16": (":1", "0xff"),
    "wrong_indent": (":3", "`tree: b`"),
}


def test_each_bad_file_has_its_refusal_and_each_refusal_its_file() -> None:
    assert {path.stem for path in BAD.iterdir()} == set(REFUSALS)


@pytest.mark.parametrize("loader", ["SafeLoader", "CSafeLoader"])
@pytest.mark.parametrize("name", REFUSALS)
def test_a_bad_file_is_refused_with_libyaml_and_without(
    name: str, loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "_LOADER", getattr(yaml, loader))
    behind, word = REFUSALS[name]
    with pytest.raises(ManifestError) as caught:
        read_file(BAD / f"{name}.yaml", f"{name}.yaml")
    assert caught.value.where == f"{name}.yaml{behind}"
    if loader == "CSafeLoader" or "line" not in word:  # the words about syntax are each parser's own
        assert word in str(caught.value)


def test_every_scalar_is_text_exactly_as_written() -> None:
    text = (
        "version: 1.10\ncommit: 0123456\non: ON\nyes: yes\ndate: 2023-11-14\nhex: 0x10\nunderscore: 1_000\n"
        "quoted: \"null\"\nempty: \"\"\nsingle: 'it''s'\nfolded: >-\n  one\n  two\nlines: |-\n  one\n  two\n"
        "sexagesimal: 1:30\nlist: [1, 2.0]\nnothing: {}\n"
    )
    assert read(text, "a.yaml").data == {
        "version": "1.10",
        "commit": "0123456",
        "on": "ON",
        "yes": "yes",
        "date": "2023-11-14",
        "hex": "0x10",
        "underscore": "1_000",
        "quoted": "null",
        "empty": "",
        "single": "it's",
        "folded": "one two",
        "lines": "one\ntwo",
        "sexagesimal": "1:30",
        "list": ["1", "2.0"],
        "nothing": {},
    }


def test_characters_of_any_script_are_text() -> None:
    assert read("summary: Größe, 大きさ, размер, 🦙 “so”\n", "a.yaml").data == {
        "summary": "Größe, 大きさ, размер, 🦙 “so”"
    }


@pytest.fixture
def numbered() -> Document:
    return read(
        "# a comment\none: 1\ntwo:\n  - a: x\n    b: y\n\n  - c\nthree:\n  four: {five: 6}\n", "dir/a.yaml"
    )


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2),
        (("one",), 2),
        (("two",), 3),
        (("two", 0), 4),
        (("two", 0, "b"), 5),
        (("two", 1), 7),
        (("two", 0, "absent", 3), 4),  # what is around it
        (("three",), 8),
        (("three", "four"), 9),
        (("three", "four", "five"), 9),
    ],
)
def test_the_line_of_a_value_is_that_of_its_key(
    numbered: Document, path: tuple[str | int, ...], line: int
) -> None:
    assert numbered.line_of(path) == line


def test_a_place_is_named_by_file_line_and_path(numbered: Document) -> None:
    assert numbered.locate(("two", 0, "b")) == "dir/a.yaml:5: two[0].b"
    assert numbered.locate(()) == "dir/a.yaml:2"


def test_a_path_is_written_with_dots_and_brackets() -> None:
    assert dotted(("source", "origins", 0, "sha256")) == "source.origins[0].sha256"
    assert dotted((0, 1)) == "[0][1]"
    assert dotted(()) == ""


def test_a_long_text_is_shown_in_part() -> None:
    assert shorten("x" * 80) == "x" * 80
    assert shorten("x" * 81) == "x" * 77 + "..."


def test_the_deepest_allowed_nesting_is_read() -> None:
    depth = MAX_DEPTH
    data = read("[" * depth + "x" + "]" * depth, "a.yaml").data
    for _ in range(depth):
        assert isinstance(data, list)
        data = data[0]
    assert data == "x"


BLOCKS = "".join(f"{' ' * level}k:\n" for level in range(MAX_DEPTH)) + f"{' ' * MAX_DEPTH}k: v\n"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (BLOCKS, "level 21"),
        ("[" * 500_000, "at most 20 levels"),
        ("{a: " * 200_000, "at most 20 levels"),
        ("- " * 500_000, "at most 20 levels"),
        ("? " * 500_000, "keys that are text"),
        ("a: \ud800\n", r"U\+D800"),
        ("a: " + "é" * (MAX_BYTES // 2), "at most 1048576 bytes"),
        (f"a: &{'x' * 500} b\n", rf"`&{'x' * 77}\.\.\.`"),
    ],
    ids=["indented", "lists", "objects", "items", "keys", "lone surrogate", "too large", "long name"],
)
def test_a_text_beyond_the_limits_is_refused_in_few_words(text: str, word: str) -> None:
    with pytest.raises(ManifestError, match=word):
        read(text, "a.yaml")


def test_the_largest_file_is_read_and_one_byte_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: " + "x" * (MAX_BYTES - 3))
    assert read_file(path, "a.yaml").data == {"a": "x" * (MAX_BYTES - 3)}
    path.write_text("a: " + "x" * (MAX_BYTES - 2))
    with pytest.raises(ManifestError, match="at most 1048576 bytes"):
        read_file(path, "a.yaml")


@pytest.mark.parametrize("escape", ['"\\Uffffffff"', '"\\ud800"', '"\\x07"'])
@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
def test_an_escaped_character_that_cannot_be_is_refused(
    escape: str, loader: type[yaml.SafeLoader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "_LOADER", loader)
    with pytest.raises(ManifestError, match=re.escape("where:    a.yaml")):
        read(f"b: c\na: {escape}\n", "a.yaml")


@pytest.mark.parametrize(("name", "word"), [("a.yaml", "No such file"), (".", "Is a directory")])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, word: str) -> None:
    with pytest.raises(ManifestError, match=word) as caught:
        read_file(tmp_path / name, "manifests/a.yaml")
    assert caught.value.where == "manifests/a.yaml"


def test_libyaml_reads_manifests_where_it_is_installed() -> None:
    assert yaml.__with_libyaml__
    assert document._LOADER is yaml.CSafeLoader
