"""The kernels' source in a bundle is compared with the tree's, which is put together as ggml's CMake file does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.build.audit.macho import metal_kernels as metal_source
from recipes.build.audit.macho.metal_kernels import (
    check_kernels,
    first_difference,
    kernel_source,
    kernel_sources,
)
from recipes.core.errors import AuditError

if TYPE_CHECKING:
    from pathlib import Path

METAL = (
    b"#ifdef EMBED\n__embed_ggml-common.h__\n#else\n"
    b'#include "ggml-common.h"\n#endif\n#include "ggml-metal-impl.h"\nkernel\n'
)
EMBEDDED = b'#ifdef EMBED\ncommon\n#else\n#include "ggml-common.h"\n#endif\nimpl 1\nimpl 2\nkernel\n'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source" / "ggml" / "src" / "ggml-metal"
    folder.mkdir(parents=True)
    (folder / "ggml-metal.metal").write_bytes(METAL)
    (folder / "ggml-metal-impl.h").write_bytes(b"impl 1\nimpl 2\n")
    (folder.parent / "ggml-common.h").write_bytes(b"common\n")
    return tmp_path / "source"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "bundle" / "lib").mkdir(parents=True)
    (tmp_path / "bundle" / "lib" / "libggml-metal.0.dylib").touch()
    return tmp_path / "bundle"


def test_marked_lines_give_way_to_the_files_that_they_name(source: Path) -> None:
    assert kernel_source(source) == EMBEDDED


def test_a_tree_that_embeds_in_another_way_is_refused(source: Path) -> None:
    (source / "ggml" / "src" / "ggml-metal" / "ggml-metal.metal").write_bytes(b"kernel\n")
    with pytest.raises(AuditError, match=r"a line with __embed_ggml-common\.h__"):
        kernel_source(source)


@pytest.mark.parametrize(
    ("embedded", "said"),
    [
        (EMBEDDED.replace(b"impl 2", b"impl 3"), f"{len(EMBEDDED)} bytes, other ones from byte 70 on"),
        (EMBEDDED[:-1], f"{len(EMBEDDED) - 1} bytes, other ones from byte {len(EMBEDDED) - 1} on"),
        (EMBEDDED + b"\0", f"{len(EMBEDDED) + 1} bytes, other ones from byte {len(EMBEDDED)} on"),
        (None, "none"),
    ],
)
def test_other_kernels_are_refused(
    embedded: bytes | None, said: str, source: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metal_source, "embedded_source", lambda _: embedded)
    with pytest.raises(AuditError) as caught:
        check_kernels(bundle, source, "it")
    assert caught.value.found == said
    assert caught.value.where == "it: lib/libggml-metal.0.dylib"


def test_the_trees_own_kernels_pass(source: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded = {bundle / "lib" / "libggml-metal.0.dylib": EMBEDDED}
    monkeypatch.setattr(metal_source, "embedded_source", embedded.__getitem__)
    check_kernels(bundle, source, "it")


def test_each_kernel_of_its_own_file_has_the_headers_that_it_names_before_it(source: Path) -> None:
    folder = source / "ggml" / "src" / "ggml-metal" / "kernels"
    folder.mkdir()
    for name in metal_source.HEADERS:
        (folder / name).write_bytes(b"#pragma once\n%s\n" % name.encode())
    (folder / "common.h").write_bytes(b'__embed_ggml-common.h__\n#include "ggml-metal-impl.h"\nfirst\n')
    (folder / "a.metal").write_bytes(b'#include "common.h"\nkernel a\n')
    (folder / "b.metal").write_bytes(b'#include "quantize.h"\nkernel b\n')
    before = b"common\nimpl 1\nimpl 2\nfirst\n"
    expected = (before + b"kernel a\n", before + b"quantize.h\nkernel b\n")
    assert kernel_sources(source) == expected
    assert first_difference(b"".join(reversed(expected)), expected) is None  # in any order
    assert first_difference(expected[0] * 2, expected) == len(expected[0]) + len(before)  # each once
    assert first_difference(b"".join(expected) + b"\0", expected) == len(b"".join(expected))
