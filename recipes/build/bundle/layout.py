"""Lays out what is shipped, and records how it was made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.bundle.listing import parse_listing
from recipes.build.components.licences import TABLE
from recipes.core.digest import Sha256, blob_digest
from recipes.core.errors import BuildError
from recipes.core.filesystem import shown, storage_errors
from recipes.fetch.archives.pack import DATA_MODE, PROGRAM_MODE

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.build.plan.plan import Plan
    from recipes.manifest.schema import BundleContents

RECORD = "build.json"
LICENCES = "licences"


@dataclass(frozen=True)
class ShippedFile:
    """One file of a bundle, for people."""

    name: str
    size_bytes: int
    what: str


def find_shipped(built: Path, contents: BundleContents, *, partial: bool = False) -> dict[str, Path]:
    """Return the built file of each program, backend and library of a bundle, by its name there.

    If the build is partial, what it did not make is left out. Raises BuildError, naming what was not built.
    """
    wanted = {f"bin/{name}": built / name for name in contents.bin}
    wanted |= {f"lib/{name}": built / name for name in contents.lib}
    present = {name: path for name, path in wanted.items() if path.is_file()}
    if not present or (len(present) < len(wanted) and not partial):
        raise BuildError(
            where=str(built),
            expected="each file that `bundle:` lists in the manifest",
            found="not built: "
            + ", ".join(path.name for name, path in wanted.items() if name not in present),
            fix="add the target that makes it to `targets:` in the manifest, or remove it from `bundle:`",
        )
    return present


def lay_out(built: Path, present: Mapping[str, Path], licences: Mapping[str, bytes], into: Path) -> None:
    """Write what is shipped: programs and backends to bin/, libraries to lib/, licences to licences/.

    Links are followed, so that a library is a regular file under its SONAME. Raises BuildError, naming what is a link
    to somewhere else, and StoreError.
    """
    with storage_errors(into):
        for name, path in present.items():
            _copy(path, into / name, PROGRAM_MODE, below=built)
        for name, data in licences.items():
            target = into / LICENCES / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            target.chmod(DATA_MODE)


def encode_record(record: Mapping[str, object]) -> bytes:
    """Return the bytes of build.json: keys in the order of RFC 8785, UTF-8, indented so that a person can read it.

    Raises TypeError where it holds more than texts, whole numbers, truth values, None, and lists, tuples and mappings
    of these: a fraction has more than one spelling.
    """
    return json.dumps(_canonical(record), indent=2, ensure_ascii=False).encode() + b"\n"


def is_pin_of(plan: Plan, listing: str | None) -> bool:
    """Whether a pinned listing can be of this plan's bundle: it names the bytes of build.json, which follow from it.

    None, where there is no listing, may be of any.
    """
    try:
        entry = parse_listing(listing or "").get(RECORD)
    except ValueError:
        return True  # what is wrong with it is said where it is used
    return entry is None or entry.digest_hex == blob_digest(encode_record(plan.record()), Sha256).hex


def write_record(root: Path, record: Mapping[str, object]) -> Path:
    """Write build.json; raises TypeError as `encode_record` does, and StoreError where the disk is full or refuses."""
    path, data = root / RECORD, encode_record(record)
    with storage_errors(path):
        path.write_bytes(data)
        path.chmod(DATA_MODE)
    return path


def describe(root: Path) -> tuple[ShippedFile, ...]:
    """Return a row for each file of a bundle, in the order of their names: what it is, and its size."""
    with storage_errors(root):
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return tuple(
            ShippedFile(name, path.stat().st_size, _what(name))
            for name, path in ((path.relative_to(root).as_posix(), path) for path in files)
        )


def _what(name: str) -> str:
    folder, _, leaf = name.partition("/")
    if name == RECORD:
        return "record of what it was built from"
    if name == f"{LICENCES}/{TABLE}":
        return "which components are in it, and their licences"
    if folder == LICENCES:
        return "licence"
    if folder == "lib":
        return "library"
    if leaf.endswith(".dll"):
        return "library or backend: Windows looks for both beside the programs"
    is_backend = leaf.endswith((".so", ".dylib"))
    return "backend, loaded where the machine can run it" if is_backend else "program"


def _copy(path: Path, target: Path, mode: int, *, below: Path) -> None:
    real = path.resolve()
    if not real.is_relative_to(below.resolve()):
        raise BuildError(
            where=str(path),
            expected=f"a file below {below}",
            found=f"a link to {shown(str(real))}",
            fix="remove the link and build again: nothing of the host is shipped",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(real, target)
    target.chmod(mode)


def _canonical(value: object) -> object:
    if isinstance(value, Mapping):
        # RFC 8785, section 3.2.3: keys are sorted by their UTF-16 code units
        ordered = sorted(value.items(), key=lambda item: item[0].encode("utf-16-be"))
        return {key: _canonical(item) for key, item in ordered}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if value is None or isinstance(value, str | int):
        return value
    raise TypeError(f"{value!r} has no single spelling in JSON")
