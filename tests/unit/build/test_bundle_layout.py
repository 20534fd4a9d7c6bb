from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from recipes.build.bundle.layout import ShippedFile, describe, find_shipped, lay_out, write_record
from recipes.core.errors import BuildError, StoreError
from recipes.manifest.schema import BundleContents

CONTENTS = BundleContents(
    bin=("llama-cli", "libggml-cpu-x64.so"),
    lib=("libggml.so.0",),
)
LICENCES = {"llama.cpp.txt": b"MIT", "more/x.txt": b"x"}


def lay_out_all(built: Path, into: Path, *, partial: bool = False) -> None:
    lay_out(built, find_shipped(built, CONTENTS, partial=partial), LICENCES, into)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Programs and libraries as CMake leaves them: links to versioned files, modes after the umask."""
    folder = tmp_path / "build" / "bin"
    folder.mkdir(parents=True)
    for name in ("llama-cli", "libggml-cpu-x64.so", "libggml.so.0.9.5", "not-shipped"):
        (folder / name).write_text(name)
        (folder / name).chmod(0o700)
    (folder / "libggml.so.0").symlink_to("libggml.so.0.9.5")
    (folder / "libggml.so").symlink_to("libggml.so.0")
    return folder


def modes(root: Path) -> dict[str, tuple[str, bool]]:
    return {
        path.relative_to(root).as_posix(): (oct(path.lstat().st_mode), path.is_symlink())
        for path in root.rglob("*")
        if not path.is_dir()
    }


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_a_bundle_has_regular_files_with_the_same_modes_whatever_the_umask(
    tmp_path: Path, built: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        lay_out_all(built, tmp_path / "out")
    finally:
        os.umask(before)
    assert modes(tmp_path / "out") == {
        "bin/llama-cli": ("0o100755", False),
        "bin/libggml-cpu-x64.so": ("0o100755", False),
        "lib/libggml.so.0": ("0o100755", False),
        "licences/llama.cpp.txt": ("0o100644", False),
        "licences/more/x.txt": ("0o100644", False),
    }
    assert (tmp_path / "out" / "lib" / "libggml.so.0").read_text() == "libggml.so.0.9.5"


def test_files_that_were_not_built_are_named_together(tmp_path: Path, built: Path) -> None:
    (built / "llama-cli").unlink()
    (built / "libggml.so.0.9.5").unlink()
    with pytest.raises(BuildError) as caught:
        lay_out_all(built, tmp_path / "out")
    assert caught.value.where == str(built)
    assert "llama-cli, libggml.so.0" in caught.value.found
    assert not (tmp_path / "out").exists()


def test_a_partial_bundle_leaves_out_what_was_not_built(tmp_path: Path, built: Path) -> None:
    (built / "llama-cli").unlink()
    lay_out_all(built, tmp_path / "out", partial=True)
    assert sorted(path.name for path in (tmp_path / "out" / "bin").iterdir()) == ["libggml-cpu-x64.so"]


def test_a_partial_bundle_with_nothing_in_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError):
        lay_out_all(tmp_path, tmp_path / "out", partial=True)


def test_a_link_out_of_the_build_is_never_shipped(tmp_path: Path, built: Path) -> None:
    (tmp_path / "host.so").write_text("host")
    (built / "libggml.so.0").unlink()
    (built / "libggml.so.0").symlink_to(tmp_path / "host.so")
    with pytest.raises(BuildError) as caught:
        lay_out_all(built, tmp_path / "out")
    assert caught.value.where == str(built / "libggml.so.0")
    assert caught.value.found == f"a link to {tmp_path / 'host.so'}"


def test_a_full_disk_is_a_store_error_with_a_fix(
    tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(_: object, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(shutil, "copyfile", fill)  # a small tmpfs needs a mount, which tests may not make
    with pytest.raises(StoreError) as caught:
        lay_out_all(built, tmp_path / "out")
    assert "No space left on device" in caught.value.found


def test_the_record_is_in_one_order_whatever_order_it_was_made_in(tmp_path: Path) -> None:
    record = {"b": [1, (True, None)], "a": {"é": "ü", "z": {}}, "\U0001f600": 1, "\ufb33": 2}
    before = os.umask(0o077)
    try:
        path = write_record(tmp_path, record)
    finally:
        os.umask(before)
    assert path.read_text(encoding="utf-8") == (
        '{\n  "a": {\n    "z": {},\n    "é": "ü"\n  },\n  "b": [\n    1,\n    [\n      true,\n      null\n'
        '    ]\n  ],\n  "\U0001f600": 1,\n  "\ufb33": 2\n}\n'
    )
    assert oct(path.stat().st_mode) == "0o100644"


@pytest.mark.parametrize("value", [0.5, float("nan"), b"x", {1, 2}, Path("x")])
def test_a_record_takes_only_values_with_one_spelling(tmp_path: Path, value: object) -> None:
    with pytest.raises(TypeError, match="has no single spelling in JSON"):
        write_record(tmp_path, {"a": [value]})
    assert not (tmp_path / "build.json").exists()


def test_what_is_in_a_bundle_is_described_in_the_order_of_the_names(tmp_path: Path, built: Path) -> None:
    lay_out_all(built, tmp_path / "out")
    write_record(tmp_path / "out", {})
    assert describe(tmp_path / "out") == (
        ShippedFile("bin/libggml-cpu-x64.so", 18, "backend, loaded where the machine can run it"),
        ShippedFile("bin/llama-cli", 9, "program"),
        ShippedFile("build.json", 3, "record of what it was built from"),
        ShippedFile("lib/libggml.so.0", 16, "library"),
        ShippedFile("licences/llama.cpp.txt", 3, "licence"),
        ShippedFile("licences/more/x.txt", 1, "licence"),
    )
