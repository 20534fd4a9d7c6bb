"""Refuses files of a bundle that would not run on another machine, or that name the one that built them."""

from __future__ import annotations

import mmap
import posixpath
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from recipes.audit import refuse
from recipes.binary import ElfFacts, glibc_order, inspect, is_elf
from recipes.flags import Departure
from recipes.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# operator new and delete: [replacement.functions] of the C++ standard has one of each for the whole program,
# so that copies of them which meet agree; libc++abi exports them whatever the visibility
REPLACEABLE = re.compile(r"_Z(?:n[wa]|d[la])[a-zA-Z]")

SHORTEST_NEEDLE = 4  # bytes
INTERPRETERS = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}
LIBC = re.compile(
    r"(?:libc\.so\.6|libm\.so\.6|libpthread\.so\.0|libdl\.so\.2|librt\.so\.1|ld-linux[\w-]*\.so\.\d)"
)


def check_bundle(
    root: Path, *, machine: str, max_glibc: str, where: str, whole: bool = True
) -> tuple[ElfFacts, ...]:
    """Demand that every file in bin/ and lib/ runs on any machine of the platform, from any folder.

    Parameters
    ----------
    root
        A laid-out bundle.
    machine
        The processor, as `uname -m` prints it.
    max_glibc
        The newest glibc version that a symbol may ask for, as "2.28".
    where
        For the error: the plan and the stage.
    whole
        False where only some targets were built: then a needed library may be absent.

    Returns
    -------
    tuple of ElfFacts
        Of each ELF file, in the order of their names.

    Raises
    ------
    AuditError
        Naming each file that departs, and how.
    """
    facts: list[ElfFacts] = []
    departures: list[Departure] = []
    with storage_errors(root):
        for path in sorted(path for path in root.rglob("*") if path.is_symlink() or not path.is_dir()):
            name = path.relative_to(root).as_posix()
            if path.is_symlink():
                departures.append(Departure("regular files", f"{name}: a link", "lay the bundle out again"))
            elif is_elf(path):
                facts.append(replace(inspect(path), name=name))
                departures += _judge(facts[-1], machine, max_glibc)
                departures += _judge_libraries(facts[-1], root if whole else None)
            elif name.startswith(("bin/", "lib/")):
                departures.append(
                    Departure(
                        "ELF files in bin/ and lib/", f"{name} is none", "check `bundle:` in the manifest"
                    )
                )
    refuse(where, departures)
    return tuple(facts)


def find_strings(root: Path, needles: Sequence[bytes]) -> tuple[tuple[str, bytes], ...]:
    """Find what must not be in any file below a folder: the store's path, a home, a build folder.

    Parameters
    ----------
    root
        A folder.
    needles
        Each at least 4 bytes: shorter ones occur by chance in machine code.

    Returns
    -------
    tuple of (name, needle)
        Each file with each needle that it holds.

    Raises
    ------
    ValueError
        Where a needle is too short to mean anything.
    StoreError
        Where a file cannot be read.
    """
    if short := [needle for needle in needles if len(needle) < SHORTEST_NEEDLE]:
        raise ValueError(f"{short[0]!r} is shorter than {SHORTEST_NEEDLE} bytes and would occur by chance")
    found: list[tuple[str, bytes]] = []
    with storage_errors(root):
        for path in sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink()):
            if path.stat().st_size == 0:  # cannot be mapped
                continue
            name = path.relative_to(root).as_posix()
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                found += ((name, needle) for needle in needles if data.find(needle) >= 0)
    return tuple(found)


def _judge(facts: ElfFacts, machine: str, max_glibc: str) -> Iterator[Departure]:
    name = facts.name
    if facts.machine != machine:
        yield Departure(f"code for {machine}", f"{name}: {facts.machine}", "check `target` in the manifest")
    if facts.interpreter and facts.interpreter != INTERPRETERS.get(machine, facts.interpreter):
        yield Departure(
            f"the loader {INTERPRETERS[machine]}",
            f"{name}: {facts.interpreter}",
            "remove -dynamic-linker from the link flags",
        )
    if max_glibc and glibc_order(facts.glibc_needed or "0") > glibc_order(max_glibc):
        yield Departure(
            f"glibc symbols up to version {max_glibc}",
            f"{name}: GLIBC_{facts.glibc_needed} ({', '.join(facts.glibc_symbols[:3]) or 'no symbol'})",
            "check that `target` in the manifest ends in that version and that the plan's compiler linked it",
        )
    if exported := [symbol for symbol in facts.standard_exports if not REPLACEABLE.match(symbol)]:
        yield Departure(
            "no symbol of the C++ runtime exported",
            f"{name}: {len(exported)}, such as {exported[0]}",
            "hide it: -fvisibility=hidden in `flags`, and a --version-script in `flags: link`",
        )
    if facts.unstripped:
        yield Departure(
            "stripped files",
            f"{name}: {' '.join(facts.unstripped)}",
            "add -s to `flags: link` in the manifest",
        )
    if facts.has_text_relocations:
        yield Departure(
            "no relocations in code",
            f"{name}: TEXTREL",
            "set CMAKE_POSITION_INDEPENDENT_CODE to ON under `cmake:`",
        )
    if facts.has_executable_stack:
        yield Departure(
            "a stack without execute permission",
            f"{name}: PT_GNU_STACK is executable or absent",
            "add -Wl,-z,noexecstack to `flags: link` in the manifest",
        )


def _judge_libraries(facts: ElfFacts, root: Path | None) -> Iterator[Departure]:
    folders = []
    for entry in facts.run_paths:
        origin = re.match(r"\$(?:ORIGIN|\{ORIGIN\})(?=/|$)", entry)
        below = "." + entry[origin.end() :] if origin else "/"
        folder = posixpath.normpath(posixpath.join(posixpath.dirname(facts.name), below))
        if folder.partition("/")[0] not in {"", ".."}:
            folders.append(folder)
        else:
            yield Departure(
                "run paths from $ORIGIN to a folder of the bundle",
                f"{facts.name}: {entry or '(empty)'}",
                "set CMAKE_INSTALL_RPATH and CMAKE_BUILD_WITH_INSTALL_RPATH under `cmake:` in the manifest",
            )
    if facts.soname and facts.name.startswith("lib/") and facts.name != f"lib/{facts.soname}":
        yield Departure(
            "libraries under their SONAME",
            f"{facts.name}: {facts.soname}",
            "name it so under `bundle: lib` in the manifest",
        )
    if root is None:
        return
    for library in facts.needed:
        if not LIBC.fullmatch(library) and not any((root / folder / library).is_file() for folder in folders):
            yield Departure(
                "needed libraries in the bundle where a run path points, or libc's own",
                f"{facts.name}: {library}",
                "list it under `bundle: lib` in the manifest, or set the CMake option that links it to OFF",
            )
