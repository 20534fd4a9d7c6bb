"""Refuses PE files of a bundle that would not start on another Windows, or that name who built them, or when."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.audit.bundle_files import find_binaries
from recipes.build.audit.pe.facts import PeFacts, inspect, is_pe
from recipes.build.audit.symbols import check_exports, shown_symbols
from recipes.build.audit.violation import Violation, refuse
from recipes.core.filesystem import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# The C library that Windows 10 brings, by its sets of functions, and what every program is started by
SYSTEM = re.compile(r"api-ms-win-crt-[a-z]+-l1-1-0\.dll|kernel32\.dll")
# What each DLL has of its own: where it is exported, a file that needs the DLL may get this one instead, or not link
STARTUP = frozenset({"atexit", "_CRT_INIT", "DllMain", "DllMainCRTStartup", "__mingw_module_is_dll"})
PROTECTIONS = ("DYNAMIC_BASE", "HIGH_ENTROPY_VA", "NX_COMPAT")
CONSOLE = "WINDOWS_CUI"
BUILD_AGAIN = "build it again; if it stays, the linker is not the one that the plan pins"
STRIP = "add -s to `flags: link` and -g0 to the other flags in the manifest"


@dataclass(frozen=True)
class WindowsTarget:
    """What files of a bundle are built for: a machine as `uname -m` prints it.

    `libraries` are those of Windows that they may need besides its C library, without the ending; `newest` is the
    newest version that a file may ask for, as the loader counts: (10, 0) is Windows 10.
    """

    machine: str
    libraries: tuple[str, ...] = ()
    newest: tuple[int, int] = (10, 0)


def check_bundle(root: Path, target: WindowsTarget, *, where: str, whole: bool = True) -> tuple[PeFacts, ...]:
    """Demand that every file in bin/ starts on any Windows of the target, from any folder.

    Windows looks for libraries beside the program, so that all of them lie in bin/. A bundle that is not whole may lack
    a needed library. Raises AuditError, naming each file that breaks a rule, and the rule.
    """
    paths, violations = find_binaries(root, is_pe, "PE")
    with storage_errors(root):
        facts = tuple(inspect(path, name) for name, path in paths.items())
    violations += [
        Violation("libraries beside the programs", name, "list it under `bundle: bin`")
        for name in paths
        if name.startswith("lib/")
    ]
    files = {each.leaf.lower(): each for each in facts}  # as Windows compares names
    for each in facts:
        violations += file_violations(each, target)
        violations += origin_violations(each)
        violations += library_violations(each, target, files, whole=whole)
    refuse(where, violations)
    return facts


def file_violations(facts: PeFacts, target: WindowsTarget) -> Iterator[Violation]:
    """Return what the headers and exports of one file break. Pure."""
    name = facts.name
    if facts.machine != target.machine:
        yield Violation(
            f"code for {target.machine}", f"{name}: {facts.machine}", "check `target` in the manifest"
        )
    if facts.is_library != name.endswith(".dll"):
        kind = "a library" if facts.is_library else "a program"
        yield Violation("libraries named .dll, programs .exe", f"{name}: {kind}", "check `bundle:`")
    if not facts.is_library and facts.subsystem != CONSOLE:
        yield Violation(
            "programs of the console", f"{name}: {facts.subsystem}", "remove -mwindows from the link flags"
        )
    if facts.subsystem_version > target.newest:
        yield Violation(
            "files that Windows {}.{} loads".format(*target.newest),
            "{}: {}.{}".format(name, *facts.subsystem_version),
            "check `target` in the manifest",
        )
    absent = [each for each in PROTECTIONS if each not in facts.protections]
    if absent or not facts.is_relocatable:
        yield Violation(
            f"{', '.join(PROTECTIONS)}, and relocations",
            f"{name}: no {', '.join(absent) or 'relocations'}",
            "remove what disables it from the link flags",
        )
    if facts.writable_code:
        yield Violation(
            "no section that is both written and executed",
            f"{name}: {' '.join(facts.writable_code)}",
            "remove -Wl,--omagic and its like from the link flags",
        )
    yield from check_exports(
        name,
        facts.exported,
        "hide it: -fvisibility=hidden and -D_LIBCPP_DISABLE_VISIBILITY_ANNOTATIONS in `flags`",
    )
    if exported := sorted(STARTUP.intersection(facts.exported)):
        yield Violation(
            "nothing exported that a DLL is started by",
            f"{facts.name}: {' '.join(exported)}",
            "hide it: -fvisibility=hidden in `runtime_flags`",
        )


def origin_violations(facts: PeFacts) -> Iterator[Violation]:
    """Return where one file tells when, where or by whom it was made. Pure."""
    name = facts.name
    if len(set(facts.times)) > 1 or (facts.times and not facts.is_time_a_hash):
        yield Violation(
            "one time stamp, which is a hash of the content",
            f"{name}: {' '.join(f'{time:#010x}' for time in facts.times)}"
            + ("" if facts.is_time_a_hash else ", and nothing that says so"),
            BUILD_AGAIN,
        )
    if facts.debug_paths:
        yield Violation("no path of debugging information", f"{name}: {facts.debug_paths[0]}", STRIP)
    if facts.unstripped:
        yield Violation("stripped files", f"{name}: {' '.join(facts.unstripped)}", STRIP)
    if facts.rest_bytes:
        yield Violation("nothing after the last section", f"{name}: {facts.rest_bytes} bytes", BUILD_AGAIN)


def library_violations(
    facts: PeFacts, target: WindowsTarget, files: Mapping[str, PeFacts], *, whole: bool
) -> Iterator[Violation]:
    """Return what the libraries and symbols that one file asks for break. Pure.

    `files` are all of the bundle by their names without folders, in lower case; some may be absent if it is not whole.
    """
    if facts.is_library and facts.internal_name not in {None, facts.leaf}:
        yield Violation(
            "libraries under the name that they were linked as",
            f"{facts.name}: {facts.internal_name}",
            "name it so under `bundle: bin` in the manifest",
        )
    listed = {f"{name.lower()}.dll" for name in target.libraries}
    for library in sorted({each.library for each in facts.imports}):
        asked = library.lower()
        if not (asked in files or asked in listed or SYSTEM.fullmatch(asked) or not whole):
            yield Violation(
                "libraries of the bundle, Windows' C library, or listed ones",
                f"{facts.name}: {library}",
                "list it under `bundle: bin` in the manifest, or under `libraries` where it is Windows' own",
            )
    yield from _import_violations(facts, files)


def _import_violations(facts: PeFacts, files: Mapping[str, PeFacts]) -> Iterator[Violation]:
    absent = [
        each
        for each in facts.imports
        if (library := files.get(each.library.lower()))
        and each.symbol
        and each.symbol not in library.exported
    ]
    for expected, found, fix in (
        (
            "symbols that are asked for by name",
            [each for each in facts.imports if not each.symbol],
            "link the library that has their names",
        ),
        ("no symbol that its library of the bundle does not export", absent, "build both again"),
    ):
        if found:
            names = [f"{each.symbol or 'a number'} ({each.library})" for each in found]
            yield Violation(expected, f"{facts.name}: {shown_symbols(names)}", fix)
