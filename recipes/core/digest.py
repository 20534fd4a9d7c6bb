"""Digests as types, and the two ways to take them: of a file and of a tree.

A tree digest is git's own tree object id: anyone can compute it with `git write-tree`, in git's SHA-1 or
SHA-256 object format, and compare the former with what a forge or Software Heritage says of a commit.
The format is that of git's documentation, "Git Internals - Git Objects".
"""

from __future__ import annotations

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import total_ordering
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, TypeVar

from recipes.core.cores import usable_cores

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES = 1 << 20  # large enough that hashlib releases the GIL for almost all of the time


@total_ordering
class Digest:
    """A hexadecimal digest that is known to be well formed; immutable, comparable, hashable.

    Raises ValueError, which says why, unless it is lower-case digits, exactly as many as the algorithm has.
    """

    # Not a dataclass: msgspec would read one from a mapping, where manifests have a plain text.
    __slots__ = ("_hex",)
    algorithm: ClassVar[str] = ""
    length: ClassVar[int] = 0

    def __init__(self, hex: str) -> None:  # noqa: A002 - hashlib's own word for these digits
        if len(hex) != self.length:
            raise ValueError(f"a {self.algorithm} digest has {self.length} digits, this has {len(hex)}")
        strange = next((digit for digit in hex if digit not in "0123456789abcdef"), None)
        if strange is not None:
            raise ValueError(f"a {self.algorithm} digest has the digits 0-9 and a-f, this has {strange!r}")
        self._hex = hex

    @property
    def hex(self) -> str:
        """The digits."""
        return self._hex

    @classmethod
    def of_bytes(cls, data: bytes) -> Self:
        """Digest of bytes in memory."""
        return cls(hashlib.new(cls.algorithm, data).hexdigest())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self._hex}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._hex!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and str(self) == str(other)

    def __lt__(self, other: Digest) -> bool:
        return str(self) < str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class Sha1(Digest):
    """What git calls an object id in its first object format: commits and source trees."""

    __slots__ = ()
    algorithm = "sha1"
    length = 40


class Sha256(Digest):
    """Of a file; or of a tree in git's SHA-256 object format."""

    __slots__ = ()
    algorithm = "sha256"
    length = 64


D = TypeVar("D", Sha1, Sha256)


class Hasher(Protocol):
    """The part of a hashlib object that this project uses."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take more bytes in."""

    def hexdigest(self) -> str:
        """Return the digits of all bytes so far."""
        ...


def hash_file(path: Path) -> Sha256:
    """SHA-256 of a file's bytes, read once in large chunks."""
    with path.open("rb", buffering=0) as file:
        return Sha256(_feed(file.fileno(), hashlib.sha256()).hexdigest())


@dataclass(frozen=True)
class TreeEntry:
    """One file, link or folder of a tree, as git stores it."""

    mode: str  # "100644", "100755", "120000" or "40000"
    digest_hex: str


def hash_tree(root: Path, algorithm: type[D]) -> D:
    """Git's tree object id of a directory, in the object format of `algorithm`.

    As in git, only the owner's execute bit of a file counts and an empty directory does not exist. Nothing is skipped:
    drop a `.git` before, not here. Raises ValueError where the tree holds something that git cannot store (a device, a
    socket, a pipe).
    """
    blobs = blob_entries(root, algorithm)
    return tree_of_entries(blobs, algorithm)


def blob_digest(data: bytes, algorithm: type[D]) -> D:
    """Git's object id of a file with these bytes, in the object format of `algorithm`."""
    return algorithm(hashlib.new(algorithm.algorithm, b"blob %d\0" % len(data) + data).hexdigest())


def blob_entries(root: Path, algorithm: type[D]) -> dict[str, TreeEntry]:
    """Each file and link below `root`, by POSIX path, as git would store it; hashed over the cores."""
    found = list(_walk(root, ""))
    with ThreadPoolExecutor(usable_cores()) as pool:
        entries = pool.map(lambda item: _blob(item[1], item[2], algorithm.algorithm), found, chunksize=64)
        return {name: entry for (name, _, _), entry in zip(found, entries, strict=True)}


def tree_of_entries(blobs: dict[str, TreeEntry], algorithm: type[D]) -> D:
    """Git's tree object id of files that are hashed already, by POSIX path relative to the tree's root."""
    folders: dict[str, dict[str, TreeEntry]] = {"": {}}
    for name, entry in blobs.items():
        folder, _, leaf = name.rpartition("/")
        parents = folder
        while parents not in folders:
            folders[parents] = {}
            parents = parents.rpartition("/")[0]
        folders[folder][leaf] = entry
    # Deepest first: a folder's id needs the ids of the folders in it.
    for folder in sorted(folders, key=lambda name: (-name.count("/") - bool(name), name)):
        object_id = _tree_object(folders[folder], algorithm)
        if not folder:
            return object_id
        parent, _, leaf = folder.rpartition("/")
        folders[parent][leaf] = TreeEntry("40000", object_id.hex)
    raise AssertionError("unreachable: the root folder is always present")


def _tree_object(entries: dict[str, TreeEntry], algorithm: type[D]) -> D:
    # git sorts folders as if their names ended with a slash
    ordered = sorted(
        entries.items(), key=lambda item: os.fsencode(item[0]) + b"/" * (item[1].mode == "40000")
    )
    body = b"".join(
        entry.mode.encode() + b" " + os.fsencode(name) + b"\0" + bytes.fromhex(entry.digest_hex)
        for name, entry in ordered
    )
    return algorithm.of_bytes(b"tree %d\0" % len(body) + body)


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, Path, os.stat_result]]:
    with os.scandir(folder) as listing:
        for item in listing:
            status = item.stat(follow_symlinks=False)
            name = prefix + item.name
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(Path(item.path), name + "/")
            elif stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                yield name, Path(item.path), status
            else:
                raise ValueError(f"{name} is neither a file, a link nor a folder: git cannot store it")


def _blob(path: Path, status: os.stat_result, algorithm: str) -> TreeEntry:
    if stat.S_ISLNK(status.st_mode):
        target = os.fsencode(os.readlink(path))  # noqa: PTH115 - pathlib would normalise what git stores as it is
        return TreeEntry("120000", hashlib.new(algorithm, b"blob %d\0" % len(target) + target).hexdigest())
    mode = "100755" if status.st_mode & stat.S_IXUSR else "100644"
    hasher = hashlib.new(algorithm, b"blob %d\0" % status.st_size)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _feed(descriptor, hasher)
    finally:
        os.close(descriptor)
    return TreeEntry(mode, hasher.hexdigest())


H = TypeVar("H", bound=Hasher)


def _feed(descriptor: int, hasher: H) -> H:
    while chunk := os.read(descriptor, CHUNK_BYTES):
        hasher.update(chunk)
    return hasher
