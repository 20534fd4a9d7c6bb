"""The import order of the package is one-way: a module imports only what stands before it."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "recipes"
# The layers, from the ground up; inside a layer there may be no circle either.
GROUND = {"errors", "digest", "console", "process"}
PURE = {"plan", "compilers", "target_triple", "schema", "outputs", "flags", "conversion", "consistency"}
EFFECTS = {
    "store",
    "download",
    "origins",
    "toolchain",
    "sandbox",
    "build",
    "sources",
    "pipeline",
    "commands",
    "cli",
}


# what a person starts; nothing else may go unused
ENTRY_POINTS = {
    "__main__",
    "pocket.training",
    "pocket.release",
    "pocket.recompute",
    "pocket.fidelity.command",
}


def imports_of(path: Path) -> set[str]:
    """Names of the package's modules that a file imports, e.g. `digest` and `pocket.sizes`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("recipes"):
            base = node.module.removeprefix("recipes").removeprefix(".")
            inner = {".".join(filter(None, (base, alias.name))) for alias in node.names}
            names |= {base, *inner}
        if isinstance(node, ast.Import):
            names |= {a.name.removeprefix("recipes.") for a in node.names if a.name.startswith("recipes.")}
    return names


def modules() -> dict[str, set[str]]:
    paths = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
        if path.stem != "__init__"
    }
    return {name: imports_of(path) & set(paths) for name, path in paths.items()}


def test_every_module_of_the_package_is_looked_at() -> None:
    assert {"digest", "conformance.subject"} <= set(modules())
    assert "digest" in modules()["conformance.subject"]


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        for name in graph[todo.pop()] - seen:
            seen.add(name)
            todo.append(name)
    return seen


def test_no_circle() -> None:
    order = list(graphlib.TopologicalSorter(modules()).static_order())
    assert set(order) == set(modules())


def test_the_ground_stands_on_nothing_above_it() -> None:
    graph = modules()
    for module in GROUND:
        assert reachable(graph, module) <= GROUND, module


def test_decisions_reach_no_effects() -> None:
    graph = modules()
    for module in PURE:
        assert not reachable(graph, module) & (EFFECTS - PURE), (module, reachable(graph, module) & EFFECTS)


def test_only_entry_points_are_imported_by_nothing() -> None:
    graph = modules()
    imported = set().union(*graph.values())
    assert set(graph) - imported == ENTRY_POINTS


def test_only_one_module_starts_programs() -> None:
    starters = {
        path.stem
        for path in PACKAGE.rglob("*.py")
        if "import subprocess" in path.read_text() or "os.exec" in path.read_text()
    }
    assert starters == {"process"}
