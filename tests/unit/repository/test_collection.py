from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.paths import PROJECT

if TYPE_CHECKING:
    import pytest


def test_no_folder_with_tests_is_left_out(pytestconfig: pytest.Config) -> None:
    # pytest's own list of folders to leave out has `build`, and says nothing of what it left out
    left_out: list[str] = pytestconfig.getini("norecursedirs")
    folders = {folder for path in (PROJECT / "tests").rglob("test_*.py") for folder in path.parents}
    inside = {folder.relative_to(PROJECT) for folder in folders if folder.is_relative_to(PROJECT)}
    assert PROJECT / "tests" / "unit" / "build" in folders
    assert [str(folder) for folder in inside for name in left_out if folder.match(name)] == []
