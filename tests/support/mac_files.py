"""Small Mach-O files, made by the pinned zig: a program, and a library that it needs."""

from __future__ import annotations

import shutil
import struct
from hashlib import sha256
from typing import TYPE_CHECKING

from recipes.build.audit.macho.audit import MacTarget
from recipes.build.audit.macho.text_stubs import read_stubs
from recipes.build.toolchain.toolchain import host_name, toolchain_key
from recipes.core.digest import Sha256
from tests.support.pinned_compiler import PinnedCompiler

if TYPE_CHECKING:
    from pathlib import Path

TARGET = "aarch64-macos.13.3"
OTHER_TARGETS = ("x86_64-macos.13.3", "aarch64-macos.14.0")
LIBRARY = '__attribute__((visibility("default"))) int add(int a, int b) { return a + b; }\n'
PROGRAM = (
    '#include <stdio.h>\nint add(int, int);\nint main(void) { return printf("%d\\n", add(1, 2)) < 0; }\n'
)
SHARED = ("-shared", "-Wl,-install_name,@rpath/libadd.dylib")


class MacCompiler(PinnedCompiler):
    """Compiles for macOS, without the SDK of ours: what these files need is in zig."""

    platform = "macos-arm64-metal"

    @property
    def called(self) -> list[str]:
        return ["cc", "-O2", "-s"]

    def command(self) -> list[str]:
        if not (self.folder / "zig").exists():
            made_by = "-".join(
                (*self.called, TARGET, *OTHER_TARGETS, toolchain_key(self.toolchain, host_name()))
            )
            key = f"test-zig-cache-{Sha256.of_bytes(made_by.encode()).hex[:32]}"
            made = self.context.store.ensure(key, "test", {}, self._fill, console=self.context.console)
            shutil.copytree(made.entry.path, self.folder / "zig", copy_function=shutil.copyfile)
        return [str(self.zig / "zig"), *self.called]

    def _fill(self, cache: Path) -> None:
        """Make zig compile its own libraries for the targets, which takes longer than all tests."""
        source, program = self.folder / "first.c", self.folder / "first"
        source.write_text(
            PROGRAM.replace("int add(int, int);", "static int add(int a, int b) { return a + b; }")
        )
        for target in (TARGET, *OTHER_TARGETS):
            words = (*self.called, "-target", target, str(source), "-o", str(program))
            self.run(str(self.zig / "zig"), *words, into=self.folder, cache=cache)

    def make(
        self, source: str, into: Path, *flags: str | Path, target: str = TARGET, fresh: bool = False
    ) -> Path:
        """Compile a C source for a target."""
        return self.compile(source, into, "-target", target, *flags, fresh=fresh)

    def bundle(self, root: Path, *, fresh: bool = False) -> Path:
        """Lay out bin/program and lib/libadd.dylib as a bundle has them."""
        library = self.make(
            LIBRARY, root / "lib" / "libadd.dylib", *SHARED, "-fvisibility=hidden", fresh=fresh
        )
        paths = ("-Wl,-rpath,@loader_path/../lib", "-fvisibility=hidden")
        self.make(PROGRAM, root / "bin" / "program", library, *paths, fresh=fresh)
        (root / "build.json").write_text("{}\n")
        return root

    def target(self) -> MacTarget:
        """Return what the files are for, with the stub of the only library of the system that they need."""
        return MacTarget("arm64", "13.3", read_stubs([self.zig / "lib/libc/darwin/libSystem.tbd"]))


def sign(data: bytes, identifier: str, requirements: bytes = b"", cms: bytes = b"") -> bytes:
    """Return a signed file with another signature in the place of its own, as a tool that signs writes it.

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
