"""The npm packages that a web page is made of: listed by its bundler, or found from what its code imports. Pure.

The licence of each is in the bundler's list, or pinned in a file of this project.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from recipes.core.digest import Sha256
from recipes.core.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from recipes.manifest.schema import PagePackages

HEADING = re.compile(r"^## (?P<name>\S+) - (?P<version>\S+?)(?: \((?P<licence>.+)\))?$", re.MULTILINE)
MODULES = "node_modules/"
BESIDE = "{beside}/"  # of a file that this project keeps beside its tables of components


@dataclass(frozen=True)
class Package:
    """One package: its licence is an SPDX expression, "" where none is known; its digest is that of the lock, or ""."""

    name: str
    version: str
    licence: str
    integrity: str
    has_text: bool


@dataclass(frozen=True)
class Found:
    """The packages of a page, by name and version, and the list of those whose texts are known."""

    packages: tuple[Package, ...]
    listing: bytes


def find_packages(ways: tuple[PagePackages, ...], read: Callable[[str], bytes | None], where: str) -> Found:
    """Return the packages of a page.

    Raises AuditError where no list and no lock is there, and where the pinned texts are others.
    """
    for told in ways:
        lock, listing = _lock(told, read), read(told.listed) if told.listed else None
        if listing is not None:
            return _with_texts(Found(_listed(listing.decode(), lock, told), listing), told, read, where)
        if lock and told.listed is None:
            return _with_texts(Found(_locked(lock, told), b""), told, read, where)
    raise AuditError(
        where=f"{where}: packages of the page",
        expected=f"one of {', '.join(told.listed or f'{told.lock}/package-lock.json' for told in ways)}",
        found="none of them in the source",
        fix="correct `packages:` of the page's component in manifests/components/",
    )


def _with_texts(found: Found, told: PagePackages, read: Callable[[str], bytes | None], where: str) -> Found:
    """Add the pinned texts of the packages that have none."""
    if told.texts is None:
        return found
    data = read(f"{BESIDE}{told.texts.file}") or b""
    if (digest := Sha256.of_bytes(data)) != told.texts.sha256:
        raise AuditError(
            where=f"{where}: manifests/components/{told.texts.file}",
            expected=str(told.texts.sha256),
            found=str(digest),
            fix="take the change back; or, where it is intended, pin it in the table beside it",
        )
    sections = {(match["name"], match["version"]): text for match, text in _sections(data.decode())}
    packages = tuple(
        replace(each, has_text=each.has_text or (each.name, each.version) in sections)
        for each in found.packages
    )
    added = [
        sections[after.name, after.version]
        for before, after in zip(found.packages, packages, strict=True)
        if after.has_text and not before.has_text
    ]
    return Found(packages, b"\n".join([*([found.listing] if found.listing else []), *map(str.encode, added)]))


def _sections(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Return each heading of a list, and its section with it: whole where there is a text."""
    found = list(HEADING.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    for match, end in zip(found, ends, strict=True):
        if text[match.end() : end].strip():
            yield match, f"{text[match.start() : end].rstrip()}\n"


def _listed(text: str, lock: Mapping[str, Any], told: PagePackages) -> tuple[Package, ...]:
    by_version = {(_name(place), value.get("version")): value for place, value in lock.items() if place}
    with_text = {match.start() for match, _ in _sections(text)}
    packages = [
        _package(
            match["name"],
            match["version"],
            {"license": match["licence"], **by_version.get((match["name"], match["version"]), {})},
            told,
            has_text=match.start() in with_text,
        )
        for match in HEADING.finditer(text)
    ]
    also = [_package(_name(place), lock[place]["version"], lock[place], told) for place in _also(lock, told)]
    return tuple(sorted({*packages, *also}, key=lambda each: (each.name, each.version)))


def _locked(lock: Mapping[str, Any], told: PagePackages) -> tuple[Package, ...]:
    """Return what a page is made of at most: what its own package depends on at run time, and all that these need."""
    waiting = [*_needs(lock, "", lock.get("", {}).get("dependencies", {})), *_also(lock, told)]
    places: dict[str, None] = {}
    while waiting:
        place = waiting.pop()
        if place not in places:
            places[place] = None
            waiting += _needs(lock, place, lock[place].get("dependencies", {}))
    packages = {_package(_name(place), lock[place].get("version", ""), lock[place], told) for place in places}
    return tuple(sorted(packages, key=lambda each: (each.name, each.version)))


def _also(lock: Mapping[str, Any], told: PagePackages) -> list[str]:
    return [place for name in told.also for place in _needs(lock, "", {name: ""})]


def _needs(lock: Mapping[str, Any], place: str, names: Mapping[str, str]) -> list[str]:
    """Return where node finds the packages that one at a place asks for: beside it, or further up."""
    found = []
    for name in names:
        folder = place
        while True:
            candidate = f"{folder}/{MODULES}{name}" if folder else f"{MODULES}{name}"
            if candidate in lock:
                found.append(candidate)
                break
            if not folder:
                break  # for another machine, or optional
            folder = folder.rpartition(f"/{MODULES}")[0] if f"/{MODULES}" in folder else ""
    return found


def _package(
    name: str, version: str, fields: Mapping[str, Any], told: PagePackages, *, has_text: bool = False
) -> Package:
    licence = str(fields.get("license") or told.licences.get(name, ""))
    return Package(
        name, version, licence.removeprefix("(").removesuffix(")"), str(fields.get("integrity", "")), has_text
    )


def _lock(told: PagePackages, read: Callable[[str], bytes | None]) -> Mapping[str, Any]:
    data = read(f"{told.lock}/package-lock.json") if told.lock else None
    packages = json.loads(data)["packages"] if data is not None else {}
    return dict(packages)


def _name(place: str) -> str:
    return place.rpartition(MODULES)[2]
