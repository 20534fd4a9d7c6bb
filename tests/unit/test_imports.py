"""The import order of the package is one-way: a module imports only what stands before it."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "recipes"
# The layers, from the ground up; inside a layer there may be no circle either.
GROUND = {"errors", "digest", "console", "process"}
PURE = {"plan", "schema", "outputs", "flags", "conversion", "consistency"}
EFFECTS = {"store", "download", "origins", "toolchain", "sandbox", "build", "pipeline", "commands", "cli"}


def imports_of(module: str) -> set[str]:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("recipes"):
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return names


def modules() -> dict[str, set[str]]:
    return {path.stem: imports_of(path.stem) for path in PACKAGE.glob("*.py") if path.stem != "__init__"}


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


def test_only_the_command_line_is_on_top() -> None:
    graph = modules()
    imported = set().union(*graph.values())
    assert set(graph) - imported == {"__main__"}


def test_only_one_module_starts_programs() -> None:
    starters = {
        path.stem
        for path in PACKAGE.glob("*.py")
        if "import subprocess" in path.read_text() or "os.exec" in path.read_text()
    }
    assert starters == {"process"}
