"""Small Mach-O files, made by the pinned zig: a program, and a library that it needs."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from hashlib import sha256
from typing import TYPE_CHECKING

from recipes.build.audit.macho.audit import MacTarget
from recipes.build.audit.macho.text_stubs import read_stubs
from recipes.build.toolchain.toolchain import ensure_toolchain
from recipes.core.console import open_console
from recipes.core.settings import read_settings
from recipes.manifest.load import Manifests
from recipes.store.context import Context
from recipes.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

TARGET = "aarch64-macos.13.3"
LIBRARY = '__attribute__((visibility("default"))) int add(int a, int b) { return a + b; }\n'
PROGRAM = (
    '#include <stdio.h>\nint add(int, int);\nint main(void) { return printf("%d\\n", add(1, 2)) < 0; }\n'
)


class Workshop:
    """Compiles for macOS with the pinned zig.

    Parameters
    ----------
    folder
        For sources and the compiler's cache.
    """

    def __init__(self, folder: Path) -> None:
        manifests = Manifests()
        recipe = manifests.recipe(manifests.defaults().recipe)
        toolchain = manifests.toolchain(recipe.platforms["linux-x86_64-cpu"].toolchain)
        settings = read_settings()
        entry = ensure_toolchain(toolchain, Context(Store.open(settings.store), open_console(), settings))
        self.folder = folder
        self.zig = entry.path / "ziglang" / "ziglang"

    def compile(self, source: str, into: Path, *flags: str, target: str = TARGET) -> Path:
        """Compile a C source to a program, or to a library where the flags say so."""
        into.parent.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{into.name}.c"
        file.write_text(source)
        cache = str(self.folder / "zig")
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        command = [
            str(self.zig / "zig"),
            "cc",
            "-target",
            target,
            "-O2",
            "-s",
            *flags,
            str(file),
            "-o",
            str(into),
        ]
        subprocess.run(command, check=True, env=environment, capture_output=True)
        return into

    def bundle(self, root: Path) -> Path:
        """Lay out bin/program and lib/libadd.dylib as a bundle has them."""
        library = self.compile(
            LIBRARY,
            root / "lib" / "libadd.dylib",
            "-shared",
            "-fvisibility=hidden",
            "-Wl,-install_name,@rpath/libadd.dylib",
        )
        self.compile(
            PROGRAM,
            root / "bin" / "program",
            str(library),
            "-Wl,-rpath,@loader_path/../lib",
            "-fvisibility=hidden",
        )
        (root / "build.json").write_text("{}\n")
        return root

    def target(self) -> MacTarget:
        """Give what the files are for, with the stub of the only library of the system that they need."""
        return MacTarget("arm64", "13.3", read_stubs([self.zig / "lib/libc/darwin/libSystem.tbd"]))


def copy_bundle(bundle: Path, into: Path) -> Path:
    """Copy a bundle, so that it can be tampered with."""
    shutil.copytree(bundle, into)
    return into


def sign(data: bytes, identifier: str, requirements: bytes = b"", cms: bytes = b"") -> bytes:
    """Give a signed file with another signature in the place of its own, as a tool that signs writes it.

    With requirements and a CMS blob it is what an identity's signature looks like to whoever reads the file;
    no certificate stands behind it.
    """
    commands = struct.unpack_from("<I", data, 16)[0]
    at, places = 32, {}
    for _ in range(commands):
        kind, size = struct.unpack_from("<II", data, at)
        name = data[at + 8 : at + 24].rstrip(b"\0")
        places[name if kind == 0x19 else kind] = at
        at += size
    pointer, linkedit = places[0x1D], places[b"__LINKEDIT"]
    limit = struct.unpack_from("<I", data, pointer + 8)[0]
    text_size = struct.unpack_from("<Q", data, places[b"__TEXT"] + 48)[0]
    page, name = 4096, identifier.encode() + b"\0"
    special = (
        sha256(requirements).digest() + bytes(32) if requirements else b""
    )  # slots 2 and 1, in this order
    hashes_at = 88 + len(name) + len(special)
    head = bytearray(data[:limit])
    blobs = [(2, requirements)] if requirements else []
    blobs += [(0x10000, cms)] if cms else []
    pages = -(-limit // page)
    directory_size = hashes_at + 32 * pages
    total = 12 + 8 * (1 + len(blobs)) + directory_size + sum(len(blob) for _, blob in blobs)
    total += -total % 16
    struct.pack_into("<I", head, pointer + 12, total)
    file_offset = struct.unpack_from("<Q", head, linkedit + 40)[0]
    size = limit + total - file_offset
    struct.pack_into("<QQQ", head, linkedit + 32, size + -size % 0x4000, file_offset, size)
    hashes = b"".join(sha256(head[at : min(at + page, limit)]).digest() for at in range(0, limit, page))
    directory = struct.pack(
        ">IIIIIIIIIBBBBIIIIQQQQ",
        *(
            0xFADE0C02,
            directory_size,
            0x20400,
            0 if cms else 2,
            hashes_at,
            88,
            len(special) // 32,
            pages,
            limit,
        ),
        *(32, 2, 0, 12, 0, 0, 0, 0, 0, 0, text_size, 1),
    )
    parts = [(0, directory + name + special + hashes), *blobs]
    index, bodies, offset = b"", b"", 12 + 8 * len(parts)
    for slot, blob in parts:
        index += struct.pack(">II", slot, offset)
        bodies += blob
        offset += len(blob)
    blob = struct.pack(">III", 0xFADE0CC0, offset, len(parts)) + index + bodies
    return bytes(head) + blob.ljust(total, b"\0")
