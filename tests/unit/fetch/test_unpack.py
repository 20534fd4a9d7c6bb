from __future__ import annotations

import gzip
import importlib.util
import lzma
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
from typing import IO, TYPE_CHECKING

import pytest
import zstandard

from recipes.core.digest import Sha1, hash_tree
from recipes.core.errors import ArchiveError, StoreError
from recipes.fetch.archives import members
from recipes.fetch.archives import unpack as archive
from recipes.fetch.archives.unpack import unpack
from tests.support import paths

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DATA = paths.DATA / "archives"
SPEC = importlib.util.spec_from_file_location("build_archives", DATA / "build.py")
assert SPEC is not None
assert SPEC.loader is not None
BUILD = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(BUILD)

FIX = (
    "do not use this archive: it is not what the pin's author saw; report it to whoever publishes origin 1, "
    "or pin another origin with `python3 noxfile.py -s lock`"
)
WHOLE = "a whole archive"
FORMATS = "a tar archive (plain, gzip, xz or zstd) or a zip archive"
SAFE = "files and folders, and links that stay in the tree"
EARLIER = "a hard link to an earlier file, both of them wanted or neither"
APART = "names that differ by more than case or Unicode form, which macOS ignores"

# name of the file in tests/data/archives: member, expected, found; {} is the archive's path
BAD = {
    "absolute-path.tar": ("/tmp/evil.txt", "a relative path", "an absolute path"),
    "absolute-path.zip": ("/tmp/evil.txt", "a relative path", "an absolute path"),
    "parent-path.tar": ("src/../../evil.txt", "a path that stays in the archive", "a path with `..`"),
    "parent-path.zip": ("src/../../evil.txt", "a path that stays in the archive", "a path with `..`"),
    "parent-path-outside.tar": ("other/../evil.txt", "a path that stays in the archive", "a path with `..`"),
    "backslash-path.tar": ("src\\..\\evil.txt", "a path with forward slashes", "a backslash"),
    "newline-in-name.tar": ("src/a\nb.txt", "names without control characters", "the character '\\n'"),
    "nul-in-name.zip": ("src/a\0b.txt", "names without control characters", "the character '\\x00'"),
    "name-not-utf8.tar": ("src/\udcff.txt", "names in UTF-8", "other bytes"),
    "name-not-utf8.zip": (
        "",
        WHOLE,
        "{}: 'utf-8' codec can't decode byte 0xff in position 4: invalid start byte",
    ),
    "name-unmarked.zip": (
        "src/aüb.txt",
        "names in UTF-8, marked as such",
        "a name in another or unknown encoding",
    ),
    "name-too-long.tar": (
        "src/" + "n" * 56 + "...",
        "names of at most 255 bytes and paths of at most 1000",
        "a name of 256 bytes in a path of 260",
    ),
    "character-device.tar": ("src/null", SAFE, "a character device"),
    "block-device.tar": ("src/disk", SAFE, "a block device"),
    "named-pipe.tar": ("src/pipe", SAFE, "a named pipe"),
    "unknown-type.tar": ("src/volume", SAFE, "a member of type 'V'"),
    "sparse.tar": ("src/sparse", SAFE, "a sparse file"),
    "device.zip": ("src/null", SAFE, "a member of mode 20644"),
    "folder-without-slash.zip": ("src/x", SAFE, "a member of mode 40755"),
    "hard-link-to-nothing.tar": ("src/x", EARLIER, "a hard link to 'src/absent'"),
    "hard-link-from-outside.tar": ("src/x", EARLIER, "a hard link to 'other/y'"),
    "hard-link-to-link.tar": ("src/x", EARLIER, "a hard link to 'src/y'"),
    "link-absolute.tar": ("src/x", SAFE, "a link to '/etc/passwd'"),
    "link-empty.tar": ("src/x", SAFE, "a link to ''"),
    "link-outside.tar": ("src/x", SAFE, "a link to '../other', which leads outside"),
    "link-outside.zip": ("src/x", SAFE, "a link to '../evil', which leads outside"),
    "link-outside-unwanted.tar": ("other/x", SAFE, "a link to '../../evil', which leads outside"),
    "link-outside-through-link.tar": ("src/x", SAFE, "a link to 'a/b/top/../evil', which leads outside"),
    "link-circle.tar": ("src/x", "a link that leads somewhere", "links that lead in a circle"),
    "link-target-too-long.zip": ("src/x", "a link target of at most 1000 bytes", "1001 bytes"),
    "file-below-link.tar": (
        "src/x/evil.txt",
        "a path that leads through folders",
        "'src/x' is a symbolic link",
    ),
    "file-below-file.tar": (
        "src/good.txt/x",
        "a path that leads through folders",
        "'src/good.txt' is a file",
    ),
    "link-above-file.tar": ("src/x", "each path once", "a symbolic link, where a folder is already"),
    "file-where-folder.tar": ("src/x", "each path once", "a file, where a folder is already"),
    "duplicate.tar": ("src/./good.txt", "each path once", "a file, where a file is already"),
    "duplicate.zip": ("src/good.txt", "each path once", "a file, where a file is already"),
    "names-differ-by-case.tar": ("src/Good.txt", APART, "'good.txt' and 'Good.txt'"),
    "names-differ-by-folder-case.tar": ("src/X/b", APART, "'x' and 'X'"),
    "names-differ-by-unicode-form.tar": ("src/e\u0301", APART, "'\u00e9' and 'e\u0301'"),
    "size-bomb.tar": ("src/zeros", "at most 4294967296 bytes unpacked", "5368709125 up to this member"),
    "name-record-bomb.tar": (
        "././@LongLink",
        "a name record of at most 1048576 bytes",
        "1073741824 bytes",
    ),
    "encrypted.zip": ("src/good.txt", "members without a password", "an encrypted member"),
    "truncated-data.tar": ("", WHOLE, "{}: unexpected end of data"),
    "truncated-header.tar": ("", WHOLE, "{}: its tar data ends early or is damaged: truncated header"),
    "no-end.tar": ("", WHOLE, "{}: its tar data ends early or is damaged: empty header"),
    "damaged-header.tar": ("", WHOLE, "{}: its tar data ends early or is damaged: bad checksum"),
    "garbage-after-end.tar": ("", WHOLE, "{}: its tar data has ended, and b'appended' follows"),
    "truncated.tar.gz": ("", WHOLE, "{}: its gzip data ends early"),
    "garbage-after-end.tar.gz": ("", WHOLE, "{}: its gzip data has ended, and b'appended' follows"),
    "padded.tar.gz": ("", WHOLE, f"{{}}: its gzip data has ended, and {bytes(16)!r} follows"),
    "wrong-checksum.tar.gz": (
        "",
        WHOLE,
        "{}: its gzip data is damaged: Error -3 while decompressing data: incorrect data check",
    ),
    "not-a-tar.tar.gz": ("", WHOLE, "{}: its tar data ends early or is damaged: truncated header"),
    "wrong-checksum.zip": ("", WHOLE, "{}: Bad CRC-32 for file 'src/x.txt'"),
    "truncated.zip": ("", WHOLE, "{}: File is not a zip file"),
    "garbage-after-end.zip": ("", WHOLE, "{}: its zip data has ended, and something follows"),
    "garbage-before-start.zip": ("", WHOLE, "{}: something lies before its first member"),
    "web-page.tar.gz": (
        "",
        FORMATS,
        "a web page; it begins '<!DOCTYPE html>\\n<html><title>404 Not Found</title></html>\\n', in {}",
    ),
    "error-message.tar.gz": (
        "",
        FORMATS,
        """text; it begins '{{"message": "rate limit exceeded"}}\\n', in {}""",
    ),
    "noise.tar.gz": (
        "",
        FORMATS,
        "something else; it begins with the bytes 80 81 82 83 84 85 86 87 88 89 8a 8b 8c 8d 8e 8f, in {}",
    ),
    "empty.tar.gz": ("", FORMATS, "an empty file, in {}"),
    "empty-tree.tar": (
        "",
        FORMATS,
        f"something else; it begins with the bytes {bytes(16).hex(' ')}, in {{}}",
    ),
    "folder-only.tar": ("", "files below 'sub'", "none; at the top is 'src', 'sub', in {}"),
}


