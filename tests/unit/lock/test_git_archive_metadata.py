"""What an archive records about its commit, as git writes it and as anything else does not."""

from __future__ import annotations

import gzip
import random
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from recipes.core.digest import Sha1
from recipes.lock.git_archive_metadata import HEAD_BYTES, ArchiveMetadata, read_metadata
from tests.support.lock_project import WHO, git, tar_of

if TYPE_CHECKING:
    from pathlib import Path

TIME_S = 1_700_000_000


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    git("init", "-q", at=root)
    (root / "file").write_text("text\n", encoding="utf-8")
    git("add", "file", at=root)
    dates = {f"GIT_{who}_DATE": f"{TIME_S} +0100" for who in ("AUTHOR", "COMMITTER")}
    git(*WHO, "commit", "-q", "-m", "first", at=root, **dates)
    return root


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
def test_what_git_writes_says_its_commit_and_its_folder(repository: Path, tmp_path: Path, form: str) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(git("archive", f"--format={form}", "--prefix=top-1/", "HEAD", at=repository))
    commit = Sha1(git("rev-parse", "HEAD", at=repository).decode().strip())
    assert read_metadata(archive) == ArchiveMetadata("top-1", commit, None if form == "zip" else TIME_S)


def test_an_archive_of_a_tree_and_not_of_a_commit_says_no_commit(repository: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(git("archive", "--prefix=top/", "HEAD^{tree}", at=repository))
    assert read_metadata(archive) == ArchiveMetadata("top")


@pytest.mark.parametrize(
    ("data", "metadata"),
    [
        (tar_of("./top/file", {"": ""}), ArchiveMetadata("top")),
        (tar_of("file", {"": ""}), ArchiveMetadata()),
        (tar_of("/file", {"": ""}), ArchiveMetadata()),
        (tar_of("top/file", {"": ""}, comment="ab" * 20), ArchiveMetadata("top", Sha1("ab" * 20))),
        (tar_of("top/file", {"": ""}, comment="ab" * 19), ArchiveMetadata("top")),
        (tar_of("top/file", {"": ""}, comment="AB" * 20), ArchiveMetadata("top")),
        (tar_of("top/file", {"": ""})[:300], ArchiveMetadata()),
        (gzip.compress(tar_of("top/file", {"": ""}), mtime=0)[:40], ArchiveMetadata()),
        (gzip.compress(tar_of("top/file", {"": ""}), mtime=0)[:-4] + b"ruin", ArchiveMetadata()),
        (b"\x1f\x8b no gzip", ArchiveMetadata()),
        (b"", ArchiveMetadata()),
        (b"a web page", ArchiveMetadata()),
        (b"PK\x05\x06" + bytes(18), ArchiveMetadata()),
    ],
)
def test_anything_else_says_what_it_says_and_no_more(
    tmp_path: Path, data: bytes, metadata: ArchiveMetadata
) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(data)
    assert read_metadata(archive) == metadata


def test_no_more_than_the_head_is_unpacked(tmp_path: Path) -> None:
    rest = random.Random(40).randbytes(16 * HEAD_BYTES)
    packed = gzip.compress(tar_of("top/file", {"": ""}) + rest)
    archive = tmp_path / "archive"
    archive.write_bytes(packed[: len(packed) // 2])  # who read on would find that it ends early
    assert read_metadata(archive) == ArchiveMetadata("top")


def test_a_damaged_zip_says_nothing(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("top/file", "text")
    data = archive.read_bytes()
    archive.write_bytes(data.replace(b"PK\x01\x02", b"PK\x09\x09"))
    assert read_metadata(archive) == ArchiveMetadata()


def test_a_header_that_claims_more_than_is_read_is_not_believed(tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax_global_header")
    header.type, header.size = tarfile.XGLTYPE, 1 << 40
    archive = tmp_path / "bomb.tar.gz"
    archive.write_bytes(gzip.compress(header.tobuf() + b"52 comment=" + b"a" * 40 + bytes(4 * HEAD_BYTES)))
    assert read_metadata(archive) == ArchiveMetadata()
