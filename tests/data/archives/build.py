"""Builds the bad archives of this folder, byte for byte the same on every machine.

Run it to write them: `python3 tests/data/archives/build.py`. A test compares the files with what it builds.
"""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
BLOCK_BYTES = 512
END = bytes(2 * BLOCK_BYTES)


def member(name: str, data: bytes = b"text\n", **fields: object) -> bytes:
    """One tar member: its header, and its data in whole blocks."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    header = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    return header + data + bytes(-len(data) % BLOCK_BYTES)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> bytes:
    """One tar member that is a symbolic link, or another kind that names a target."""
    return member(name, b"", type=kind, linkname=target)


def tar(*members: bytes) -> bytes:
    """A tar archive: a good file, then these members."""
    return member("src/good.txt") + b"".join(members) + END


def zipped(*entries: tuple[str, int, bytes]) -> bytes:
    """A zip archive, made on unix and stored: a good file, then name, mode and data of each entry."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, mode, data in (("src/good.txt", stat.S_IFREG | 0o644, b"text\n"), *entries):
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, mode << 16
            archive.writestr(info, data)
    return out.getvalue()


def gzipped(data: bytes) -> bytes:
    """A gzip file whose data is stored: no two versions of zlib would compress it differently."""
    return gzip.compress(data, compresslevel=0, mtime=0)


def changed(data: bytes, old: bytes, new: bytes) -> bytes:
    """The data with one run of bytes, wherever it occurs, replaced by another as long."""
    assert old in data, old
    assert len(old) == len(new), new
    return data.replace(old, new)


def archives() -> dict[str, bytes]:
    """Each bad archive, by the name of its file."""
    regular = stat.S_IFREG | 0o644
    one_zip = zipped(("src/x.txt", regular, b"more\n"))
    return {
        "absolute-path.tar": tar(member("/tmp/evil.txt")),
        "parent-path.tar": tar(member("src/../../evil.txt")),
        "parent-path-outside.tar": tar(member("other/../evil.txt")),
        "backslash-path.tar": tar(member("src\\..\\evil.txt")),
        "newline-in-name.tar": tar(member("src/a\nb.txt")),
        "name-not-utf8.tar": tar(member("src/\udcff.txt")),
        "name-too-long.tar": tar(member("src/" + "n" * 256)),
        "character-device.tar": tar(member("src/null", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=3)),
        "block-device.tar": tar(member("src/disk", b"", type=tarfile.BLKTYPE)),
        "named-pipe.tar": tar(member("src/pipe", b"", type=tarfile.FIFOTYPE)),
        "unknown-type.tar": tar(member("src/volume", b"", type=b"V")),
        "sparse.tar": tar(member("src/sparse", b"", type=tarfile.GNUTYPE_SPARSE)),
        "hard-link-to-nothing.tar": tar(link("src/x", "src/absent", tarfile.LNKTYPE)),
        "hard-link-from-outside.tar": tar(member("other/y"), link("src/x", "other/y", tarfile.LNKTYPE)),
        "hard-link-to-link.tar": tar(link("src/y", "good.txt"), link("src/x", "src/y", tarfile.LNKTYPE)),
        "link-absolute.tar": tar(link("src/x", "/etc/passwd")),
        "link-empty.tar": tar(link("src/x", "")),
        "link-outside.tar": tar(link("src/x", "../other")),
        "link-outside-unwanted.tar": tar(link("other/x", "../../evil")),
        "link-outside-through-link.tar": tar(
            member("src/a/b/file"), link("src/a/b/top", "../.."), link("src/x", "a/b/top/../evil")
        ),
        "link-circle.tar": tar(link("src/x", "y"), link("src/y", "x")),
        "file-below-link.tar": tar(link("src/x", "."), member("src/x/evil.txt")),
        "link-above-file.tar": tar(member("src/x/file"), link("src/x", ".")),
        "file-below-file.tar": tar(member("src/good.txt/x")),
        "file-where-folder.tar": tar(member("src/x/file"), member("src/x")),
        "duplicate.tar": tar(member("src/./good.txt")),
        "names-differ-by-case.tar": tar(member("src/Good.txt")),
        "names-differ-by-folder-case.tar": tar(member("src/x/a"), member("src/X/b")),
        "names-differ-by-unicode-form.tar": tar(member("src/\u00e9"), member("src/e\u0301")),
        "size-bomb.tar": tar(member("src/zeros", b"", size=5 << 30)),
        "name-record-bomb.tar": tar(member("././@LongLink", b"", type=b"L", size=1 << 30)),
        "truncated-data.tar": member("src/good.txt") + member("src/x", bytes(2000))[:1000],
        "truncated-header.tar": tar(member("src/x"))[: 2 * BLOCK_BYTES + 100],
        "no-end.tar": member("src/good.txt"),
        "damaged-header.tar": changed(tar(member("src/xyz")), b"src/xyz", b"src/xyy"),
        "garbage-after-end.tar": tar() + b"appended",
        "empty-tree.tar": END,
        "folder-only.tar": tar(member("sub/", b"", type=tarfile.DIRTYPE)),
        "truncated.tar.gz": gzipped(tar())[:-6],
        "wrong-checksum.tar.gz": changed(gzipped(tar()), b"text\n", b"next\n"),
        "garbage-after-end.tar.gz": gzipped(tar()) + b"appended",
        "padded.tar.gz": gzipped(tar()) + bytes(16),
        "not-a-tar.tar.gz": gzipped(b"just a text file, compressed\n"),
        "absolute-path.zip": zipped(("/tmp/evil.txt", regular, b"")),
        "parent-path.zip": zipped(("src/../../evil.txt", regular, b"")),
        "nul-in-name.zip": changed(zipped(("src/a?b.txt", regular, b"")), b"a?b", b"a\0b"),
        "name-unmarked.zip": changed(zipped(("src/a?b.txt", regular, b"")), b"a?b", b"a\x81b"),
        "name-not-utf8.zip": changed(zipped(("src/\u00e9", regular, b"")), "\u00e9".encode(), b"\xff\xff"),
        "duplicate.zip": changed(zipped(("src/Good.txt", regular, b"")), b"Good", b"good"),
        "device.zip": zipped(("src/null", stat.S_IFCHR | 0o644, b"")),
        "folder-without-slash.zip": zipped(("src/x", stat.S_IFDIR | 0o755, b"")),
        "link-outside.zip": zipped(("src/x", stat.S_IFLNK | 0o777, b"../evil")),
        "link-target-too-long.zip": zipped(("src/x", stat.S_IFLNK | 0o777, b"x" * 1001)),
        "encrypted.zip": changed(one_zip, b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0"),
        "wrong-checksum.zip": changed(one_zip, b"more\n", b"less\n"),
        "truncated.zip": one_zip[:-30],
        "garbage-after-end.zip": one_zip + b"appended",
        "garbage-before-start.zip": zipped() + one_zip,
        "web-page.tar.gz": b"\n<!DOCTYPE html>\n<html><title>404 Not Found</title></html>\n",
        "error-message.tar.gz": b'{"message": "rate limit exceeded"}\n',
        "noise.tar.gz": bytes(range(128, 160)) * 20,
        "empty.tar.gz": b"",
    }


if __name__ == "__main__":
    for name, data in archives().items():
        (HERE / name).write_bytes(data)