def write_tar(path: Path, *members: bytes) -> Path:
    path.write_bytes(b"".join(members) + BUILD.END)
    return path


def modes(tree: Path) -> dict[str, str]:
    return {str(path.relative_to(tree)): f"{path.lstat().st_mode & 0o7777:o}" for path in tree.rglob("*")}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_archive_is_refused_with_its_reason_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    member, expected, found = BAD[name]
    subdirectory = "sub" if name == "folder-only.tar" else "src"
    with pytest.raises(ArchiveError) as caught:
        unpack(DATA / name, tmp_path / "into", subdirectory=subdirectory, drop=(), where="origin 1")
    error = caught.value
    assert error.where == (f"origin 1, member {member!r}" if member else "origin 1")
    assert error.expected == expected
    assert error.found == found.format(DATA / name)
    assert error.fix == FIX
    assert error.exit_code == 14
    assert list(tmp_path.iterdir()) == []


def test_the_bad_archives_are_what_their_builder_builds_and_each_is_tested() -> None:
    built = BUILD.archives()
    assert built == {
        path.name: path.read_bytes() for path in DATA.iterdir() if path.is_file() and path.suffix != ".py"
    }
    assert built.keys() == BAD.keys()


@pytest.mark.parametrize("form", ["tar", "tar.gz", "tar.xz", "tar.zst", "zip"])
def test_each_format_is_told_by_its_content_and_gives_the_same_tree(form: str, tmp_path: Path) -> None:
    files = {
        "top/src/a.txt": (b"a\n", 0o644),
        "top/src/bin/run": (b"#!/bin/sh\n", 0o755),
        "top/no": (b"", 0o644),
    }
    tar = b"".join(BUILD.member(name, data, mode=mode) for name, (data, mode) in files.items()) + BUILD.END
    zip_entries = ((name, stat.S_IFREG | mode, data) for name, (data, mode) in files.items())
    compressions: dict[str, Callable[[], bytes]] = {
        "tar": lambda: tar,
        "tar.gz": lambda: gzip.compress(tar),
        "tar.xz": lambda: lzma.compress(tar),
        "tar.zst": lambda: zstandard.compress(tar),
        "zip": lambda: BUILD.zipped(*zip_entries),
    }
    path = tmp_path / "named-as-nothing"
    path.write_bytes(compressions[form]())
    unpack(path, tmp_path / "into", subdirectory="top/src", drop=(), where="origin 1")
    assert modes(tmp_path / "into") == {"a.txt": "644", "bin": "755", "bin/run": "755"}
    assert (tmp_path / "into/bin/run").read_bytes() == b"#!/bin/sh\n"
    assert hash_tree(tmp_path / "into", Sha1).hex == "aa336a488fb94916b63fe2f2b71b8c199babd05a"


