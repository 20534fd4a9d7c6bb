"""Packs a folder so that equal trees give equal bytes."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from recipes.core.errors import BuildError
from recipes.core.filesystem import shown, storage_errors

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterator
    from pathlib import Path

    from zstandard import ZstdCompressor

# One thread, a fixed level, no size in the frame: the bytes depend on the tree and on zstd's release alone.
# That release is pinned like the other packages; what names a bundle is its tree digest, not its archive's.
ZSTD_LEVEL = 8  # 9 takes a quarter more time, for 2 % fewer bytes of a bundle
# Up to 64 MiB, because a backend's variants are alike; zstd reads up to 27 without being asked.
ZSTD_WINDOW_LOGS = 17, 26
PROGRAM_MODE, DATA_MODE = 0o755, 0o644


def pack(root: Path, archive: Path, *, mtime: int, prefix: str = "") -> None:
    """Write a .tar.zst that depends on the names, bytes and execute bits below a folder and on nothing else.

    `mtime` is the time of each entry, in seconds since 1970; `prefix` a folder to put everything in, so that unpacking
    by hand makes one. A folder without files is not packed, as in git; a link or a device is a BuildError. The archive
    appears whole or not at all; where the disk refuses, a StoreError is raised.
    """
    import tarfile

    partial = archive.with_name(f".{archive.name}.{os.getpid()}.partial")
    with storage_errors(archive):
        try:
            files = tuple(_regular_files(root))
            compressor = _compressor(sum(path.stat().st_size for _, path in files))
            with partial.open("wb") as file:
                with (
                    compressor.stream_writer(file, closefd=False) as stream,
                    tarfile.open(
                        fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8"
                    ) as tar,
                ):
                    for name, path in files:
                        _add(tar, f"{prefix}/{name}" if prefix else name, path, mtime)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(archive)
        finally:
            partial.unlink(missing_ok=True)


def _compressor(size_bytes: int) -> ZstdCompressor:
    import zstandard

    smallest, largest = ZSTD_WINDOW_LOGS
    parameters = zstandard.ZstdCompressionParameters.from_level(
        ZSTD_LEVEL,
        source_size=size_bytes + 1,  # 0 would say that it is not known
        window_log=min(max(size_bytes.bit_length(), smallest), largest),
        enable_ldm=True,
        write_checksum=True,
    )
    return zstandard.ZstdCompressor(compression_params=parameters)


def _regular_files(root: Path) -> Iterator[tuple[str, Path]]:
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*")}
    for name, path in sorted(files.items(), key=lambda item: os.fsencode(item[0])):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            yield name, path
        elif not stat.S_ISDIR(mode):
            raise BuildError(
                where=str(root),
                expected="regular files and folders",
                found=f"{shown(name)} is neither",
                fix="build it again: a bundle is laid out without links",
            )


def _add(tar: tarfile.TarFile, name: str, path: Path, mtime: int) -> None:
    with path.open("rb") as content:
        status = os.fstat(content.fileno())
        entry = tar.tarinfo(name)  # owner 0:0 without names
        entry.size, entry.mtime = status.st_size, mtime
        entry.mode = PROGRAM_MODE if status.st_mode & stat.S_IXUSR else DATA_MODE
        tar.addfile(entry, content)
