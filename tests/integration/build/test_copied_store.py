"""A store that was copied to another path starts from its runtime libraries, and compiles none of them again."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from recipes.build.toolchain.toolchain import RUNTIME_FLAGS, RUNTIME_SOURCE, runtime_key
from recipes.core.sandbox import find_isolation
from tests.support.forbidden import LinuxCompiler

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.usefixtures("shared_store")
def test_a_copied_store_compiles_no_runtime_library_again(tmp_path: Path) -> None:
    if not find_isolation().can_place:
        pytest.skip(f"no folder can be shown at another path: {find_isolation().description}")
    here, elsewhere = LinuxCompiler(tmp_path), LinuxCompiler(tmp_path)
    here.command()  # lays out what builds start from: the wrappers, and a copy of the runtime libraries
    cache = tmp_path / "zig"
    before = set(cache.rglob("*.a"))
    (tmp_path / "first.cpp").write_text(RUNTIME_SOURCE)
    with here.context.store.scratch("test-copied-store") as copy:
        moved = copy / here.unpacked.name
        shutil.copytree(here.unpacked, moved, symlinks=True, copy_function=os.link)
        elsewhere.unpacked = moved
        elsewhere.run(
            str(tmp_path / "wrappers" / "c++"), *RUNTIME_FLAGS, "first.cpp", "-o", "first", into=tmp_path
        )
        assert (tmp_path / "first").stat().st_size > 0
        assert set(cache.rglob("*.a")) == before != set()
        keys = {runtime_key(each.plan, here.unpacked.name, each.place) for each in (here, elsewhere)}
    assert len(keys) == 1
