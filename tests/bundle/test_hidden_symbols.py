"""What zig links for macOS, before and after its hidden weak symbols are made safe. Needs the unpacked toolchain."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from recipes.build.audit.binary_reader import parse_macho
from recipes.build.audit.macho.facts import inspect
from recipes.build.audit.macho.weak_symbols import encode, keep_hidden_symbols, weak_bindings, without_hidden
from recipes.build.toolchain.toolchain import host_name, toolchain_key
from recipes.core.errors import AuditError
from recipes.core.settings import read_settings
from recipes.manifest.load import Manifests
from recipes.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

# As libc++ does it: a template that is declared in a header, and instantiated once. Where it is only declared it is
# not known to be hidden, so that its address goes through a pointer of the loader's.
HEADER = "template <class T> struct Facet { static int id; };\ntemplate <class T> int Facet<T>::id = 3;\n"
USE = f"""{HEADER}
extern template struct Facet<int>;
extern "C" __attribute__((visibility("default"))) int* use() {{ return &Facet<int>::id; }}
"""
HIDDEN = f"{HEADER}template struct Facet<int>;\n"
EXPORTED = f'{HEADER}template struct __attribute__((visibility("default"))) Facet<int>;\n'
SYMBOL = "__ZN5FacetIiE2idE"


class Linker:
    """zig, for macOS, with caches of its own."""

    def __init__(self, zig: Path, folder: Path) -> None:
        self.zig, self.folder = zig, folder

    def link(self, *sources: str) -> Path:
        """Return a library of some C++ sources, linked as the recipes' are, without a C++ library."""
        names = []
        for number, text in enumerate(sources):
            (self.folder / f"{number}.cpp").write_text(text)
            names.append(f"{number}.cpp")
        root = self.folder / "bundle"
        (root / "lib").mkdir(parents=True, exist_ok=True)
        flags = ("-target", "aarch64-macos.13.3", "-mcpu=apple_m1", "-O1", "-s", "-fvisibility=hidden")
        argv = (str(self.zig), "cc", *flags, "-dynamiclib", *names, "-o", "bundle/lib/libtry.dylib")
        caches = {f"ZIG_{kind}_CACHE_DIR": str(self.folder / "cache") for kind in ("GLOBAL", "LOCAL")}
        done = subprocess.run(
            argv, cwd=self.folder, env=os.environ | caches, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return root / "lib" / "libtry.dylib"


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> Linker:
    store = Store.open(read_settings().store)
    unpacked = store.find_verified(toolchain_key(Manifests().toolchain("zig-0.17.1"), host_name()))
    assert unpacked, "unpack the compiler first: python3 noxfile.py -s build"
    return Linker(unpacked.path / "bin" / "zig", tmp_path_factory.mktemp("linked"))


def bound(path: Path) -> list[str]:
    return [each.symbol for each in weak_bindings(parse_macho(path.read_bytes()).at(0))]


def test_a_hidden_weak_symbol_could_be_replaced_and_then_cannot(linker: Linker) -> None:
    path = linker.link(USE, HIDDEN)
    before = path.read_bytes()
    assert bound(path) == [SYMBOL], (
        "the linker no longer does this: recipes/build/audit/macho/weak_symbols.py can go"
    )
    assert [each.library for each in inspect(path, "it").imports if each.symbol == SYMBOL] == [""]
    assert keep_hidden_symbols(path.parent.parent) == 1
    after = inspect(path, "it")
    assert bound(path) == []
    assert SYMBOL not in {each.symbol for each in after.imports}
    assert (after.wrong_pages, after.signature_fault) == ((), None)
    assert len(path.read_bytes()) == len(before)
    assert keep_hidden_symbols(path.parent.parent) == 0


def test_an_exported_weak_symbol_stays_as_it_is(linker: Linker) -> None:
    path = linker.link(USE, EXPORTED)
    before = path.read_bytes()
    assert bound(path) == [SYMBOL]
    assert keep_hidden_symbols(path.parent.parent) == 0
    assert path.read_bytes() == before


def test_a_pointer_that_leads_elsewhere_is_refused(linker: Linker) -> None:
    path = linker.link(USE, HIDDEN)
    data = path.read_bytes()
    binary = parse_macho(data).at(0)
    (binding,) = weak_bindings(binary)
    at = binary.segments[binding.segment].file_offset + binding.offset
    path.write_bytes(data[:at] + bytes((data[at] ^ 8,)) + data[at + 1 :])
    with pytest.raises(AuditError) as caught:
        keep_hidden_symbols(path.parent.parent)
    assert caught.value.where == "lib/libtry.dylib"
    assert "own definition" in caught.value.found


def test_kept_bindings_are_written_as_the_loader_reads_them(linker: Linker) -> None:
    path = linker.link(USE, EXPORTED)
    data = path.read_bytes()
    binary = parse_macho(data).at(0)
    start, size = binary.dyld_info.weak_bind
    ours = encode(weak_bindings(binary))
    written = data[:start] + ours.ljust(size, b"\0") + data[start + size :]
    assert len(ours) <= size
    assert weak_bindings(parse_macho(written).at(0)) == weak_bindings(binary)


def test_what_is_no_such_file_is_refused() -> None:
    with pytest.raises(ValueError, match="no LC_DYLD_INFO"):
        without_hidden(b"\xcf\xfa\xed\xfe" + bytes(28))
