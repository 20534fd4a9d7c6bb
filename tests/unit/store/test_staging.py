from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.core.errors import StoreError
from recipes.store.staging import Staging, StagingArea, remove_if_possible

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def area(tmp_path: Path) -> StagingArea:
    (tmp_path / "tmp").mkdir()
    return StagingArea(tmp_path / "tmp")


def test_an_owned_folder_is_new_empty_and_its_owner_is_known(area: StagingArea) -> None:
    with area.own("build") as folder:
        assert folder.parent == area.root
        assert folder.name.startswith("build.")
        assert list(folder.iterdir()) == []
        assert area.is_owned(folder.name)
        assert area.names() == (folder.name,)
        with area.own("build") as other:
            assert other != folder
    assert not area.is_owned(folder.name)


def test_no_lock_stays_after_the_owner(area: StagingArea) -> None:
    with area.own("build") as folder:
        folder.rmdir()
    assert list(area.root.iterdir()) == []


def test_a_folder_is_swept_only_once_its_owner_has_gone(area: StagingArea) -> None:
    with area.own("build") as folder:
        (folder / "file").touch()
        assert not area.sweep(folder.name)
        area.sweep_purpose("build")
        assert (folder / "file").exists()
    assert area.sweep(folder.name)
    assert list(area.root.iterdir()) == []


def test_a_sweep_of_one_purpose_leaves_the_others(area: StagingArea) -> None:
    for name in ("a.1", "a.b.1", "ab.1", "b.1"):
        (area.root / name).mkdir()
        (area.root / f"{name}.lock").touch()
    (area.root / "a.2.lock").touch()
    assert area.names("a") == ("a.1", "a.2", "a.b.1")
    area.sweep_purpose("a")
    assert sorted(path.name for path in area.root.iterdir()) == ["ab.1", "ab.1.lock", "b.1", "b.1.lock"]


def test_a_folder_that_nobody_locked_is_nobodys(area: StagingArea) -> None:
    trash = area.new_path("trash")
    assert not trash.exists()
    trash.mkdir()
    (trash / "file").touch(0o444)
    trash.chmod(0o555)
    assert not area.is_owned(trash.name)
    assert area.sweep(trash.name)
    assert list(area.root.iterdir()) == []


def test_what_cannot_be_removed_now_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "tmp" / "a.1").mkdir(parents=True)
    area = StagingArea(tmp_path / "tmp")
    monkeypatch.setattr("recipes.store.staging.remove_tree", refuse)
    remove_if_possible(tmp_path)
    area.sweep_purpose("a")
    assert area.names() == ("a.1",)
    with pytest.raises(StoreError, match="permission to read and write"):
        area.sweep("a.1")


def test_a_staging_has_no_entry_before_it_became_one(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="an entry only after its with block"):
        _ = Staging(tmp_path).entry
