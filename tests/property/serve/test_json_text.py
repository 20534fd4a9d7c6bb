"""The scanner of JSON against the parser of the standard library."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.serve.door import json_text
from recipes.serve.door.json_text import MOST_DEPTH, parse
from recipes.serve.door.refusal import RefusedError

TRICKY = st.text(st.sampled_from('"\\[]{},:ab\n\u00e9\u2028'), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TRICKY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TRICKY, inner, max_size=4),
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


def values_in(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(values_in, inner))


@given(st.dictionaries(TRICKY, VALUES, max_size=4), st.booleans(), st.sampled_from([None, 1]))
def test_what_is_json_is_read_as_the_standard_library_does(
    value: dict[str, Any],
    ascii_only: bool,  # noqa: FBT001 - drawn
    indent: int | None,
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert parse(text) == value
    marks = json_text.OUTSIDE.sub(b"", json_text.outside_strings(json_text.without_escapes(text)))
    assert json_text.depth(marks) == depth_of(value)
    assert sum(marks.count(mark) for mark in (b",", b"[", b"{")) >= values_in(value) - 1


@given(st.integers(1, 2 * MOST_DEPTH), st.data())
def test_depth_is_refused_at_one_more_than_the_most(levels: int, data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from("[{"), min_size=levels - 1, max_size=levels - 1))
    opened, closed = '{"a":', "}"
    for kind in kinds:
        opened, closed = (opened + "[", "]" + closed) if kind == "[" else (opened + '{"a":', "}" + closed)
    text = f'{opened}"[[[[{{{{"{closed}'
    if levels <= MOST_DEPTH:
        parse(text.encode())
    else:
        with pytest.raises(RefusedError) as caught:
            parse(text.encode())
        assert "deep" in caught.value.message


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_or_refused(body: bytes) -> None:
    with suppress(RefusedError):
        assert parse(body) == json.loads(body)


@given(st.integers(1, 400_000))
def test_brackets_that_never_close_are_refused_at_once(count: int) -> None:
    with pytest.raises(RefusedError):
        parse(b'{"a":' + b"[" * count)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"x":{"a":1,"b":2,"a":3}}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b"\xef\xbb\xbf{}",
        b"[]",
        b"5",
        b"",
        b'{"a":1}x',
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":1}/**/',
    ],
)
def test_what_readers_disagree_about_is_refused(body: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        parse(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":[' + b"[]," * 600_000 + b"0]}",
        b'{"a":[' + b"0," * 600_000 + b"0]}",
        b'{"a":[' + b'"",' * 1_100_000 + b'""]}',
        b'{"a":' + b'"' * 3_000_000,
    ],
)
def test_small_values_of_which_there_are_many_are_refused_before_they_are_built(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("it was built"))
    with pytest.raises(RefusedError) as caught:
        parse(body)
    assert "values" in caught.value.message


def test_a_long_text_is_one_value() -> None:
    text = '["\\' * 1_000_000
    assert parse(json.dumps({"a": text}).encode()) == {"a": text}
