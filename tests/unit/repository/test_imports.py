"""The import order of the package is one-way: a room imports only rooms that stand before it."""

from __future__ import annotations

import ast
import functools
import graphlib
import itertools
from typing import TYPE_CHECKING

import pytest

from recipes import ROOMS
from recipes.cli.parser import NAMES
from tests.support.paths import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGE = PROJECT / "recipes"
# what a person starts; nothing else may go unused
ENTRY_POINTS = {
    "core.confinement.start",
    "__main__",
    "models.render_template",  # a process of its own, by its path
    "pocket.training.train",
    "pocket.training.continued",
    "pocket.training.release",
    "pocket.reference.recompute",
    "pocket.fidelity.command",
}


# Before all rooms: it installs what they import, so it can import none of them; test_noxfile.py holds that.
BOOTSTRAP = "bootstrap"


def imports_of(path: Path) -> Iterator[str]:
    """Give the names below `recipes` that a file imports: `core.digest`, `core.digest.Digest`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "recipes":
            base = node.module.removeprefix("recipes").removeprefix(".")
            yield base
            yield from (f"{base}.{alias.name}".removeprefix(".") for alias in node.names)
        elif isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
            yield from (name.removeprefix("recipes.") for name in names if name.startswith("recipes."))


@functools.cache
def modules() -> dict[str, frozenset[str]]:
    """Give each module, by its dotted name below `recipes`, and the modules that it imports."""
    paths = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
        if path.stem != "__init__"
    }
    paths |= {
        ".".join(path.parent.relative_to(PACKAGE).parts): path
        for path in PACKAGE.rglob("__init__.py")
        if any(imports_of(path))
    }
    found = {name: frozenset(imports_of(path)) & set(paths) for name, path in paths.items()}
    # by name, when it is asked for
    sessions = frozenset(f"cli.{name.replace('-', '_')}" for name in NAMES)
    return {**found, "cli.parser": found["cli.parser"] | sessions}


def room(module: str) -> str:
    return module.partition(".")[0]


def folder(module: str) -> str:
    return module.rpartition(".")[0]


def wrong_way(graph: dict[str, frozenset[str]]) -> list[tuple[str, str]]:
    """Give each import that goes from a room to one that stands after it."""
    place = {name: index for index, name in enumerate((BOOTSTRAP, *ROOMS))}
    return [
        (module, other)
        for module, others in sorted(graph.items())
        for other in sorted(others)
        if module != "__main__" and place[room(other)] > place[room(module)]
    ]


def test_every_module_of_the_package_is_read() -> None:
    assert {"core.digest", "serve.llamacpp.installation"} <= set(modules())
    assert "core.digest" in modules()["serve.llamacpp.installation"]


def test_every_module_lies_in_a_room_and_every_room_says_what_it_is_for() -> None:
    assert {room(module) for module in modules()} == {*ROOMS, BOOTSTRAP, "__main__"}
    for path in {PACKAGE / name for name in ROOMS} | {path.parent for path in PACKAGE.rglob("*.py")}:
        assert ast.get_docstring(ast.parse((path / "__init__.py").read_text(encoding="utf-8"))), path


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_names_all_rooms_that_it_may_import(name: str) -> None:
    text = ast.get_docstring(ast.parse((PACKAGE / name / "__init__.py").read_text(encoding="utf-8"))) or ""
    _, _, listed = " ".join(text.split()).partition("May import: ")
    before = ROOMS[: ROOMS.index(name)]
    assert tuple(filter(None, listed.rstrip(".").split(", "))) == before


def test_a_room_imports_only_rooms_before_it() -> None:
    assert wrong_way(modules()) == []


def test_an_import_of_a_later_room_is_found() -> None:
    first, last = ROOMS[0], ROOMS[-1]
    assert wrong_way({f"{first}.a": frozenset({f"{last}.b"}), f"{last}.b": frozenset()})
    assert wrong_way({BOOTSTRAP: frozenset({f"{first}.a"})})


def test_the_folders_of_a_room_are_one_way_too() -> None:
    graph: dict[str, set[str]] = {}
    for module, others in modules().items():
        inner = {folder(other) for other in others if room(other) == room(module)} - {folder(module)}
        graph.setdefault(folder(module), set()).update(inner)
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_no_circle_of_modules() -> None:
    list(graphlib.TopologicalSorter(modules()).static_order())


def test_only_entry_points_are_imported_by_nothing() -> None:
    assert set(modules()) - set(itertools.chain.from_iterable(modules().values())) == ENTRY_POINTS


def test_only_one_module_and_the_bootstrap_start_programs() -> None:
    starters = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "import subprocess" in path.read_text(encoding="utf-8")
        or "os.exec" in path.read_text(encoding="utf-8")
    }
    # what the last two are started as by core/process.py becomes the program that they confine
    assert starters == {
        "bootstrap.py",
        "core/process.py",
        "core/confinement/landlock.py",
        "core/confinement/namespaces.py",
    }
