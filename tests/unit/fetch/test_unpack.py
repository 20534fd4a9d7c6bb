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

# name of the file in tests/data/archives: the member that is named, and a word of the reason
BAD = {
    "absolute-path.tar": ("/tmp/evil.txt", "an absolute path"),
    "absolute-path.zip": ("/tmp/evil.txt", "an absolute path"),
    "parent-path.tar": ("src/../../evil.txt", "a path with `..`"),
    "parent-path.zip": ("src/../../evil.txt", "a path with `..`"),
    "parent-path-outside.tar": ("other/../evil.txt", "a path with `..`"),
    "backslash-path.tar": ("src\\..\\evil.txt", "a backslash"),
    "newline-in-name.tar": ("src/a\nb.txt", "the character '\\n'"),
    "nul-in-name.zip": ("src/a\x00b.txt", "the character '\\x00'"),
    "name-not-utf8.tar": ("src/\udcff.txt", "other bytes"),
    "name-not-utf8.zip": ("", "'utf-8' codec can't decode byte 0xff in position 4: invalid start byte"),
    "name-unmarked.zip": ("src/aüb.txt", "a name in another or unknown encoding"),
    "name-too-long.tar": (
        "src/" + "n" * 56 + "...",
        "a name of 256 bytes in a path of 260",
    ),
    "character-device.tar": ("src/null", "a character device"),
    "block-device.tar": ("src/disk", "a block device"),
    "named-pipe.tar": ("src/pipe", "a named pipe"),
    "unknown-type.tar": ("src/volume", "a member of type 'V'"),
    "sparse.tar": ("src/sparse", "a sparse file"),
    "device.zip": ("src/null", "a member of mode 20644"),
    "folder-without-slash.zip": ("src/x", "a member of mode 40755"),
    "hard-link-to-nothing.tar": ("src/x", "a hard link to 'src/absent'"),
    "hard-link-from-outside.tar": ("src/x", "a hard link to 'other/y'"),
    "hard-link-to-link.tar": ("src/x", "a hard link to 'src/y'"),
    "link-absolute.tar": ("src/x", "a link to '/etc/passwd'"),
    "link-empty.tar": ("src/x", "a link to ''"),
    "link-outside.tar": ("src/x", "a link to '../other', which leads outside"),
    "link-outside.zip": ("src/x", "a link to '../evil', which leads outside"),
    "link-outside-unwanted.tar": ("other/x", "a link to '../../evil', which leads outside"),
    "link-outside-through-link.tar": ("src/x", "a link to 'a/b/top/../evil', which leads outside"),
    "link-circle.tar": ("src/x", "links that lead in a circle"),
    "link-target-too-long.zip": ("src/x", "1001 bytes"),
    "file-below-link.tar": ("src/x/evil.txt", "'src/x' is a symbolic link"),
    "file-below-file.tar": ("src/good.txt/x", "'src/good.txt' is a file"),
    "link-above-file.tar": ("src/x", "a symbolic link, where a folder is already"),
    "file-where-folder.tar": ("src/x", "a file, where a folder is already"),
    "duplicate.tar": ("src/./good.txt", "a file, where a file is already"),
    "duplicate.zip": ("src/good.txt", "a file, where a file is already"),
    "names-differ-by-case.tar": ("src/Good.txt", "'good.txt' and 'Good.txt'"),
    "names-differ-by-folder-case.tar": ("src/X/b", "'x' and 'X'"),
    "names-differ-by-unicode-form.tar": ("src/e\u0301", "'\u00e9' and 'e\u0301'"),
    "size-bomb.tar": ("src/zeros", "5368709125 up to this member"),
    "name-record-bomb.tar": ("././@LongLink", "1073741824 bytes"),
    "encrypted.zip": ("src/good.txt", "an encrypted member"),
    "truncated-data.tar": ("", "unexpected end of data"),
    "truncated-header.tar": ("", "its tar data ends early or is damaged: truncated header"),
    "no-end.tar": ("", "its tar data ends early or is damaged: empty header"),
    "damaged-header.tar": ("", "its tar data ends early or is damaged: bad checksum"),
    "garbage-after-end.tar": ("", "its tar data has ended, and b'appended' follows"),
    "truncated.tar.gz": ("", "its gzip data ends early"),
    "garbage-after-end.tar.gz": ("", "its gzip data has ended, and b'appended' follows"),
    "padded.tar.gz": ("", "its gzip data has ended"),
    "wrong-checksum.tar.gz": ("", "its gzip data is damaged"),
    "not-a-tar.tar.gz": ("", "its tar data ends early or is damaged: truncated header"),
    "wrong-checksum.zip": ("", "Bad CRC-32 for file 'src/x.txt'"),
    "truncated.zip": ("", "File is not a zip file"),
    "garbage-after-end.zip": ("", "its zip data has ended, and something follows"),
    "garbage-before-start.zip": ("", "something lies before its first member"),
    "web-page.tar.gz": ("", "a web page; it begins"),
    "error-message.tar.gz": ("", 'text; it begins \'{"message": "rate limit exceeded"}\\n\''),
    "noise.tar.gz": ("", "begins with the bytes 80 81"),
    "empty.tar.gz": ("", "an empty file"),
    "empty-tree.tar": ("", "begins with the bytes 00 00"),
    "folder-only.tar": ("", "none; at the top is 'src', 'sub'"),
}


def write_tar(path: Path, *members: bytes) -> Path:
    path.write_bytes(b"".join(members) + BUILD.END)
    return path


