"""Unpack an archive that nobody vouches for: every member is judged, and only what is wanted is written.

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
import unicodedata
import zipfile
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import IO, TYPE_CHECKING, NamedTuple, NoReturn, Protocol, Self

from recipes.errors import ArchiveError, StoreError
from recipes.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_MEMBERS = 200_000  # ten times the largest archive pinned today, a compiler's wheel of 19,540 members
MAX_TOTAL_BYTES = 4 << 30  # ten times what that wheel unpacks to, 376 MB
MAX_COMPONENT_BYTES = 255  # ext4 and APFS store no longer name
MAX_PATH_BYTES = 1000  # macOS opens no path longer than 1024 bytes
MAX_RECORD_BYTES = 1 << 20  # of a long-name record or a zip's link, which are held in memory whole
MAX_LINK_HOPS = 40  # what Linux follows before it reports a circle
MAX_DICTIONARY_BYTES = 128 << 20  # xz -9 and zstd --ultra -22 need no more to decompress
INPUT_BYTES = 4096  # decompressed at once; zstd's densest block turns 4 bytes into 128 KiB: 128 MiB at most
COPY_BYTES = 1 << 20
BATCH_BYTES = 4 << 20  # of work that a thread takes at once: many batches keep the threads evenly busy
FILE_COST_BYTES = 100_000  # what making a small file costs, in bytes inflated in that time (measured: 0.5 ms)

_SAMPLE_CHARACTERS = 60
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
    *(EOFError, OverflowError, RuntimeError, ValueError),
)
_MEMBERS_WANTED = "files and folders, and links that stay in the tree"
_FIX = (
    "do not use this archive: it is not what the pin's author saw; report it to whoever publishes {}, "
    "or pin another origin with `python3 noxfile.py -s lock`"
)


class _Kind(Enum):
    FILE = "a file"
    FOLDER = "a folder"
    LINK = "a symbolic link"
    COPY = "a hard link"


@dataclass(frozen=True)
class _Member:
    """One member as the archive describes it, before anything of that is believed."""

    name: str
    kind: _Kind
    size_bytes: int = 0
    executable: bool = False
    target: str = ""


class _Refused(Exception):  # noqa: N818 - never shown: `unpack` adds where and fix, and raises an ArchiveError
    def __init__(self, name: str, expected: str, found: str) -> None:
        super().__init__(name, expected, found)
        self.name, self.expected, self.found = name, expected, found


def unpack(archive: Path, into: Path, *, subdirectory: str, drop: tuple[str, ...], where: str) -> None:
    """Write what lies below one folder of an archive, with that folder's name removed.

    Files get mode 0644, or 0755 where their owner may execute them; folders get 0755, whatever the umask.
    Times are those of unpacking. After any failure `into` is empty, or absent if it was.

    Parameters
    ----------
    archive
        A tar archive, plain or compressed by gzip, xz or zstd; or a zip archive, such as a wheel.
    into
        A folder that is empty or does not exist yet.
    subdirectory
        The folder wanted, as a POSIX path in the archive; "." for all of it.
    drop
        Files to leave out, as POSIX paths below `subdirectory`; each must be there.
    where
        What the archive is to the user, such as an origin; an ArchiveError's `where` begins with it.

    Raises
    ------
    ArchiveError
        Where the archive is damaged, is no archive, or holds anything unsafe, wanted or not.
    StoreError
        Where `into` is not empty, or the file system refuses.
    """
    contents = _Contents("" if subdirectory == "." else subdirectory, frozenset(drop))
    with _explained(archive, into, where), _emptied_on_failure(into), archive.open("rb") as file:
        form = _format_of(file.read(tarfile.BLOCKSIZE))
        file.seek(0)
        tree = _Tree(into)
        if form == "zip":
            _unpack_zip(file, tree, contents)
        else:
            _unpack_tar(file if form == "tar" else _Decompressed(file, form), tree, contents)
        for path, target in contents.close():
            tree.place(path).symlink_to(target)


# --- judging: no file is touched ---


class _Contents:
    """What an archive holds so far, and so what else it may hold.

    Parameters
    ----------
    root
        The folder wanted, as a POSIX path; empty for all.
    drop
        Paths below it to leave out.
    """

    def __init__(self, root: str, drop: frozenset[str]) -> None:
        self._root, self._drop = root, drop
        self._kinds: dict[str, _Kind] = {"": _Kind.FOLDER}
        self._sizes: dict[str, int] = {}
        self._links: dict[str, str] = {}
        self._folded: dict[str, str] = {}
        self._dropped: set[str] = set()
        self._members = self._bytes = 0
        self._is_root_there = False

    def admit(self, member: _Member) -> str | None:
        """Judge a member; give its path below the folder wanted, or None where it is not to be written."""
        path = _parse_name(member.name)
        size_bytes = self._copied_bytes(path, member) if member.kind is _Kind.COPY else member.size_bytes
        self._count(member.name, size_bytes)
        self._claim(path, member)
        if member.kind is _Kind.LINK:
            _check_target(member)
            self._links[path] = member.target
        elif member.kind is not _Kind.FOLDER:
            self._sizes[path] = size_bytes
        wanted = self.below_root(path)
        if not wanted:
            return None
        self._check_merging(member.name, wanted)
        if member.kind is _Kind.FOLDER:
            return wanted
        self._is_root_there = True
        if wanted in self._drop:
            self._dropped.add(wanted)
            return None
        return wanted

    def close(self) -> Iterator[tuple[str, str]]:
        """Judge what only the whole archive tells; give each link wanted, and its target."""
        for path in self._links:
            self._follow(path)
        if not self._is_root_there:
            tops = sorted({path.partition("/")[0] for path in self._kinds if path})
            shown = ", ".join(_show(top) for top in tops[:5]) + ", ..." * (len(tops) > 5)  # noqa: PLR2004 - one line of them
            _refuse(
                "", f"files below {_show(self._root or '.')}", f"none; at the top is {shown or 'nothing'}"
            )
        if missing := sorted(self._drop - self._dropped):
            _refuse("", f"the file {_show(missing[0])}, which `drop` says to leave out", "no such file")
        for path, target in self._links.items():
            wanted = self.below_root(path)
            if wanted and wanted not in self._dropped:
                yield wanted, target

    def below_root(self, path: str) -> str | None:
        """Give a path as seen from the folder wanted; "" for that folder, None outside."""
        if not self._root:
            return path
        if path == self._root:
            return ""
        return path.removeprefix(self._root + "/") if path.startswith(self._root + "/") else None

    def _count(self, name: str, size_bytes: int) -> None:
        self._members += 1
        self._bytes += size_bytes
        if self._members > MAX_MEMBERS:
            _refuse(name, f"at most {MAX_MEMBERS} members", "more")
        if size_bytes < 0 or self._bytes > MAX_TOTAL_BYTES:
            _refuse(name, f"at most {MAX_TOTAL_BYTES} bytes unpacked", f"{self._bytes} up to this member")

    def _claim(self, path: str, member: _Member) -> None:
        """Enter a path and the folders it lies in: none may be two things."""
        folder = path
        while folder:
            folder = folder.rpartition("/")[0]
            around = self._kinds.setdefault(folder, _Kind.FOLDER)
            if around is not _Kind.FOLDER:
                _refuse(
                    member.name, "a path that leads through folders", f"{_show(folder)} is {around.value}"
                )
        known = self._kinds.get(path)
        if known is not None and not (known is member.kind is _Kind.FOLDER):
            _refuse(member.name, "each path once", f"{member.kind.value}, where {known.value} is already")
        self._kinds[path] = member.kind

    def _check_merging(self, name: str, path: str) -> None:
        # Unicode's canonical caseless match (The Unicode Standard, D145) is how APFS compares names.
        while path:
            key = unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())
            other = self._folded.setdefault(key, path)
            if other != path:
                expected = "names that differ by more than case or Unicode form, which macOS ignores"
                _refuse(name, expected, f"{_show(other)} and {_show(path)}")
            path = path.rpartition("/")[0]

    def _copied_bytes(self, path: str, member: _Member) -> int:
        source = _parse_name(member.target)
        below = self.below_root(source)
        apart = (below is None) is not (self.below_root(path) is None)
        if source not in self._sizes or apart or below in self._dropped:
            expected = "a hard link to an earlier file, both of them wanted or neither"
            _refuse(member.name, expected, f"a hard link to {_show(member.target)}")
        return self._sizes[source]

    def _follow(self, path: str) -> None:
        """Walk a link's target as a file system would: after a link, `..` goes up from where that leads."""
        floor = len(self._root.split("/")) if self._root and self.below_root(path) is not None else 0
        here = path.split("/")[:-1]
        ahead = deque(self._links[path].split("/"))
        hops = 0
        while ahead:
            part = ahead.popleft()
            if part == "..":
                if len(here) <= floor:
                    _refuse(
                        path, _MEMBERS_WANTED, f"a link to {_show(self._links[path])}, which leads outside"
                    )
                here.pop()
            elif part not in {"", "."}:
                here.append(part)
                if target := self._links.get("/".join(here)):
                    hops += 1
                    if hops > MAX_LINK_HOPS:
                        _refuse(path, "a link that leads somewhere", "links that lead in a circle")
                    here.pop()
                    ahead.extendleft(reversed(target.split("/")))


