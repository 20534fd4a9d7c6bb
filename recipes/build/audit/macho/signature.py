"""Reads the code signature of a Mach-O file and hashes the pages that it speaks for. Pure: bytes in, facts out.

Structures and numbers as in xnu's osfmk/kern/cs_blobs.h; all of it is big-endian, whatever the processor.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

EMBEDDED_SIGNATURE = 0xFADE0CC0
CODE_DIRECTORY = 0xFADE0C02
SLOT_CODE_DIRECTORY = 0
SLOT_CMS = 0x10000  # what an identity signs; absent or empty where the signature is ad hoc
AD_HOC = 0x2
MAIN_BINARY = 0x1  # of the executable segment
OLDEST_WITH_EXECUTABLE_SEGMENT = 0x20400
HASH_NAMES = {1: "sha1", 2: "sha256", 4: "sha384"}
_SUPER_BLOB = struct.Struct(">III")
_INDEX = struct.Struct(">II")
_BLOB = struct.Struct(">II")
# magic, length, version, flags, hashOffset, identOffset, nSpecialSlots, nCodeSlots, codeLimit, hashSize, hashType,
# platform, pageSize, spare2, scatterOffset, teamOffset, spare3, codeLimit64, execSegBase, execSegLimit, execSegFlags
_DIRECTORY = struct.Struct(">IIIIIIIIIBBBBIIIIQQQQ")
PAGES = range(12, 17)  # as powers of two; Apple's tools sign pages of 4 KiB, zig's linker those of 16 KiB


@dataclass(frozen=True)
class Signature:
    """What a file's code directory says.

    `flags` are as in cs_blobs.h (2 is ad hoc), `hash_name` is as hashlib calls it. Pages are hashed in the file's order
    from its first byte up to `code_limit_bytes`; the last may be short. `executable_segment` is offset, size and flags
    of __TEXT. `blobs` are whole, by their slots.
    """

    identifier: str
    flags: int
    hash_name: str
    page_size_bytes: int
    code_limit_bytes: int
    page_hashes: tuple[bytes, ...]
    executable_segment: tuple[int, int, int]
    blobs: Mapping[int, bytes]

    @property
    def is_ad_hoc(self) -> bool:
        """Whether no identity stands behind it."""
        return bool(self.flags & AD_HOC) and len(self.blobs.get(SLOT_CMS, b"")) <= _BLOB.size


def parse_signature(data: bytes) -> Signature:
    """Read what LC_CODE_SIGNATURE points to; padding may follow.

    Raises ValueError where it is not a signature with a code directory that describes the executable segment.
    """
    magic, length, count = _unpack(_SUPER_BLOB, data, 0)
    if magic != EMBEDDED_SIGNATURE:
        raise ValueError(f"a signature begins with {EMBEDDED_SIGNATURE:#x}, this with {magic:#x}")
    if length > len(data):
        raise ValueError(f"the signature says {length} bytes, and there are {len(data)}")
    data = data[:length]
    blobs: dict[int, bytes] = {}
    for number in range(count):
        slot, offset = _unpack(_INDEX, data, _SUPER_BLOB.size + number * _INDEX.size)
        _, size = _unpack(_BLOB, data, offset)
        if slot in blobs or offset + size > length:
            raise ValueError(f"slot {slot:#x} is there twice, or ends after the signature")
        blobs[slot] = data[offset : offset + size]
    if SLOT_CODE_DIRECTORY not in blobs:
        raise ValueError("the signature has no code directory")
    return _parse_directory(blobs)


def wrong_pages(signature: Signature, data: bytes) -> tuple[int, ...]:
    """Return the numbers of the pages whose hash is not the one that was signed."""
    # what is said to lie behind the file's end has no bytes: its pages are missing, however many are claimed
    size, limit = signature.page_size_bytes, min(signature.code_limit_bytes, len(data))
    starts = range(0, limit, size)
    found = [hashlib.new(signature.hash_name, data[at : min(at + size, limit)]).digest() for at in starts]
    signed = signature.page_hashes
    differ = [number for number, pair in enumerate(zip(found, signed, strict=False)) if pair[0] != pair[1]]
    return (*differ, *range(min(len(found), len(signed)), max(len(found), len(signed))))


def wrong_slots(signature: Signature) -> tuple[int, ...]:
    """Return the slots of other blobs (requirements, entitlements) whose hash is not the one in the code directory.

    Special slots lie before the pages' hashes, the first one nearest; a slot of zeros stands for no blob.
    """
    directory = signature.blobs[SLOT_CODE_DIRECTORY]
    fields = _DIRECTORY.unpack_from(directory)
    start, count, width = fields[4], fields[6], fields[9]
    wrong = []
    for slot in range(1, count + 1):
        signed = directory[start - slot * width : start - (slot - 1) * width]
        blob = signature.blobs.get(slot)
        found = hashlib.new(signature.hash_name, blob).digest() if blob is not None else bytes(width)
        # slots 1 and 3 speak of Info.plist and CodeResources, which lie outside the file
        if signed != found and not (blob is None and slot in {1, 3}):
            wrong.append(slot)
    return (
        *wrong,
        *(slot for slot in signature.blobs if count < slot < SLOT_CMS and not _is_alternate(slot)),
    )


def _is_alternate(slot: int) -> bool:
    return 0x1000 <= slot < 0x1005  # noqa: PLR2004 - CSSLOT_ALTERNATE_CODEDIRECTORIES, of which there may be five


def _parse_directory(blobs: Mapping[int, bytes]) -> Signature:
    directory = blobs[SLOT_CODE_DIRECTORY]
    fields = _unpack(_DIRECTORY, directory, 0)
    magic, _, version, flags, hashes_at, identifier_at, specials, pages, limit, width, kind = fields[:11]
    shift, limit64, segment = fields[12], fields[17], fields[18:21]
    if magic != CODE_DIRECTORY:
        raise ValueError(f"a code directory begins with {CODE_DIRECTORY:#x}, this with {magic:#x}")
    if version < OLDEST_WITH_EXECUTABLE_SEGMENT:
        raise ValueError(f"the code directory's version {version:#x} describes no executable segment")
    name = HASH_NAMES.get(kind)
    if name is None or hashlib.new(name).digest_size != width or shift not in PAGES:
        raise ValueError(f"hash type {kind} of {width} bytes over pages of 2^{shift} bytes is not known")
    end = directory.find(b"\0", identifier_at)
    if hashes_at + pages * width > len(directory) or hashes_at < specials * width or end < 0:
        raise ValueError("the code directory's hashes or identifier lie outside it")
    return Signature(
        identifier=directory[identifier_at:end].decode("utf-8"),
        flags=flags,
        hash_name=name,
        page_size_bytes=1 << shift,
        code_limit_bytes=limit64 or limit,
        page_hashes=tuple(
            directory[at : at + width] for at in range(hashes_at, hashes_at + pages * width, width)
        ),
        executable_segment=(segment[0], segment[1], segment[2]),
        blobs=blobs,
    )


def _unpack(shape: struct.Struct, data: bytes, offset: int) -> tuple[int, ...]:
    if offset + shape.size > len(data):
        raise ValueError(f"it ends at byte {len(data)}, within what begins at byte {offset}")
    return shape.unpack_from(data, offset)
