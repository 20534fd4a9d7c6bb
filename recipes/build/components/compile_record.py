"""What a build compiled and linked, read from what CMake and ninja wrote of it.

Folders are the placeholders of the plan, so that the record is the same on every machine and in every store: what is in
a bundle, its licences and its SBOM are derived from it at any time, without compiling again.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import shlex
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from recipes.store.store import Entry

RECORD = "record"  # the folder in the entry of what was compiled
COMMANDS = "compile_commands.json"
LINKS = "links.json"
HEADERS = "headers.json"
STATEMENT = re.compile(r"build (?P<outputs>(?:\$.|[^:$]|\$\{\w+\})+): (?P<rule>\S+)(?P<inputs>.*)")
LINKER = re.compile(r"\w+?_(?P<kind>EXECUTABLE|SHARED_LIBRARY|MODULE_LIBRARY|STATIC_LIBRARY)_LINKER__.*")
LINK_WORDS = ("LANGUAGE_COMPILE_FLAGS", "ARCH_FLAGS", "LINK_FLAGS", "LINK_PATH", "LINK_LIBRARIES")
DEPS = re.compile(r"(?P<output>\S.*): #deps \d+, deps mtime \d+ \((?:VALID|STALE)\)")
AFTER_A_FOLDER = r"(?=[/=:;,\"']|$)"  # else another folder has the same beginning


class CompileCommand(msgspec.Struct, frozen=True, kw_only=True):
    """One object file, as the "JSON Compilation Database Format Specification" of Clang words it."""

    directory: str
    file: str
    output: str
    arguments: tuple[str, ...]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One program, library or archive: its objects and libraries, and the further words of the linker.

    `kind` is CMake's: EXECUTABLE, SHARED_LIBRARY, MODULE_LIBRARY or STATIC_LIBRARY.
    """

    output: str
    kind: str
    inputs: tuple[str, ...]
    words: tuple[str, ...]


class Headers(msgspec.Struct, frozen=True, kw_only=True):
    """What each object file was made of besides its source: places in `files`."""

    files: tuple[str, ...]
    used: dict[str, tuple[int, ...]]


class CompileRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All that was compiled and linked; paths begin with a placeholder where they lie in a folder of the build."""

    commands: tuple[CompileCommand, ...]
    links: tuple[Link, ...]
    headers: Headers

    def headers_of(self, output: str) -> tuple[str, ...]:
        """Return the files besides its source that an object file was made of."""
        return tuple(self.headers.files[place] for place in self.headers.used.get(output, ()))

    def files(self) -> dict[str, bytes]:
        """Return the record as files, by name."""
        parts = {COMMANDS: self.commands, LINKS: self.links, HEADERS: self.headers}
        return {
            name: json.dumps(msgspec.to_builtins(part), indent=0, sort_keys=True).encode() + b"\n"
            for name, part in parts.items()
        }


def parse_record(files: Callable[[str], bytes]) -> CompileRecord:
    """Read the record back; `files` returns the bytes of a name. Raises msgspec.DecodeError where it is none."""
    return CompileRecord(
        commands=msgspec.json.decode(files(COMMANDS), type=tuple[CompileCommand, ...]),
        links=msgspec.json.decode(files(LINKS), type=tuple[Link, ...]),
        headers=msgspec.json.decode(files(HEADERS), type=Headers),
    )


def read_record(compiled: Entry) -> CompileRecord:
    """Return what a verified entry was compiled and linked of."""
    return parse_record(lambda name: (compiled.path / RECORD / name).read_bytes())


def make_record(
    commands: Iterable[Mapping[str, Any]],
    ninja: str,
    deps: Iterable[str],
    folders: Mapping[str, Path],
    is_built: Callable[[str], bool],
) -> CompileRecord:
    """Read what CMake and ninja wrote, and keep what was built of it.

    Parameters
    ----------
    commands
        The content of compile_commands.json.
    ninja
        The content of build.ninja.
    deps
        The lines of `ninja -t deps`: what the compiler said that it read.
    folders
        What the placeholders stand for.
    is_built
        Whether a file is there, by its path in the build folder: other targets have statements too.
    """
    names = Names(folders)
    links, compiled = [], {}
    for statement in statements(ninja):
        output = statement["outputs"][0]
        if not is_built(output):
            continue
        linker = LINKER.fullmatch(statement["rule"])
        if linker is not None:
            # ninja hands them to a shell, for which \$ between double quotes is a dollar sign
            words = (
                word for name in LINK_WORDS for word in shlex.split(statement["variables"].get(name, ""))
            )
            links.append(
                Link(
                    output=names.of_path(output),
                    kind=linker["kind"],
                    inputs=tuple(dict.fromkeys(map(names.of_path, statement["inputs"]))),
                    words=tuple(names.of_word(word.replace("\\$", "$")) for word in words),
                )
            )
        elif "_COMPILER__" in statement["rule"]:
            compiled[names.of_path(output)] = list(map(names.of_path, statement["inputs"]))
    for output, read in read_deps(deps).items():
        if (name := names.of_path(output)) in compiled:
            compiled[name] += map(names.of_path, read)
    kept = [command for command in map(names.of_command, commands) if command.output in compiled]
    sources = {command.output: command.file for command in kept}
    used = {
        output: tuple(dict.fromkeys(path for path in read if path != sources.get(output)))
        for output, read in sorted(compiled.items())
    }
    files = sorted({path for read in used.values() for path in read})
    places = {path: place for place, path in enumerate(files)}
    return CompileRecord(
        commands=tuple(sorted(kept, key=lambda command: command.output)),
        links=tuple(sorted(links, key=lambda link: link.output)),
        headers=Headers(
            files=tuple(files),
            used={output: tuple(sorted(places[path] for path in read)) for output, read in used.items()},
        ),
    )


class Names:
    """Puts the placeholders of a plan in the place of the folders that they stand for."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._build = folders["build"].as_posix()
        self._paths: dict[str, str] = {}  # a header is named by many object files
        places = {path.as_posix(): name for name, path in folders.items()}
        # CMake resolves some: a store may lie behind a link
        places |= {os.path.realpath(path): name for name, path in folders.items()}
        longest = sorted(places, key=len, reverse=True)
        self._places = places
        self._folder = re.compile("(?:" + "|".join(map(re.escape, longest)) + ")" + AFTER_A_FOLDER)

    def of_word(self, word: str) -> str:
        """Return a word of a command."""
        return self._folder.sub(lambda match: f"{{{self._places[match[0]]}}}", word)

    def of_path(self, path: str) -> str:
        """Return the path of a file; a relative one is of the build folder."""
        if path not in self._paths:
            self._paths[path] = self.of_word(posixpath.normpath(posixpath.join(self._build, path)))
        return self._paths[path]

    def of_command(self, entry: Mapping[str, Any]) -> CompileCommand:
        """Return one entry of compile_commands.json."""
        words = entry["arguments"] if "arguments" in entry else shlex.split(entry["command"])
        output = entry.get("output") or words[words.index("-o") + 1]
        folder = str(entry["directory"])
        return CompileCommand(
            directory=self.of_path(folder),
            file=self.of_path(posixpath.join(folder, entry["file"])),
            output=self.of_path(posixpath.join(folder, output)),
            arguments=tuple(map(self.of_word, words)),
        )


