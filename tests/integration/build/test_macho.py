"""Mach-O files made by the pinned zig: what passes, and each way to tamper with them that must not."""

from __future__ import annotations

import shutil
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import lief
import pytest

from recipes.build.audit.macho.audit import check_bundle
from recipes.build.audit.macho.facts import inspect
from recipes.build.audit.macho.text_stubs import read_stubs
from recipes.core.errors import AuditError
from tests.support.mac_files import LIBRARY, PROGRAM, SHARED, MacCompiler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from recipes.build.audit.macho.audit import MacTarget
    from recipes.build.audit.macho.text_stubs import Stub

WHERE = "b1@macos-arm64-metal: bundle"


@pytest.fixture(scope="module")
def target(mac: MacCompiler) -> MacTarget:
    return mac.target()


@pytest.fixture
def bundle(mac_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(mac_bundle, tmp_path / "bundle")


def refusal(bundle: Path, target: MacTarget, *, whole: bool = True) -> AuditError:
    with pytest.raises(AuditError) as caught:
        check_bundle(bundle, target, where=WHERE, whole=whole)
    return caught.value


def edit(path: Path, change: Callable[[bytearray], None]) -> None:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def sign_again(path: Path) -> None:
    """Put right hashes into a file's signature, so that only what was tampered with departs."""
    facts = inspect(path, path.name)
    assert facts.signature

    def hashes(data: bytearray) -> None:
        from hashlib import sha256

        start, size = facts.signed_from_bytes, facts.signature.page_size_bytes  # type: ignore[union-attr]
        (directory,) = struct.unpack_from(">I", data, start + 16)
        (first,) = struct.unpack_from(">I", data, start + directory + 16)
        for number, at in enumerate(range(0, start, size)):
            place = start + directory + first + 32 * number
            data[place : place + 32] = sha256(data[at : min(at + size, start)]).digest()

    edit(path, hashes)
    again = inspect(path, path.name)
    assert (again.signature_fault, again.wrong_pages) == (None, ())


def test_what_zig_makes_passes_and_its_facts_are_given(bundle: Path, target: MacTarget) -> None:
    program, library = check_bundle(bundle, target, where=WHERE)
    assert (program.name, program.kind, program.machines) == ("bin/program", "EXECUTE", ("arm64",))
    assert [each.path for each in program.libraries] == ["/usr/lib/libSystem.B.dylib", "@rpath/libadd.dylib"]
    assert {"_add", "_printf"} <= {each.symbol for each in program.imports}
    assert program.signature
    assert program.signature.identifier == "program"
    assert program.signature.is_ad_hoc
    assert len(program.signature.page_hashes) * program.signature.page_size_bytes >= program.signed_from_bytes
    assert library.kind == "DYLIB"
    assert "_add" in library.exported


def test_the_same_file_made_in_another_folder_is_the_same_file(mac_bundle: Path, tmp_path: Path) -> None:
    again = MacCompiler(tmp_path).bundle(tmp_path / "elsewhere" / "bundle", fresh=True)
    assert (again / "bin/program").read_bytes() == (mac_bundle / "bin/program").read_bytes()
    assert (again / "lib/libadd.dylib").read_bytes() == (mac_bundle / "lib/libadd.dylib").read_bytes()


def test_a_byte_of_code_that_was_changed_is_found_by_its_page(bundle: Path, target: MacTarget) -> None:
    def flip(data: bytearray) -> None:
        data[0x4100] ^= 1

    edit(bundle / "bin/program", flip)
    error = refusal(bundle, target)
    assert (error.where, error.found) == (WHERE, "bin/program: 1 of 4 pages differ, such as 1")


def test_a_file_without_a_signature_is_refused(bundle: Path, target: MacTarget) -> None:
    path = bundle / "lib/libadd.dylib"
    fat = lief.MachO.parse(str(path))
    assert fat is not None
    assert fat.at(0).remove_signature()  # type: ignore[union-attr]
    fat.write(str(path))
    assert "lib/libadd.dylib: there is none" in refusal(bundle, target).found


SIGNATURE, DIRECTORY = 0, 1  # what an offset counts from


@pytest.mark.parametrize(
    ("begin", "offset", "shape", "value", "found"),
    [
        (SIGNATURE, 0, ">I", 0xFADE0CC1, "a signature begins with 0xfade0cc0, this with 0xfade0cc1"),
        (SIGNATURE, 4, ">I", 1 << 20, "the signature says 1048576 bytes"),
        (SIGNATURE, 12, ">I", 7, "no code directory"),
        (DIRECTORY, 12, ">I", 0x20000, "flags 0x20000"),
        (DIRECTORY, 32, ">I", 0x4000, "one of 16384 bytes"),
        (DIRECTORY, 56, ">Q", 1 << 60, "one of 1152921504606846976 bytes"),
        (DIRECTORY, 80, ">Q", 0, "flags 0x0"),
    ],
)
def test_a_signature_that_was_changed_is_refused(  # noqa: PLR0913, PLR0917 - what is changed, and how it is named
    bundle: Path, target: MacTarget, begin: int, offset: int, shape: str, value: int, found: str
) -> None:
    path = bundle / "bin/program"
    start = inspect(path, "program").signed_from_bytes

    def change(data: bytearray) -> None:
        place = start + (struct.unpack_from(">I", data, start + 16)[0] if begin == DIRECTORY else 0)
        struct.pack_into(shape, data, place + offset, value)

    edit(path, change)
    refused = refusal(bundle, target).found
    assert "bin/program: " in refused
    assert found in refused


def test_an_identifier_that_is_not_the_files_name_is_refused(bundle: Path, target: MacTarget) -> None:
    path = bundle / "bin/program"
    start = inspect(path, "program").signed_from_bytes
    edit(
        path, lambda data: data.__setitem__(slice(at := data.index(b"program\0", start), at + 7), b"_prog_1")
    )
    error = refusal(bundle, target)
    assert (error.expected, error.found) == ("the identifier program", "bin/program: _prog_1")


def test_bytes_after_the_signature_are_refused(bundle: Path, target: MacTarget) -> None:
    path = bundle / "bin/program"
    path.write_bytes(path.read_bytes() + b"more")
    error = refusal(bundle, target)
    assert (error.expected, error.found) == ("nothing after the signature", "bin/program: 4 bytes")


@pytest.mark.parametrize(
    ("triple", "expected", "found"),
    [
        ("x86_64-macos.13.3", "code for arm64 alone", "bin/program: x86_64"),
        ("aarch64-macos.14.0", "MACOS 13.3 in LC_BUILD_VERSION", "bin/program: MACOS 14.0"),
        ("aarch64-ios.16.0", "MACOS 13.3 in LC_BUILD_VERSION", "bin/program: IOS 16.0"),
    ],
)
def test_a_program_for_something_else_is_refused(  # noqa: PLR0913, PLR0917 - what it is for, and how it is named
    bundle: Path, target: MacTarget, mac: MacCompiler, triple: str, expected: str, found: str
) -> None:
    path = bundle / "bin/program"
    if "ios" in triple:  # zig has no libc for it: the number of the platform is all that is looked at
        edit(path, lambda data: struct.pack_into("<II", data, _build_version(data) + 8, 2, 16 << 16))
        sign_again(path)
    else:
        mac.make("int main(void) { return 0; }\n", path, target=triple)
    error = refusal(bundle, target)
    assert expected in error.expected
    assert found in error.found


def _build_version(data: bytearray) -> int:
    at, count = 32, struct.unpack_from("<I", data, 16)[0]
    for _ in range(count):
        kind, size = struct.unpack_from("<II", data, at)
        if kind == 0x32:
            return at
        at += size
    raise AssertionError


@pytest.mark.parametrize(
    ("change", "expected", "found"),
    [
        (None, "libraries that a stub describes", "/usr/lib/libSystem.B.dylib"),
        (lambda stub: replace(stub, current_version="1.2"), "libSystem.B.dylib 1.2, as its stub", ""),
        (
            lambda stub: replace(stub, symbols=stub.symbols - {"_printf"}),
            *("no undefined symbol", "_printf (/usr/lib/libSystem.B.dylib)"),
        ),
    ],
    ids=["no stub", "another version", "a symbol less"],
)
def test_what_no_stub_describes_is_refused(
    bundle: Path, target: MacTarget, change: Callable[[Stub], Stub] | None, expected: str, found: str
) -> None:
    assert target.stubs
    stubs = {path: change(stub) for path, stub in target.stubs.items()} if change else {}
    error = refusal(bundle, replace(target, stubs=stubs))
    assert expected in error.expected
    assert f"bin/program: {found}" in error.found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (LIBRARY.replace("add", "sum"), "bin/program: _add (@rpath/libadd.dylib)"),
        (
            LIBRARY + "int _ZNSt3foo3barEv(void) { return 1; }\n",
            "lib/libadd.dylib: 1, such as _ZNSt3foo3barEv",
        ),
    ],
    ids=["a symbol less", "an exported C++ runtime"],
)
def test_a_library_of_other_symbols_is_refused(
    bundle: Path, target: MacTarget, mac: MacCompiler, source: str, found: str
) -> None:
    mac.make(source, bundle / "lib/libadd.dylib", *SHARED)
    assert refusal(bundle, target).found == found


