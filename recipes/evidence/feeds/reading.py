"""Reads vulnerability records from a file, a folder, a zip or an address, one after the other and within bounds."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.errors import FetchError, UsageError
from recipes.core.filesystem import size_text, storage_errors
from recipes.core.settings import OFFLINE_VARIABLE
from recipes.fetch.download.downloader import Downloader
from recipes.fetch.fetcher import Fetcher
from recipes.fetch.http.network_errors import OriginError, shown_url
from recipes.fetch.http.redirects import Route
from recipes.fetch.http.response_rules import Unpinned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recipes.store.context import Context

MOST_FEED_BYTES = 1 << 30  # of a download; a dump of everything that OSV has takes about that
MOST_RECORD_BYTES = 16 << 20  # of one file: the longest records have about 1 MB, an answer of the API some
MOST_DIRECTORY_BYTES = 64 << 20  # of a zip's list of files, which is read at once: more than 500,000 files
UNREADABLE = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    struct.error,
)


@dataclass(frozen=True)
class FeedFile:
    """One file of a feed: its name, and its bytes or why it was not read."""

    name: str
    data: bytes = b""
    fault: str = ""


@contextmanager
def open_feed(source: str, context: Context, again: str) -> Iterator[Iterator[FeedFile]]:
    """Give the files of a feed, which is a path or an address; each is read when it is asked for.

    Raises UsageError where there is no such file, or a zip that is none, and FetchError where an address does not
    deliver: https is never left for http, and more than MOST_FEED_BYTES are not taken.
    """
    if not source.startswith(("http://", "https://")):
        yield read_files(Path(source))
        return
    fetcher = Fetcher.of(context)
    label = f"feed {shown_url(source)}"
    with context.store.scratch("feed") as folder, storage_errors(folder):
        path = folder / "feed"
        if context.settings.offline:
            raise _not_delivered(
                source, f"{OFFLINE_VARIABLE}=1 forbids the network", f"{OFFLINE_VARIABLE}=0 {again}"
            )
        downloader = Downloader(label, Unpinned(MOST_FEED_BYTES), path, fetcher, fetcher.pace)
        try:
            downloader.fetch(Route(source), hashes=False)
        except OriginError as error:
            raise _not_delivered(source, str(error), again) from error
        yield read_files(path, shown_url(source))


def read_files(path: Path, shown: str = "") -> Iterator[FeedFile]:
    """Return the files of a folder, of a zip, or the one file; raises UsageError where there is none of these."""
    shown = shown or str(path)
    if path.is_dir():
        return _of_folder(path)
    if not path.is_file():
        raise no_feed(shown, "no such file")
    try:
        is_zip = zipfile.is_zipfile(path)
        if is_zip and (size_bytes := directory_bytes(path)) > MOST_DIRECTORY_BYTES:
            raise no_feed(shown, f"a zip whose list of files has {size_text(size_bytes)}")
    except OSError as error:
        raise no_feed(shown, error.strerror or str(error)) from error
    return _of_zip(path, shown) if is_zip else iter([_read(shown, path)])


def directory_bytes(path: Path) -> int:
    """Return how large the list of files at the end of a zip says it is (APPNOTE 6.3.10, 4.3.14 and 4.3.16)."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        start = max(0, file.tell() - (1 << 16) - 22 - 20 - 56)
        file.seek(start)
        tail = file.read()
    end = tail.rfind(b"PK\5\6")
    sizes = [int.from_bytes(tail[end + 12 : end + 16], "little")] if end >= 0 else []
    large = tail.rfind(b"PK\6\6")
    sizes += [int.from_bytes(tail[large + 40 : large + 48], "little")] if large >= 0 else []
    return max((size for size in sizes if size != 0xFFFFFFFF), default=1 << 63)  # noqa: PLR2004 - it stands in the other


def _of_folder(folder: Path) -> Iterator[FeedFile]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent) / name
            if name.endswith(".json") and path.is_file():
                yield _read(path.relative_to(folder).as_posix(), path)


def _of_zip(path: Path, shown: str) -> Iterator[FeedFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.filename.endswith(".json"):
                    continue
                try:
                    with archive.open(info) as member:
                        yield _bounded(info.filename, member.read(MOST_RECORD_BYTES + 1))
                except UNREADABLE as error:
                    yield FeedFile(info.filename, fault=f"it cannot be unpacked: {error}")
    except UNREADABLE as error:
        raise no_feed(shown, f"a zip that cannot be read: {error}") from error


def _read(name: str, path: Path) -> FeedFile:
    try:
        with path.open("rb") as file:
            return _bounded(name, file.read(MOST_RECORD_BYTES + 1))
    except OSError as error:
        return FeedFile(name, fault=error.strerror or str(error))


def _bounded(name: str, data: bytes) -> FeedFile:
    if len(data) > MOST_RECORD_BYTES:
        return FeedFile(name, fault=f"it has more than {size_text(MOST_RECORD_BYTES)}")
    return FeedFile(name, data)


def no_feed(where: str, found: str) -> UsageError:
    """Return the error for what is no feed."""
    return UsageError(
        where=f"--feed {where}",
        expected="records of OSV or CVE JSON 5: a .json file, a folder or a zip of them, or an address",
        found=found,
        fix="name a file that is there, or an http or https address",
    )


def _not_delivered(source: str, found: str, again: str) -> FetchError:
    expected = f"records of OSV or CVE JSON 5, at most {size_text(MOST_FEED_BYTES)}"
    return FetchError(where=f"--feed {shown_url(source)}", expected=expected, found=found, fix=again)
