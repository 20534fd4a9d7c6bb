"""Refuses files of a bundle that would not run on another machine, or that name the one that built them."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from recipes.build.audit.bundle_files import find_binaries
from recipes.build.audit.elf.facts import ElfFacts, glibc_order, inspect, is_elf
from recipes.build.audit.symbols import check_exports
from recipes.build.audit.violation import Violation, refuse
from recipes.core.filesystem import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INTERPRETERS = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}
LIBC = re.compile(
    r"(?:libc\.so\.6|libm\.so\.6|libpthread\.so\.0|libdl\.so\.2|librt\.so\.1|ld-linux[\w-]*\.so\.\d)"
)


def check_bundle(
    root: Path, *, machine: str, max_glibc: str, where: str, whole: bool = True
) -> tuple[ElfFacts, ...]:
    """Demand that every file in bin/ and lib/ runs on any machine of the platform, from any folder.

    The machine is as `uname -m` prints it; `max_glibc` ("2.28") is the newest version that a symbol may ask for. A
    bundle that is not whole may lack a needed library. Raises AuditError, naming each file that breaks a rule, and the
    rule.
    """
    paths, violations = find_binaries(root, is_elf, "ELF")
    with storage_errors(root):
        facts = tuple(inspect(path, name) for name, path in paths.items())
    for each in facts:
        violations += _file_violations(each, machine, max_glibc)
        violations += _library_violations(each, root if whole else None)
    refuse(where, violations)
    return facts


def _file_violations(facts: ElfFacts, machine: str, max_glibc: str) -> Iterator[Violation]:
    name = facts.name
    if facts.machine != machine:
        yield Violation(f"code for {machine}", f"{name}: {facts.machine}", "check `target` in the manifest")
    if facts.interpreter and facts.interpreter != INTERPRETERS.get(machine, facts.interpreter):
        yield Violation(
            f"the loader {INTERPRETERS[machine]}",
            f"{name}: {facts.interpreter}",
            "remove -dynamic-linker from the link flags",
        )
    if max_glibc and glibc_order(facts.glibc_needed or "0") > glibc_order(max_glibc):
        yield Violation(
            f"glibc symbols up to version {max_glibc}",
            f"{name}: GLIBC_{facts.glibc_needed} ({', '.join(facts.glibc_symbols[:3]) or 'no symbol'})",
            "check that `target` in the manifest ends in that version and that the plan's compiler linked it",
        )
    yield from check_exports(
        name,
        facts.exported,
        "hide it: -fvisibility=hidden in `flags`, and a --version-script in `flags: link`",
    )
    if facts.unstripped:
        yield Violation(
            "stripped files",
            f"{name}: {' '.join(facts.unstripped)}",
            "add -s to `flags: link` in the manifest",
        )
    if facts.has_text_relocations:
        yield Violation(
            "no relocations in code",
            f"{name}: TEXTREL",
            "set CMAKE_POSITION_INDEPENDENT_CODE to ON under `cmake:`",
        )
    if facts.has_executable_stack:
        yield Violation(
            "a stack without execute permission",
            f"{name}: PT_GNU_STACK is executable or absent",
            "add -Wl,-z,noexecstack to `flags: link` in the manifest",
        )


def _library_violations(facts: ElfFacts, root: Path | None) -> Iterator[Violation]:
    folders = []
    for entry in facts.run_paths:
        origin = re.match(r"\$(?:ORIGIN|\{ORIGIN\})(?=/|$)", entry)
        below = "." + entry[origin.end() :] if origin else "/"
        folder = posixpath.normpath(posixpath.join(posixpath.dirname(facts.name), below))
        if folder.partition("/")[0] not in {"", ".."}:
            folders.append(folder)
        else:
            yield Violation(
                "run paths from $ORIGIN to a folder of the bundle",
                f"{facts.name}: {entry or '(empty)'}",
                "set CMAKE_INSTALL_RPATH and CMAKE_BUILD_WITH_INSTALL_RPATH under `cmake:` in the manifest",
            )
    if facts.soname and facts.name.startswith("lib/") and facts.name != f"lib/{facts.soname}":
        yield Violation(
            "libraries under their SONAME",
            f"{facts.name}: {facts.soname}",
            "name it so under `bundle: lib` in the manifest",
        )
    if root is None:
        return
    for library in facts.needed:
        if not LIBC.fullmatch(library) and not any((root / folder / library).is_file() for folder in folders):
            yield Violation(
                "needed libraries in the bundle where a run path points, or libc's own",
                f"{facts.name}: {library}",
                "list it under `bundle: lib` in the manifest, or set the CMake option that links it to OFF",
            )