def test_a_symbol_that_is_looked_for_everywhere_is_refused(
    bundle: Path, target: MacTarget, mac: MacCompiler
) -> None:
    mac.make(PROGRAM, bundle / "bin/program", "-Wl,-undefined,dynamic_lookup")
    error = refusal(bundle, target)
    assert "each undefined symbol bound to one library" in error.expected
    assert "bin/program: _add (no library)" in error.found


def test_an_absent_library_is_refused_unless_the_bundle_is_a_part(bundle: Path, target: MacTarget) -> None:
    (bundle / "lib/libadd.dylib").unlink()
    assert refusal(bundle, target).found == "bin/program: @rpath/libadd.dylib"
    check_bundle(bundle, target, where=WHERE, whole=False)


@pytest.mark.parametrize("folder", ["/opt/lib", "@loader_path/../.."])
def test_a_run_path_out_of_the_bundle_is_refused(
    bundle: Path, target: MacTarget, mac: MacCompiler, folder: str
) -> None:
    library = bundle / "lib/libadd.dylib"
    mac.make(
        PROGRAM, bundle / "bin/program", library, f"-Wl,-rpath,{folder}", "-Wl,-rpath,@loader_path/../lib"
    )
    error = refusal(bundle, target)
    assert "run paths from @loader_path" in error.expected
    assert error.found == f"bin/program: {folder}"