@pytest.mark.parametrize("compress", [lzma.compress, zstandard.compress])
@pytest.mark.parametrize("harm", ["truncated", "appended"])
def test_xz_and_zstd_data_must_end_where_its_stream_ends(
    compress: Callable[[bytes], bytes], harm: str, tmp_path: Path
) -> None:
    data = compress(BUILD.tar())
    path = tmp_path / "archive"
    path.write_bytes(data[:-1] if harm == "truncated" else data + b"more")
    with pytest.raises(ArchiveError) as caught:
        unpack(path, tmp_path / "into", subdirectory="src", drop=(), where="origin 1")
    form = "xz" if compress is lzma.compress else "zstd"
    reason = "data ends early" if harm == "truncated" else "data has ended, and b'more' follows"
    assert caught.value.found == f"{path}: its {form} {reason}"


def test_what_follows_the_end_is_found_however_the_reads_fall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "INPUT_BYTES", 1)
    path = DATA / "garbage-after-end.tar.gz"
    with pytest.raises(ArchiveError) as caught:
        unpack(path, tmp_path / "into", subdirectory="src", drop=(), where="origin 1")
    assert caught.value.found == f"{path}: its gzip data has ended, and b'a' follows"


def test_special_bits_the_umask_and_folder_modes_do_not_reach_the_tree(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "archive",
        BUILD.member("closed/", b"", type=tarfile.DIRTYPE, mode=0o000),
        BUILD.member("closed/setuid", mode=0o6755),
        BUILD.member("closed/only-group-runs", mode=0o654),
        BUILD.member("unreadable", mode=0o000),
    )
    before = os.umask(0o777)
    try:
        unpack(path, tmp_path / "into", subdirectory=".", drop=(), where="origin 1")
    finally:
        os.umask(before)
    assert modes(tmp_path) == {
        "archive": "644",
        "into": "755",
        "into/closed": "755",
        "into/closed/only-group-runs": "644",
        "into/closed/setuid": "755",
        "into/unreadable": "644",
    }


