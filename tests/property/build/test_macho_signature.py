"""Signatures and Mach-O headers of any bytes are read or refused, never anything else."""

from __future__ import annotations

import struct
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from recipes.build.audit.macho.payload import strip_signature
from recipes.build.audit.macho.signature import parse_signature, wrong_pages, wrong_slots

PAGE = 4096


def signature(code: bytes, identifier: str) -> bytes:
    """An ad-hoc signature as cs_blobs.h lays it out: a superblob with a code directory alone."""
    name = identifier.encode() + b"\0"
    pages = [sha256(code[at : at + PAGE]).digest() for at in range(0, len(code), PAGE)]
    size = 88 + len(name) + 32 * len(pages)
    head = struct.pack(
        ">IIIIIIIIIBBBBIIIIQQQQ",
        *(0xFADE0C02, size, 0x20400, 2, 88 + len(name), 88, 0, len(pages), len(code)),
        *(32, 2, 0, 12, 0, 0, 0, 0, 0, 0, len(code), 1),
    )
    return struct.pack(">IIIII", 0xFADE0CC0, 20 + size, 1, 0, 20) + head + name + b"".join(pages)


codes = st.binary(max_size=300).map(lambda data: data * 97)
names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@given(code=codes, name=names)
def test_what_was_signed_holds(code: bytes, name: str) -> None:
    read = parse_signature(signature(code, name))
    assert (read.identifier, read.code_limit_bytes, read.is_ad_hoc) == (name, len(code), True)
    assert (wrong_pages(read, code), wrong_slots(read)) == ((), ())


@given(code=codes.filter(bool), data=st.data())
def test_any_changed_byte_is_found_in_its_page(code: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(code) - 1))
    changed = code[:at] + bytes((code[at] ^ data.draw(st.integers(1, 255)),)) + code[at + 1 :]
    assert wrong_pages(parse_signature(signature(code, "x")), changed) == (at // PAGE,)


@given(code=codes, data=st.data())
def test_a_changed_signature_is_read_or_refused(code: bytes, data: st.DataObject) -> None:
    good = signature(code, "name")
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + data.draw(st.binary(min_size=1, max_size=8)) + good[at + 1 :]
    try:
        read = parse_signature(bad)
    except ValueError:
        return
    wrong_pages(read, code)
    wrong_slots(read)


@given(data=st.binary(max_size=400))
def test_bytes_that_are_no_mach_o_file_are_refused(data: bytes) -> None:
    try:
        strip_signature(data)
    except ValueError:
        return
    assert data.startswith(b"\xcf\xfa\xed\xfe")


@given(count=st.integers(0, 1 << 32), size=st.integers(0, 1 << 32), rest=st.binary(max_size=400))
def test_any_load_commands_are_read_or_refused(count: int, size: int, rest: bytes) -> None:
    numbers = (number & 0xFFFFFFFF for number in (0xFEEDFACF, 0x0100000C, 0, 2, count, size, 0, 0))
    data = struct.pack("<8I", *numbers) + rest
    try:
        stripped = strip_signature(data)
    except ValueError:
        return
    assert len(stripped) >= len(data) - 16
