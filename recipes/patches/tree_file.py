"""Reads the files of a tree that a patch names, through real folders only."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection


class TreeFile(NamedTuple):
    """A file's bytes, and its mode as git has it."""

    data: bytes
    mode: str

    @property
    def lines(self) -> list[bytes]:
        """Its lines, each with its ending."""
        return io.BytesIO(self.data).readlines()


class ObjectionError(Exception):
    """What stands against a change in a tree; it becomes a report."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(expected, found)
        self.expected, self.found = expected, found


def look(tree: Path, path: str, gone: Collection[str]) -> TreeFile | None:
    """Read a file, reached through real folders only; None where there is none once `gone` is gone."""
    names = path.split("/")
    for depth in range(1, len(names) + 1):
        name = "/".join(names[:depth])
        place = tree / name
        try:
            status = place.lstat()
        except FileNotFoundError:
            return None
        is_folder, is_file = stat.S_ISDIR(status.st_mode), stat.S_ISREG(status.st_mode)
        if depth < len(names) and not is_folder:
            if is_file and name in gone:
                return None
            raise ObjectionError("a path that leads through folders", f"{name!r}, which is {_kind(status)}")
        if depth == len(names) and not is_file:
            if is_folder and _vanishes(place, name, gone):
                return None
            raise ObjectionError("a file", _kind(status))
    descriptor = os.open(tree / path, os.O_RDONLY | os.O_NOFOLLOW)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - of a descriptor, which Path cannot open
        return TreeFile(file.read(), "100755" if status.st_mode & stat.S_IXUSR else "100644")


def _vanishes(folder: Path, path: str, gone: Collection[str]) -> bool:
    with os.scandir(folder) as listing:
        items = list(listing)
    return bool(items) and all(
        _vanishes(Path(item.path), f"{path}/{item.name}", gone)
        if item.is_dir(follow_symlinks=False)
        else f"{path}/{item.name}" in gone
        for item in items
    )


def _kind(status: os.stat_result) -> str:
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFREG: "a file"}
    return kinds.get(stat.S_IFMT(status.st_mode), "neither a file nor a folder")
