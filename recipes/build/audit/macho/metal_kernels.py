"""The Metal kernels inside a bundle: what the Mac compiles must be the patched tree's source, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.audit.binary_reader import parse_macho
from recipes.core.errors import AuditError
from recipes.core.filesystem import storage_errors

if TYPE_CHECKING:
    from pathlib import Path

SECTION = ("__DATA", "__ggml_metallib")  # where ggml's assembly file puts it
LIBRARY = "libggml-metal"  # the start of the file's name, which may carry a version
# ggml's CMake file puts each of these files in the place of the lines that hold its marker, in this order
INCLUDED = (
    (b"__embed_ggml-common.h__", "ggml-common.h"),
    (b'#include "ggml-metal-impl.h"', "ggml-metal/ggml-metal-impl.h"),
)


def kernel_source(source: Path) -> bytes:
    """Return the kernels' source as it must be embedded, from the source tree alone.

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
        found, expected = embedded_source(path), kernel_source(source)
        if found is None:
            raise AuditError(
                where=f"{where}: {path.relative_to(bundle)}",
                expected="the source of the Metal kernels, embedded",
                found="none",
                fix="set GGML_METAL_EMBED_LIBRARY to ON under `cmake:` in the manifest",
            )
        if found != expected:
            at = next((i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), None)
            place = min(len(found), len(expected)) if at is None else at
            raise AuditError(
                where=f"{where}: {path.relative_to(bundle)}",
                expected=f"the source of the Metal kernels in the patched tree, {len(expected)} bytes",
                found=f"{len(found)} bytes, other ones from byte {place} on",
                fix="build again: each build has a cache of its own, as zig does not notice that this file changed",
            )


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
