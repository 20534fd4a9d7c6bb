"""The only place that calls LIEF: reads ELF, Mach-O and PE files, and turns its failures into our error."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeVar

from recipes.core.errors import AuditError
from recipes.core.filesystem import storage_errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Facts = TypeVar("Facts")


def read_binary(path: Path, expected: str, read: Callable[[bytes], Facts]) -> Facts:
    """Return what `read` makes of a file's bytes; whatever it raises means a damaged file.

    Raises AuditError where the file is not what is expected, or is damaged, and StoreError where it cannot be read.
    """
    with storage_errors(path):
        data = path.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # LIEF's, of a number that it has no name for
            return read(data)
    except Exception as error:  # noqa: BLE001 - which one depends on the field that is damaged
        raise AuditError(
            where=str(path),
            expected=expected,
            found=f"{type(error).__name__}: {error}",
            fix="build it again, and check the disk where it happens twice",
        ) from None


def has_magic(path: Path, magics: frozenset[bytes]) -> bool:
    """Whether a file begins with one of some magic numbers of equal length."""
    with path.open("rb") as file:
        return file.read(len(min(magics))) in magics


def name_of(value: Any) -> str:  # noqa: ANN401 - LIEF's own types
    """Return the name that LIEF has for a value of a header, or its number where it has none."""
    return str(getattr(value, "name", value))


def parse_elf(data: bytes) -> Any:  # noqa: ANN401 - LIEF's types are not installed where types are checked
    """Return LIEF's view of an ELF file; raises ValueError where LIEF cannot read it."""
    lief = _lief()
    config = lief.ELF.ParserConfig()
    config.parse_relocations = config.parse_notes = config.parse_overlay = False
    config.parse_symtab_symbols = False
    # else it counts symbols by hash tables and relocations, and a damaged one makes it miss some
    config.count_mtd = lief.ELF.ParserConfig.DYNSYM_COUNT.SECTION
    return _present(lief.ELF.parse(data, config))


def parse_pe(data: bytes) -> Any:  # noqa: ANN401 - as above
    """Return LIEF's view of a PE file; raises ValueError where LIEF cannot read it."""
    return _present(_lief().PE.parse(data))


def parse_macho(data: bytes) -> Any:  # noqa: ANN401 - as above
    """Return LIEF's view of a Mach-O file: a sequence of slices, which must not outlive it.

    Raises ValueError where LIEF cannot read it, or it holds no slice.
    """
    return _present(_lief().MachO.parse(data))


def _lief() -> Any:  # noqa: ANN401 - as above
    import lief

    lief.logging.disable()  # it prints what it finds odd; what matters here is checked in its answers
    return lief


def _present(parsed: Any) -> Any:  # noqa: ANN401 - as above
    if not parsed:
        raise ValueError("bytes that LIEF does not read as one")
    return parsed