def test_a_library_under_another_name_or_path_is_refused(
    bundle: Path, target: MacTarget, mac: MacCompiler
) -> None:
    mac.make(LIBRARY, bundle / "lib/libadd.dylib", "-shared", "-Wl,-install_name,/opt/lib/libadd.dylib")
    mac.make(PROGRAM, bundle / "bin/program", bundle / "lib/libadd.dylib", "-Wl,-rpath,@loader_path/../lib")
    error = refusal(bundle, target)
    assert "libraries of the system, or of the bundle by @rpath" in error.expected
    assert "bin/program: /opt/lib/libadd.dylib" in error.found
    assert "lib/libadd.dylib: /opt/lib/libadd.dylib" in error.found


def test_a_file_that_is_no_mach_o_file_or_a_link_is_refused(bundle: Path, target: MacTarget) -> None:
    (bundle / "bin/script").write_text("#!/bin/sh\n")
    (bundle / "bin/other").symlink_to("program")
    error = refusal(bundle, target)
    assert "bin/script is none" in error.found
    assert "bin/other: a link" in error.found


@pytest.mark.parametrize("cut", [4, 40, 3000])
def test_a_file_that_was_cut_is_refused_without_a_traceback(
    bundle: Path, target: MacTarget, cut: int
) -> None:
    path = bundle / "bin/program"
    path.write_bytes(path.read_bytes()[:cut])
    refusal(bundle, target)


def test_a_stub_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "libx.tbd"
    path.write_text("--- !tapi-tbd\ntbd-version: 4\n")
    with pytest.raises(AuditError) as caught:
        read_stubs([path])
    assert caught.value.found == "KeyError: 'install-name'"
