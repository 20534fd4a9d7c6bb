"""The options that a source's CMake files declare, against those that a recipe names: said before a build says it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from recipes.build.plan.host_override import on_host
from recipes.build.plan.plan import make_plan
from recipes.core.filesystem import read_no_link, storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from recipes.manifest.load import Manifests
    from recipes.manifest.schema import Recipe

# cmake-language(7): quoted arguments, and comments in brackets or to the end of the line
_SAID = re.compile(r'"(?:\\.|[^"\\])*"|#\[(=*)\[.*?\]\1\]|#[^\n]*', re.DOTALL)
# option(NAME ...), and CMakeDependentOption's; set(NAME VALUE... CACHE TYPE ...), where INTERNAL is no option
_DECLARED = re.compile(
    r"\b(?:(?:cmake_dependent_)?option\s*\(\s*(\w+)[\s)]"
    r"|set\s*\(\s*(\w+)\s[^()]*?\sCACHE\s+(?:BOOL|STRING|PATH|FILEPATH)\s)",
    re.IGNORECASE,
)


class Undeclared(NamedTuple):
    """How a recipe's options stand to a new source; each with where it is declared, as `NAME (FILE:LINE)`.

    `new` are not named in the recipe, and the pinned source has none of them; `kept` are not named either, and there in
    both: the build did without. `gone` are named, and declared in the pinned source alone.
    """

    new: tuple[str, ...]
    kept: tuple[str, ...]
    gone: tuple[str, ...]


def declared_in(text: str) -> Iterator[tuple[str, int]]:
    r"""Return each option that a CMake file declares, with its line.

    >>> list(declared_in('# option(A "")\noption(B "b" ON)\nset(C 1 CACHE STRING "c")\nset(D 1 CACHE INTERNAL "")'))
    [('B', 2), ('C', 3)]
    """
    bare = _SAID.sub(_blank, text)
    for found in _DECLARED.finditer(bare):
        yield found[1] or found[2], bare.count("\n", 0, found.start()) + 1


def _blank(said: re.Match[str]) -> str:
    """Return as many lines, and the quotes of an argument."""
    return ('" "' if said[0].startswith('"') else "") + "\n" * said[0].count("\n")


def declared_options(source: Path) -> dict[str, str]:
    """Return every option that the CMake files of a source declare, and where it does so first."""
    options: dict[str, str] = {}
    with storage_errors(source):
        files = [
            path for path in source.rglob("*") if path.name == "CMakeLists.txt" or path.suffix == ".cmake"
        ]
        for path in sorted(path for path in files if path.is_file() and not path.is_symlink()):
            for name, line in declared_in(read_no_link(path).decode(errors="replace")):
                options.setdefault(name, f"{path.relative_to(source).as_posix()}:{line}")
    return options


def named_options(recipe: Recipe, manifests: Manifests) -> set[str]:
    """Return every option that a build of a recipe is given, on any platform."""
    names = set(recipe.kernels.cmake) if recipe.kernels else set()
    for name, platform in recipe.platforms.items():
        for each in (recipe, on_host(recipe, name)) if platform.host else (recipe,):
            toolchain = manifests.toolchain(each.platforms[name].toolchain)
            names |= {option for option, _ in make_plan(each, name, toolchain).cache}
    return names


def compare_options(old: Mapping[str, str], new: Mapping[str, str], named: set[str]) -> Undeclared:
    """Compare what two sources declare with what a recipe names. Pure."""
    unnamed = {name: place for name, place in new.items() if name not in named}
    return Undeclared(
        tuple(f"{name} ({place})" for name, place in unnamed.items() if name not in old),
        tuple(f"{name} ({place})" for name, place in unnamed.items() if name in old),
        tuple(f"{name} ({place})" for name, place in old.items() if name in named and name not in new),
    )