def statements(ninja: str) -> Iterator[dict[str, Any]]:
    """Return each build statement of a build.ninja: outputs, rule, inputs and variables, unescaped.

    Inputs that only decide the order are left out: they are no part of what comes out.
    """
    found: dict[str, Any] | None = None
    for line in ninja.splitlines():
        if found is not None and line.startswith("  "):
            name, _, value = line.strip().partition(" = ")
            found["variables"][name] = _unescape(value)
            continue
        if found is not None:
            yield found
        match = STATEMENT.fullmatch(line)
        found = None
        if match is not None:
            found = {
                "outputs": _paths(match["outputs"]),
                "rule": match["rule"],
                "inputs": _paths(re.split(r"(?<!\$) \|\| ", match["inputs"] + " ", maxsplit=1)[0]),
                "variables": {},
            }
    if found is not None:
        yield found


def read_deps(lines: Iterable[str]) -> dict[str, list[str]]:
    """Return each object file with the files that its compiler read, from the lines of `ninja -t deps`."""
    found: dict[str, list[str]] = {}
    read: list[str] = []
    for line in lines:
        if match := DEPS.fullmatch(line):
            read = found[match["output"]] = []
        elif line.startswith("    "):
            read.append(line[4:])
    return found


def _paths(text: str) -> list[str]:
    words = re.findall(r"(?:\$.|[^ $])+", text)
    return [_unescape(word) for word in words if word != "|"]


def _unescape(text: str) -> str:
    return re.sub(r"\$([ :$])", r"\1", text)


def shipped_inputs(record: CompileRecord, outputs: Sequence[str]) -> tuple[tuple[Link, ...], tuple[str, ...]]:
    """Return the link statements and the object files that some linked files were made of.

    A shared library that one of them needs is a file of its own, and not in it.
    """
    by_output = {link.output: link for link in record.links}
    links: dict[str, Link] = {}
    objects: dict[str, None] = {}
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        link = by_output.get(name)
        if link is None:
            if name in record.headers.used:
                objects[name] = None
        elif name not in links and (link.kind == "STATIC_LIBRARY" or name in outputs):
            links[name] = link
            waiting += link.inputs
    return tuple(links[name] for name in sorted(links)), tuple(sorted(objects))
