"""Compares what CMake resolved with the plan: cache entries, compile commands, link statements.

Pure: text in, violations out. The flags that were given prove nothing; the resolved cache and the commands are
what is built, so they are what is compared.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from recipes.build.audit.flag_rules import (
    LIST_IT,
    AllowedFlags,
    absolute_paths,
    compile_violations,
    is_within,
    link_violations,
)
from recipes.build.audit.violation import Violation, refuse
from recipes.core.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

# CMake's cmState::ParseCacheEntry: a name with a colon is quoted, and so is a value that ends in white space
ENTRY = re.compile(
    r'(?:"(?P<quoted>[^"]*)"|(?P<plain>[^"=:][^=:]*)):(?P<type>[^=]*)=(?P<value>.*)', re.DOTALL
)
LINK_STATEMENT = re.compile(r"build (?P<output>(?:\$.|[^:$])+): \w+_(?:EXECUTABLE|LIBRARY|MODULE)_LINKER__")
LINK_VARIABLE = re.compile(
    r" +(?:LANGUAGE_COMPILE_FLAGS|ARCH_FLAGS|LINK_FLAGS|LINK_LIBRARIES|LINK_PATH) = (?P<value>.*)"
)
UNUSED = "Manually-specified variables were not used by the project:\n"
UNUSED_NAME = re.compile(r"^ {4}(\S+)$", re.MULTILINE)
NINJA_FOLDER = re.compile(r"^cmake_ninja_workdir = (.+)$", re.MULTILINE)


class CacheEntry(NamedTuple):
    """One entry of CMakeCache.txt."""

    type: str
    value: str


def parse_cache(text: str) -> dict[str, CacheEntry]:
    """Read a CMakeCache.txt.

    Raises ValueError, naming the first line that is no entry, or that gives an entry a second time.
    """
    entries: dict[str, CacheEntry] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        content = line.lstrip(" \t\r")
        if not content or content.startswith(("#", "//")):
            continue
        match = ENTRY.fullmatch(content)
        if match is None:
            raise ValueError(f"line {number} is not NAME:TYPE=VALUE: {line}")
        name = match["plain"] if match["quoted"] is None else match["quoted"]
        if name in entries:
            raise ValueError(f"line {number} gives {name} a second time")
        value = match["value"].rstrip(" \t\r")
        if len(value) > 1 and value[0] == value[-1] == "'":
            value = value[1:-1]
        entries[name] = CacheEntry(match["type"], value)
    return entries


def check_used(output: str, overridden: Collection[str] = (), *, where: str) -> None:
    """Demand that the project used each option that it was given: else it is misspelt, or gone from this source.

    Where some are overridden, those alone are looked at: a part that they switch off does not use its options.
    Raises AuditError, naming each option that was not used.
    """
    _, _, listed = output.partition(UNUSED)
    names = UNUSED_NAME.findall(listed.partition("\n\n\n")[0])
    names = [name for name in names if not overridden or name in overridden]
    fix = "correct or remove it under `cmake:` in the manifest"
    refuse(where, [Violation("options that the project asks for", name, fix) for name in names])


def check_cache(
    text: str,
    expected: Mapping[str, str],
    *,
    allowed_roots: Sequence[Path],
    where: str,
    exceptions: Collection[str] = (),
) -> None:
    """Demand that CMake resolved each option to the plan's value, and took nothing of the host.

    Values are compared as text: OFF is not FALSE. Paths must lie in the allowed roots, resolved as CMake writes them,
    unless the plan gives them or the entry is one of the exceptions. Raises AuditError, naming each entry that differs.
    """
    try:
        entries = parse_cache(text)
    except ValueError as error:
        raise AuditError(
            where=f"{where}: CMakeCache.txt",
            expected="the format that CMake writes",
            found=str(error),
            fix="remove the build folder and build again",
        ) from None
    roots = _texts(allowed_roots)
    allowed = roots + tuple(path for value in expected.values() for path in absolute_paths(value, roots))
    violations = list(_wrong_values(entries, expected))
    for name, entry in entries.items():
        if name not in exceptions and name not in expected:
            violations += _host_paths(name, entry, roots, allowed)
    refuse(f"{where}: CMakeCache.txt", violations)


def check_commands(
    commands: Iterable[Mapping[str, Any]], allowed: AllowedFlags, *, roots: Sequence[Path], where: str
) -> None:
    """Demand that each compile command carries only what the plan lists.

    The commands are as in Clang's "JSON Compilation Database Format Specification". Sources, headers and the compiler
    must lie in the roots, resolved. Raises AuditError, naming each word that is not allowed, and a file that is
    compiled with it.
    """
    inside = _texts(roots)
    found: dict[Violation, list[str]] = {}
    for entry in commands:
        directory = str(entry["directory"])
        file = posixpath.join(directory, entry["file"])
        for violation in _entry_violations(entry, allowed, inside, directory):
            found.setdefault(violation, []).append(_shorten(file, inside))
    refuse(f"{where}: compile_commands.json", _with_places(found, "compiling"))


def check_link_commands(ninja: str, allowed: AllowedFlags, *, roots: Sequence[Path], where: str) -> None:
    """Demand that no link statement takes a library, a search path or a run path of the host.

    Raises AuditError, naming each word that is not allowed, and what is linked with it.
    """
    inside = _texts(roots)
    folder = NINJA_FOLDER.search(ninja)
    directory = _unescape(folder[1]) if folder else inside[0]
    found: dict[Violation, list[str]] = {}
    output = None
    for line in ninja.split("\n"):
        if not line.startswith(" "):
            statement = LINK_STATEMENT.match(line)
            output = _unescape(statement["output"]) if statement else None
        elif output is not None and (variable := LINK_VARIABLE.fullmatch(line)):
            # ninja hands the value to a shell, for which \$ between double quotes is a dollar sign
            words = [word.replace("\\$", "$") for word in shlex.split(_unescape(variable["value"]))]
            for violation in link_violations(words, allowed, inside, directory):
                found.setdefault(violation, []).append(output)
    refuse(f"{where}: build.ninja", _with_places(found, "linking"))


def _wrong_values(entries: Mapping[str, CacheEntry], expected: Mapping[str, str]) -> Iterator[Violation]:
    for name, value in sorted(expected.items()):
        entry = entries.get(name)
        if entry is None:
            yield Violation(f"{name}={value}", f"no {name}", f"remove {name} under `cmake:` in the manifest")
        elif entry.value != value:
            yield Violation(
                f"{name}={value}",
                f"{name}={entry.value} (type {entry.type})",
                f"change {name} under `cmake:` in the manifest, or set what overrides it",
            )


def _host_paths(
    name: str, entry: CacheEntry, roots: tuple[str, ...], allowed: tuple[str, ...]
) -> Iterator[Violation]:
    for path in absolute_paths(entry.value, roots):
        if not is_within(path, allowed):
            yield Violation(
                "no entry with a path of the host",
                f"{name} has {path}",
                "give the entry under `cmake:` in the manifest, empty where the build does not need it",
            )


def _entry_violations(
    entry: Mapping[str, Any], allowed: AllowedFlags, inside: tuple[str, ...], directory: str
) -> Iterator[Violation]:
    try:
        words = entry["arguments"] if "arguments" in entry else shlex.split(entry["command"])
    except ValueError as error:
        yield Violation("words as a POSIX shell reads them", str(error), LIST_IT)
    else:
        yield from compile_violations(words, allowed, inside, directory)


def _with_places(found: Mapping[Violation, Sequence[str]], verb: str) -> tuple[Violation, ...]:
    placed = []
    for violation, files in found.items():
        first, *others = dict.fromkeys(files)
        rest = f" and {len(others)} more" if others else ""
        placed.append(
            Violation(violation.expected, f"{violation.found} ({verb} {first}{rest})", violation.fix)
        )
    return tuple(placed)


def _texts(roots: Sequence[Path]) -> tuple[str, ...]:
    return tuple(posixpath.normpath(root.as_posix()) for root in roots)


def _shorten(file: str, inside: tuple[str, ...]) -> str:
    root = max((root for root in inside if is_within(file, (root,))), key=len, default=None)
    return posixpath.relpath(file, root) if root else file


def _unescape(text: str) -> str:
    return re.sub(r"\$([ :$])", r"\1", text)