def _parse_name(name: str) -> str:
    """Give the path that a member's name stands for: relative, without `.` or empty parts."""
    _check_text(name, name)
    if name.startswith("/"):
        _refuse(name, "a relative path", "an absolute path")
    if "\\" in name:
        _refuse(name, "a path with forward slashes", "a backslash")
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        _refuse(name, "a path that stays in the archive", "a path with `..`")
    longest, whole = max((len(part.encode()) for part in parts), default=0), len(name.encode())
    if longest > MAX_COMPONENT_BYTES or whole > MAX_PATH_BYTES:
        expected = f"names of at most {MAX_COMPONENT_BYTES} bytes and paths of at most {MAX_PATH_BYTES}"
        _refuse(name, expected, f"a name of {longest} bytes in a path of {whole}")
    return "/".join(parts)


def _check_target(member: _Member) -> None:
    _check_text(member.name, member.target)
    if not member.target or member.target.startswith("/") or "\\" in member.target:
        _refuse(member.name, _MEMBERS_WANTED, f"a link to {_show(member.target)}")


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse(name, "names in UTF-8", "other bytes")
    if strange := next((character for character in text if unicodedata.category(character) == "Cc"), None):
        _refuse(name, "names without control characters", f"the character {strange!r}")


def _refuse(name: str, expected: str, found: str) -> NoReturn:
    raise _Refused(name, expected, found)


