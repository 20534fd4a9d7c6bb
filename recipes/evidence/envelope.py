"""Signed documents: DSSE envelopes (github.com/secure-systems-lab/dsse, version 1) of in-toto statements. Pure.

The library makes and checks signatures. What it reads leniently is read strictly here first: an envelope has one form.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError

from recipes.evidence.json_document import read_object, write_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from securesystemslib.signer import CryptoSigner, SSlibKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MOST_SIGNATURES = 64


class EnvelopeError(ValueError):
    """What is wrong with an envelope, in words."""


@dataclass(frozen=True)
class Opened:
    """What an envelope holds, and the identifiers of the keys that signed it: those asked for, and all others."""

    payload: bytes
    signed_by: frozenset[str]
    unknown: frozenset[str]


def sign(payload: bytes, signer: CryptoSigner, *, before: bytes | None = None) -> bytes:
    """Return the envelope of a payload with a signature; the others of an envelope of the same payload stay.

    Raises EnvelopeError where `before` is no envelope, or one of something else.
    """
    envelope = Envelope(payload, PAYLOAD_TYPE, {}) if before is None else _parse(before)
    if envelope.payload != payload:
        raise EnvelopeError("an envelope of another statement")
    envelope.sign(signer)
    return write_object(envelope.to_dict()) + b"\n"


def open_envelope(data: bytes, keys: Sequence[SSlibKey]) -> Opened:
    """Return the payload of an envelope, and who signed it.

    Raises EnvelopeError where it is damaged, of another payload type, without a signature, or where one that is said to
    be by a key asked for is not. A signature by a key that nobody asked for says nothing, and is named as unknown.
    """
    envelope = _parse(data)
    known = {key.keyid: key for key in keys}
    signed: set[str] = set()
    for keyid, signature in envelope.signatures.items():
        if keyid not in known:
            continue
        try:
            known[keyid].verify_signature(signature, envelope.pae())
        except UnverifiedSignatureError as error:
            raise EnvelopeError(f"the signature by the key {keyid[:16]} is not of these bytes") from error
        signed.add(keyid)
    return Opened(envelope.payload, frozenset(signed), frozenset(envelope.signatures) - signed)


def _parse(data: bytes) -> Envelope:
    try:
        content = read_object(data)
    except ValueError as error:
        raise EnvelopeError(str(error)) from error
    signatures = content.get("signatures")
    if content.keys() != {"payload", "payloadType", "signatures"} or not isinstance(signatures, list):
        raise EnvelopeError("not an object with payload, payloadType and signatures alone")
    if content["payloadType"] != PAYLOAD_TYPE:
        raise EnvelopeError(f"a payload of another type: {str(content['payloadType'])[:80]!r}")
    if not 0 < len(signatures) <= MOST_SIGNATURES:
        raise EnvelopeError(f"{len(signatures)} signatures; 1 to {MOST_SIGNATURES} are expected")
    _demand_base64(content["payload"])
    seen: set[str] = set()
    for each in signatures:
        if (
            not isinstance(each, dict)
            or each.keys() != {"keyid", "sig"}
            or not isinstance(each["keyid"], str)
        ):
            raise EnvelopeError("a signature that is not an object with keyid and sig alone")
        if each["keyid"] in seen:
            raise EnvelopeError(f"two signatures by the key {each['keyid'][:16]}")
        seen.add(each["keyid"])
        _demand_base64(each["sig"])
    return Envelope.from_dict(content)


def _demand_base64(text: object) -> None:
    """Demand the one spelling of bytes that RFC 4648, section 4, has: padded, nothing between, no spare bits."""
    try:
        if (
            not isinstance(text, str)
            or base64.b64encode(base64.b64decode(text, validate=True)).decode() != text
        ):
            raise EnvelopeError("bytes that are not in standard base64")
    except (binascii.Error, ValueError) as error:
        raise EnvelopeError("bytes that are not in standard base64") from error
