from __future__ import annotations

import pytest

from recipes.registry.challenge import Challenge, Token, parse_challenges, parse_token


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", ()),
        ("Basic", (Challenge("basic", {}),)),
        ('Basic realm="a, b"', (Challenge("basic", {"realm": "a, b"}),)),
        (
            'BEARER Realm = "https://t/x" , service=s',
            (Challenge("bearer", {"realm": "https://t/x", "service": "s"}),),
        ),
        (r'Basic realm="say \"x\""', (Challenge("basic", {"realm": 'say "x"'}),)),
        (
            'Negotiate, Bearer realm="r",scope="repository:a:pull,push"',
            (),  # what cannot be read ends them
        ),
        (
            'Bearer realm="r", Basic realm="q"',
            (Challenge("bearer", {"realm": "r"}), Challenge("basic", {"realm": "q"})),
        ),
        ('Bearer realm="r",realm="other"', (Challenge("bearer", {"realm": "r"}),)),
        ('Bearer realm="open', (Challenge("bearer", {}),)),
    ],
)
def test_challenges_are_read(header: str, expected: tuple[Challenge, ...]) -> None:
    assert parse_challenges(header)[: len(expected)] == expected
    assert len(parse_challenges(header)) >= len(expected)


def test_a_long_header_takes_no_long_time() -> None:
    assert parse_challenges("a" * 100_000 + "=" * 100_000) == ()
    assert len(parse_challenges('Bearer a="' + "\\x" * 100_000)) == 1


@pytest.mark.parametrize(
    ("data", "token"),
    [
        (b'{"token": "t"}', Token("t", 55.0)),
        (b'{"access_token": "t", "expires_in": 300}', Token("t", 295.0)),
        (b'{"token": "t", "expires_in": -3}', Token("t", 0.0)),
        (b'{"token": "t", "expires_in": 1e3, "more": 1}', Token("t", 995.0)),
    ],
)
def test_a_token_is_read_with_its_time(data: bytes, token: Token) -> None:
    assert parse_token(data) == token


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"token": 1}',
        b'{"token": "a b"}',
        b'{"token": "a\\r\\nX: y"}',
        b"\xff",
        b'{"x":' + b"[" * 100_000,
    ],
)
def test_what_is_no_token_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_token(data)


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(Token("secret", 1.0))