def test_links_that_stay_inside_are_made_and_hard_links_become_files_of_their_own(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "archive",
        BUILD.link("src/early", "a/./../a/run"),
        BUILD.member("src/a/run", mode=0o755),
        BUILD.link("src/a/up", ".."),
        BUILD.link("src/through", "a/up/a/run"),
        BUILD.link("src/dangling", "a/absent"),
        BUILD.link("src/copy", "src/a/run", tarfile.LNKTYPE),
        BUILD.member("other/file"),
        BUILD.link("other/copy", "other/file", tarfile.LNKTYPE),
        BUILD.link("other/link", "../src/a"),
    )
    into = tmp_path / "into"
    unpack(path, into, subdirectory="src", drop=(), where="origin 1")
    links = {item.name: os.readlink(item) for item in into.rglob("*") if item.is_symlink()}  # noqa: PTH115 - Path.readlink drops `./`
    assert links == {
        "early": "a/./../a/run",
        "up": "..",
        "through": "a/up/a/run",
        "dangling": "a/absent",
    }
    assert (into / "copy").stat().st_nlink == 1
    assert (into / "copy").read_bytes() == (into / "a/run").read_bytes() == b"text\n"
    assert (into / "copy").stat().st_mode & 0o777 == 0o755


def test_a_link_of_a_zip_made_on_unix_is_a_link_and_elsewhere_a_file_is_plain(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(BUILD.zipped(("src/x", stat.S_IFLNK | 0o777, b"good.txt")))
    unpack(path, tmp_path / "unix", subdirectory="src", drop=(), where="origin 1")
    assert str((tmp_path / "unix/x").readlink()) == "good.txt"
    with zipfile.ZipFile(path, "w") as made:
        info = zipfile.ZipInfo("src/run")
        info.create_system, info.external_attr = 0, (stat.S_IFLNK | 0o777) << 16
        made.writestr(info, b"bytes")
    unpack(path, tmp_path / "dos", subdirectory="src", drop=(), where="origin 1")
    assert modes(tmp_path / "dos") == {"run": "644"}


def test_dropped_files_are_left_out_and_one_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "archive",
        BUILD.member("src/.git"),
        BUILD.member("src/keep"),
        BUILD.link("src/link", "keep"),
        BUILD.member(".git"),
    )
    unpack(path, tmp_path / "into", subdirectory="src", drop=(".git", "link"), where="origin 1")
    assert modes(tmp_path / "into") == {"keep": "644"}
    with pytest.raises(ArchiveError) as caught:
        unpack(path, tmp_path / "again", subdirectory="src", drop=(".git", "absent"), where="origin 1")
    assert caught.value.expected == "the file 'absent', which `drop` says to leave out"
    assert caught.value.found == f"no such file, in {path}"
    assert not (tmp_path / "again").exists()


def test_a_subdirectory_that_is_not_there_names_what_is(tmp_path: Path) -> None:
    folders = [BUILD.member(f"{letter}/file") for letter in "fedcba"]
    path = write_tar(tmp_path / "archive", *folders, BUILD.member("sr", mode=0o644))
    with pytest.raises(ArchiveError) as caught:
        unpack(path, tmp_path / "into", subdirectory="sr", drop=(), where="origin 1")
    assert caught.value.expected == "files below 'sr'"
    assert caught.value.found == f"none; at the top is 'a', 'b', 'c', 'd', 'e', ..., in {path}"


