"""JSON that parses badly: deep, long, repeated, broken, or no text at all."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from recipes.conformance.hostile.attack import CHAT, COMPLETION, SAY, Attack, Kind, encode, request

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEP = 64  # what is refused beyond
DEPTHS = (65, 1000, 10_000, 100_000, 1_000_000)
MESSAGES = encode([{"role": "user", "content": SAY}])


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]", inner: bytes = b"1") -> bytes:
    """Return JSON nested so deep."""
    return opening * depth + inner + closing * depth


def objects(depth: int) -> bytes:
    """Return objects nested so deep."""
    return nested(depth, b'{"a":', b"}")


def whole(more: bytes) -> bytes:
    """Return a chat completion with more fields, as they are written."""
    return b'{"messages":' + MESSAGES + b',"max_tokens":2,' + more + b"}"


def attacks() -> Iterator[Attack]:
    """Return the attacks on the reader of JSON."""
    post = partial(request, Kind.JSON)
    for depth in DEPTHS:
        quick = depth == DEPTHS[3]
        yield post(
            f"arrays {depth:,} deep, unknown field",
            CHAT,
            partial(in_field, b'"x":', depth),
            must_refuse=depth > DEEP,
            is_quick=quick,
        )
        yield post(
            f"objects {depth:,} deep, unknown field",
            CHAT,
            partial(in_object, b'"x":', depth),
            must_refuse=depth > DEEP,
        )
        yield post(
            f"a message's key {depth:,} deep",
            CHAT,
            partial(in_message, b"", depth),
            must_refuse=depth > DEEP,
            is_quick=quick,
        )
        yield post(f"content {depth:,} deep", CHAT, partial(in_content, depth), must_refuse=depth > DEEP)
        yield post(f"whole body {depth:,} deep", COMPLETION, partial(nested, depth))
        yield post(
            f"opened {depth:,} times, never closed",
            COMPLETION,
            partial(nested, depth, b'{"a":[', b"", b""),
            must_refuse=True,
        )
        for name in ("chat_template_kwargs", "logit_bias", "stop", "metadata", "response_fields"):
            yield post(f"{name} {depth:,} deep", CHAT, partial(in_field, f'"{name}":'.encode(), depth))
    for name, value in BROKEN.items():
        yield post(name, COMPLETION, value, must_refuse=name not in MAY_PASS, is_quick=name in QUICK)
    yield post("100,000 equal keys", CHAT, lambda: whole(b",".join([b'"n_predict":5'] * 100_000)))
    yield post("a million keys", CHAT, lambda: whole(b",".join(b'"k%d":1' % n for n in range(1_000_000))))
    yield post("a key of 10 MB", CHAT, lambda: whole(b'"' + b"k" * 10_000_000 + b'":1'))
    yield post(
        "a text of 30 MB",
        COMPLETION,
        lambda: encode({"prompt": "a " * 15_000_000, "n_predict": 1}),
        is_quick=True,
    )
    yield post(
        "a text of 30 MB without a blank",
        COMPLETION,
        lambda: encode({"prompt": "a" * 30_000_000, "n_predict": 1}),
    )
    yield post(
        "a number of a million digits",
        COMPLETION,
        lambda: b'{"prompt":"a","n_predict":' + b"9" * 1_000_000 + b"}",
    )
    yield post(
        "an exponent of a million digits",
        COMPLETION,
        lambda: b'{"prompt":"a","n_predict":1e' + b"9" * 1_000_000 + b"}",
    )
    yield post(
        "2 million empty arrays",
        COMPLETION,
        lambda: b'{"prompt":"a","x":[' + b",".join([b"[]"] * 2_000_000) + b"]}",
    )


def in_field(start: bytes, depth: int) -> bytes:
    """Return a request with arrays in one field."""
    return whole(start + nested(depth))


def in_object(start: bytes, depth: int) -> bytes:
    """Return a request with objects in one field."""
    return whole(start + objects(depth))


def in_message(_: bytes, depth: int) -> bytes:
    """Return a request whose message has an unknown key with depth."""
    return b'{"max_tokens":2,"messages":[{"role":"user","content":"a","x":' + objects(depth) + b"}]}"


def in_content(depth: int) -> bytes:
    """Return a request whose content is arrays in arrays."""
    return b'{"max_tokens":2,"messages":[{"role":"user","content":' + nested(depth) + b"}]}"


def prompt(text: bytes) -> bytes:
    """Return a completion whose prompt is bytes as they are."""
    return b'{"n_predict":2,"prompt":"' + text + b'"}'


BROKEN = {
    "no body": b"",
    "white space": b" " * 100_000,
    "half of it": b'{"prompt":"a","n_pre',
    "two of it": b'{"prompt":"a","n_predict":1}{"prompt":"b"}',
    "a byte order mark": b"\xef\xbb\xbf" + prompt(b"a"),
    "UTF-16": '{"prompt":"a","n_predict":1}'.encode("utf-16"),
    "a byte 0xff in the prompt": prompt(b"a\xffb"),
    "letters cut in two": prompt(b"\xe2\x82"),
    "overlong letters": prompt(b"\xc0\xaf\xe0\x80\xaf\xf0\x80\x80\xaf"),
    "surrogates in UTF-8": prompt(b"\xed\xa0\x80"),
    "beyond Unicode": prompt(b"\xf5\x80\x80\x80\xf8\x88\x80\x80\x80"),
    "half a pair, escaped": prompt(rb"\ud83d"),
    "pairs in the wrong order": prompt(rb"\ude00\ud83d"),
    "a broken escape": prompt(rb"\u12"),
    "zeros, escaped": prompt(rb"\u0000a\u0000" * 1000),
    "zeros as they are": prompt(b"a\0b"),
    "control characters": prompt(b"\x01\x02\x1b[2J"),
    "no JSON numbers": b'{"prompt":"a","n_predict":NaN}',
    "infinity": b'{"prompt":"a","n_predict":-Infinity}',
    "a number too large for any type": b'{"prompt":"a","temperature":1e999}',
    "leading zeros": b'{"prompt":"a","n_predict":007}',
    "comments": b'{"prompt":"a"/* */,"n_predict":1}',
    "trailing comma": b'{"prompt":"a","n_predict":1,}',
    "single quotes": b"{'prompt':'a'}",
    "a key of broken letters": b'{"prompt":"a","n_predict":1,"\xff\xfe":1}',
    "equal keys of other types": b'{"prompt":"a","n_predict":1,"n_predict":"x","prompt":["b",{}]}',
    "multipart": b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na\r\n--x--\r\n',
}
MAY_PASS = {"zeros, escaped", "half a pair, escaped", "a byte order mark", "pairs in the wrong order"}
QUICK = {"half of it", "a byte 0xff in the prompt", "half a pair, escaped", "equal keys of other types"}
