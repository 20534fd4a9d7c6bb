"""Git directories made by git itself or by hand, and archives that carry one beside a source."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from typing import TYPE_CHECKING

from recipes.core.digest import Sha1
from tests.support.git_server import git

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TOP, BELOW = "thing-1.0", "vendor/up"
GIT_DIRECTORY = f"{TOP}/.git/modules/{BELOW}"
LINK = f"gitdir: ../../.git/modules/{BELOW}\n"
COMMIT, BLOB, OFS_DELTA, REF_DELTA = 1, 3, 6, 7  # types of a pack's objects


def make_repository(folder: Path, *versions: Mapping[str, str], message: str = "a version") -> list[str]:
    """Commit each version, one after the other, to a new repository with loose objects; return the commits."""
    work = folder / "work"
    work.mkdir(parents=True)
    git("init", "--quiet", "--bare", str(folder / "git"), cwd=work)
    inside = (f"--git-dir={folder / 'git'}", f"--work-tree={work}", "-c", "core.autocrlf=false")
    commits = []
    for number, files in enumerate(versions):
        for name, text in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text, encoding="utf-8")
        git(*inside, "add", "--all", "--force", cwd=work)
        git(*inside, "commit", "--quiet", "--allow-empty", f"--message={message} {number}", cwd=work)
        commits.append(git(*inside, "rev-parse", "HEAD", cwd=work))
    return commits


def repack(git_directory: Path, *options: str) -> Path:
    """Put all objects into one pack; return its file."""
    git(*options, "repack", "-adfq", "--depth=50", "--window=50", cwd=git_directory)
    (pack,) = git_directory.glob("objects/pack/*.pack")
    return pack


def make_pack(
    *objects: tuple[int, bytes, bytes], size_bytes: int | None = None, count: int | None = None
) -> bytes:
    """Return a pack by hand: of each object the type, what stands before its bytes, and these.

    `size_bytes` and `count` are what it says instead of the truth.
    """
    body = b"PACK" + (2).to_bytes(4, "big") + (len(objects) if count is None else count).to_bytes(4, "big")
    for kind, base, data in objects:
        size = len(data) if size_bytes is None else size_bytes
        head = [kind << 4 | size & 15]
        size >>= 4
        while size:
            head[-1] |= 128
            head.append(size & 127)
            size >>= 7
        body += bytes(head) + base + zlib.compress(data)
    return seal(body)


def seal(body: bytes) -> bytes:
    """End a pack as git does."""
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def commit_bytes(tree: str, message: str = "m") -> bytes:
    who = "a <a@example.org> 1700000000 +0000"
    return f"tree {tree}\nauthor {who}\ncommitter {who}\n\n{message}\n".encode()


def object_id(kind: str, body: bytes) -> str:
    return Sha1.of_bytes(f"{kind} {len(body)}\0".encode() + body).hex


def write_objects(objects: Path, *packs: bytes, **loose: bytes) -> Path:
    """Write packs, and loose objects by their 40 digits behind an underscore, into an object folder; return it."""
    (objects / "pack").mkdir(parents=True, exist_ok=True)
    for number, pack in enumerate(packs):
        (objects / f"pack/pack-{number:040}.pack").write_bytes(pack)
    for name, data in loose.items():
        digits = name.removeprefix("_")
        (objects / digits[:2]).mkdir(exist_ok=True)
        (objects / digits[:2] / digits[2:]).write_bytes(data)
    return objects


def make_archive(
    files: Mapping[str, str],
    git_directory: Path | None,
    *,
    top: str = TOP,
    below: str = BELOW,
    link: str = LINK,
    **extra: str,
) -> bytes:
    """Return a source distribution with a submodule: its files, its `.git` file, and its git directory.

    `extra` are texts of more files, by their path from the archive's top.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        texts = {f"{below}/{name}": text for name, text in {".git": link, **files}.items()} | extra
        for name, text in texts.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
        if git_directory is not None:
            tar.add(git_directory, f"{top}/.git/modules/{below}")
    return gzip.compress(packed.getvalue(), mtime=0)
