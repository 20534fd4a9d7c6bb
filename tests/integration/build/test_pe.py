"""PE files made by the pinned zig: what passes, and each way to tamper with them that must not."""

from __future__ import annotations

import shutil
import struct
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.build.audit.pe.audit import (
    WindowsTarget,
    check_bundle,
    file_violations,
    library_violations,
    origin_violations,
)
from recipes.build.audit.pe.facts import PeFacts, PeImport, inspect
from recipes.core.errors import AuditError
from tests.support.windows_files import LIBRARY, PROGRAM, WindowsCompiler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WHERE = "b1@windows-x86_64-cpu: bundle"
TARGET = WindowsTarget("x86_64")
# Offsets in the PE header, from its signature: "PE Format", COFF file header and optional header
MACHINE, TIME, SYMBOLS, CHARACTERISTICS = 4, 8, 16, 22
SUBSYSTEM_VERSION, SUBSYSTEM, PROTECTIONS = 72, 92, 94
RELOCATIONS, DEBUG = 24 + 112 + 8 * 5, 24 + 112 + 8 * 6
SECTIONS = 24 + 240


@pytest.fixture
def bundle(windows_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(windows_bundle, tmp_path / "bundle")


def refusal(bundle: Path, *, whole: bool = True) -> AuditError:
    with pytest.raises(AuditError) as caught:
        check_bundle(bundle, TARGET, where=WHERE, whole=whole)
    return caught.value


def edit(path: Path, change: Callable[[bytearray, int], None]) -> None:
    """Change a file in place; the change is told where the PE header begins."""
    data = bytearray(path.read_bytes())
    change(data, struct.unpack_from("<I", data, 0x3C)[0])
    path.write_bytes(data)


def put(path: Path, offset: int, shape: str, *values: int) -> None:
    edit(path, lambda data, head: struct.pack_into(shape, data, head + offset, *values))


def change_flags(path: Path, offset: int, clear: int) -> None:
    def change(data: bytearray, head: int) -> None:
        (flags,) = struct.unpack_from("<H", data, head + offset)
        struct.pack_into("<H", data, head + offset, flags & ~clear)

    edit(path, change)


def test_what_zig_makes_passes_and_its_facts_are_given(bundle: Path) -> None:
    library, program = check_bundle(bundle, TARGET, where=WHERE)
    assert (program.name, program.machine, program.is_library) == ("bin/program.exe", "x86_64", False)
    assert (program.subsystem, program.internal_name) == ("WINDOWS_CUI", None)
    assert PeImport("add", "add.dll") in program.imports
    assert (library.internal_name, library.is_library) == ("add.dll", True)
    assert library.exported == ("add",)
    assert library.is_time_a_hash
    assert len(set(library.times)) == 1


def test_the_same_file_made_in_another_folder_is_the_same_file(
    windows_bundle: Path, windows: WindowsCompiler, tmp_path: Path
) -> None:
    again = windows.bundle(tmp_path / "elsewhere" / "bundle", fresh=True)
    for name in ("bin/add.dll", "bin/program.exe"):
        assert (again / name).read_bytes() == (windows_bundle / name).read_bytes(), name


def test_a_time_stamp_of_a_clock_is_refused(bundle: Path) -> None:
    path = bundle / "bin/program.exe"
    hashed = inspect(path, "").times[0]
    put(path, TIME, "<I", 1767225600)
    error = refusal(bundle)
    assert (error.where, error.found) == (WHERE, f"bin/program.exe: 0x6955b900 {hashed:#010x}")


EXE, DLL = "program.exe", "add.dll"
# what is done to the folder of files, and words of the refusal
CHANGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "machine": (lambda at: put(at / EXE, MACHINE, "<H", 0xAA64), "code for x86_64", f"{EXE}: aarch64"),
    "GUI": (lambda at: put(at / EXE, SUBSYSTEM, "<H", 2), "console", f"{EXE}: WINDOWS_GUI"),
    "newer Windows": (lambda at: put(at / EXE, SUBSYSTEM_VERSION, "<H", 11), "Windows 10.0", f"{EXE}: 11.0"),
    "symbols": (lambda at: put(at / EXE, SYMBOLS, "<I", 3), "stripped files", f"{EXE}: symbol table"),
    "no hash": (lambda at: put(at / DLL, DEBUG, "<II", 0, 0), "", ", and nothing that says so"),
    "entropy": (lambda at: change_flags(at / DLL, PROTECTIONS, 0x20), "", f"{DLL}: no HIGH_ENTROPY_VA"),
    "fixed base": (lambda at: change_flags(at / DLL, PROTECTIONS, 0x40), "", f"{DLL}: no DYNAMIC_BASE"),
    "executable data": (lambda at: change_flags(at / DLL, PROTECTIONS, 0x100), "", f"{DLL}: no NX_COMPAT"),
    "no relocations": (lambda at: put(at / EXE, RELOCATIONS, "<II", 0, 0), "", f"{EXE}: no relocations"),
    "writable code": (lambda at: put(at / EXE, SECTIONS + 36, "<I", 0xE0000020), "", f"{EXE}: .text"),
    "no library": (lambda at: change_flags(at / DLL, CHARACTERISTICS, 0x2000), "named", f"{DLL}: a program"),
    "renamed": (lambda at: (at / DLL).rename(at / "sum.dll"), "", "sum.dll: add.dll"),
    "renamed away": (lambda at: (at / DLL).rename(at / "sum.dll"), "", f"{EXE}: add.dll"),
    "more bytes": (lambda at: append(at / DLL, b"more"), "nothing after", f"{DLL}: 4 bytes"),
}


