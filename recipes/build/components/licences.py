"""The licences of a bundle: a text for each component that is in it, and a table of all. Pure but for what it is given.

Each text is a file of the source or of the toolchain, or lines of one; those that neither has are pinned beside the
table of components.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from recipes.build.components.page_packages import find_packages
from recipes.core.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from recipes.build.components.attribution import Used
    from recipes.manifest.schema import Component, TextPart

    # the bytes of a file of the source, or below {toolchain}/ or {beside}/; None where there is none
    Read = Callable[[str], bytes | None]

TABLE = "COMPONENTS.txt"
HEADS = ("component", "version", "licence", "text")
NPM = "npm "  # what the name of a page's package begins with
NOTICE = re.compile(r"(?i)\bcopyright\b.*\b\d{4}\b|\bcopyright \(c\)|SPDX-License-Identifier:")
SOURCE = "{source}/"


def licence_files(used: Sequence[Used], read: Read, where: str) -> dict[str, bytes]:
    """Return the files of licences/, by name.

    Raises AuditError, naming each component whose licence is not found, and each file with a notice of somebody else.
    """
    files, missing, rows = dict[str, bytes](), list[str](), list[tuple[str, str, str, str]]()
    for each in used:
        component = each.component
        text = None if component.interface else licence_text(component, read)
        if text is None and not component.interface:
            missing.append(component.name)
            continue
        if text is not None:
            files[f"{component.name}.txt"] = text
        kept = f"{component.name}.txt" if text is not None else "declarations only"
        rows.append((component.name, version_of(component, read), component.licence, kept))
        if component.packages:
            found = find_packages(component.packages, read, where)
            missing += [
                f"{item.name} {item.version}"
                for item in found.packages
                if not (item.licence and item.has_text)
            ]
            listing = f"{component.name}-packages.md"
            rows += [(f"{NPM}{item.name}", item.version, item.licence, listing) for item in found.packages]
            files[listing] = found.listing
    if missing:
        raise AuditError(
            where=f"{where}: licences",
            expected="the licence of each component that was compiled or linked",
            found=f"none of {', '.join(missing)}",
            fix="say where its text is, in the recipe's table in manifests/components/, or keep it beside that;"
            " or build without it",
        )
    check_notices(used, read, where)
    files[TABLE] = write_table(rows)
    return files


def licence_text(component: Component, read: Read) -> bytes | None:
    """Return the text of a component's licence; None where no file has it."""
    for alternative in component.text:
        parts = [_part(part, read) for part in alternative]
        found = [part for part in parts if part]
        if len(found) == len(alternative):
            return b"\n".join(found)
    return None


def version_of(component: Component, read: Read) -> str:
    """Return the version that a component's own files say, or "" where they say none."""
    for place in component.version or ():
        match = re.search(place.pattern, (read(place.file) or b"").decode(errors="replace"), re.DOTALL)
        if match:
            return ".".join(str(int(group)) if group.isdigit() else group for group in match.groups())
    return ""


def check_notices(used: Sequence[Used], read: Read, where: str) -> None:
    """Demand that files of a component that names its own notices hold no others, but those of what is within them.

    Raises AuditError, naming each file and the notice.
    """
    found = []
    for each in used:
        if each.component.notices is None:
            continue
        for path in (path for path in each.files if path.startswith(SOURCE)):
            inner = [other.component for other in used if path in other.files]
            known = [word for item in inner for word in item.notices or ()]
            found += [
                f"{path.removeprefix(SOURCE)}: {line}"
                for line in _notices(read(path.removeprefix(SOURCE)) or b"")
                if not any(word in line for word in known)
            ]
    if found:
        raise AuditError(
            where=f"{where}: licences",
            expected="no notice of somebody whose component is not listed",
            found="\n".join(dict.fromkeys(found)),
            fix="list whose work it is, with its licence, in the recipe's table in manifests/components/",
        )


def _notices(data: bytes) -> Iterator[str]:
    lines = data.decode(errors="replace").splitlines()
    return (line.strip() for line in lines if NOTICE.search(line))


def _part(part: TextPart, read: Read) -> bytes | None:
    data = read(part.file)
    if data is None or not (part.begins or part.ends):
        return data
    lines = data.splitlines(keepends=True)
    begins, ends = (part.begins or "").encode(), (part.ends or "").encode()
    first = next((number for number, line in enumerate(lines) if begins in line), None)
    if first is None:
        return None
    last = next((number for number in range(first, len(lines)) if ends and ends in lines[number]), None)
    if ends and last is None:
        return None
    return b"".join(lines[first : last + 1 if last is not None else None])


def write_table(rows: Sequence[tuple[str, str, str, str]]) -> bytes:
    """Return the table of a bundle: the name, version and licence of each component, and the file of its text."""
    widths = [max(len(row[column]) for row in (HEADS, *rows)) for column in range(3)]
    lines = (
        "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3])).rstrip()
        for row in (HEADS, *rows)
    )
    return "".join(f"{line}\n" for line in lines).encode()


def read_table(data: bytes) -> list[tuple[str, str, str, str]]:
    """Return the rows of such a table; raises ValueError where it is none."""
    first, *lines = data.decode().splitlines() or [""]
    if tuple(first.split()) != HEADS:
        raise ValueError("no table of components")
    begins = [first.index(head) for head in HEADS]
    ends = [*begins[1:], None]
    return [
        (row[0], row[1], row[2], row[3])
        for line in lines
        for row in [[line[begin:end].strip() for begin, end in zip(begins, ends, strict=True)]]
    ]
