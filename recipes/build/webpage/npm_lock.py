"""Reads an npm package-lock.json: which packages, and the digest that each must have. Pure.

The format is that of npm's documentation ("package-lock.json"), the digests are those of
W3C's Subresource Integrity.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from recipes.core.errors import VerifyError

VERSION = 3
ALGORITHM = "sha512-"
DIGEST_BYTES = 64


@dataclass(frozen=True)
class Package:
    """One package: its place below the lock's own folder, and the SHA-512 of its archive in hexadecimal."""

    place: str
    version: str
    sha512: str


def parse_npm_lock(data: bytes, where: str) -> tuple[Package, ...]:
    """Read a lock, and demand a digest of every package.

    Raises VerifyError where it is no lock of version 3, or a package in it is not pinned by a SHA-512.
    """
    try:
        lock = json.loads(data)
        packages = lock["packages"].items() if lock["lockfileVersion"] == VERSION else None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _refuse(
            where, f"a package-lock.json of version {VERSION}", f"another file: {error!r}"
        ) from error
    if packages is None:
        raise _refuse(where, f"lockfileVersion {VERSION}", f"lockfileVersion {lock['lockfileVersion']}")
    return tuple(_package(place, value, where) for place, value in packages if place)


def _package(place: str, value: Any, where: str) -> Package:  # noqa: ANN401 - plain JSON
    fields = value if isinstance(value, dict) else {}
    digests = [word for word in str(fields.get("integrity", "")).split() if word.startswith(ALGORITHM)]
    if len(digests) != 1:
        raise _refuse(
            f"{where}: {place}",
            "one `sha512-...` under `integrity`",
            str(fields.get("integrity") or "none"),
        )
    try:
        digest = base64.b64decode(digests[0].removeprefix(ALGORITHM), validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != DIGEST_BYTES:
        raise _refuse(f"{where}: {place}", f"a SHA-512 of {DIGEST_BYTES} bytes in base64", digests[0])
    return Package(place, str(fields.get("version", "")), digest.hex())


def _refuse(where: str, expected: str, found: str) -> VerifyError:
    return VerifyError(
        where=where,
        expected=expected,
        found=found,
        fix="choose a commit of llama.cpp whose lock pins every package; nothing is fetched without a pin",
    )
