"""The session `payload`: hashes what of a bundle does not depend on who signed it, and compares two bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.audit.macho.payload import payload_listing
from recipes.cli.options import Parser, Session
from recipes.core.digest import Sha256
from recipes.core.errors import UsageError, VerifyError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

SIGNING_LEAVES = "_CodeSignature/"  # a folder that signing a folder, and not a file, adds


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    parser.add_argument("bundle", type=Path, metavar="FOLDER", help="an unpacked bundle")
    parser.add_argument(
        "other", type=Path, nargs="?", metavar="OTHER", help="another one, signed by somebody else"
    )


def run(options: argparse.Namespace) -> int:
    """Print each file's payload digest, or compare two bundles: a VerifyError names the files that differ."""
    rows = read_payload(options.bundle)
    if options.other is None:
        for name, found in rows.items():
            print(f"{found.hex}  {name}")
        print(f"payload:  {digest_of(rows)} ({len(rows)} files, signatures taken away)")
        return 0
    others = read_payload(options.other)
    if differences := compare_payloads(rows, others):
        raise VerifyError(
            where=str(options.other),
            expected=f"the files of {options.bundle}, whoever signed it: payload {digest_of(rows)}",
            found="\n".join((f"payload {digest_of(others)}", *differences)),
            fix="sign a fresh copy of the pinned bundle: this one was changed in more than its signatures",
        )
    print(f"payload:  {digest_of(rows)}, the same in both ({len(rows)} files)")
    return 0


def read_payload(folder: Path) -> dict[str, Sha256]:
    """Return the payload digest of each file of a bundle; raise a UsageError where it is none, empty or unreadable."""
    found = "nothing there"
    if folder.is_dir():
        try:
            rows = {name: each for name, each in payload_listing(folder) if SIGNING_LEAVES not in name}
        except ValueError as error:
            found = str(error)
        else:
            if rows:
                return rows
            found = "an empty folder"
    raise UsageError(
        where=str(folder),
        expected="the folder of an unpacked bundle",
        found=found,
        fix="unpack the archive, and name the folder that comes out",
    )


def digest_of(rows: Mapping[str, Sha256]) -> Sha256:
    """Return one digest for all: SHA-256 of the lines that `sha256sum` would write of the payloads."""
    return Sha256.of_bytes("".join(f"{each.hex}  {name}\n" for name, each in sorted(rows.items())).encode())


def compare_payloads(rows: Mapping[str, Sha256], others: Mapping[str, Sha256]) -> list[str]:
    """Return a line for each file that differs, or that only one of the two has. Pure."""
    return [
        f"{name}: {others[name].hex if name in others else 'absent'}, not {rows[name].hex}"
        if name in rows
        else f"{name}: not in the first"
        for name in sorted(rows.keys() | others.keys())
        if rows.get(name) != others.get(name)
    ]


SESSION = Session(
    "payload",
    "Hash a bundle's files without their signatures, or compare two bundles.",
    add_options,
    run,
    example="unpacked signed-by-me",
    reads_manifests=False,
)
