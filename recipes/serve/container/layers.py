"""Layers of an image: plain tar files whose bytes follow from names, contents and one time, and from nothing else.

They are not compressed: a layer is named by the digest of its bytes, which another release of a compressor changes.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, cast

from recipes.core.digest import Sha256
from recipes.core.filesystem import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PROGRAM_MODE, DATA_MODE, FOLDER_MODE, SHARED_MODE = 0o755, 0o644, 0o755, 0o1777


@dataclass(frozen=True)
class Member:
    """One file of a layer, owned by root; without content an empty folder, to which all may write if `is_shared`."""

    name: str
    content: bytes | Path | None = None
    is_program: bool = False
    is_shared: bool = False


@dataclass(frozen=True)
class Layer:
    """A layer's file."""

    path: Path
    sha256: Sha256
    size_bytes: int


def write_layer(path: Path, members: Iterable[Member], mtime: int) -> Layer:
    """Write a layer, every file with the same time, in seconds since 1970; raises StoreError where the disk refuses."""
    with storage_errors(path), path.open("wb") as file:
        output = _Hashed(file)
        stream = cast("IO[bytes]", output)
        with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar:
            known: set[str] = set()
            for member in sorted(members, key=lambda each: each.name.encode()):
                for folder in _parents(member.name):
                    if folder not in known:
                        known.add(folder)
                        tar.addfile(_entry(folder, mtime, FOLDER_MODE, tarfile.DIRTYPE))
                _add(tar, member, mtime)
                known.add(member.name)
        return Layer(path, Sha256(output.digest.hexdigest()), output.size_bytes)


def members_of(folder: Path, into: str) -> Iterator[Member]:
    """Return all files of a folder; `into` is where they lie in the image."""
    for path in folder.rglob("*"):
        if path.is_file():
            is_program = bool(path.stat().st_mode & 0o100)
            yield Member(f"{into}/{path.relative_to(folder).as_posix()}", path, is_program)


def _parents(name: str) -> list[str]:
    return [str(parent) for parent in PurePosixPath(name).parents if str(parent) != "."][::-1]


def _entry(name: str, mtime: int, mode: int, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)  # owner 0:0 without names
    entry.mtime, entry.mode, entry.type = mtime, mode, kind
    return entry


def _add(tar: tarfile.TarFile, member: Member, mtime: int) -> None:
    if member.content is None:
        mode = SHARED_MODE if member.is_shared else FOLDER_MODE
        tar.addfile(_entry(member.name, mtime, mode, tarfile.DIRTYPE))
        return
    entry = _entry(member.name, mtime, PROGRAM_MODE if member.is_program else DATA_MODE)
    if isinstance(member.content, bytes):
        entry.size = len(member.content)
        tar.addfile(entry, io.BytesIO(member.content))
        return
    with member.content.open("rb") as content:
        entry.size = member.content.stat().st_size
        tar.addfile(entry, content)


class _Hashed:
    """A file that knows the digest and the size of what was written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest, self.size_bytes = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size_bytes += len(data)
        return self._file.write(data)