def _show(text: str) -> str:
    return repr(text if len(text) <= MAX_COMPONENT_BYTES else text[:_SAMPLE_CHARACTERS] + "...")


def _format_of(head: bytes) -> str:
    for magic, form in _MAGICS.items():
        if head.startswith(magic):
            return form
    if head[_TAR_MAGIC] == b"ustar":
        return "tar"
    expected = "a tar archive (plain, gzip, xz or zstd) or a zip archive"
    if not head:
        _refuse("", expected, "an empty file")
    text = head.decode(errors="replace").lstrip("\ufeff \t\r\n")
    sample = text[:_SAMPLE_CHARACTERS]
    if text.startswith("<"):
        _refuse("", expected, f"a web page; it begins {sample!r}")
    if sample.isascii() and "".join(sample.split()).isprintable():
        _refuse("", expected, f"text; it begins {sample!r}")
    raise _Refused("", expected, f"something else; it begins with the bytes {head[:16].hex(' ')}")


# --- reading and writing ---


class _Tree:
    """The folder that is unpacked into."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._made = {""}

    def place(self, path: str) -> Path:
        """Give where a file goes; the folders it lies in are made."""
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

    def __init__(self, file: IO[bytes], form: str) -> None:
        self._file, self._form = file, form
        self._decoder, self._fault = _new_decoder(form)

    def read(self, _size: int = -1, /) -> bytes:
        """Give some more bytes, as many as the decoder makes of a piece of input; none at the end."""
        while not self._decoder.eof:
            data = self._file.read(INPUT_BYTES)
            if not data:
                raise EOFError(f"its {self._form} data ends early")
            try:
                plain = self._decoder.decompress(data)
            except self._fault as fault:
                raise tarfile.ReadError(f"its {self._form} data is damaged: {fault}") from fault
            if plain:
                return plain
        if rest := self._decoder.unused_data + self._file.read(INPUT_BYTES):
            raise tarfile.ReadError(f"its {self._form} data has ended, and {rest[:16]!r} follows")
        return b""


def _new_decoder(form: str) -> tuple[_Decoder, type[Exception]]:
    if form == "gzip":
        return zlib.decompressobj(wbits=31), zlib.error  # 31: with gzip's header, and its checksum verified
    if form == "xz":
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_DICTIONARY_BYTES), lzma.LZMAError
    import zstandard  # noqa: PLC0415 - only the archives that need it pay for it

    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_DICTIONARY_BYTES).decompressobj()
    return decoder, zstandard.ZstdError


class _Header(tarfile.TarInfo):
    """A tar header read strictly: tarfile takes one that it cannot read for the archive's end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _LONG_RECORDS and not 0 <= header.size <= MAX_RECORD_BYTES:
            _refuse(header.name, f"a name record of at most {MAX_RECORD_BYTES} bytes", f"{header.size} bytes")
        return header

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except _END_OF_TAR:
            raise
        except tarfile.HeaderError as fault:
            raise tarfile.ReadError(f"its tar data ends early or is damaged: {fault}") from fault


