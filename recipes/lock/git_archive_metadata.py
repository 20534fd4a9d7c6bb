"""What an archive records about its commit, read before it is unpacked; nothing of it is trusted.

`git archive` writes the commit's id into the archive (git-archive's documentation: as a comment in a tar file's global
extended pax header, or as a zip file's comment), and the commit's time as that of its members.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.digest import Sha1

if TYPE_CHECKING:
    from pathlib import Path

HEAD_BYTES = 1 << 16  # of the unpacked tar: the pax header and the first member need 2 KiB


@dataclass(frozen=True)
class ArchiveMetadata:
    """What was found; None for what the archive does not say.

    `top` is the one folder that its members lie in, told by its first member; `time_s` is the commit's, since 1970.
    """

    top: str | None = None
    commit: Sha1 | None = None
    time_s: int | None = None


def read_metadata(archive: Path) -> ArchiveMetadata:
    """Read what an archive records about its commit; nothing where it cannot be read.

    Only tar files, plain or compressed by gzip, and zip files are read. At most HEAD_BYTES of a tar file are unpacked,
    however much it would unpack to. Raises OSError where the file cannot be read.
    """
    try:
        if zipfile.is_zipfile(archive):
            return _read_zip(archive)
        with archive.open("rb") as file:
            is_gzip = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            head = gzip.GzipFile(fileobj=file).read(HEAD_BYTES) if is_gzip else file.read(HEAD_BYTES)
        return _read_tar(head)
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, ValueError):
        return ArchiveMetadata()


def _read_tar(head: bytes) -> ArchiveMetadata:
    with tarfile.open(fileobj=io.BytesIO(head), mode="r:") as tar:
        first = tar.next()
        comment = tar.pax_headers.get("comment", "")
    if first is None:
        return ArchiveMetadata()
    return _metadata(f"{first.name}/" if first.isdir() else first.name, comment, int(first.mtime))


def _read_zip(archive: Path) -> ArchiveMetadata:
    with zipfile.ZipFile(archive) as content:
        first = next(iter(content.namelist()), "")
        # a zip's times have no zone, so that they do not say when it was committed
        return _metadata(first, content.comment.decode("ascii", errors="replace"), None)


def _metadata(first: str, comment: str, time_s: int | None) -> ArchiveMetadata:
    top, slash, _ = first.removeprefix("./").partition("/")
    commit = Sha1(comment) if re.fullmatch("[0-9a-f]{40}", comment) else None
    # only git's own times are those of the commit
    return ArchiveMetadata(
        top if slash and top else None, commit, time_s if commit and time_s and time_s > 0 else None
    )
