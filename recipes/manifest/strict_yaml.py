"""Strict YAML: text in, plain data out, with the line of everything.

A manifest is read by people and decides what runs on their machines, so only that part of YAML is taken which
means what it looks like: each scalar is text exactly as written, each key stands once, nothing stands for
something else (no anchor, alias, tag, merge key or directive), and no character hides from a reader.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeAlias

import yaml

from recipes.core.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

MAX_BYTES = 1 << 20  # the largest manifest here has some 20 KB
MAX_DEPTH = 20  # the schema needs 5
SHOWN_CHARACTERS = 80  # of a value or line in an error

Value: TypeAlias = "str | list[Value] | dict[str, Value]"
Steps: TypeAlias = tuple[str | int, ...]

# libyaml is several times as fast; both give the same events (tests/property/test_document.py)
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
# What https://yaml.org/spec/1.1/#c-printable leaves out, and what looks like nothing or like something else:
# tabs, other line ends, other spaces, zero-width and bidirectional controls, byte order marks.
_STRANGE = re.compile(
    "[^\n\x20-\x7e\xa1-\xac\xae-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\u2fff\u3001-\ud7ff\ue000-\ufefe"
    "\uff00-\ufffd\U00010000-\U0010ffff]"
)
_NOTHING = frozenset(("", "~", "null", "Null", "NULL"))  # https://yaml.org/type/null.html


class Place(NamedTuple):
    """Where a value stands in the text.

    `line` (from 1) is that of its key, or of the item in a list; `start` and `end` are character offsets of a
    scalar's own text; `style` is "" (plain), ', ", | or > for scalars, { or [ for flow collections and - for
    block ones; `column` (from 0) is where the keys of a block mapping begin.
    """

    line: int
    start: int
    end: int
    style: str
    column: int


@dataclass(frozen=True)
class Document:
    """One YAML file, read: dictionaries, lists and text, and where each value stands, by its path."""

    where: str
    text: str
    data: Value
    places: Mapping[Steps, Place]

    def line_of(self, path: Sequence[str | int]) -> int:
        """Return the line, from 1, of a value's key or item, or else of the nearest value around it."""
        steps = tuple(path)
        while steps not in self.places:
            steps = steps[:-1]
        return self.places[steps].line

    def locate(self, path: Sequence[str | int]) -> str:
        """Return where a value stands, as `file:line: dotted.path`."""
        return _where(self.where, self.line_of(path), path)


def dotted(path: Sequence[str | int]) -> str:
    """Write a path as people do: `source.origins[0].sha256`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def shorten(text: str) -> str:
    """Return as much of a text as an error shows."""
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."


def read_file(path: Path, where: str) -> Document:
    """Read one file; raises ManifestError as `read` does, or where it cannot be read or is not UTF-8."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ManifestError(
            where=where,
            expected="a file that can be read",
            found=error.strerror or str(error),
            fix=f"ls -l {where}",
        ) from error
    if len(data) > MAX_BYTES:
        _refuse_size(where)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ManifestError(
            where=_where(where, data.count(b"\n", 0, error.start) + 1, ()),
            expected="UTF-8 text",
            found=f"the byte 0x{data[error.start]:02x}, which is not UTF-8 there",
            fix="save the file as UTF-8",
        ) from error
    return read(text, where)


