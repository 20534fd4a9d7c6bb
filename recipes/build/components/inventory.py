"""Which components are in a bundle of the store: from what was compiled, and the files that have their licences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.components.attribution import Used, attribute
from recipes.build.components.compile_record import read_record
from recipes.build.components.page_packages import BESIDE
from recipes.core.errors import BuildError
from recipes.core.filesystem import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from recipes.build.plan.plan import Plan
    from recipes.store.store import Entry

TOOLCHAIN = "{toolchain}/"
TABLES = "components"  # below manifests/: what is kept there is read as {beside}/


def find_used(plan: Plan, compiled: Entry, present: Mapping[str, Path], where: str) -> tuple[Used, ...]:
    """Return the components of a bundle; `present` are its built files by name. Raises AuditError as `attribute`."""
    # a library is shipped under its SONAME, which is a link to the file that was linked
    linked = {name: f"{{build}}/bin/{path.resolve().name}" for name, path in present.items()}
    return attribute(read_record(compiled), plan.components, linked, plan.system, where)


def reader(source: Path, toolchain: Path, manifests: Path) -> Callable[[str], bytes | None]:
    """Return what reads a file of the source, or below {toolchain}/ or {beside}/; it gives None where there is none.

    It raises BuildError where a link leads out of them.
    """
    marked = {TOOLCHAIN: toolchain, BESIDE: manifests / TABLES}

    def read(name: str) -> bytes | None:
        mark = next((mark for mark in marked if name.startswith(mark)), "")
        root = marked.get(mark, source)
        path = root / name.removeprefix(mark)
        if not path.is_file():
            return None
        if not path.resolve().is_relative_to(root.resolve()):
            raise BuildError(
                where=str(path),
                expected=f"a file below {root}",
                found=f"a link to {shown(str(path.resolve()))}",
                fix="remove the link and build again: nothing of the host is shipped",
            )
        return path.read_bytes()

    return read