def append(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


@pytest.mark.parametrize(("change", "expected", "found"), CHANGES.values(), ids=CHANGES)
def test_a_file_that_was_changed_is_refused_by_name(
    bundle: Path, change: Callable[[Path], object], expected: str, found: str
) -> None:
    change(bundle / "bin")
    error = refusal(bundle)
    assert expected in error.expected
    assert found in error.found


def test_a_symbol_that_the_bundles_library_does_not_export_is_refused(
    bundle: Path, windows: WindowsCompiler
) -> None:
    windows.library(bundle / "bin/add.dll", LIBRARY.replace("add", "sum"))
    error = refusal(bundle)
    assert error.expected == "no symbol that its library of the bundle does not export"
    assert error.found == "bin/program.exe: add (add.dll)"


def test_an_absent_library_is_refused_unless_the_bundle_is_a_part(bundle: Path) -> None:
    (bundle / "bin/add.dll").unlink()
    assert refusal(bundle).found == "bin/program.exe: add.dll"
    check_bundle(bundle, TARGET, where=WHERE, whole=False)


def test_a_library_of_windows_must_be_listed(bundle: Path, windows: WindowsCompiler) -> None:
    asks = PROGRAM.replace("int add", "int __stdcall MessageBeep(unsigned);\nint add")
    asks = asks.replace("return printf", "MessageBeep(0); return printf")
    windows.program(bundle / "bin/program.exe", asks, "-luser32")
    assert refusal(bundle).found == "bin/program.exe: USER32.dll"
    check_bundle(bundle, replace(TARGET, libraries=("user32",)), where=WHERE)


def test_an_exported_c_plus_plus_runtime_is_refused(bundle: Path, windows: WindowsCompiler) -> None:
    shown = '__attribute__((visibility("default"))) int _ZNSt3foo3barEv(void) { return 1; }\n'
    windows.library(bundle / "bin/add.dll", LIBRARY + shown)
    assert refusal(bundle).found == "bin/add.dll: 1, such as _ZNSt3foo3barEv"


def test_an_exported_start_of_a_library_is_refused(windows_bundle: Path) -> None:
    facts = inspect(windows_bundle / "bin/add.dll", "bin/add.dll")
    (violation,) = file_violations(replace(facts, exported=("_CRT_INIT", "add", "atexit")), TARGET)
    assert violation.expected == "nothing exported that a DLL is started by"
    assert violation.found == "bin/add.dll: _CRT_INIT atexit"


def test_a_path_of_debugging_information_is_refused(bundle: Path) -> None:
    record = b"RSDS" + bytes(20) + b"C:\\build\\program.pdb\0"  # what a linker of Microsoft's writes

    def change(data: bytearray, head: int) -> None:
        (address,) = struct.unpack_from("<I", data, head + DEBUG)
        place = _section_at(data, head, address)
        _, start, _, offset = struct.unpack_from("<IIII", data, place)
        struct.pack_into("<I", data, place, 0x200)  # as much as is in the file
        entry = offset + address - start
        struct.pack_into("<IIII", data, entry + 12, 2, len(record), address + 64, entry + 64)
        data[entry + 64 : entry + 64 + len(record)] = record

    edit(bundle / "bin/program.exe", change)
    error = refusal(bundle)
    assert "no path of debugging information" in error.expected
    assert "bin/program.exe: C:\\build\\program.pdb" in error.found


def _section_at(data: bytearray, head: int, address: int) -> int:
    """Return where the header of the section stands that holds an address, from its size on."""
    for number in range(struct.unpack_from("<H", data, head + 6)[0]):
        place = head + SECTIONS + 40 * number + 8
        size, start = struct.unpack_from("<II", data, place)
        if start <= address < start + size:
            return place
    raise AssertionError


def test_a_symbol_that_is_asked_for_by_number_is_refused(windows_bundle: Path) -> None:
    facts = inspect(windows_bundle / "bin/program.exe", "bin/program.exe")
    asked = replace(facts, imports=(PeImport("", "KERNEL32.dll"),))
    (violation,) = library_violations(asked, TARGET, {}, whole=True)
    assert violation.found == "bin/program.exe: a number (KERNEL32.dll)"


def test_names_are_compared_as_windows_compares_them(windows_bundle: Path) -> None:
    facts = {
        name: inspect(windows_bundle / "bin" / name, f"bin/{name}") for name in ("program.exe", "add.dll")
    }
    imports = tuple(replace(each, library=each.library.upper()) for each in facts["program.exe"].imports)
    assert not list(
        library_violations(replace(facts["program.exe"], imports=imports), TARGET, facts, whole=True)
    )


def test_files_that_are_none_links_and_a_folder_of_libraries_are_refused(bundle: Path) -> None:
    (bundle / "bin/script").write_text("#!/bin/sh\n")
    (bundle / "bin/other.exe").symlink_to("program.exe")
    (bundle / "lib").mkdir()
    (bundle / "lib/sum.dll").write_bytes((bundle / "bin/add.dll").read_bytes())
    error = refusal(bundle)
    for found in ("bin/script is none", "bin/other.exe: a link", "lib/sum.dll"):
        assert found in error.found


@pytest.mark.parametrize("cut", [2, 0x40, 0x100, 3000])
def test_a_file_that_was_cut_is_refused_without_a_traceback(bundle: Path, cut: int) -> None:
    path = bundle / "bin/program.exe"
    path.write_bytes(path.read_bytes()[:cut])
    assert "PE file with its tables inside it" in refusal(bundle).expected


@settings(max_examples=60, deadline=None)
@given(changes=st.dictionaries(st.integers(0, 0x3FF), st.integers(0, 255), min_size=1, max_size=4))
def test_damaged_headers_are_refused_or_harmless_and_never_a_traceback(
    windows_bundle: Path, tmp_path_factory: pytest.TempPathFactory, changes: dict[int, int]
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "bin/add.dll"
    path.parent.mkdir()
    data = bytearray((windows_bundle / "bin/add.dll").read_bytes())
    for offset, value in changes.items():
        data[offset] = value
    path.write_bytes(data)
    with suppress(AuditError):
        check_bundle(path.parents[1], TARGET, where=WHERE, whole=False)


def test_every_judgement_lets_the_real_files_pass(windows_bundle: Path) -> None:
    facts: PeFacts = inspect(windows_bundle / "bin/add.dll", "bin/add.dll")
    assert not [*file_violations(facts, TARGET), *origin_violations(facts)]
