"""A store that another user could change is refused, and no link in it is followed."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.core.console import Silent
from recipes.core.digest import Sha256
from recipes.core.errors import StoreError
from recipes.core.filesystem import open_no_link, open_to_write, read_no_link
from recipes.core.process import Command, run, start
from recipes.store.ownership import ROOT, Owner, Place, find_fault, walk
from recipes.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

ME, OTHER, MINE, SHARED = 1000, 1001, 1000, 50
FOLDER, LINK = stat.S_IFDIR, stat.S_IFLNK
OWNER = Owner(ME, frozenset({MINE}))
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")


@pytest.mark.parametrize(
    ("place", "is_above", "is_fine"),
    [
        (Place(FOLDER | 0o755, ME, SHARED), False, True),
        (Place(FOLDER | 0o755, ROOT, SHARED), False, True),
        (Place(FOLDER | 0o755, OTHER, SHARED), False, False),
        (Place(FOLDER | 0o755, OTHER, SHARED), True, False),
        (Place(FOLDER | 0o777, ME, MINE), False, False),
        (Place(FOLDER | 0o775, ME, MINE), False, True),  # a group of one's own, as umask 002 makes them
        (Place(FOLDER | 0o775, ME, MINE, has_list=True), False, False),
        (Place(FOLDER | 0o775, ME, SHARED), False, False),
        (Place(FOLDER | 0o775, ROOT, SHARED), True, False),
        (Place(FOLDER | 0o1777, ROOT, ROOT), True, True),  # as /tmp
        (Place(FOLDER | 0o1777, ME, MINE), False, False),  # others could add to it
        (Place(FOLDER | 0o1777, OTHER, SHARED), True, False),
        (Place(LINK | 0o777, ME, MINE), True, True),
        (Place(LINK | 0o777, OTHER, MINE), True, False),
    ],
)
def test_who_else_could_change_a_place(place: Place, *, is_above: bool, is_fine: bool) -> None:
    assert (find_fault(place, OWNER, is_above=is_above) is None) == is_fine


places = st.builds(
    Place,
    st.sampled_from((FOLDER, LINK)).flatmap(
        lambda kind: st.integers(0, 0o7777).map(lambda mode: kind | mode)
    ),
    st.sampled_from((ROOT, ME, OTHER)),
    st.sampled_from((MINE, SHARED)),
    st.booleans(),
)


@given(place=places, is_above=st.booleans())
def test_no_place_of_another_and_none_that_another_can_write_ever_passes(
    place: Place, *, is_above: bool
) -> None:
    fault = find_fault(place, OWNER, is_above=is_above)
    is_folder = stat.S_ISDIR(place.mode)
    if place.user == OTHER or (
        is_folder and place.mode & stat.S_IWOTH and not (is_above and place.mode & stat.S_ISVTX)
    ):
        assert fault
    elif is_folder and not place.mode & (stat.S_IWOTH | stat.S_IWGRP):
        assert fault is None


def test_in_a_user_namespace_root_is_known_by_the_number_that_stands_for_it_above_a_store_alone() -> None:
    owner = Owner(ME, unmapped=65534)
    assert find_fault(Place(FOLDER | 0o755, 65534, 65534), owner, is_above=True) is None
    assert find_fault(Place(FOLDER | 0o755, 65534, 65534), owner, is_above=False)


def test_a_way_is_walked_as_the_kernel_does(tmp_path: Path) -> None:
    (tmp_path / "real" / "store").mkdir(parents=True)
    (tmp_path / "way").symlink_to("real/../real")
    found = [path for path, _ in walk(tmp_path / "way" / "store")]
    below = [path.relative_to(tmp_path).as_posix() for path in found if path.is_relative_to(tmp_path)]
    assert below == [".", "way", "real", "real", "real/store"]
    (tmp_path / "circle").symlink_to("circle")
    assert list(walk(tmp_path / "circle" / "store"))  # it ends


def refusal(root: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        Store.open(root)
    assert caught.value.exit_code == 20
    return caught.value


@pytest.mark.parametrize(
    "below", ["", "v1", "v1/entries", "v1/blobs", "v1/blobs/sha256", "v1/partial", "v1/logs"]
)
def test_a_store_that_others_can_write_is_refused_wherever_they_can(tmp_path: Path, below: str) -> None:
    Store.open(tmp_path / "store")
    (tmp_path / "store" / below).chmod(0o777)
    error = refusal(tmp_path / "store")
    assert error.where == str(tmp_path / "store" / below)
    assert "0777" in error.found
    assert f"chmod go-w {error.where}" in error.fix


def test_a_store_below_a_folder_that_others_can_write_is_refused_unless_that_is_sticky(
    tmp_path: Path,
) -> None:
    parent = tmp_path / "open"
    parent.mkdir()
    parent.chmod(0o777)
    assert refusal(parent / "store").where == str(parent)
    assert not (parent / "store").exists()  # nothing was made there
    parent.chmod(0o1777)
    store = Store.open(parent / "store")
    (parent / "store").chmod(0o1777)  # as the root of a file system in memory: what counts is in v1
    Store.open(parent / "store")
    store.root.chmod(0o1777)
    assert refusal(parent / "store").where == str(store.root)


@needs_root
@pytest.mark.parametrize("below", ["", "v1", "v1/entries", "v1/tmp"])
def test_a_store_of_another_owner_is_refused(tmp_path: Path, below: str) -> None:
    Store.open(tmp_path / "store")
    os.chown(tmp_path / "store" / below, 4242, -1)
    error = refusal(tmp_path / "store")
    assert error.where == str(tmp_path / "store" / below)
    assert "4242" in error.found


@needs_root
def test_a_link_of_another_owner_on_the_way_is_refused(tmp_path: Path) -> None:
    Store.open(tmp_path / "store")
    (tmp_path / "way").symlink_to(tmp_path / "store")
    Store.open(tmp_path / "way")
    os.lchown(tmp_path / "way", 4242, -1)
    assert refusal(tmp_path / "way").where == str(tmp_path / "way")


@pytest.mark.parametrize("name", ["entries", "partial", "logs", "locks", "tmp", "sightings", "evidence"])
def test_a_link_in_the_place_of_a_folder_of_the_store_is_refused(tmp_path: Path, name: str) -> None:
    store = Store.open(tmp_path / "store")
    (tmp_path / "elsewhere").mkdir()
    if (store.root / name).exists():
        (store.root / name).rmdir()
    (store.root / name).symlink_to(tmp_path / "elsewhere")
    error = refusal(tmp_path / "store")
    assert (error.where, "link" in error.found) == (str(store.root / name), True)


def test_a_store_that_is_made_can_be_written_by_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = Store.open(tmp_path / "a" / "store")
    finally:
        os.umask(before)
    for path in (tmp_path / "a", tmp_path / "a" / "store", store.entries, store.blobs.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o755


def append(path: Path) -> None:
    run(Command(("/bin/echo", "overwritten"), Path("/")), log=path)


def truncate(path: Path) -> None:
    with start(Command(("/bin/echo", "overwritten"), Path("/")), path) as running:
        running.wait()


def replace(path: Path) -> None:
    with os.fdopen(open_to_write(path), "wb") as file:
        file.write(b"overwritten\n")


@pytest.mark.parametrize("write", [append, truncate, replace])
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_log_never_overwrites_what_a_link_in_its_place_leads_to(
    tmp_path: Path, write: Callable[[Path], None], link: Callable[[Path, Path], None]
) -> None:
    mine, log = tmp_path / "mine", tmp_path / "log"
    mine.write_text("precious")
    link(log, mine)
    if write is append:
        with pytest.raises(StoreError) as caught:
            write(log)
        assert caught.value.where == str(log)
    else:
        write(log)
        assert log.read_text() == "overwritten\n"
        assert not log.is_symlink()
    assert mine.read_text() == "precious"


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for flags in (os.O_RDONLY, os.O_RDWR | os.O_CREAT):
        with pytest.raises(FileExistsError):
            open_no_link(tmp_path / "pipe", flags)
    replace(tmp_path / "pipe")
    assert read_no_link(tmp_path / "pipe") == b"overwritten\n"


def test_a_link_in_the_place_of_a_download_or_an_entry_is_no_part_of_the_store(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    mine = tmp_path / "mine"
    mine.write_bytes(b"precious")
    sha = Sha256.of_bytes(b"precious")
    store.blob_path(sha).symlink_to(mine)
    with pytest.raises(StoreError):
        store.verified_blob(sha)

    def make(folder: Path) -> None:
        (folder / "a").write_text("a")

    store.ensure("thing", "test", {}, make, console=Silent())
    store.entry_path("thing").chmod(0o755)
    store.entry_path("thing").rename(tmp_path / "moved")
    store.entry_path("thing").symlink_to(tmp_path / "moved")
    assert store.find("thing") is None
    store.record_path("thing").rename(tmp_path / "record")
    store.record_path("thing").symlink_to(tmp_path / "record")
    with pytest.raises(StoreError):
        store.find("thing")


def test_a_store_in_a_sticky_folder_of_the_system_is_fine() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Store.open(Path(folder) / "store")
