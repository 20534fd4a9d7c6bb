"""Which components are in a bundle: each file that was compiled or read for it belongs to one. Pure."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from recipes.build.components.compile_record import shipped_inputs
from recipes.core.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from recipes.build.components.compile_record import CompileRecord
    from recipes.manifest.schema import Component

SOURCE = "{source}/"
SHOWN = 8  # files in an error


@dataclass(frozen=True)
class Used:
    """One component of a bundle: its files that were compiled or read, and the bundle's files that it is in."""

    component: Component
    files: tuple[str, ...]
    shipped: tuple[str, ...]


def attribute(
    record: CompileRecord,
    components: Sequence[Component],
    linked: Mapping[str, str],
    system: str,
    where: str,
) -> tuple[Used, ...]:
    """Return the components of a bundle, in their order.

    Parameters
    ----------
    record
        What was compiled and linked.
    components
        All that a file can belong to.
    linked
        The bundle's files by name, each with the path in the record of what was linked.
    system
        linux, macos or windows.
    where
        For errors.

    Raises AuditError where a file of the bundle was not linked by any statement, or a file that it was made of belongs
    to no component, naming them.
    """
    files: dict[str, set[str]] = {each.name: set() for each in components}
    shipped: dict[str, set[str]] = {each.name: set() for each in components}
    sources = {command.output: command.file for command in record.commands}
    strays: dict[str, None] = {}
    for name, output in linked.items():
        links, objects = shipped_inputs(record, [output])
        if not links:
            raise AuditError(
                where=f"{where}: {name}",
                expected="a link statement that made it",
                found="none in the record of the build",
                fix="remove it from `bundle:` in the manifest, or give the target that links it",
            )
        read = {path for each in objects for path in (sources.get(each), *record.headers_of(each)) if path}
        for path in sorted(read):
            owner = owner_of(path, components)
            if owner is None:
                strays[path] = None
                continue
            for each in (owner, *_within(path, components)):
                files[each.name].add(path)
                shipped[each.name].add(name)
        for each in components:
            if system in each.linked:
                shipped[each.name].add(name)
    if strays:
        raise _no_component(tuple(strays), where)
    return tuple(
        Used(each, tuple(sorted(files[each.name])), tuple(sorted(shipped[each.name])))
        for each in components
        if shipped[each.name]
    )


def owner_of(path: str, components: Sequence[Component]) -> Component | None:
    """Return the component that a file of the record belongs to: the first with a pattern for it."""
    return next((each for each in components if _matches(each.files, path)), None)


def _within(path: str, components: Sequence[Component]) -> Iterator[Component]:
    return (each for each in components if _matches(each.within, path))


def _matches(patterns: tuple[str, ...], path: str) -> bool:
    return bool(patterns) and _compiled(patterns).fullmatch(path) is not None


@cache
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    whole = (each if each.startswith(("{", "/")) else SOURCE + each for each in patterns)
    return re.compile("|".join(map(fnmatch.translate, whole)))


def _no_component(strays: tuple[str, ...], where: str) -> AuditError:
    more = [f"and {len(strays) - SHOWN} more"] if len(strays) > SHOWN else []
    return AuditError(
        where=f"{where}: components",
        expected="each file that was compiled or read to belong to a component, whose licence is known",
        found="\n".join([*strays[:SHOWN], *more]),
        fix="find whose work it is, and list it with its licence in the recipe's table in manifests/components/",
    )