def read(text: str, where: str) -> Document:
    """Read the text of one file; raises ManifestError where it is not the part of YAML that this module takes."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        _refuse_size(where)
    if strange := _STRANGE.search(text):
        _refuse_character(where, text.count("\n", 0, strange.start()) + 1, (), strange[0])
    if directive := re.search(r"^%", text, re.MULTILINE):
        raise ManifestError(
            where=_where(where, text.count("\n", 0, directive.start()) + 1, ()),
            expected="no directive",
            found="a line that begins with `%`",
            fix="remove it",
        )
    reading = _Reading(where, text)
    return Document(where, text, reading.document(), reading.places)


class _Reading:
    """Builds plain data from the parser's events, and refuses what is not strict on the way."""

    def __init__(self, where: str, text: str) -> None:
        self.where = where
        self.text = text
        self.places: dict[Steps, Place] = {}
        self._events = self._parse()

    def _parse(self) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(self.text, Loader=_LOADER)
        # PyYAML lets chr() fail on "\\Uffffffff"
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            raise _syntax_error(self.where, self.text, error) from error

    def document(self) -> Value:
        next(self._events)  # the stream's start
        if not isinstance(next(self._events), yaml.DocumentStartEvent):
            raise ManifestError(
                where=self.where, expected="a manifest", found="nothing", fix="write it, or delete the file"
            )
        first = next(self._events)
        data = self._value(first, (), _line(first))
        next(self._events)  # the document's end
        if isinstance(more := next(self._events), yaml.DocumentStartEvent):
            self._refuse(more, (), "one document", "a second one", "give it a file of its own")
        return data

    def _value(self, event: yaml.Event, path: Steps, line: int) -> Value:
        self._refuse_indirection(event, path)
        if isinstance(event, yaml.ScalarEvent):
            self._note(event, path, line, event.style or "")
            return self._text(event, path)
        if len(path) >= MAX_DEPTH:
            found = f"level {len(path) + 1}"
            self._refuse(event, path, f"at most {MAX_DEPTH} levels", found, "write it flatter")
        if isinstance(event, yaml.MappingStartEvent):
            self._note(event, path, line, "{" if event.flow_style else "-")
            return self._mapping(path)
        self._note(event, path, line, "[" if getattr(event, "flow_style", False) else "-")
        return self._sequence(path)

    def _refuse_indirection(self, event: yaml.Event, path: Steps) -> None:
        if isinstance(event, yaml.AliasEvent):
            found = f"the alias `*{shorten(event.anchor or '')}`"
            self._refuse(event, path, _PLAINLY, found, "write the value here again")
        if (anchor := getattr(event, "anchor", None)) is not None:
            self._refuse(event, path, _PLAINLY, f"the anchor `&{shorten(anchor)}`", "remove it")
        if (tag := getattr(event, "tag", None)) is not None:
            found = f"the tag `{shorten(tag.replace('tag:yaml.org,2002:', '!!'))}`"
            self._refuse(event, path, "values without a tag: each is text", found, "remove the tag")

    def _note(self, event: yaml.Event, path: Steps, line: int, style: str) -> None:
        start, end = event.start_mark, event.end_mark
        assert start is not None and end is not None  # noqa: S101, PT018 - a parsed event has marks
        self.places[path] = Place(line, start.index, end.index, style, start.column)

    def _mapping(self, path: Steps) -> dict[str, Value]:
        data: dict[str, Value] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = _line(event)
            self._refuse_indirection(event, path)
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(
                    event, path, "keys that are text", "a list or an object as a key", "write a name"
                )
            key = self._text(event, path)
            if not key:
                self._refuse(event, path, "keys that are text", "an empty key", "write a name")
            if key == "<<":
                self._refuse(event, path, _PLAINLY, "the merge key `<<`", "write the merged keys here")
            if "\n" in key:
                self._refuse(event, path, "keys of one line", f"the key {key!r}", "write a name")
            if key in data:
                found = f"`{key}` on line {self.places[*path, key].line} and again on line {line}"
                self._refuse(event, (*path, key), "each key once", found, "remove one of the two")
            data[key] = self._value(next(self._events), (*path, key), line)
        return data

    def _sequence(self, path: Steps) -> list[Value]:
        data: list[Value] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            data.append(self._value(event, (*path, len(data)), _line(event)))
        return data

    def _text(self, event: yaml.ScalarEvent, path: Steps) -> str:
        text = event.value
        if not event.style and text in _NOTHING:
            found = f"`{text}`, which YAML reads as nothing" if text else "nothing"
            self._refuse(event, path, "a value", found, "write one, or remove the key; text goes in quotes")
        if strange := _STRANGE.search(text):
            _refuse_character(self.where, _line(event), path, strange[0])
        if text.endswith("\n"):
            fix = "end the block's first line in `-`: `>-` or `|-`"
            self._refuse(
                event, path, "a value that ends in its last character", "a line break at its end", fix
            )
        return text

    def _refuse(self, event: yaml.Event, path: Steps, expected: str, found: str, fix: str) -> NoReturn:
        where = _where(self.where, _line(event), path)
        raise ManifestError(where=where, expected=expected, found=found, fix=fix)


_PLAINLY = "each value written out where it stands"


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None  # noqa: S101 - a parsed event has marks
    return event.start_mark.line + 1


def _where(file: str, line: int, path: Sequence[str | int]) -> str:
    return f"{file}:{line}" + (f": {dotted(path)}" if path else "")


def _syntax_error(where: str, text: str, error: Exception) -> ManifestError:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return ManifestError(where=where, expected="YAML", found=str(error), fix="correct the syntax")
    lines = text.split("\n")
    number = min(mark.line + 1, len(lines))
    found = getattr(error, "problem", None) or str(error)
    fix = f"correct the syntax on line {number} or above it"
    if found.startswith("mapping values"):
        fix += "; text that holds a colon and a space goes in quotes"
    if isinstance(error, yaml.MarkedYAMLError) and error.context and error.context_mark:
        found += f", {error.context} that begins on line {error.context_mark.line + 1}"
    if shown := lines[number - 1].strip():
        found += f": `{shorten(shown)}`"
    return ManifestError(where=_where(where, number, ()), expected="YAML", found=found, fix=fix)


def _refuse_size(where: str) -> NoReturn:
    raise ManifestError(
        where=where,
        expected=f"at most {MAX_BYTES} bytes",
        found="more",
        fix="keep pins in it and nothing else",
    )


def _refuse_character(where: str, line: int, path: Steps, character: str) -> NoReturn:
    names = {"\t": "a tab", "\r": "a carriage return", "\0": "a NUL", "\ufeff": "a byte order mark"}
    code = f"U+{ord(character):04X}"
    raise ManifestError(
        where=_where(where, line, path),
        expected="characters that can be seen, spaces, and line feeds",
        found=f"{names[character]} ({code})" if character in names else f"the character {code}",
        fix=f"replace it on line {line}",
    )
