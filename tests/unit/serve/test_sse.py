from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.serve.sse import Piece, StreamError, clean, error_text, read_pieces


def event(**choice: object) -> bytes:
    return b"data: " + json.dumps({"choices": [choice]}).encode()


def test_an_answer_comes_in_pieces_thoughts_apart() -> None:
    lines = [
        b": a comment",
        event(delta={"role": "assistant", "content": None}),
        b"",
        event(delta={"reasoning_content": "hm"}),
        event(delta={"content": "re"}),
        event(delta={"content": "d"}),
        event(delta={}, finish_reason="stop"),
        b'data: {"choices": [], "usage": {}}',
        b"data: [DONE]",
        b"data: never read",
    ]
    assert list(read_pieces(lines)) == [Piece("hm", is_thought=True), Piece("re"), Piece("d")]


def test_an_answer_that_is_cut_says_so() -> None:
    lines = [event(delta={"content": "a"}, finish_reason="length"), b"data: [DONE]"]
    assert list(read_pieces(lines)) == [Piece("a"), Piece("", is_cut=True)]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "too early"),
        ([event(delta={"content": "a"})], "too early"),
        ([b'data: {"error": {"message": "no"}}'], "no"),
        ([b'error: {"message": "no", "code": 500}'], '{"message": "no", "code": 500}'),
        ([b"data: <html>"], "not a chat completion: <html>"),
        ([b"data: {}"], "not a chat completion: {}"),
        ([b'data: {"choices": [7]}'], 'not a chat completion: {"choices": [7]}'),
    ],
)
def test_what_is_none_is_an_error(lines: list[bytes], words: str) -> None:
    with pytest.raises(StreamError) as error:
        list(read_pieces(lines))
    assert words in str(error.value)


def test_what_a_terminal_would_obey_is_taken_out() -> None:
    assert clean("a\x1b[31mb\x07\r\n\tc\u202e\x9b") == "a[31mb\n\tc"
    assert clean("Grüße 👩\u200d🔬 日本") == "Grüße 👩\u200d🔬 日本"
    assert list(read_pieces([event(delta={"content": "\x1b]0;x\x07y"}), b"data: [DONE]"])) == [Piece("]0;xy")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"error": "no"}', "no"),
        ('{"error": {}}', '{"error": {}}'),
        ("[]", "[]"),
        ("", "nothing"),
        ("7", "7"),
    ],
)
def test_what_a_server_says_is_wrong_is_found(text: str, words: str) -> None:
    assert error_text(text) == words


@given(st.lists(st.binary(max_size=40) | st.binary(max_size=30).map(lambda data: b"data: " + data)))
def test_any_lines_are_pieces_or_a_refusal(lines: list[bytes]) -> None:
    with pytest.raises(StreamError):
        list(read_pieces(lines))
