"""Edits in place: the new data and nothing else, in a text of any layout."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.manifest.edit_values import replace_pins
from recipes.manifest.strict_yaml import Document, Steps, Value, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random


# plain in YAML, and the same inside brackets
PLAIN = ("a", "0123", "1.10", "true", "b4" * 20, "a b", "https://example.org/a.tar.gz", "x.y_z-0", "ON", "-s")
# what needs quotes, or looks as if it did
AWKWARD = (
    *("", " a ", "it's", '"', "\\", "one\ntwo", "é 大 🦙"),
    *("null", "~", "0x10", "- a", "a: b", "a:", "a #b", "a, b", "[a", "{a}", "? a", "---", "...", "<<"),
    *("#", "%", "@x", "`", ">", "|", "=", "-", "&a", "*a", "!t"),
)


class Writer:
    """Writes a text of random layout: comments, blank lines, styles of scalars, blocks and brackets."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.lines: list[str] = []
        self.comments: list[str] = []
        self.data = self.object(0, "", "")
        self.text = "\n".join(self.lines) + random.choice(["", "\n", "\n\n"])

    def comment(self) -> str:
        if self.random.random() < 0.7:
            return ""
        self.comments.append(f"# note {len(self.comments)}: 'a' {{b}} <")
        return self.comments[-1]

    def scalar(self) -> tuple[str, str]:
        """How it is written, and what it is."""
        value = self.random.choice(PLAIN + AWKWARD)
        styles = [json.dumps(value, ensure_ascii=False)]
        styles += ["'" + value.replace("'", "''") + "'"] if "\n" not in value else []
        styles += [value] * 3 if value in PLAIN else []
        return self.random.choice(styles), value

    def keys(self, least: int) -> list[str]:
        return self.random.sample(
            ["a", "sha256", "size_bytes", "GGML_A.B+c", "x-y", "on"], self.random.randint(least, 4)
        )

    def object(self, depth: int, indent: str, dash: str) -> dict[str, Value]:
        """Write a block; `dash` stands where the first key's indentation would."""
        data: dict[str, Value] = {}
        for key in self.keys(1):
            if not dash and self.random.random() < 0.3:
                self.lines.append((indent + self.comment()).rstrip())
            kind = self.random.choice(["scalar", "scalar", "[]", "{}", *["object", "list"] * (depth < 3)])
            data[key] = self.entry(kind, depth, indent, f"{dash or indent}{key}:")
            dash = ""
        return data

    def entry(self, kind: str, depth: int, indent: str, head: str) -> Value:
        note = f" {self.comment()}".rstrip()
        if kind == "scalar":
            shown, value = self.scalar()
            self.lines.append(f"{head} {shown}{note}")
            return value
        if kind == "[]":
            items = [self.scalar() for _ in range(self.random.randint(0, 3))]
            self.lines.append(f"{head} [{', '.join(shown for shown, _ in items)}]{note}")
            return [value for _, value in items]
        if kind == "{}":
            pairs = [(key, *self.scalar()) for key in self.keys(0)]
            self.lines.append(f"{head} {{{', '.join(f'{key}: {shown}' for key, shown, _ in pairs)}}}{note}")
            return {key: value for key, _, value in pairs}
        self.lines.append(f"{head}{note}")
        if kind == "object":
            return self.object(depth + 1, indent + " " * self.random.randint(1, 3), "")
        deeper = indent + " " * self.random.randint(0, 2)
        return [
            self.object(depth + 1, f"{deeper}  ", f"{deeper}- ") for _ in range(self.random.randint(1, 3))
        ]


def walk(data: Value, path: Steps = ()) -> Iterator[tuple[Steps, Value]]:
    yield path, data
    if not isinstance(data, str):
        for step, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from walk(value, (*path, step))


def changed(data: Value, changes: dict[Steps, str]) -> Value:
    result: Any = copy.deepcopy(data)
    for path, value in changes.items():
        holder = result
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = value
    return result  # type: ignore[no-any-return] # a Value, as `data` is


def without(document: Document, paths: set[Steps]) -> str:
    """The text without the scalars at these paths."""
    text = document.text
    for place in sorted((document.places[path] for path in paths), key=lambda place: -place.start):
        text = text[: place.start] + text[place.end :]
    return text


RANDOMS = st.randoms(use_true_random=True)


@given(RANDOMS)
def test_a_text_of_any_layout_is_read_as_meant(random: Random) -> None:
    written = Writer(random)
    assert read(written.text, "a.yaml").data == written.data


@given(RANDOMS)
def test_scalars_are_replaced_and_every_other_character_is_kept(random: Random) -> None:
    written = Writer(random)
    leaves = [path for path, value in walk(written.data) if isinstance(value, str)]
    chosen = random.sample(leaves, min(len(leaves), random.randint(1, 4)))
    changes = {path: random.choice(PLAIN + AWKWARD) for path in chosen}
    before, after = read(written.text, "a.yaml"), read(replace_pins(written.text, changes), "a.yaml")
    assert after.data == changed(written.data, changes)
    assert without(after, set(changes)) == without(before, set(changes))
    assert [after.text.count(note) for note in written.comments] == [1] * len(written.comments)


@given(RANDOMS)
def test_missing_keys_are_added_in_order_and_every_other_character_is_kept(random: Random) -> None:
    written = Writer(random)
    holders = [
        path
        for path, value in walk(written.data)
        if isinstance(value, dict) and any(isinstance(item, str) for item in value.values())
    ]
    if not holders:
        return
    holder = random.choice(holders)
    changes = {(*holder, key): random.choice(PLAIN + AWKWARD) for key in ("zz new", "aa_new", "new: 3")}
    after = read(replace_pins(written.text, changes), "a.yaml")
    assert after.data == changed(written.data, changes)
    assert [path for path, _ in walk(after.data) if path in changes] == list(changes)
    remaining = iter(after.text)
    assert all(character in remaining for character in written.text), "something that was there is gone"
    assert [after.text.count(note) for note in written.comments] == [1] * len(written.comments)


@given(RANDOMS)
def test_an_added_key_stands_in_a_line_of_its_own_or_inside_its_brackets(random: Random) -> None:
    written = Writer(random)
    holders = [
        path
        for path, value in walk(written.data)
        if isinstance(value, dict) and any(isinstance(item, str) for item in value.values())
    ]
    if not holders:
        return
    holder = random.choice(holders)
    before = read(written.text, "a.yaml")
    after = replace_pins(written.text, {(*holder, "added"): "v"}).splitlines()
    if before.places[holder].style == "{":
        assert len(after) == len(written.text.splitlines())
    else:
        line = after.index(" " * before.places[holder].column + "added: v")
        assert after[:line] + after[line + 1 :] == written.text.splitlines()


@given(RANDOMS)
def test_no_change_changes_nothing(random: Random) -> None:
    text = Writer(random).text
    assert replace_pins(text, {}) == text


@given(RANDOMS)
def test_a_change_and_back_gives_the_data_again(random: Random) -> None:
    written = Writer(random)
    leaves = {path: value for path, value in walk(written.data) if isinstance(value, str)}
    if not leaves:
        return
    path, value = random.choice(list(leaves.items()))
    there = replace_pins(written.text, {path: random.choice(PLAIN + AWKWARD)})
    assert read(replace_pins(there, {path: value}), "a.yaml").data == written.data


@given(RANDOMS)
def test_what_is_no_scalar_is_not_replaced(random: Random) -> None:
    written = Writer(random)
    path = random.choice([path for path, value in walk(written.data) if not isinstance(value, str)])
    with pytest.raises(ValueError, match="scalar"):
        replace_pins(written.text, {path: "v"})
