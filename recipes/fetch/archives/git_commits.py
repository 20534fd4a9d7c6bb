"""The commits in the object folder of a git directory, each named by the hash of its own bytes.

A commit's id is the SHA-1 of its bytes, and those name its tree; so the bytes alone prove which tree a commit has. Only
loose objects and packs are read, and of their names nothing is believed. Indexes, references, configuration and
alternates are never opened, and git is not started, so that nothing of the folder can act.
Formats: git's documentation, "Git Internals - Git Objects" and gitformat-pack(5).
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import defaultdict
from mmap import ACCESS_READ, mmap
from typing import TYPE_CHECKING, NamedTuple

from recipes.core.digest import CHUNK_BYTES, Sha1
from recipes.fetch.archives.members import MAX_TOTAL_BYTES, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_OBJECTS = 1_000_000  # in all packs; llama.cpp's whole history has a tenth of that
MAX_COMMIT_BYTES = 1 << 20  # of one: signatures and messages are kilobytes
MAX_COMMITS_BYTES = 256 << 20  # of all; those of llama.cpp's whole history have 15 MB

_INPUT_BYTES = 1 << 14  # decompressed at once
_HEAD_BYTES = 32  # of a loose object: its type and size
_TRAILER_BYTES = 20  # a pack ends with the SHA-1 of all before
_COMMIT, _OFS_DELTA, _REF_DELTA = 1, 6, 7
_TYPES = (_COMMIT, 2, 3, 4, _OFS_DELTA, _REF_DELTA)  # with tree, blob and tag
_TREE = re.compile(rb"tree ([0-9a-f]{40})\n")
_COMMITTER = re.compile(rb"\ncommitter [^\n]*> ([0-9]{1,10}) [+-][0-9]{4}\n")


class Commit(NamedTuple):
    """A commit, the tree that it names, and when it was committed, in seconds since 1970, where it says so."""

    id: Sha1
    tree: Sha1
    time_s: int | None


class _Stream(NamedTuple):
    """Where an object lies in a pack, where its compressed bytes begin, and how many they are when inflated."""

    offset: int
    start: int
    size_bytes: int


def read_commits(objects: Path) -> Iterator[Commit]:
    """Yield each commit of an object folder: loose ones first, then those of packs.

    What is yielded holds whatever follows; damage is found where it is reached. Raises Refused for what git would not
    have written or is more than the bounds allow, and zlib.error or IndexError for damaged bytes.
    """
    reader = _Reader()
    for path in sorted(objects.glob("[0-9a-f][0-9a-f]/*")):
        if _is_plain(path) and re.fullmatch("[0-9a-f]{38}", path.name):
            yield from reader.read_loose(path, f"{path.parent.name}/{path.name}")
    for path in sorted(objects.glob("pack/*.pack")):
        if _is_plain(path):
            yield from reader.read_pack(path, f"pack/{path.name}")


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


class _Reader:
    """Reads objects, and counts what they have cost so far."""

    def __init__(self) -> None:
        self._objects = self._inflated_bytes = self._commit_bytes = 0
        self._name = ""  # of the file that is read, for refusals

    def read_loose(self, path: Path, name: str) -> Iterator[Commit]:
        self._name = name
        with path.open("rb") as file:
            data = file.read(MAX_COMMIT_BYTES + CHUNK_BYTES)  # zlib makes no commit larger than that
        decoder = zlib.decompressobj()
        content = decoder.decompress(data, _HEAD_BYTES)
        if not content.startswith(b"commit "):
            return
        content += decoder.decompress(decoder.unconsumed_tail, MAX_COMMIT_BYTES + 1)
        head, _, body = content.partition(b"\0")
        self._charge(len(body))
        if not decoder.eof or head != b"commit %d" % len(body):
            refuse(name, "a whole commit, as long as it says", f"{len(body)} bytes of one with {head[:40]!r}")
        yield self._parse(body)

    def read_pack(self, path: Path, name: str) -> Iterator[Commit]:
        """Yield the commits that are there as such, then those that are differences (deltas) from others."""
        self._name = name
        with path.open("rb") as file:
            if not file.read(1):
                refuse(name, "a pack of git", "an empty file")
            with mmap(file.fileno(), 0, access=ACCESS_READ) as pack:
                yield from self._read_mapped(pack)

    def _read_mapped(self, pack: mmap) -> Iterator[Commit]:
        version, count = self._check_frame(pack)
        self._objects += count
        if version not in {2, 3} or self._objects > MAX_OBJECTS:
            refuse(
                self._name,
                f"a pack of version 2 or 3, and at most {MAX_OBJECTS} objects in all",
                f"version {version}, {self._objects} objects",
            )
        bases: list[tuple[_Stream, Sha1]] = []
        waiting: dict[int | str, list[_Stream]] = defaultdict(list)  # deltas, by the base's offset or id
        offset = 12
        for _ in range(count):
            kind, base, stream = self._read_head(pack, offset)
            if kind == _COMMIT:
                self._charge(stream.size_bytes)
            body, offset = self._inflate(pack, stream, keep=kind == _COMMIT)
            if base is not None:
                waiting[base].append(stream)
            elif kind == _COMMIT:
                commit = self._parse(body)
                bases.append((stream, commit.id))
                yield commit
        if offset != len(pack) - _TRAILER_BYTES:
            refuse(self._name, f"{count} objects, as it says", "more bytes behind them")
        for stream, commit_id in bases:
            if stream.offset in waiting or commit_id.hex in waiting:
                body, _ = self._inflate(pack, stream, keep=True)
                yield from self._resolve(pack, stream.offset, commit_id, body, waiting)

    def _resolve(
        self, pack: mmap, offset: int, commit_id: Sha1, body: bytes, waiting: dict[int | str, list[_Stream]]
    ) -> Iterator[Commit]:
        """Yield what is a delta from a commit, and from those in turn; each delta is taken out and used once."""
        ready = [(offset, commit_id, body)]
        while ready:
            offset, commit_id, body = ready.pop()
            for stream in (*waiting.pop(offset, ()), *waiting.pop(commit_id.hex, ())):
                self._charge(stream.size_bytes)
                delta, _ = self._inflate(pack, stream, keep=True)
                made = self._apply(delta, body)
                commit = self._parse(made)
                yield commit
                if stream.offset in waiting or commit.id.hex in waiting:
                    ready.append((stream.offset, commit.id, made))

    def _check_frame(self, pack: mmap) -> tuple[int, int]:
        if pack[:4] != b"PACK" or len(pack) < 12 + _TRAILER_BYTES:
            refuse(self._name, "a pack of git", f"a file that begins with {pack[:12]!r}")
        hasher = hashlib.sha1(
            usedforsecurity=False
        )  # only finds damage; what proves is each commit's own hash
        end = len(pack) - _TRAILER_BYTES
        for start in range(0, end, CHUNK_BYTES):
            hasher.update(pack[start : min(start + CHUNK_BYTES, end)])
        if hasher.digest() != pack[end:]:
            refuse(self._name, f"a pack with SHA-1 {pack[end:].hex()}, as it ends", hasher.hexdigest())
        return int.from_bytes(pack[4:8], "big"), int.from_bytes(pack[8:12], "big")

    def _read_head(self, pack: mmap, offset: int) -> tuple[int, int | str | None, _Stream]:
        """Return an object's type, the offset or id of what it is a delta from, and where its bytes are."""
        first, at = pack[offset], offset + 1
        kind, size_bytes, shift = first >> 4 & 7, first & 15, 4
        byte = first
        while byte & 128 and shift < 64:  # noqa: PLR2004 - no size needs more bits
            byte, at = pack[at], at + 1
            size_bytes |= (byte & 127) << shift
            shift += 7
        base: int | str | None = None
        if kind == _OFS_DELTA:
            byte, at = pack[at], at + 1
            back = byte & 127
            while byte & 128 and back <= offset:
                byte, at = pack[at], at + 1
                back = (back + 1) << 7 | byte & 127
            base = offset - back
        elif kind == _REF_DELTA:
            base, at = pack[at : at + 20].hex(), at + 20
        if kind not in _TYPES or byte & 128 or (isinstance(base, int) and not 0 < base < offset):
            refuse(self._name, "objects of types that git knows", f"type {kind} at byte {offset}")
        return kind, base, _Stream(offset, at, size_bytes)

    def _inflate(self, pack: mmap, stream: _Stream, *, keep: bool) -> tuple[bytes, int]:
        """Return an object's bytes, if they are to be kept, and where the next one begins."""
        self._inflated_bytes += stream.size_bytes
        if self._inflated_bytes > MAX_TOTAL_BYTES:
            refuse(self._name, f"at most {MAX_TOTAL_BYTES} bytes inflated", f"{self._inflated_bytes}")
        decoder, at, got = zlib.decompressobj(), stream.start, 0
        parts: list[bytes] = []
        while not decoder.eof:
            data = decoder.unconsumed_tail
            if not data:
                data = pack[at : at + _INPUT_BYTES]
                at += len(data)
            part = decoder.decompress(data, CHUNK_BYTES)
            got += len(part)
            if got > stream.size_bytes or not data:
                break
            if keep:
                parts.append(part)
        if got != stream.size_bytes or not decoder.eof:
            expected = f"an object of {stream.size_bytes} bytes at byte {stream.offset}"
            refuse(self._name, expected, f"{got} or more" if got > stream.size_bytes else f"{got}")
        return b"".join(parts), at - len(decoder.unused_data)

    def _apply(self, delta: bytes, base: bytes) -> bytes:
        """Return what a delta makes of its base (gitformat-pack: "Deltified representation")."""
        (base_bytes, at), made = _read_size(delta, 0), bytearray()
        size_bytes, at = _read_size(delta, at)
        self._charge(size_bytes)
        while at < len(delta) and len(made) <= size_bytes:
            order, at = delta[at], at + 1
            if order & 128:
                fields = []
                for bit in range(
                    7
                ):  # four bytes of an offset, three of a size; those that are zero are left out
                    is_there = order >> bit & 1
                    fields.append(delta[at] if is_there else 0)
                    at += is_there
                start = int.from_bytes(fields[:4], "little")
                made += base[start : start + (int.from_bytes(fields[4:], "little") or 1 << 16)]
            else:
                made += delta[at : at + order]
                at += order
        if len(base) != base_bytes or len(made) != size_bytes:
            refuse(
                self._name,
                f"a delta from {base_bytes} bytes to {size_bytes}",
                f"one from {len(base)} to {len(made)}",
            )
        return bytes(made)

    def _charge(self, size_bytes: int) -> None:
        self._commit_bytes += size_bytes
        if size_bytes > MAX_COMMIT_BYTES or self._commit_bytes > MAX_COMMITS_BYTES:
            refuse(
                self._name,
                f"commits of at most {MAX_COMMIT_BYTES} bytes, and {MAX_COMMITS_BYTES} in all",
                f"one of {size_bytes} or more, {self._commit_bytes} so far",
            )

    def _parse(self, body: bytes) -> Commit:
        tree = _TREE.match(body)
        if tree is None:
            refuse(self._name, "a commit that begins with its tree's id", f"{body[:60]!r}")
        committer = _COMMITTER.search(body.partition(b"\n\n")[0] + b"\n")
        commit_id = Sha1.of_bytes(b"commit %d\0" % len(body) + body)
        return Commit(commit_id, Sha1(tree[1].decode()), int(committer[1]) if committer else None)


def _read_size(delta: bytes, at: int) -> tuple[int, int]:
    size_bytes = shift = 0
    more = True
    while more and shift < 64:  # noqa: PLR2004 - no size needs more bits
        size_bytes |= (delta[at] & 127) << shift
        more, at, shift = delta[at] > 127, at + 1, shift + 7  # noqa: PLR2004 - the eighth bit
    return size_bytes, at
