"""Unpack an untrusted archive: every member is checked, and only what is wanted is written.

The format is told by content, never by name. Nothing is written through a link, because links are made last;
a name that two file systems would read in two ways is refused, so that each machine unpacks the same tree.
Formats: POSIX.1-2017 `pax` and `ustar`, PKWARE's APPNOTE (zip), RFC 1952 (gzip).
"""

from __future__ import annotations

import io
import lzma
import os
import shlex
import shutil
import stat
import struct
import tarfile
import threading
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol, Self

from recipes.core.cores import usable_cores
from recipes.core.errors import ArchiveError, StoreError
from recipes.core.filesystem import storage_errors
from recipes.fetch.archives.members import (
    MAX_PATH_BYTES,
    MEMBERS_WANTED,
    SAMPLE_CHARACTERS,
    Contents,
    Member,
    MemberKind,
    Refused,
    parse_name,
    refuse,
    show_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_RECORD_BYTES = 1 << 20  # of a long-name record or a zip's link, which are held in memory whole
MAX_DICTIONARY_BYTES = 128 << 20  # xz -9 and zstd --ultra -22 need no more to decompress
INPUT_BYTES = 4096  # decompressed at once; zstd's densest block turns 4 bytes into 128 KiB: 128 MiB at most
COPY_BYTES = 1 << 18  # four times as much takes memory from the system anew each time
BATCH_BYTES = 4 << 20  # of work that a thread takes at once: many batches keep the threads evenly busy
FILE_COST_BYTES = 100_000  # what making a small file costs, in bytes inflated in that time (measured: 0.5 ms)

_MAGICS = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}
_TAR_MAGIC = slice(257, 262)
_END_OF_TAR: type[Exception] = tarfile.EOFHeaderError  # type: ignore[attr-defined] # the type stubs lack it
_LONG_RECORDS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_TAR_REFUSED = {
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a named pipe",
}
_ZIP_END, _ZIP_END_BYTES = b"PK\x05\x06", 22
_ZIP_ENCRYPTED, _ZIP_UTF8 = 0x1, 0x800  # general purpose flags
_ZIP_UNIX = (3, 19)  # made on unix, or on macOS: then the high half of external_attr is a mode
# What tarfile, zipfile and zlib raise for bytes that are not what they claim to be.
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, IndexError, OverflowError, RuntimeError, ValueError),
)
_FIX = (
    "do not use this archive: it is not what the pin's author saw; report it to whoever publishes {}, "
    "or pin another origin with `python3 noxfile.py -s lock`"
)


def unpack(  # noqa: PLR0913 - one call
    archive: Path,
    into: Path,
    *,
    subdirectory: str,
    drop: tuple[str, ...],
    where: str,
    most_bytes: int | None = None,
) -> None:
    """Write what lies below one folder of an archive, with that folder's name removed.

    The archive is a tar, plain or compressed by gzip, xz or zstd, or a zip, such as a wheel. `subdirectory` is a POSIX
    path in it, "." for all; `drop` are files below that to leave out, each of which must be there. `where` is what the
    archive is to the user, such as an origin. `most_bytes` bounds what a compressed tar may become, heads and all.

    Files get mode 0644, or 0755 where their owner may execute them; folders get 0755, whatever the umask. Times are
    those of unpacking. After any failure `into` is empty, or absent if it was.

    An ArchiveError is raised where the archive is damaged, is none, or holds anything unsafe, wanted or not; a
    StoreError where `into` is not empty, or the file system refuses.
    """
    contents = Contents("" if subdirectory == "." else subdirectory, frozenset(drop))
    with archive_errors(archive, into, where), _emptied_on_failure(into), archive.open("rb") as file:
        form = _format_of(file.read(tarfile.BLOCKSIZE))
        file.seek(0)
        tree = _Tree(into)
        if form == "zip":
            _unpack_zip(file, tree, contents)
        else:
            _unpack_tar(file if form == "tar" else _Decompressed(file, form, most_bytes), tree, contents)
        for path, target in contents.close():
            tree.place(path).symlink_to(target)


def _format_of(head: bytes) -> str:
    for magic, form in _MAGICS.items():
        if head.startswith(magic):
            return form
    if head[_TAR_MAGIC] == b"ustar":
        return "tar"
    expected = "a tar archive (plain, gzip, xz or zstd) or a zip archive"
    if not head:
        refuse("", expected, "an empty file")
    text = head.decode(errors="replace").lstrip("\ufeff \t\r\n")
    sample = text[:SAMPLE_CHARACTERS]
    if text.startswith("<"):
        refuse("", expected, f"a web page; it begins {sample!r}")
    if sample.isascii() and "".join(sample.split()).isprintable():
        refuse("", expected, f"text; it begins {sample!r}")
    raise Refused("", expected, f"something else; it begins with the bytes {head[:16].hex(' ')}")


