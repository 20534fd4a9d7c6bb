from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import tempfile
import unicodedata
import zipfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from recipes.core.digest import Sha1, hash_tree
from recipes.core.errors import ArchiveError
from recipes.fetch.archives.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow  # many examples, each with real files, programs or servers


@dataclass(frozen=True)
class Item:
    """What lies at one path of a random tree."""

    data: bytes = b""
    executable: bool = False
    target: str = ""


Tree = dict[str, Item]

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="/\\"), max_size=12
)
SAFE_NAMES = NAMES.filter(lambda name: name not in {"", ".", ".."})
PATHS = st.lists(SAFE_NAMES, min_size=1, max_size=3).map("/".join)
FILES = st.builds(Item, data=st.binary(max_size=40), executable=st.booleans())
LINKS = st.builds(Item, target=PATHS)


def folded(path: str) -> str:
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def folders(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def is_safe(tree: Tree) -> bool:
    """Whether no path runs through a file or a link, and no two paths are one to a Mac."""
    everything = {place for path in tree for place in (path, *folders(path))}
    apart = len({folded(place) for place in everything}) == len(everything)
    return apart and not any(folder in tree for path in tree for folder in folders(path))


def has_links_inside(tree: Tree) -> bool:
    """Whether no link leads to a link: a target is then below the folder of its link."""
    links = {path for path, item in tree.items() if item.target}
    for path in links:
        steps = [*path.split("/")[:-1], *tree[path].target.split("/")]
        if any("/".join(steps[:depth]) in links for depth in range(1, len(steps) + 1)):
            return False
    return True


TREES = (
    st.dictionaries(PATHS, FILES | LINKS, min_size=1, max_size=8).filter(is_safe).filter(has_links_inside)
)  # fmt: skip - one condition a line


def write(tree: Tree, top: Path) -> None:
    for path, item in tree.items():
        place = top / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if item.target:
            place.symlink_to(item.target)
        else:
            place.write_bytes(item.data)
            place.chmod(0o755 if item.executable else 0o644)


def tarred(tree: Tree, form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, encoding="utf-8") as archive:
        for path, item in tree.items():
            info = tarfile.TarInfo("top/" + path)
            info.mode = 0o755 if item.executable else 0o600
            if item.target:
                info.type, info.linkname = tarfile.SYMTYPE, item.target
            info.size = len(item.data)
            archive.addfile(info, io.BytesIO(item.data))
    return out.getvalue()


def zipped(tree: Tree, compression: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for path, item in tree.items():
            info = zipfile.ZipInfo("top/" + path)
            mode = stat.S_IFLNK | 0o777 if item.target else 0o755 if item.executable else 0o644
            info.create_system, info.external_attr, info.compress_type = 3, mode << 16, compression
            archive.writestr(info, item.target.encode() if item.target else item.data)
    return out.getvalue()


@contextmanager
def unpacked(data: bytes, subdirectory: str = "top") -> Iterator[Path]:
    """Unpack in a folder of its own, and check that nothing beside `into` was touched."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        (top / "archive").write_bytes(data)
        (top / "bystander").write_text("untouched")
        try:
            unpack(top / "archive", top / "into", subdirectory=subdirectory, drop=(), where="origin 1")
            yield top / "into"
        except ArchiveError:
            assert not (top / "into").exists()
            raise
        finally:
            (top / "archive").unlink()
            assert {path.name for path in top.iterdir()} <= {"bystander", "into"}
            assert (top / "bystander").read_text() == "untouched"


@given(
    TREES, st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.sampled_from([bytes, gzip.compress])
)
def test_a_tree_comes_out_of_a_tar_archive_as_it_went_in(
    tree: Tree, form: int, compress: Callable[[bytes], bytes]
) -> None:
    with tempfile.TemporaryDirectory() as made:
        write(tree, Path(made))
        with unpacked(compress(tarred(tree, form))) as into:
            assert hash_tree(into, Sha1) == hash_tree(Path(made), Sha1)


@given(TREES, st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_a_tree_comes_out_of_a_zip_archive_as_it_went_in(tree: Tree, compression: int) -> None:
    with tempfile.TemporaryDirectory() as made:
        write(tree, Path(made))
        with unpacked(zipped(tree, compression)) as into:
            assert hash_tree(into, Sha1) == hash_tree(Path(made), Sha1)


def harmed(data: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
    """Replace a few runs of bytes, each by its place, its length and what comes instead."""
    for place, length, new in cuts:
        at = place % (len(data) + 1)
        data = data[:at] + new + data[at + length :]
    return data


HARM = st.lists(
    st.tuples(st.integers(0, 1 << 20), st.integers(0, 12), st.binary(max_size=12)), min_size=1, max_size=4
)


@given(TREES, HARM)
def test_a_damaged_gzip_archive_is_refused_or_gives_the_same_tree(
    tree: Tree, cuts: list[tuple[int, int, bytes]]
) -> None:
    data = gzip.compress(tarred(tree, tarfile.GNU_FORMAT), 1, mtime=0)
    with unpacked(data) as into:
        whole = hash_tree(into, Sha1)
    with suppress(ArchiveError), unpacked(harmed(data, cuts)) as into:
        assert hash_tree(into, Sha1) == whole


@given(TREES, HARM, st.sampled_from(["tar", "zip"]))
def test_a_damaged_tar_or_zip_archive_never_reaches_beside_its_folder(
    tree: Tree, cuts: list[tuple[int, int, bytes]], form: str
) -> None:
    data = zipped(tree, zipfile.ZIP_DEFLATED) if form == "zip" else tarred(tree, tarfile.PAX_FORMAT)
    with suppress(ArchiveError), unpacked(harmed(data, cuts)) as into:
        assert_inside(into)


def assert_inside(into: Path) -> None:
    """The oracle is the file system: no path of what was unpacked resolves to a place outside."""
    root = into.resolve()
    for folder, below, names in os.walk(into):
        for name in (*below, *names):
            assert (Path(folder) / name).resolve().is_relative_to(root)


PARTS = st.lists(st.sampled_from(["a", "b", "c", "..", ".", ""]), min_size=1, max_size=5).map("/".join)
HOSTILE = st.tuples(st.sampled_from("fdsh"), PARTS, PARTS)


@given(st.lists(HOSTILE, min_size=1, max_size=8), st.sampled_from([".", "a", "a/b"]))
def test_whatever_names_and_links_it_has_an_archive_stays_in_its_folder(
    members: list[tuple[str, str, str]], subdirectory: str
) -> None:
    kinds = {"f": tarfile.REGTYPE, "d": tarfile.DIRTYPE, "s": tarfile.SYMTYPE, "h": tarfile.LNKTYPE}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for kind, name, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kinds[kind], target
            archive.addfile(info)
    with suppress(ArchiveError), unpacked(out.getvalue(), subdirectory) as into:
        assert_inside(into)


PLACES = st.lists(st.sampled_from("abc"), min_size=1, max_size=2).map("/".join)
TARGETS = PARTS.filter(lambda target: target and not target.startswith("/"))


@given(st.dictionaries(PLACES, TARGETS, min_size=1, max_size=4))
def test_links_are_refused_exactly_where_the_file_system_says_that_they_leave(links: dict[str, str]) -> None:
    tree = {path: Item(target=target) for path, target in links.items()}
    assume(is_safe(tree))
    with tempfile.TemporaryDirectory() as name:
        made = Path(name).resolve() / "deep" / "tree"
        write(tree, made)
        stay = all(stays(made / path, made) for path in links)
    if stay:
        with unpacked(tarred(tree, tarfile.GNU_FORMAT)) as into:
            assert {path: os.readlink(into / path) for path in links} == links  # noqa: PTH115 - Path drops `./`
    else:
        with pytest.raises(ArchiveError), unpacked(tarred(tree, tarfile.GNU_FORMAT)):
            pass


def stays(link: Path, root: Path) -> bool:
    """Whether a link, followed step by step on the real file system, ends without ever leaving the root."""
    here, ahead = link.parent, [link.name]
    for _ in range(200):
        if not ahead:
            return True
        step = ahead.pop(0)
        here = here.parent if step == ".." else here / step
        if not here.is_relative_to(root):
            return False
        if here.is_symlink():
            ahead = [*os.readlink(here).split("/"), *ahead]  # noqa: PTH115 - as above
            here = here.parent
    return False
