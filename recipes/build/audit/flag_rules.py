"""Compares the words of one compile or link command with what the plan allows. Pure.

The words are those of Clang's and GCC's drivers. A word that no rule names is let through: the plan's own
flags are demanded of CMake's cache, and a rule here names each kind of word that would change what is pinned.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.audit.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DELIMITERS = r"\s;=,:\[\]()\"'"
PATH_OPTIONS = (
    "-include-pch", "-include", "-imacros", "-isystem", "-iquote", "-idirafter", "-isysroot", "-iframework",
    "-iprefix", "-ivfsoverlay", "-resource-dir", "--gcc-toolchain", "--sysroot", "-I", "-L", "-F", "-B", "-T",
)  # fmt: skip
PREFIX_MAP = re.compile(r"-f(?:file|debug|macro|profile|coverage)-prefix-map=([^=]*)=.*")
LIBC = ("c", "dl", "m", "pthread", "rt")  # the -l libraries of the C library itself
LIST_IT = "find the CMake option that brings it and set it under `cmake:` in the manifest"
LIST_ISA = "add it to `isa_flags` or `march` in the manifest, or set the CMake option that brings it"
NAME_IT = "set the CMake option or variable that names it under `cmake:` in the manifest"


@dataclass(frozen=True)
class AllowedFlags:
    """What a compile or link command may carry of the words that change what is built.

    Parameters
    ----------
    isa_flags
        The only `-m` options.
    exact
        Further words that are allowed as they are: a flag, or a compiler outside the roots.
    optimise
        The only `-O` levels; each compile command must carry one.
    libraries
        The only `-l` libraries; the default is libc's own.
    origin
        What a run path must start with: how the platform's loader names the folder of the file that it loads.
    """

    isa_flags: tuple[str, ...] = ()
    march: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    optimise: tuple[str, ...] = ("-O3",)
    libraries: tuple[str, ...] = LIBC
    origin: str = "$ORIGIN"


@dataclass(frozen=True)
class Family:
    """Words of one kind, which the plan has to list."""

    pattern: re.Pattern[str]
    expected: str
    fix: str


FAMILIES = (
    Family(re.compile(r"-O(?:\d+|s|z|g|fast)?"), "no -O other than the plan's", LIST_IT),
    Family(
        re.compile(r"-m.+|-target-(?:cpu|feature|abi)|--?target(?:=.*)?"),
        "only the -m options that the plan lists",
        LIST_ISA,
    ),
    Family(re.compile(r"-g(?!0$).*"), "no debug information", LIST_IT),
    Family(
        re.compile(
            r"-f(?:auto-)?profile(?!-prefix-map).*|-fcoverage(?!-prefix-map).*|--coverage|-pg?|-ftime-trace.*"
        ),
        "no profile and no coverage",
        LIST_IT,
    ),
    Family(re.compile(r"-f(?:lto|whole-program|thinlto).*"), "no optimisation at link time", LIST_IT),
    Family(
        re.compile(r"-f(?:sanitize|plugin|pass-plugin|openmp|use-ld).*|-specs=.*"),
        "no sanitizer, plugin, OpenMP or other linker",
        LIST_IT,
    ),
    Family(
        re.compile(r"-f(?:fast|unsafe|associative|reciprocal|finite)-math(?:-only|-optimizations)?"),
        "no flag that changes floating-point results",
        LIST_IT,
    ),
    Family(re.compile(r"-D__(?:DATE|TIME|TIMESTAMP)__.*"), "no clock in a macro", LIST_IT),
    Family(
        re.compile(r"@.+"),
        "no response file, which hides words",
        "set CMAKE_NINJA_FORCE_RESPONSE_FILE to OFF under `cmake:` in the manifest",
    ),
)


def compile_violations(
    words: Sequence[str], allowed: AllowedFlags, roots: tuple[str, ...], directory: str
) -> Iterator[Violation]:
    """Return what a compile command carries or lacks that the plan does not say; roots have no slash at the end."""
    compiler = words[0] if words else ""
    if not is_within(compiler, roots) and compiler not in allowed.exact:
        yield Violation(
            "the plan's compiler, without a launcher before it",
            compiler or "no compiler",
            "set CMAKE_<LANG>_COMPILER_LAUNCHER, or the option that sets it, under `cmake:` in the manifest",
        )
    if allowed.optimise and not set(words) & set(allowed.optimise):
        yield Violation(
            f"one of {' '.join(allowed.optimise)}",
            "no -O",
            "set CMAKE_BUILD_TYPE under `cmake:` in the manifest",
        )
    yield from _word_violations(words[1:], allowed, roots, directory)


def link_violations(
    words: Sequence[str], allowed: AllowedFlags, roots: tuple[str, ...], directory: str
) -> Iterator[Violation]:
    """Return what the flags and libraries of a link command carry that the plan does not list.

    The words are its arguments, without the linker and without the objects.
    """
    yield from _word_violations(words, allowed, roots, directory)
    before = ""
    for word in words:
        # -Wl,-rpath,FOLDER and -Wl,-rpath -Wl,FOLDER say the same
        for part in word.split(",")[1:] if word.startswith("-Wl,") else [word]:
            if before in {"-rpath", "--rpath"}:
                yield from _run_path_violations(part, allowed.origin)
            elif part.startswith(("-rpath=", "--rpath=")):
                yield from _run_path_violations(part.partition("=")[2], allowed.origin)
            elif before == "-l" or (part.startswith("-l") and part != "-l"):
                name = part.removeprefix("-l")
                if name not in allowed.libraries:
                    yield Violation(
                        f"no -l other than of {', '.join(allowed.libraries)}", f"-l{name}", LIST_IT
                    )
            before = part


def absolute_paths(text: str, roots: tuple[str, ...]) -> Iterator[str]:
    """Return each absolute path in a text, normalised; a URL (https://...) is none.

    The names of the roots may hold spaces or other delimiters.
    """
    if "/" not in text:
        return
    start = rf"(?:^|(?<=[{DELIMITERS}])|(?<=^-[A-Z])|(?<=\s-[A-Z])|(?<=-isystem))"
    known = "".join(
        rf"{re.escape(root)}(?=[/{DELIMITERS}]|$)(?:/[^{DELIMITERS}]*)?|"
        for root in sorted(roots, key=len, reverse=True)
    )
    for match in re.finditer(rf"{start}(?:{known}/[^{DELIMITERS}]*)", text):
        is_address = match[0].startswith("//") and text[: match.start()].endswith(":")
        if not is_address:
            yield posixpath.normpath(match[0])


def is_within(path: str, roots: tuple[str, ...]) -> bool:
    """Whether an absolute path is one of the roots or below one, by its text alone."""
    plain = posixpath.normpath(path)
    return any(plain == root or plain.startswith(root + "/") for root in roots)


def _word_violations(
    words: Sequence[str], allowed: AllowedFlags, roots: tuple[str, ...], directory: str
) -> Iterator[Violation]:
    before = ""
    for word in words:
        if word.startswith(("-Wa,", "-Wp,")):
            yield from _word_violations(word.split(",")[1:], allowed, roots, directory)
        elif not _is_listed(word, allowed):
            yield from (
                Violation(family.expected, word, family.fix)
                for family in FAMILIES
                if family.pattern.fullmatch(word)
            )
            yield from _path_violations(word, before, roots, directory)
        before = word


def _is_listed(word: str, allowed: AllowedFlags) -> bool:
    return (
        word in allowed.exact
        or word in allowed.isa_flags
        or word in allowed.optimise
        or (word.startswith("-march=") and word.removeprefix("-march=") in allowed.march)
    )


def _path_violations(word: str, before: str, roots: tuple[str, ...], directory: str) -> Iterator[Violation]:
    shown = f"{before} {word}" if before in PATH_OPTIONS or before == "-D" else word
    option = next((option for option in PATH_OPTIONS if word.startswith(option)), None)
    paths: list[str]
    if mapped := PREFIX_MAP.fullmatch(word):
        paths = [mapped[1]]
    elif word.startswith("-D") or before == "-D":
        paths = list(absolute_paths(word, roots))
        if any(is_within(path, roots) for path in paths):
            yield Violation(
                "no folder of the build machine in a macro", shown, "patch the CMake file that sets it"
            )
    elif option:
        argument = word.removeprefix(option).removeprefix("=")
        paths = [posixpath.join(directory, argument)] if argument else []
    elif word.startswith("-"):
        paths = list(absolute_paths(word, roots))
    else:
        paths = [posixpath.join(directory, word)]
    if any(not is_within(path, roots) for path in paths):
        yield Violation("no path outside the source, the build folder and the toolchain", shown, NAME_IT)


def _run_path_violations(folders: str, origin: str) -> Iterator[Violation]:
    for folder in folders.split(":"):
        if folder != origin and not folder.startswith(f"{origin}/"):
            yield Violation(
                f"a run path relative to {origin}",
                f"-rpath {folder}",
                "set CMAKE_INSTALL_RPATH and CMAKE_BUILD_WITH_INSTALL_RPATH under `cmake:` in the manifest",
            )