class _Tree:
    """The folder that is unpacked into."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._made = {""}

    def place(self, path: str) -> Path:
        """Return where a file goes; the folders it lies in are made."""
        self.make_folder(path.rpartition("/")[0])
        return self._top / path

    def make_folder(self, path: str) -> None:
        """Make a folder, and those it lies in."""
        if path not in self._made:
            place = self.place(path)
            place.mkdir()
            place.chmod(0o755)
            self._made.add(path)


class _Decoder(Protocol):
    """What the decompressor objects of zlib, lzma and zstandard have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class _Decompressed(io.RawIOBase):
    """A compressed file's content; unlike the standard library's readers, it refuses what follows the end."""

    def __init__(self, file: IO[bytes], form: str, most_bytes: int | None) -> None:
        self._file, self._form = file, form
        self._most_bytes, self._size_bytes = most_bytes, 0
        self._decoder, self._fault = _new_decoder(form)

    def read(self, _size: int = -1, /) -> bytes:
        """Return some more bytes, as many as the decoder makes of a piece of input; none at the end."""
        while not self._decoder.eof:
            data = self._file.read(INPUT_BYTES)
            if not data:
                raise EOFError(f"its {self._form} data ends early")
            try:
                plain = self._decoder.decompress(data)
            except self._fault as fault:
                raise tarfile.ReadError(f"its {self._form} data is damaged: {fault}") from fault
            if plain:
                self._size_bytes += len(plain)
                if self._most_bytes is not None and self._size_bytes > self._most_bytes:
                    refuse(
                        "", f"at most {self._most_bytes} bytes, unpacked", "more: it never ends, or is a bomb"
                    )
                return plain
        if rest := self._decoder.unused_data + self._file.read(INPUT_BYTES):
            raise tarfile.ReadError(f"its {self._form} data has ended, and {rest[:16]!r} follows")
        return b""


def _new_decoder(form: str) -> tuple[_Decoder, type[Exception]]:
    if form == "gzip":
        return zlib.decompressobj(wbits=31), zlib.error  # 31: with gzip's header, and its checksum verified
    if form == "xz":
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_DICTIONARY_BYTES), lzma.LZMAError
    import zstandard

    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_DICTIONARY_BYTES).decompressobj()
    return decoder, zstandard.ZstdError


class _Header(tarfile.TarInfo):
    """A tar header read strictly: tarfile takes one that it cannot read for the archive's end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _LONG_RECORDS and not 0 <= header.size <= MAX_RECORD_BYTES:
            refuse(header.name, f"a name record of at most {MAX_RECORD_BYTES} bytes", f"{header.size} bytes")
        return header

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except _END_OF_TAR:
            raise
        except tarfile.HeaderError as fault:
            raise tarfile.ReadError(f"its tar data ends early or is damaged: {fault}") from fault


def _unpack_tar(source: IO[bytes] | io.RawIOBase, tree: _Tree, contents: Contents) -> None:
    with tarfile.open(
        fileobj=source, mode="r|", tarinfo=_Header, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for header in archive:
            member = _tar_member(header)
            path = contents.admit(member)
            if path is None or member.kind is MemberKind.LINK:
                continue
            if member.kind is MemberKind.FOLDER:
                tree.make_folder(path)
            elif member.kind is MemberKind.COPY:
                original = contents.below_root(parse_name(member.target)) or ""
                shutil.copy(tree.place(original), tree.place(path))
            elif content := archive.extractfile(header):
                _write(content, tree.place(path), executable=member.executable)
        while rest := archive.fileobj.read(COPY_BYTES):
            if rest.strip(b"\0"):
                raise tarfile.ReadError(f"its tar data has ended, and {rest.lstrip(bytes(1))[:16]!r} follows")


def _tar_member(header: tarfile.TarInfo) -> Member:
    if header.issparse():
        refuse(header.name, MEMBERS_WANTED, "a sparse file")
    if header.type in {tarfile.REGTYPE, tarfile.AREGTYPE}:
        return Member(header.name, MemberKind.FILE, header.size, bool(header.mode & stat.S_IXUSR))
    kinds = {
        tarfile.DIRTYPE: MemberKind.FOLDER,
        tarfile.SYMTYPE: MemberKind.LINK,
        tarfile.LNKTYPE: MemberKind.COPY,
    }
    if kind := kinds.get(header.type):
        return Member(header.name, kind, target=header.linkname)
    found = _TAR_REFUSED.get(header.type, f"a member of type {header.type.decode('latin-1')!r}")
    raise Refused(header.name, MEMBERS_WANTED, found)


class _Job(NamedTuple):
    info: zipfile.ZipInfo
    place: Path
    executable: bool


def _unpack_zip(file: IO[bytes], tree: _Tree, contents: Contents) -> None:
    with zipfile.ZipFile(file) as archive:
        _check_zip_ends(file, archive)
        jobs: list[_Job] = []
        for info in archive.infolist():
            member = _zip_member(archive, info)
            path = contents.admit(member)
            if path is not None and member.kind is MemberKind.FOLDER:
                tree.make_folder(path)
            elif path is not None and member.kind is MemberKind.FILE:
                jobs.append(_Job(info, tree.place(path), member.executable))
        _write_over_cores(archive, jobs)


def _write_over_cores(archive: zipfile.ZipFile, jobs: list[_Job]) -> None:
    """Write all files with a thread per core: zlib and the system's file creation release the GIL."""
    stop = threading.Event()

    def write(batch: list[_Job]) -> None:
        for job in batch:
            if stop.is_set():
                return
            with archive.open(job.info) as content:
                _write(content, job.place, executable=job.executable)

    with ThreadPoolExecutor(usable_cores()) as pool:
        try:
            for _ in pool.map(write, _batches(jobs)):
                pass
        except BaseException:
            stop.set()
            raise


