from __future__ import annotations

import ctypes
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from recipes.build.audit.elf.facts import glibc_order, inspect, section_at
from recipes.core.errors import AuditError, StoreError
from tests.support.elf_files import HIDDEN, WEAK, ElfSpec, Symbol, elf_bytes

LIBRARY = ElfSpec(
    machine="x86_64",
    soname="libx.so.0",
    needed=("libc.so.6", "libm.so.6"),
    runpath="$ORIGIN:$ORIGIN/../lib",
    symbols=(
        Symbol("shown"),
        Symbol("weak", bind=WEAK),
        Symbol("hidden", visibility=HIDDEN),
        Symbol("_ZNSt3__16locale7classicEv", bind=WEAK),
        Symbol("asked", is_defined=False),
        Symbol("expf", is_defined=False, library="libm.so.6", version="GLIBC_2.27"),
        Symbol("memcpy", is_defined=False, library="libc.so.6", version="GLIBC_2.4"),
        Symbol("free", is_defined=False, library="libc.so.6", version="GLIBC_2.2.5"),
        Symbol("other", is_defined=False, library="libgcc_s.so.1", version="GCC_3.0"),
    ),
)


def write(path: Path, spec: ElfSpec) -> Path:
    path.write_bytes(elf_bytes(spec))
    return path


def test_the_facts_of_a_library_are_read(tmp_path: Path) -> None:
    facts = inspect(write(tmp_path / "x", LIBRARY), "x")
    assert (facts.name, facts.machine, facts.interpreter, facts.soname) == ("x", "x86_64", None, "libx.so.0")
    assert facts.needed == ("libc.so.6", "libm.so.6")
    assert facts.run_paths == ("$ORIGIN", "$ORIGIN/../lib")
    assert facts.exported == ("_ZNSt3__16locale7classicEv", "shown", "weak")
    assert (facts.glibc_needed, facts.glibc_symbols) == ("2.27", ("expf",))
    assert facts.unstripped == ()
    assert not facts.has_text_relocations
    assert not facts.has_executable_stack


def test_the_facts_of_a_program_are_read(tmp_path: Path) -> None:
    spec = ElfSpec(
        machine="aarch64",
        interpreter="/lib/ld-linux-aarch64.so.1",
        rpath="/opt/lib",
        has_symbol_table=True,
        extra={".debug_info": b"x", ".stabstr": b"x", ".comment": b"x"},
    )
    facts = inspect(write(tmp_path / "x", spec), "x")
    assert (facts.machine, facts.interpreter) == ("aarch64", "/lib/ld-linux-aarch64.so.1")
    assert facts.run_paths == ("/opt/lib",)
    assert facts.unstripped == (".debug_info", ".stabstr", ".symtab")
    assert (facts.soname, facts.needed, facts.glibc_needed, facts.exported) == (None, (), "", ())


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"tags": {"TEXTREL": 0}}, "has_text_relocations"),
        ({"tags": {"FLAGS": 0x4}}, "has_text_relocations"),
        ({"stack_flags": 7}, "has_executable_stack"),
        ({"stack_flags": None}, "has_executable_stack"),
    ],
)
def test_how_a_file_is_loaded_is_read_from_each_place_that_says_it(
    tmp_path: Path, change: dict[str, object], fact: str
) -> None:
    assert not getattr(inspect(write(tmp_path / "plain", LIBRARY), "x"), fact)
    assert getattr(inspect(write(tmp_path / "changed", replace(LIBRARY, **change)), "x"), fact)  # type: ignore[arg-type] # the field's type varies by case


@pytest.mark.skipif(sys.platform != "linux", reason="the loader of ELF files is Linux's")
def test_the_loader_of_this_system_accepts_the_files_that_these_tests_write(tmp_path: Path) -> None:
    versioned = Symbol("free", WEAK, is_defined=False, library="libc.so.6", version="GLIBC_2.17")
    spec = ElfSpec(soname="libmade.so.0", symbols=(Symbol("made"), versioned), rodata=b"by hand\0")
    library = ctypes.CDLL(str(write(tmp_path / "libmade.so.0", spec)))
    assert ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(library, "made"))) == b"by hand"


@pytest.mark.skipif(sys.platform != "linux", reason="the program that runs this is ELF on Linux")
def test_the_facts_of_a_program_that_a_compiler_made_are_read() -> None:
    facts = inspect(Path(sys.executable).resolve(), "x")
    assert facts.interpreter is not None
    assert Path(facts.interpreter).exists()
    assert any(name.startswith(("libc.", "libpython", "ld-")) for name in facts.needed)
    assert not facts.has_executable_stack


WHOLE = elf_bytes(LIBRARY)
DAMAGED = {
    "empty": b"",
    "text": b"#!/bin/sh\n",
    "cut": WHOLE[:200],
    "no sections": WHOLE[:40]
    + bytes(8)
    + WHOLE[48:60]
    + bytes(4)
    + WHOLE[64:],  # e_shoff; e_shnum, e_shstrndx
    "wild offset": WHOLE[:40] + b"\xff" * 8 + WHOLE[48:],
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused_without_a_traceback(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(AuditError) as caught:
        inspect(tmp_path / "x", "x")
    assert caught.value.where == str(tmp_path / "x")


def test_a_file_that_may_not_be_read_is_a_store_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "x", LIBRARY)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)  # the tests may run as root, whom no mode stops
    with pytest.raises(StoreError):
        inspect(path, "x")


def test_glibc_versions_are_ordered_as_numbers_and_private_ones_come_last() -> None:
    versions = ["2.34", "2.9", "PRIVATE", "2.2.5", "2.28", "ABI_DT_RELR", "2.3"]
    numbers = [version for version in sorted(versions, key=glibc_order) if version[0].isdigit()]
    assert numbers == ["2.2.5", "2.3", "2.9", "2.28", "2.34"]
    assert glibc_order("PRIVATE") == glibc_order("ABI_DT_RELR") > glibc_order("99.0")


def test_an_offset_is_placed_in_its_section(tmp_path: Path) -> None:
    spec = replace(LIBRARY, rodata=b"some constants here\0", extra={".data.rel.ro": b"\1" * 40})
    path = write(tmp_path / "x", spec)
    data = path.read_bytes()
    assert section_at(path, data.index(b"constants")) == ".rodata+0x5"
    assert section_at(path, data.index(b"\1" * 40) + 39) == ".data.rel.ro+0x27"
    assert section_at(path, 5) == "ELF header+0x5"
    assert section_at(path, 70) == "program headers+0x6"
    assert section_at(path, len(data) - 1) == f"section headers+{(len(data) - table(data)) - 1:#x}"
    assert section_at(path, data.index(b"some constants here\0") + 20) == "between sections"


def table(data: bytes) -> int:
    return int.from_bytes(data[40:48], "little")


def test_an_offset_in_another_kind_of_file_has_no_section(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("plain\n")
    assert section_at(tmp_path / "x", 2) is None
