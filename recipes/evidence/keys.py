"""Ed25519 keys: made, read, written, and named by one identifier, which follows from the key alone.

A public key is 64 hexadecimal digits, in policies and on the command line's screen, or a PEM file. A private key is an
unencrypted PKCS #8 PEM file of its owner (RFC 8410); `openssl genpkey -algorithm ed25519` makes the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

if TYPE_CHECKING:
    from collections.abc import Iterable

DIGITS = re.compile(r"[0-9a-f]{64}")
PRIME = 2**255 - 19
# y of the points of small order, of RFC 8032's curve: with such a "key" anyone can sign anything
_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
SMALL_ORDER = frozenset((0, 1, PRIME - 1, _ORDER_8, PRIME - _ORDER_8))


class KeyFileError(ValueError):
    """What is wrong with a key, in words."""


def new_signer() -> CryptoSigner:
    """Make a key pair from the system's random numbers."""
    return CryptoSigner.generate_ed25519()


def read_signer(data: bytes) -> CryptoSigner:
    """Return the signer of a private key's PEM file; raises KeyFileError where it holds no ed25519 key in plain."""
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError as error:
        raise KeyFileError("an encrypted private key: decrypt it first") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError("no private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"a private key of another kind: {type(key).__name__.lstrip('_')}")
    return CryptoSigner(key)


def read_public_key(data: bytes) -> SSlibKey:
    """Return the public key of a PEM file or of 64 hexadecimal digits; raises KeyFileError where it is none."""
    text = data.strip()
    if text.startswith(b"-----BEGIN PRIVATE KEY"):
        raise KeyFileError("a private key: name the public one, and keep this one to yourself")
    if text.isascii() and DIGITS.fullmatch(text.decode("ascii")):
        return public_key(text.decode("ascii"))
    try:
        key = load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError("neither a public key in PEM nor 64 digits 0-9 and a-f") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"a public key of another kind: {type(key).__name__.lstrip('_')}")
    return public_key(key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex())


def public_key(digits: str) -> SSlibKey:
    """Return a public key by its 64 digits; raises KeyFileError where they are no key, or one for everybody."""
    number = int.from_bytes(bytes.fromhex(digits), "little") & (2**255 - 1)  # the top bit is the sign of x
    if number >= PRIME:
        raise KeyFileError("a key that is not written in its one form")
    if number in SMALL_ORDER:
        raise KeyFileError("a point of small order: anyone can sign for it")
    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(bytes.fromhex(digits)))


def digits_of(key: SSlibKey) -> str:
    """Return the 64 digits of a public key."""
    return str(key.keyval["public"])


def public_pem(key: SSlibKey) -> bytes:
    """Return a public key as a PEM file."""
    raw = Ed25519PublicKey.from_public_bytes(bytes.fromhex(digits_of(key)))
    return raw.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def distinct(keys: Iterable[SSlibKey]) -> tuple[SSlibKey, ...]:
    """Return each key once, whatever file or name it came by."""
    return tuple({key.keyid: key for key in keys}.values())