def _batches(jobs: list[_Job]) -> Iterator[list[_Job]]:
    """Cut the jobs, largest first, into runs of about BATCH_BYTES, counting what a small file costs."""
    batch: list[_Job] = []
    weight = 0
    for job in sorted(jobs, key=lambda job: -job.info.file_size):
        batch.append(job)
        weight += job.info.file_size + FILE_COST_BYTES
        if weight >= BATCH_BYTES:
            yield batch
            batch, weight = [], 0
    yield batch


def _check_zip_ends(file: IO[bytes], archive: zipfile.ZipFile) -> None:
    # zipfile looks for the end record backwards and adjusts every offset to it, so it reads past both.
    file.seek(-_ZIP_END_BYTES - len(archive.comment), os.SEEK_END)
    end = file.read(_ZIP_END_BYTES)
    if not end.startswith(_ZIP_END) or int.from_bytes(end[-2:], "little") != len(archive.comment):
        raise zipfile.BadZipFile("its zip data has ended, and something follows")
    if min((info.header_offset for info in archive.infolist()), default=0) != 0:
        raise zipfile.BadZipFile("something lies before its first member")


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    name = info.orig_filename  # `filename` ends at the first NUL
    if info.flag_bits & _ZIP_ENCRYPTED:
        refuse(name, "members without a password", "an encrypted member")
    if not info.flag_bits & _ZIP_UTF8 and not name.isascii():
        refuse(name, "names in UTF-8, marked as such", "a name in another or unknown encoding")
    mode = info.external_attr >> 16 if info.create_system in _ZIP_UNIX else 0
    files = dict.fromkeys((0, stat.S_IFREG), MemberKind.FILE)
    kinds = {**files, stat.S_IFDIR: MemberKind.FOLDER, stat.S_IFLNK: MemberKind.LINK}
    kind = kinds.get(stat.S_IFMT(mode))
    if name.endswith("/") and stat.S_IFMT(mode) in {0, stat.S_IFDIR}:
        return Member(name, MemberKind.FOLDER)
    if kind is None or kind is MemberKind.FOLDER or name.endswith("/"):
        refuse(name, MEMBERS_WANTED, f"a member of mode {mode:o}")
    if kind is MemberKind.FILE:
        return Member(name, kind, info.file_size, bool(mode & stat.S_IXUSR))
    if info.file_size > MAX_PATH_BYTES:
        refuse(name, f"a link target of at most {MAX_PATH_BYTES} bytes", f"{info.file_size} bytes")
    return Member(name, kind, target=archive.read(info).decode(errors="surrogateescape"))


def _write(content: IO[bytes], place: Path, *, executable: bool) -> None:
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor, which Path cannot open
        os.fchmod(descriptor, 0o755 if executable else 0o644)
        shutil.copyfileobj(content, file, COPY_BYTES)


@contextmanager
def _emptied_on_failure(into: Path) -> Iterator[None]:
    existed = into.exists()
    if existed and (present := sorted(entry.name for entry in into.iterdir())):
        raise StoreError(
            where=str(into),
            expected="an empty folder, or none",
            found=f"{len(present)} entries, among them {show_name(present[0])}",
            fix=f"move it away: `mv {shlex.quote(str(into))} {shlex.quote(str(into) + '.old')}`",
        )
    try:
        into.mkdir(parents=True, exist_ok=True)
        into.chmod(0o755)
        yield
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)  # a second failure would hide the first
        if existed:
            into.mkdir(exist_ok=True)
        raise


@contextmanager
def archive_errors(archive: Path, into: Path, where: str) -> Iterator[None]:
    """Turn what goes wrong while an archive's bytes are read into an error that says where, and what to do."""
    fix = _FIX.format(where)
    try:
        with storage_errors(into):
            yield
    except Refused as refusal:
        member = f", member {show_name(refusal.name)}" if refusal.name else ""
        found = refusal.found if refusal.name else f"{refusal.found}, in {archive}"
        raise ArchiveError(where=where + member, expected=refusal.expected, found=found, fix=fix) from refusal
    except _DAMAGE as fault:
        found = f"{archive}: {fault}"
        raise ArchiveError(where=where, expected="a whole archive", found=found, fix=fix) from fault
    except OSError as fault:
        raise StoreError(
            where=str(fault.filename or into),
            expected=f"files that can be read and written, to unpack {archive}",
            found=fault.strerror or str(fault),
            fix="correct what the system reports, then run the same command again",
        ) from fault
