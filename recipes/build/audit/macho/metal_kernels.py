"""The Metal kernels inside a bundle: what the Mac compiles must be the patched tree's source, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.audit.binary_reader import parse_macho
from recipes.core.errors import AuditError
from recipes.core.filesystem import storage_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SECTION = ("__DATA", "__ggml_metallib")  # where ggml's assembly file puts it
LIBRARY = "libggml-metal"  # the start of the file's name, which may carry a version
# ggml's CMake file puts each of these files in the place of the lines that hold its marker, in this order
INCLUDED = (
    (b"__embed_ggml-common.h__", "ggml-common.h"),
    (b'#include "ggml-metal-impl.h"', "ggml-metal/ggml-metal-impl.h"),
)


# Where each kernel is a file in ggml-metal/kernels: what is put before it if it names it, in this order, the first
# always. ggml's CMake file then removes the lines that hold a name, or the mark of a header.
HEADERS = ("common.h", "dequantize.h", "quantize.h", "fa_common.metal", "fa_vec_common.metal")
REMOVED = (*(f'#include "{name}"'.encode() for name in HEADERS), b"#pragma once")


def kernel_sources(source: Path) -> tuple[bytes, ...]:
    """Return each text that must be embedded, from the source tree alone: one, or one for each kernel's file.

    Raises as `kernel_source`.
    """
    folder = source / "ggml" / "src" / "ggml-metal" / "kernels"
    if not folder.is_dir():
        return (kernel_source(source),)
    with storage_errors(folder):
        included = {marker: (folder.parent.parent / name).read_bytes() for marker, name in INCLUDED}
        headers = {name: (folder / name).read_bytes() for name in HEADERS}
        paths = sorted(path for path in folder.glob("*.metal") if path.name not in HEADERS)
        texts = [path.read_bytes() for path in paths]
    return tuple(_put_together(text, headers, included) for text in texts)


def _put_together(text: bytes, headers: Mapping[str, bytes], included: Mapping[bytes, bytes]) -> bytes:
    before = [
        header
        for name, header in headers.items()
        if name == HEADERS[0] or f'#include "{name}"'.encode() in text
    ]
    lines = b"".join((*before, text)).splitlines(keepends=True)
    kept = [line for line in lines if not any(mark in line for mark in REMOVED)]
    for marker, replacement in included.items():
        kept = [part for line in kept for part in _replaced(line, marker, replacement)]
    return b"".join(kept)


def _replaced(line: bytes, marker: bytes, replacement: bytes) -> list[bytes]:
    return replacement.splitlines(keepends=True) if marker in line else [line]


def kernel_source(source: Path) -> bytes:
    """Return the kernels' source where it is one file, as it must be embedded, from the source tree alone.

    Raises AuditError where the tree has no marker for a file, and so embeds its kernels in another way, and StoreError
    where a file cannot be read.
    """
    folder = source / "ggml" / "src"
    with storage_errors(folder):
        text = (folder / "ggml-metal" / "ggml-metal.metal").read_bytes()
        for marker, name in INCLUDED:
            included = (folder / name).read_bytes()
            if marker not in text:
                raise AuditError(
                    where=f"{source}: ggml-metal.metal",
                    expected=f"a line with {marker.decode()}",
                    found="none",
                    fix="read ggml/src/ggml-metal/CMakeLists.txt and change INCLUDED in metal_kernels.py",
                )
            lines = text.splitlines(keepends=True)
            text = b"".join(included if marker in line else line for line in lines)
    return text


def check_kernels(bundle: Path, source: Path, where: str) -> None:
    """Demand that the Metal backend of a bundle carries the tree's kernels: an old cache would give old bytes.

    A bundle without a Metal backend passes. Raises AuditError where it does not carry them.
    """
    for path in sorted(bundle.glob(f"lib/{LIBRARY}*")):
        found, expected = embedded_source(path), kernel_sources(source)
        if found is None:
            raise AuditError(
                where=f"{where}: {path.relative_to(bundle)}",
                expected="the source of the Metal kernels, embedded",
                found="none",
                fix="set GGML_METAL_EMBED_LIBRARY to ON under `cmake:` in the manifest",
            )
        place = first_difference(found, expected)
        if place is not None:
            raise AuditError(
                where=f"{where}: {path.relative_to(bundle)}",
                expected=f"the source of the Metal kernels in the patched tree, {sum(map(len, expected))} bytes",
                found=f"{len(found)} bytes, other ones from byte {place} on",
                fix="build again: each build has a cache of its own, as zig does not notice that this file changed",
            )


def first_difference(found: bytes, expected: Sequence[bytes]) -> int | None:
    """Return where a section stops being the expected texts, each once and in any order; None where it is them."""
    left, place = list(expected), 0
    while left:
        fits = [text for text in left if found.startswith(text, place)]
        if not fits:
            return place + max(common_length(found[place : place + len(text)], text) for text in left)
        text = max(fits, key=len)
        left.remove(text)
        place += len(text)
    return None if place == len(found) else place


def common_length(one: bytes, other: bytes) -> int:
    """Return how many bytes two texts have in common at their start."""
    least = min(len(one), len(other))
    return next((at for at in range(least) if one[at] != other[at]), least)


def embedded_source(path: Path) -> bytes | None:
    """Return the kernels' source that a Mach-O file carries; None where it carries none."""
    with storage_errors(path):
        data = path.read_bytes()
    try:
        slices = parse_macho(data)
    except ValueError:
        return None
    sections = slices.at(0).sections
    found = [section for section in sections if (section.segment_name, section.name) == SECTION]
    return bytes(found[0].content) if found else None