def modes(tree: Path) -> dict[str, str]:
    return {str(path.relative_to(tree)): f"{path.lstat().st_mode & 0o7777:o}" for path in tree.rglob("*")}


def do_unpack(path: Path, into: Path, subdirectory: str = "src", drop: tuple[str, ...] = ()) -> Path:
    unpack(path, into, subdirectory=subdirectory, drop=drop, where="origin 1")
    return into


def refusal(path: Path, into: Path, subdirectory: str = "src", drop: tuple[str, ...] = ()) -> ArchiveError:
    with pytest.raises(ArchiveError) as caught:
        do_unpack(path, into, subdirectory, drop)
    return caught.value


@pytest.mark.parametrize("name", BAD)
def test_a_bad_archive_is_refused_with_its_reason_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    member, found = BAD[name]
    error = refusal(DATA / name, tmp_path / "into", "sub" if name == "folder-only.tar" else "src")
    assert error.where == (f"origin 1, member {member!r}" if member else "origin 1")
    assert found in error.found
    assert member or str(DATA / name) in error.found
    assert "origin 1" in error.fix
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
    do_unpack(path, tmp_path / "into", "top/src")
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
    error = refusal(path, tmp_path / "into")
    form = "xz" if compress is lzma.compress else "zstd"
    reason = "data ends early" if harm == "truncated" else "data has ended, and b'more' follows"
    assert f"its {form} {reason}" in error.found


def test_what_follows_the_end_is_found_however_the_reads_fall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "INPUT_BYTES", 1)
    path = DATA / "garbage-after-end.tar.gz"
    error = refusal(path, tmp_path / "into")
    assert "and b'a' follows" in error.found


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
        do_unpack(path, tmp_path / "into", ".")
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
    do_unpack(path, into)
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
    do_unpack(path, tmp_path / "unix")
    assert str((tmp_path / "unix/x").readlink()) == "good.txt"
    with zipfile.ZipFile(path, "w") as made:
        info = zipfile.ZipInfo("src/run")
        info.create_system, info.external_attr = 0, (stat.S_IFLNK | 0o777) << 16
        made.writestr(info, b"bytes")
    do_unpack(path, tmp_path / "dos")
    assert modes(tmp_path / "dos") == {"run": "644"}


def test_dropped_files_are_left_out_and_one_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "archive",
        BUILD.member("src/.git"),
        BUILD.member("src/keep"),
        BUILD.link("src/link", "keep"),
        BUILD.member(".git"),
    )
    do_unpack(path, tmp_path / "into", "src", (".git", "link"))
    assert modes(tmp_path / "into") == {"keep": "644"}
    error = refusal(path, tmp_path / "again", "src", (".git", "absent"))
    assert "'absent'" in error.expected
    assert not (tmp_path / "again").exists()


def test_a_subdirectory_that_is_not_there_names_what_is(tmp_path: Path) -> None:
    folders = [BUILD.member(f"{letter}/file") for letter in "fedcba"]
    path = write_tar(tmp_path / "archive", *folders, BUILD.member("sr", mode=0o644))
    error = refusal(path, tmp_path / "into", "sr")
    assert error.expected == "files below 'sr'"
    assert "'a', 'b', 'c', 'd', 'e', ..." in error.found


def test_names_that_differ_by_case_outside_the_subdirectory_are_no_concern(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive", *(BUILD.member(name) for name in ("x/a", "X/a", "src/a")))
    do_unpack(path, tmp_path / "into")
    assert modes(tmp_path / "into") == {"a": "644"}


def test_more_members_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MAX_MEMBERS", 3)
    files = [BUILD.member(f"file-{number}") for number in range(4)]
    do_unpack(write_tar(tmp_path / "3", *files[:3]), tmp_path / "into", ".")
    error = refusal(write_tar(tmp_path / "4", *files), tmp_path / "more", ".")
    assert (error.where, error.expected) == ("origin 1, member 'file-3'", "at most 3 members")


def test_copies_by_hard_link_count_against_the_size_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "MAX_TOTAL_BYTES", 10)
    copies = [BUILD.link(f"copy-{number}", "file", tarfile.LNKTYPE) for number in range(2)]
    path = write_tar(tmp_path / "archive", BUILD.member("file", b"1234"), *copies)
    error = refusal(path, tmp_path / "into", ".")
    assert error.where == "origin 1, member 'copy-1'"
    assert "12 up to" in error.found


def test_a_folder_that_is_not_empty_is_not_touched(tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    (into / "mine").write_text("kept")
    with pytest.raises(StoreError) as caught:
        do_unpack(write_tar(tmp_path / "a", BUILD.member("x")), into, ".")
    assert caught.value.where == str(into)
    assert "'mine'" in caught.value.found
    assert f"mv {into} {into}.old" in caught.value.fix
    assert (into / "mine").read_text() == "kept"


def test_an_empty_folder_is_used_and_is_empty_again_after_a_failure(tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    refusal(DATA / "truncated.tar.gz", into)
    assert list(into.iterdir()) == []
    do_unpack(write_tar(tmp_path / "a", BUILD.member("x")), into, ".")
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
        do_unpack(path, tmp_path / "into", ".")
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
    assert str(tmp_path / "into") in done.stdout
    assert "File too large" in done.stdout
    assert done.stderr == ""
    assert not (tmp_path / "into").exists()


def test_an_archive_that_cannot_be_opened_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        do_unpack(tmp_path / "absent", tmp_path / "into", ".")
    assert caught.value.where == str(tmp_path / "absent")
    assert caught.value.found == "No such file or directory"
    assert not (tmp_path / "into").exists()
