"""Findings of the GGUF lint, and typed access to a file's keys that reports missing and wrong ones. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from recipes.models.gguf.reader import ValueType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from recipes.models.gguf.reader import GgufFile, Scalar

MOST_NAMED = 4  # findings of one kind; the others are counted


class Severity(Enum):
    """ERROR: llama.cpp does not load the file or answers wrongly. WARNING: a person should look at it."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One error or warning: what is wrong, to be read after `where`.

    `where` is the key or the tensor, safe to print; with its file if two were compared. `fix` is "" where it is the
    usual one: another file.
    """

    severity: Severity
    what: str
    where: str
    fix: str = ""


class Look:
    """Reads the keys of one file, and collects findings."""

    def __init__(self, file: GgufFile) -> None:
        self.file = file
        self.findings: list[Finding] = []

    def error(self, where: str, what: str, fix: str = "") -> None:
        """Add an error."""
        self.findings.append(Finding(Severity.ERROR, what, _plain(where), fix))

    def warn(self, where: str, what: str, fix: str = "") -> None:
        """Add a warning."""
        self.findings.append(Finding(Severity.WARNING, what, _plain(where), fix))

    def has_error(self, where: str) -> bool:
        """Whether an error at this key or tensor was added."""
        place = _plain(where)
        return any(one.severity is Severity.ERROR and one.where == place for one in self.findings)

    def errors(self, found: Sequence[tuple[str, str]]) -> None:
        """Add errors of one kind, of which a file may have thousands: the first few, and the number of others."""
        for where, what in found[:MOST_NAMED]:
            self.error(where, what)
        if found[MOST_NAMED:]:
            self.error("tensors", f"have {len(found) - MOST_NAMED} more errors like the one before")

    def rules(self, prefix: str, rows: Iterable[tuple[object, str, str]]) -> None:
        """Add an error for each row (is wrong, key, what) whose first value is true."""
        for is_wrong, name, what in rows:
            if is_wrong:
                self.error(prefix + name, what)

    def text(self, key: str) -> str:
        """Return a text; "" if it is missing, without a finding."""
        value = self.file.metadata.get(key)
        return value.content if value is not None and isinstance(value.content, str) else ""

    def size(self, key: str) -> int | None:
        """Return a number; None if it is missing, without a finding."""
        value = self.file.metadata.get(key)
        if value is None or value.type is not ValueType.UINT32 or not isinstance(value.content, int):
            return None
        return value.content

    def items(self, key: str) -> tuple[Scalar, ...]:
        """Return an array's items; () if it is missing or no array, without a finding."""
        value = self.file.metadata.get(key)
        return value.content if value is not None and isinstance(value.content, tuple) else ()

    def one(self, key: str, kind: ValueType) -> Scalar | None:
        """Return a key's value; None and an error if it is missing or has another type."""
        content = self._content(key, (kind,), article="")
        return None if isinstance(content, tuple) else content

    def many(self, key: str, *types: ValueType, length: int | None = None) -> tuple[Scalar, ...] | None:
        """Return an array's items; None and an error if it is missing or has another type or length."""
        content = self._content(key, types, article="an array of ")
        if not isinstance(content, tuple):
            return None
        if length is not None and len(content) != length:
            self.error(key, f"has {len(content)} values, not {length}")
            return None
        return content

    def reals(self, *keys: str) -> None:
        """Demand positive numbers."""
        for key in keys:
            number = self.one(key, ValueType.FLOAT32)
            if isinstance(number, float) and not 0 < number < math.inf:
                self.error(key, f"is {number}, not a positive number")

    def sizes(self, prefix: str, ranges: Mapping[str, tuple[int, int]]) -> dict[str, int] | None:
        """Return numbers by name; None if one is missing or out of its range, with an error for each."""
        found = {}
        for name, (least, most) in ranges.items():
            number = self.one(prefix + name, ValueType.UINT32)
            if isinstance(number, int) and not least <= number <= most:
                self.error(prefix + name, f"is {number}, not from {least} to {most}")
            elif isinstance(number, int):
                found[name] = number
        return found if len(found) == len(ranges) else None

    def _content(
        self, key: str, types: Sequence[ValueType], article: str
    ) -> Scalar | tuple[Scalar, ...] | None:
        value = self.file.metadata.get(key)
        if value is None:
            self.error(key, "is missing")
            return None
        found = "an array of " if isinstance(value.content, tuple) else ""
        if value.type not in types or found != article:
            names = " or ".join(kind.name for kind in types)
            self.error(key, f"is {found}{value.type.name}, not {article}{names}")
            return None
        return value.content


def _plain(name: str) -> str:
    """Return a name of the file, safe to print: a terminal would obey some characters."""
    return repr(name)[1:-1]
