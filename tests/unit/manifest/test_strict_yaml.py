"""Strict YAML: what is read, what is refused, and with which words.

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

PLAINLY = "each value written out where it stands"
VISIBLE = "characters that can be seen, spaces, and line feeds"
NO_NOTHING = "write one, or remove the key; text goes in quotes"
NOTHING_THERE = ("", "a manifest", "nothing", "write it, or delete the file")

# file, where behind the file's name, expected, found, fix
REFUSALS = {
    "alias": (":2: other", PLAINLY, "the alias `*base`", "write the value here again"),
    "alias_bomb": (":1: a", PLAINLY, "the anchor `&a`", "remove it"),
    "anchor": (":1: base", PLAINLY, "the anchor `&base`", "remove it"),
    "bidirectional_control": (":2", VISIBLE, "the character U+202E", "replace it on line 2"),
    "byte_order_mark": (":1", VISIBLE, "a byte order mark (U+FEFF)", "replace it on line 1"),
    "carriage_return": (":1", VISIBLE, "a carriage return (U+000D)", "replace it on line 1"),
    "colon_in_text": (
        ":2",
        "YAML",
        "mapping values are not allowed in this context: `summary: known bad: see below`",
        "correct the syntax on line 2 or above it; text that holds a colon and a space goes in quotes",
    ),
    "directive": (":1", "no directive", "a line that begins with `%`", "remove it"),
    "duplicate_key": (
        ":4: source.sha256",
        "each key once",
        "`sha256` on line 2 and again on line 4",
        "remove one of the two",
    ),
    "empty": NOTHING_THERE,
    "empty_item": (":3: targets[1]", "a value", "nothing", NO_NOTHING),
    "empty_key": (":2", "a value", "`~`, which YAML reads as nothing", NO_NOTHING),
    "empty_value": (":2: sha256", "a value", "nothing", NO_NOTHING),
    "escaped_nul": (":2: url", VISIBLE, "a NUL (U+0000)", "replace it on line 2"),
    "quoted_nothing_as_key": (":1", "keys that are text", "an empty key", "write a name"),
    "final_line_break": (
        ":2: summary",
        "a value that ends in its last character",
        "a line break at its end",
        "end the block's first line in `-`: `>-` or `|-`",
    ),
    "list_as_key": (":2", "keys that are text", "a list or an object as a key", "write a name"),
    "merge_key": (":2: one", PLAINLY, "the merge key `<<`", "write the merged keys here"),
    "multiline_key": (":1", "keys of one line", r"the key 'one\ntwo'", "write a name"),
    "no_break_space": (":1", VISIBLE, "the character U+00A0", "replace it on line 1"),
    "not_utf8": (":2", "UTF-8 text", "the byte 0xe9, which is not UTF-8 there", "save the file as UTF-8"),
    "nul_byte": (":2", VISIBLE, "a NUL (U+0000)", "replace it on line 2"),
    "null_value": (":1: output", "a value", "`null`, which YAML reads as nothing", NO_NOTHING),
    "object_tag": (
        ":1: name",
        "values without a tag: each is text",
        "the tag `!!python/object/apply:os.system`",
        "remove the tag",
    ),
    "only_comments": NOTHING_THERE,
    "tab": (":2", VISIBLE, "a tab (U+0009)", "replace it on line 2"),
    "tag": (":1: size_bytes", "values without a tag: each is text", "the tag `!!int`", "remove the tag"),
    "text_behind_the_end": (
        ":3",
        "YAML",
        "did not find expected <document start>: `name: b`",
        "correct the syntax on line 3 or above it",
    ),
    "too_deep": (f":1: a{'[0]' * 19}", "at most 20 levels", "level 21", "write it flatter"),
    "two_documents": (":2", "one document", "a second one", "give it a file of its own"),
    "unclosed_list": (
        ":3",
        "YAML",
        "did not find expected ',' or ']', while parsing a flow sequence that begins on line 2: `summary: d`",
        "correct the syntax on line 3 or above it",
    ),
    "unclosed_quote": (
        ":3",
        "YAML",
        "found unexpected end of stream, while scanning a quoted scalar that begins on line 1",
        "correct the syntax on line 3 or above it",
    ),
    "unknown_escape": (
        ":1",
        "YAML",
        'found unknown escape character, while parsing a quoted scalar that begins on line 1: `name: "\\q"`',
        "correct the syntax on line 1 or above it",
    ),
    "utf16": (":1", "UTF-8 text", "the byte 0xff, which is not UTF-8 there", "save the file as UTF-8"),
    "wrong_indent": (
        ":3",
        "YAML",
        "mapping values are not allowed in this context: `tree: b`",
        "correct the syntax on line 3 or above it; text that holds a colon and a space goes in quotes",
    ),
}


def fields(error: ManifestError) -> tuple[str, str, str, str]:
    return error.where, error.expected, error.found, error.fix


def test_each_bad_file_has_its_refusal_and_each_refusal_its_file() -> None:
    assert {path.stem for path in BAD.iterdir()} == set(REFUSALS)


@pytest.mark.parametrize("name", REFUSALS)
def test_a_bad_file_is_refused_in_exact_words(name: str) -> None:
    behind, *rest = REFUSALS[name]
    with pytest.raises(ManifestError) as caught:
        read_file(BAD / f"{name}.yaml", f"{name}.yaml")
    assert fields(caught.value) == (f"{name}.yaml{behind}", *rest)


@pytest.mark.parametrize("name", REFUSALS)
def test_a_bad_file_is_refused_without_libyaml_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "_LOADER", yaml.SafeLoader)
    behind, expected, *_ = REFUSALS[name]
    with pytest.raises(ManifestError) as caught:
        read_file(BAD / f"{name}.yaml", f"{name}.yaml")
    assert (caught.value.where, caught.value.expected) == (f"{name}.yaml{behind}", expected)


def test_the_whole_refusal_reads_well() -> None:
    with pytest.raises(ManifestError) as caught:
        read_file(BAD / "duplicate_key.yaml", "manifests/recipes/duplicate_key.yaml")
    assert str(caught.value) == (
        "error: the manifest is not valid\n"
        "  where:    manifests/recipes/duplicate_key.yaml:4: source.sha256\n"
        "  expected: each key once\n"
        "  found:    `sha256` on line 2 and again on line 4\n"
        "  fix:      remove one of the two"
    )


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
        (("three",), 8),
        (("three", "four"), 9),
        (("three", "four", "five"), 9),
    ],
)
def test_the_line_of_a_value_is_that_of_its_key(
    numbered: Document, path: tuple[str | int, ...], line: int
) -> None:
    assert numbered.line_of(path) == line


def test_the_line_of_what_is_absent_is_that_of_what_is_around_it(numbered: Document) -> None:
    assert numbered.line_of(("two", 0, "absent", 3)) == 4


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


def test_nesting_by_indentation_has_the_same_limit() -> None:
    text = "".join(f"{' ' * level}k:\n" for level in range(MAX_DEPTH)) + f"{' ' * MAX_DEPTH}k: v\n"
    with pytest.raises(ManifestError, match="level 21"):
        read(text, "a.yaml")


@pytest.mark.parametrize("text", ["[" * 500_000, "{a: " * 200_000, "- " * 500_000, "? " * 500_000])
def test_a_mountain_of_brackets_is_refused_at_the_limit(text: str) -> None:
    with pytest.raises(ManifestError, match=r"at most 20 levels|keys that are text"):
        read(text, "a.yaml")


def test_the_largest_file_is_read_and_one_byte_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: " + "x" * (MAX_BYTES - 3))
    assert read_file(path, "a.yaml").data == {"a": "x" * (MAX_BYTES - 3)}
    path.write_text("a: " + "x" * (MAX_BYTES - 2))
    with pytest.raises(ManifestError) as caught:
        read_file(path, "a.yaml")
    refusal = ("a.yaml", "at most 1048576 bytes", "more", "keep pins in it and nothing else")
    assert fields(caught.value) == refusal
    with pytest.raises(ManifestError) as caught:
        read("a: " + "é" * (MAX_BYTES // 2), "a.yaml")
    assert fields(caught.value) == refusal


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ManifestError) as caught:
        read("a: \ud800\n", "a.yaml")
    assert fields(caught.value) == ("a.yaml:1", VISIBLE, "the character U+D800", "replace it on line 1")


@pytest.mark.parametrize("escape", ['"\\Uffffffff"', '"\\ud800"', '"\\x07"'])
@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
def test_an_escaped_character_that_cannot_be_is_refused(
    escape: str, loader: type[yaml.SafeLoader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "_LOADER", loader)
    with pytest.raises(ManifestError, match=re.escape("where:    a.yaml")):
        read(f"b: c\na: {escape}\n", "a.yaml")


def test_what_a_file_names_is_shown_in_part_where_it_is_long() -> None:
    with pytest.raises(ManifestError) as caught:
        read(f"a: &{'x' * 500} b\n", "a.yaml")
    assert caught.value.found == f"the anchor `&{'x' * 77}...`"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        read_file(tmp_path / "a.yaml", "manifests/a.yaml")
    assert fields(caught.value) == (
        "manifests/a.yaml",
        "a file that can be read",
        "No such file or directory",
        "ls -l manifests/a.yaml",
    )


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        read_file(tmp_path, "manifests/a.yaml")
    assert caught.value.found == "Is a directory"


def test_libyaml_reads_manifests_where_it_is_installed() -> None:
    assert yaml.__with_libyaml__
    assert document._LOADER is yaml.CSafeLoader