def test_names_that_differ_by_case_outside_the_subdirectory_are_no_concern(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive", *(BUILD.member(name) for name in ("x/a", "X/a", "src/a")))
    unpack(path, tmp_path / "into", subdirectory="src", drop=(), where="origin 1")
    assert modes(tmp_path / "into") == {"a": "644"}


def test_more_members_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MAX_MEMBERS", 3)
    files = [BUILD.member(f"file-{number}") for number in range(4)]
    unpack(
        write_tar(tmp_path / "3", *files[:3]),
        tmp_path / "into",
        subdirectory=".",
        drop=(),
        where="origin 1",
    )
    with pytest.raises(ArchiveError) as caught:
        unpack(
            write_tar(tmp_path / "4", *files),
            tmp_path / "more",
            subdirectory=".",
            drop=(),
            where="origin 1",
        )
    assert caught.value.where == "origin 1, member 'file-3'"
    assert (caught.value.expected, caught.value.found) == ("at most 3 members", "more")


def test_copies_by_hard_link_count_against_the_size_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "MAX_TOTAL_BYTES", 10)
    copies = [BUILD.link(f"copy-{number}", "file", tarfile.LNKTYPE) for number in range(2)]
    path = write_tar(tmp_path / "archive", BUILD.member("file", b"1234"), *copies)
    with pytest.raises(ArchiveError) as caught:
        unpack(path, tmp_path / "into", subdirectory=".", drop=(), where="origin 1")
    assert caught.value.where == "origin 1, member 'copy-1'"
    assert caught.value.found == "12 up to this member"


def test_a_folder_that_is_not_empty_is_not_touched(tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    (into / "mine").write_text("kept")
    with pytest.raises(StoreError) as caught:
        unpack(
            write_tar(tmp_path / "a", BUILD.member("x")), into, subdirectory=".", drop=(), where="origin 1"
        )
    assert caught.value.where == str(into)
    assert caught.value.expected == "an empty folder, or none"
    assert caught.value.found == "1 entries, among them 'mine'"
    assert caught.value.fix == f"move it away: `mv {into} {into}.old`"
    assert (into / "mine").read_text() == "kept"


def test_an_empty_folder_is_used_and_is_empty_again_after_a_failure(tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(ArchiveError):
        unpack(DATA / "truncated.tar.gz", into, subdirectory="src", drop=(), where="origin 1")
    assert list(into.iterdir()) == []
    unpack(write_tar(tmp_path / "a", BUILD.member("x")), into, subdirectory=".", drop=(), where="origin 1")
    assert modes(into) == {"x": "644"}


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_an_interruption_passes_and_leaves_nothing(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def interrupted(_content: IO[bytes], place: Path, *, executable: bool) -> None:  # noqa: ARG001 - the interface
        place.write_bytes(b"half")
        written.append(place)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(archive, "_write", interrupted)
    names = ("a", "b", "c")
    path = write_tar(tmp_path / "archive", *map(BUILD.member, names))
    if form == "zip":
        path.write_bytes(BUILD.zipped(*((name, stat.S_IFREG | 0o644, b"") for name in names)))
    with pytest.raises(KeyboardInterrupt):
        unpack(path, tmp_path / "into", subdirectory=".", drop=(), where="origin 1")
    assert len(written) >= 2
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_a_file_system_that_refuses_ends_in_a_store_error_and_leaves_nothing(
    form: str, tmp_path: Path
) -> None:
    path = write_tar(tmp_path / "archive", BUILD.member("big", bytes(4096)))
    if form == "zip":
        path.write_bytes(BUILD.zipped(("big", stat.S_IFREG | 0o644, bytes(4096))))
    script = (
        "import resource, sys, pathlib\n"
        "from recipes.fetch.archives.unpack import unpack\n"
        "from recipes.core.errors import StoreError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    archive, into = map(pathlib.Path, sys.argv[1:])\n"
        "    unpack(archive, into, subdirectory='.', drop=(), where='origin 1')\n"
        "except StoreError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), str(tmp_path / "into")],
        capture_output=True,
        text=True,
        check=True,
        cwd=paths.PROJECT,
    )
    assert done.stdout.splitlines()[:4] == [
        "error: the store cannot be used",
        f"  where:    {tmp_path / 'into'}",
        "  expected: files of any size",
        "  found:    File too large",
    ]
    assert done.stderr == ""
    assert not (tmp_path / "into").exists()


def test_an_archive_that_cannot_be_opened_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        unpack(tmp_path / "absent", tmp_path / "into", subdirectory=".", drop=(), where="origin 1")
    assert caught.value.where == str(tmp_path / "absent")
    assert caught.value.expected == f"files that can be read and written, to unpack {tmp_path / 'absent'}"
    assert caught.value.found == "No such file or directory"
    assert caught.value.fix == "mend what the system reports, then run the same command again"
    assert not (tmp_path / "into").exists()
