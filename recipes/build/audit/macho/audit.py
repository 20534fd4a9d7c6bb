"""Refuses Mach-O files of a bundle that would not start on another Mac, or that ask for more than was declared."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.audit.bundle_files import find_binaries
from recipes.build.audit.macho.facts import MachFacts, inspect, is_macho
from recipes.build.audit.macho.signature import MAIN_BINARY
from recipes.build.audit.symbols import SHOWN, check_exports, shown_symbols
from recipes.build.audit.violation import Violation, refuse
from recipes.core.filesystem import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from recipes.build.audit.macho.signature import Signature
    from recipes.build.audit.macho.text_stubs import Stub

LOADER = "/usr/lib/dyld"
FROM_HERE = "@loader_path"
BY_RUN_PATH = "@rpath/"
SYSTEM = ("/usr/lib/", "/System/Library/Frameworks/")
KINDS = {"bin": ("EXECUTE", "DYLIB", "BUNDLE"), "lib": ("DYLIB",)}
BUILD_AGAIN = "build it again; if it stays, the linker is not the one that the plan pins"


@dataclass(frozen=True)
class MacTarget:
    """What files of a bundle are built for: a machine as `uname -m` prints it, and the oldest macOS, as "13.0".

    `stubs` is what the linker knew of the system's libraries, by their paths; None where an SDK of the machine was
    used.
    """

    machine: str
    minimum_os: str
    stubs: Mapping[str, Stub] | None


def check_bundle(root: Path, target: MacTarget, *, where: str, whole: bool = True) -> tuple[MachFacts, ...]:
    """Demand that every file in bin/ and lib/ starts on any Mac of the target, from any folder.

    A bundle that is not whole may lack a needed library. Raises AuditError, naming each file that breaks a rule, and
    the rule.
    """
    paths, violations = find_binaries(root, is_macho, "Mach-O")
    with storage_errors(root):
        facts = tuple(inspect(path, name) for name, path in paths.items())
    files = {each.name: each for each in facts}
    for each in facts:
        violations += file_violations(each, target)
        violations += signature_violations(each)
        violations += library_violations(each, target, files if whole else None)
    refuse(where, violations)
    return facts


def file_violations(facts: MachFacts, target: MacTarget) -> Iterator[Violation]:
    """Return what one file breaks, its libraries and its signature aside. Pure."""
    name = facts.name
    if facts.machines != (target.machine,):
        yield Violation(
            f"code for {target.machine} alone",
            f"{name}: {' and '.join(facts.machines)}",
            "check `target` in the manifest",
        )
    if (facts.platform, facts.minimum_os) != ("MACOS", target.minimum_os):
        found = f"{facts.platform or 'no platform'} {facts.minimum_os}".rstrip()
        yield Violation(
            f"MACOS {target.minimum_os} in LC_BUILD_VERSION",
            f"{name}: {found}",
            "check that `target` in the manifest ends in that version",
        )
    if facts.kind not in KINDS.get(name.partition("/")[0], (facts.kind,)):
        yield Violation("libraries in lib/", f"{name}: {facts.kind}", "check `bundle:` in the manifest")
    if facts.kind == "EXECUTE" and (facts.loader != LOADER or not facts.is_position_independent):
        yield Violation(
            f"a program that {LOADER} can place anywhere",
            f"{name}: loader {facts.loader}, {'PIE' if facts.is_position_independent else 'not PIE'}",
            "remove -no_pie or -dylinker from the link flags",
        )
    yield from check_exports(
        name,
        (each.removeprefix("_") for each in facts.exported),
        "hide it: -fvisibility=hidden and -D_LIBCPP_DISABLE_VISIBILITY_ANNOTATIONS in `flags`",
    )
    if facts.debug_symbols:
        yield Violation(
            "stripped files",
            f"{name}: {facts.debug_symbols} debugger's symbols",
            "add -s to `flags: link` in the manifest",
        )


def signature_violations(facts: MachFacts) -> Iterator[Violation]:
    """Return what is wrong with one signature: macOS kills unsigned or wrongly signed arm64 code. Pure."""
    if facts.signature is None:
        yield Violation("an ad-hoc code signature", f"{facts.name}: {facts.signature_fault}", BUILD_AGAIN)
        return
    for expected, found in _signature_faults(facts, facts.signature):
        yield Violation(expected, f"{facts.name}: {found}", BUILD_AGAIN)


def library_violations(
    facts: MachFacts, target: MacTarget, files: Mapping[str, MachFacts] | None
) -> Iterator[Violation]:
    """Return what the libraries and symbols that one file asks for break. Pure.

    `files` are all of the bundle by their names; None where some may be absent.
    """
    folders = []
    for entry in facts.run_paths:
        folder = _folder_of(entry, facts.name)
        if folder is not None:
            folders.append(folder)
        else:
            yield Violation(
                f"run paths from {FROM_HERE} to a folder of the bundle",
                f"{facts.name}: {entry or '(empty)'}",
                "set CMAKE_INSTALL_RPATH and CMAKE_BUILD_WITH_INSTALL_RPATH under `cmake:` in the manifest",
            )
    if facts.kind == "DYLIB" and facts.install_name != BY_RUN_PATH + facts.leaf:
        yield Violation(
            f"libraries whose install name is {BY_RUN_PATH} and their own name",
            f"{facts.name}: {facts.install_name}",
            "name it so under `bundle: lib` in the manifest, or set CMAKE_INSTALL_NAME_DIR to @rpath",
        )
    exported: dict[str, frozenset[str]] = {}
    for library in facts.libraries:
        if library.path.startswith(BY_RUN_PATH):
            leaf = library.path.removeprefix(BY_RUN_PATH)
            found = next(
                (f"{folder}/{leaf}" for folder in folders if f"{folder}/{leaf}" in (files or ())), None
            )
            if files is not None and found is None:
                yield Violation(
                    "needed libraries in the bundle where a run path points, or the system's own",
                    f"{facts.name}: {library.path}",
                    "list it under `bundle: lib` in the manifest, or set the CMake option that links it to OFF",
                )
            elif files is not None and found is not None:
                exported[library.path] = frozenset(files[found].exported)
        elif not library.path.startswith(SYSTEM):
            yield Violation(
                "libraries of the system, or of the bundle by @rpath",
                f"{facts.name}: {library.path}",
                "set the CMake option that links it to OFF",
            )
        elif target.stubs is not None:
            stub = target.stubs.get(library.path)
            yield from _stub_violations(facts.name, library.path, library.current_version, stub)
            exported[library.path] = stub.symbols if stub else frozenset()
    yield from _import_violations(facts, exported)


def _stub_violations(name: str, path: str, version: str, stub: Stub | None) -> Iterator[Violation]:
    if stub is None:
        yield Violation(
            "libraries that a stub describes", f"{name}: {path}", "add its stub to recipes/build/apple_sdk"
        )
    elif _numbers(version) != _numbers(stub.current_version):
        yield Violation(f"{path} {stub.current_version}, as its stub says", f"{name}: {version}", BUILD_AGAIN)


def _import_violations(facts: MachFacts, exported: Mapping[str, frozenset[str]]) -> Iterator[Violation]:
    unbound = [each for each in facts.imports if not each.library]
    absent = [each for each in facts.imports if each.symbol not in exported.get(each.library, {each.symbol})]
    for expected, found, fix in (
        ("each undefined symbol bound to one library", unbound, "remove -undefined from the link flags"),
        (
            "no undefined symbol that its library's stub or file does not name",
            absent,
            "declare it in recipes/build/apple_sdk once its library is known to have it",
        ),
    ):
        if found:
            names = [f"{each.symbol} ({each.library or 'no library'})" for each in found]
            yield Violation(expected, f"{facts.name}: {shown_symbols(names)}", fix)


def _signature_faults(facts: MachFacts, signature: Signature) -> Iterator[tuple[str, str]]:
    if not signature.is_ad_hoc:
        yield "an ad-hoc code signature", f"flags {signature.flags:#x}, or an identity's own signature"
    if signature.hash_name != "sha256":
        yield "pages hashed by sha256", signature.hash_name
    if not is_linked_as(facts.leaf, signature.identifier):  # else it would follow from where it was built
        yield f"the identifier {facts.leaf}", signature.identifier
    if signature.code_limit_bytes != facts.signed_from_bytes:
        yield (
            f"a signature of all {facts.signed_from_bytes} bytes before it",
            f"one of {signature.code_limit_bytes} bytes",
        )
    if facts.signature_end_bytes != facts.size_bytes:
        yield "nothing after the signature", f"{facts.size_bytes - facts.signature_end_bytes} bytes"
    if facts.wrong_pages:
        pages = ", ".join(map(str, facts.wrong_pages[:SHOWN]))
        yield (
            "each page with the hash that was signed",
            f"{len(facts.wrong_pages)} of {len(signature.page_hashes)} pages differ, such as {pages}",
        )
    if facts.wrong_slots:
        yield "each part of the signature with the hash that was signed", f"slots {facts.wrong_slots}"
    start, size, flags = signature.executable_segment
    is_program = facts.kind == "EXECUTE"
    if start or not 0 < size <= facts.text_size_bytes or bool(flags & MAIN_BINARY) != is_program:
        yield (
            f"__TEXT as the executable segment{' of a program' if is_program else ''}",
            f"{size} bytes at {start}, flags {flags:#x}",
        )


def is_linked_as(leaf: str, identifier: str) -> bool:
    """Whether a file can have been signed under a name: its own, or for a library that with more of its version.

    CMake links `libggml.0.9.5.dylib`; what is shipped has the name that programs ask for, `libggml.0.dylib`.
    """
    stem, dot, suffix = leaf.rpartition(".dylib")
    longer = dot and re.fullmatch(rf"{re.escape(stem)}(\.\d+)*\.dylib", identifier)
    return identifier == leaf or bool(longer and not suffix)


def _folder_of(entry: str, name: str) -> str | None:
    """Return the folder of the bundle that a run path points to; None where it leads out of it."""
    head, _, tail = entry.partition("/")
    if head != FROM_HERE:
        return None
    folder = posixpath.normpath(posixpath.join(posixpath.dirname(name), tail))
    return folder if folder.partition("/")[0] not in {"", ".", ".."} else None


def _numbers(version: str) -> tuple[int, ...]:
    numbers = tuple(map(int, version.split(".")))
    return (*numbers, 0, 0)[:3]
