"""Why something is built again: the inputs of the last build under each name, compared in one line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from recipes.core.file_lock import hold
from recipes.core.filesystem import read_no_link, shown, storage_errors, write_durably

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SHOWN_DIGITS = 12  # of a digest, in a line for people
SHOWN_LETTERS = 60  # of any other value
_DIGEST = re.compile(r"(sha1|sha256):([0-9a-f]{40,64})")


class History:
    """The inputs of the last build under each name: one file each in `folder`, which exists, written under a lock."""

    def __init__(self, folder: Path, lock: Path) -> None:
        self._folder = folder
        self._lock = lock

    def last_inputs(self, name: str) -> dict[str, str] | None:
        """Return the inputs of the last build under a name, or None where none is known."""
        path = self._path(name)
        with storage_errors(path):
            try:
                return msgspec.json.decode(read_no_link(path), type=dict[str, str])
            except (FileNotFoundError, msgspec.DecodeError):
                return None

    def record_inputs(self, name: str, inputs: Mapping[str, str]) -> None:
        """Remember the inputs of a build; writes nothing where they are the last ones already."""
        last = self.last_inputs(name)
        if last is not None and list(last.items()) == list(inputs.items()):
            return
        path = self._path(name)
        with storage_errors(path), hold(self._lock):
            unfinished = path.with_name(path.name + ".new")  # one name is enough under the lock
            write_durably(unfinished, msgspec.json.encode(dict(inputs)))
            unfinished.rename(path)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def explain_rebuild(before: Mapping[str, str] | None, after: Mapping[str, str]) -> str:
    """Return a line that says which input changed since the last build; `before` is None where none is known.

    >>> explain_rebuild({"version": "1", "flags": "-O2"}, {"version": "1", "flags": "-O3"})
    'flags: -O2 -> -O3'
    """
    if before is None:
        return "no earlier build is recorded in this store"
    changes = [
        *(
            f"{shown(name)}: {_change(before[name], after[name])}"
            for name in after
            if name in before and before[name] != after[name]
        ),
        *(f"{shown(name)}: new" for name in after if name not in before),
        *(f"{shown(name)}: no longer an input" for name in before if name not in after),
    ]
    if not changes:
        if list(before) != list(after):
            return "the same inputs in another order"
        return "no input changed: the result is no longer in the store"
    return changes[0] + (f", +{len(changes) - 1} more" if len(changes) > 1 else "")


def _change(old: str, new: str) -> str:
    was, now = _DIGEST.fullmatch(old), _DIGEST.fullmatch(new)
    if was and now and was[1] == now[1] and was[2][:SHOWN_DIGITS] != now[2][:SHOWN_DIGITS]:
        return f"{was[1]} {was[2][:SHOWN_DIGITS]}.. -> {now[2][:SHOWN_DIGITS]}.."
    return " -> ".join(_clip(old, new))


def _clip(old: str, new: str) -> tuple[str, str]:
    """Shorten two long values around the place where they begin to differ."""
    if max(len(old), len(new)) <= SHOWN_LETTERS:
        return shown(old) or "nothing", shown(new) or "nothing"
    differs_at = next(
        (place for place, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
    )
    start = max(0, differs_at - SHOWN_LETTERS // 3)
    first, second = (
        (".." if start else "")
        + (shown(value[start : start + SHOWN_LETTERS]) or "nothing")
        + (".." if len(value) > start + SHOWN_LETTERS else "")
        for value in (old, new)
    )
    return first, second