def _unpack_tar(source: IO[bytes] | io.RawIOBase, tree: _Tree, contents: _Contents) -> None:
    with tarfile.open(
        fileobj=source, mode="r|", tarinfo=_Header, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for header in archive:
            member = _tar_member(header)
            path = contents.admit(member)
            if path is None or member.kind is _Kind.LINK:
                continue
            if member.kind is _Kind.FOLDER:
                tree.make_folder(path)
            elif member.kind is _Kind.COPY:
                original = contents.below_root(_parse_name(member.target)) or ""
                shutil.copy(tree.place(original), tree.place(path))
            elif content := archive.extractfile(header):
                _write(content, tree.place(path), executable=member.executable)
        while rest := archive.fileobj.read(COPY_BYTES):
            if rest.strip(b"\0"):
                raise tarfile.ReadError(f"its tar data has ended, and {rest.lstrip(bytes(1))[:16]!r} follows")


def _tar_member(header: tarfile.TarInfo) -> _Member:
    if header.issparse():
        _refuse(header.name, _MEMBERS_WANTED, "a sparse file")
    if header.type in {tarfile.REGTYPE, tarfile.AREGTYPE}:
        return _Member(header.name, _Kind.FILE, header.size, bool(header.mode & stat.S_IXUSR))
    kinds = {tarfile.DIRTYPE: _Kind.FOLDER, tarfile.SYMTYPE: _Kind.LINK, tarfile.LNKTYPE: _Kind.COPY}
    if kind := kinds.get(header.type):
        return _Member(header.name, kind, target=header.linkname)
    found = _TAR_REFUSED.get(header.type, f"a member of type {header.type.decode('latin-1')!r}")
    raise _Refused(header.name, _MEMBERS_WANTED, found)


class _Job(NamedTuple):
    info: zipfile.ZipInfo
    place: Path
    executable: bool


def _unpack_zip(file: IO[bytes], tree: _Tree, contents: _Contents) -> None:
    with zipfile.ZipFile(file) as archive:
        _check_zip_ends(file, archive)
        jobs: list[_Job] = []
        for info in archive.infolist():
            member = _zip_member(archive, info)
            path = contents.admit(member)
            if path is not None and member.kind is _Kind.FOLDER:
                tree.make_folder(path)
            elif path is not None and member.kind is _Kind.FILE:
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

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
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


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    name = info.orig_filename  # `filename` ends at the first NUL
    if info.flag_bits & _ZIP_ENCRYPTED:
        _refuse(name, "members without a password", "an encrypted member")
    if not info.flag_bits & _ZIP_UTF8 and not name.isascii():
        _refuse(name, "names in UTF-8, marked as such", "a name in another or unknown encoding")
    mode = info.external_attr >> 16 if info.create_system in _ZIP_UNIX else 0
    kinds = {0: _Kind.FILE, stat.S_IFREG: _Kind.FILE, stat.S_IFDIR: _Kind.FOLDER, stat.S_IFLNK: _Kind.LINK}
    kind = kinds.get(stat.S_IFMT(mode))
    if name.endswith("/") and stat.S_IFMT(mode) in {0, stat.S_IFDIR}:
        return _Member(name, _Kind.FOLDER)
    if kind is None or kind is _Kind.FOLDER or name.endswith("/"):
        _refuse(name, _MEMBERS_WANTED, f"a member of mode {mode:o}")
    if kind is _Kind.FILE:
        return _Member(name, kind, info.file_size, bool(mode & stat.S_IXUSR))
    if info.file_size > MAX_PATH_BYTES:
        _refuse(name, f"a link target of at most {MAX_PATH_BYTES} bytes", f"{info.file_size} bytes")
    return _Member(name, kind, target=archive.read(info).decode(errors="surrogateescape"))


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
            found=f"{len(present)} entries, among them {_show(present[0])}",
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
def _explained(archive: Path, into: Path, where: str) -> Iterator[None]:
    """Turn what goes wrong into an error that says where, and what to do."""
    fix = _FIX.format(where)
    try:
        with storage_errors(into):
            yield
    except _Refused as refusal:
        member = f", member {_show(refusal.name)}" if refusal.name else ""
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
            fix="mend what the system reports, then run the same command again",
        ) from fault
