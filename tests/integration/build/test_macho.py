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
from tests.support.mac_files import LIBRARY, PROGRAM, MacCompiler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from recipes.build.audit.macho.audit import MacTarget

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


@pytest.mark.parametrize(
    ("offset", "shape", "value", "found"),
    [
        (0, ">I", 0xFADE0CC1, "a signature begins with 0xfade0cc0, this with 0xfade0cc1"),
        (4, ">I", 1 << 20, "the signature says 1048576 bytes, and there are"),
        (12, ">I", 7, "the signature has no code directory"),
    ],
)
def test_a_damaged_signature_is_refused(  # noqa: PLR0913, PLR0917 - what is damaged, and how it is named
    bundle: Path, target: MacTarget, offset: int, shape: str, value: int, found: str
) -> None:
    path = bundle / "bin/program"
    start = inspect(path, "program").signed_from_bytes
    edit(path, lambda data: struct.pack_into(shape, data, start + offset, value))
    assert f"bin/program: {found}" in refusal(bundle, target).found


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        (12, 0x20000, "flags 0x20000, or an identity's own signature"),
        (32, 0x4000, "one of 16384 bytes"),
        (56, 1 << 60, "one of 1152921504606846976 bytes"),
        (80, 0, "flags 0x0"),
    ],
)
def test_a_code_directory_that_says_something_else_is_refused(
    bundle: Path, target: MacTarget, field: int, value: int, found: str
) -> None:
    path = bundle / "bin/program"
    start = inspect(path, "program").signed_from_bytes

    def change(data: bytearray) -> None:
        (directory,) = struct.unpack_from(">I", data, start + 16)
        struct.pack_into(">I" if field < 56 else ">Q", data, start + directory + field, value)

    edit(path, change)
    assert found in refusal(bundle, target).found


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


def test_a_library_that_no_stub_describes_is_refused(bundle: Path, target: MacTarget) -> None:
    error = refusal(bundle, replace(target, stubs={}))
    assert error.expected.startswith("libraries that a stub describes")
    assert "bin/program: /usr/lib/libSystem.B.dylib" in error.found


def test_a_version_that_is_not_the_stubs_is_refused(bundle: Path, target: MacTarget) -> None:
    assert target.stubs
    stubs = {path: replace(stub, current_version="1.2") for path, stub in target.stubs.items()}
    error = refusal(bundle, replace(target, stubs=stubs))
    assert "/usr/lib/libSystem.B.dylib 1.2, as its stub says" in error.expected


def test_a_symbol_that_no_stub_names_is_refused(bundle: Path, target: MacTarget) -> None:
    assert target.stubs
    stubs = {path: replace(stub, symbols=stub.symbols - {"_printf"}) for path, stub in target.stubs.items()}
    error = refusal(bundle, replace(target, stubs=stubs))
    assert error.expected == "no undefined symbol that its library's stub or file does not name"
    assert error.found == "bin/program: _printf (/usr/lib/libSystem.B.dylib)"


def test_a_symbol_that_the_bundles_library_does_not_have_is_refused(
    bundle: Path, target: MacTarget, mac: MacCompiler
) -> None:
    mac.make(
        LIBRARY.replace("add", "sum"),
        bundle / "lib/libadd.dylib",
        "-shared",
        "-Wl,-install_name,@rpath/libadd.dylib",
    )
    assert refusal(bundle, target).found == "bin/program: _add (@rpath/libadd.dylib)"


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


@pytest.mark.parametrize(
    ("folder", "found"),
    [("/opt/lib", "bin/program: /opt/lib"), ("@loader_path/../..", "bin/program: @loader_path/../..")],
)
def test_a_run_path_out_of_the_bundle_is_refused(
    bundle: Path, target: MacTarget, mac: MacCompiler, folder: str, found: str
) -> None:
    library = bundle / "lib/libadd.dylib"
    mac.make(
        PROGRAM, bundle / "bin/program", library, f"-Wl,-rpath,{folder}", "-Wl,-rpath,@loader_path/../lib"
    )
    error = refusal(bundle, target)
    assert (error.expected, error.found) == (
        "run paths from @loader_path to a folder of the bundle",
        found,
    )


def test_a_library_under_another_name_or_path_is_refused(
    bundle: Path, target: MacTarget, mac: MacCompiler
) -> None:
    mac.make(LIBRARY, bundle / "lib/libadd.dylib", "-shared", "-Wl,-install_name,/opt/lib/libadd.dylib")
    mac.make(PROGRAM, bundle / "bin/program", bundle / "lib/libadd.dylib", "-Wl,-rpath,@loader_path/../lib")
    error = refusal(bundle, target)
    assert "libraries of the system, or of the bundle by @rpath" in error.expected
    assert "bin/program: /opt/lib/libadd.dylib" in error.found
    assert "lib/libadd.dylib: /opt/lib/libadd.dylib" in error.found


def test_an_exported_c_plus_plus_runtime_is_refused(
    bundle: Path, target: MacTarget, mac: MacCompiler
) -> None:
    mac.make(
        LIBRARY + "int _ZNSt3foo3barEv(void) { return 1; }\n",
        bundle / "lib/libadd.dylib",
        *("-shared", "-Wl,-install_name,@rpath/libadd.dylib"),
    )
    assert refusal(bundle, target).found == "lib/libadd.dylib: 1, such as _ZNSt3foo3barEv"


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
