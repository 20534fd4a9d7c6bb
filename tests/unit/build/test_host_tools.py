from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from recipes.build.toolchain.host_tools import ABSENT, ask_host_tools
from recipes.core.errors import ToolchainError
from recipes.manifest.load import Manifests

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.manifest.schema import Toolchain

CUDA = Manifests().toolchain("host-cuda")


def with_program(path: Path, status: int) -> Toolchain:
    """CUDA's toolchain whose nvcc lies elsewhere, and ends with a status."""
    path.write_text(f"#!/bin/sh\necho release 13.0, asked $*\nexit {status}\n")
    path.chmod(0o755)
    return moved(path)


def moved(path: Path) -> Toolchain:
    nvcc = next(tool for tool in CUDA.tools if "nvcc" in tool.ask[0])
    return msgspec.structs.replace(CUDA, tools=(msgspec.structs.replace(nvcc, ask=(str(path), "--version")),))


def test_what_a_tool_says_is_recorded_by_what_was_asked(tmp_path: Path) -> None:
    path = tmp_path / "nvcc"
    assert ask_host_tools(with_program(path, 0)) == {f"{path} --version": "release 13.0, asked --version"}


def test_a_machine_without_nvcc_is_told_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    path = tmp_path / "nvcc"
    with pytest.raises(ToolchainError) as caught:
        ask_host_tools(moved(path))
    assert caught.value.where == "manifests/toolchains/host-cuda.yaml: tools"
    assert str(path) in caught.value.found
    assert "CUDA toolkit" in caught.value.fix


def test_an_nvcc_that_fails_is_shown_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match=r"found:    release 13\.0, asked --version"):
        ask_host_tools(with_program(tmp_path / "nvcc", 3))


def test_what_a_build_can_do_without_is_recorded_as_absent() -> None:
    driver = msgspec.structs.replace(CUDA.tools[-1], ask=("/bin/cat", "/nonexistent"))
    assert driver.install is None
    assert ask_host_tools(msgspec.structs.replace(CUDA, tools=(driver,))) == {"/bin/cat /nonexistent": ABSENT}


def test_a_pinned_toolchain_uses_nothing_of_the_machine() -> None:
    assert ask_host_tools(Manifests().toolchain("zig-0.17.1")) == {}
