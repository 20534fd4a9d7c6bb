"""What an answer to a request for a part means; each row of the table, and what a hub says as it sends us on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.core.digest import Sha256
from recipes.fetch.download.piece_worker import contradiction
from recipes.fetch.http.range_rules import Answer, Asked, Expired, OtherSize, Part, Whole, judge_range
from recipes.fetch.http.redirects import Statement, parse_statement
from recipes.fetch.http.response_rules import BlobPin, Refuse, TryLater
from recipes.fetch.http.sniff import name_strange_start

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SHA = Sha256("a1" * 32)
PIN = BlobPin(SHA, 1000)
CAPPED = BlobPin(SHA, max_bytes=2000)
ASKED = Asked(100, 1000)
FIRST = Asked(100, None)
SENT_ON = Asked(100, 1000, is_redirected=True)


@pytest.mark.parametrize(
    ("status", "headers", "pin", "asked", "answer"),
    [
        (206, {"content-range": "bytes 100-199/1000"}, PIN, ASKED, Part(1000)),
        (206, {"content-range": "bytes 100-199/1000"}, CAPPED, FIRST, Part(1000)),
        (206, {"content-range": "bytes 100-199/*"}, PIN, ASKED, Part(1000)),
        (
            206,
            {"content-range": "bytes 100-199/*"},
            CAPPED,
            FIRST,
            Refuse("it does not say how large its file is"),
        ),
        (
            206,
            {"content-range": "bytes 100-199/999"},
            PIN,
            ASKED,
            Refuse("its file has 999 bytes, pinned are 1000"),
        ),
        (
            206,
            {"content-range": "bytes 100-199/2001"},
            CAPPED,
            FIRST,
            Refuse("its file has 2001 bytes, the most that may come is 2000"),
        ),
        (206, {"content-range": "bytes 100-199/1001"}, CAPPED, ASKED, OtherSize(1001)),
        (
            206,
            {"content-range": "bytes 0-99/1000"},
            PIN,
            ASKED,
            TryLater("it sent another part than was asked for"),
        ),
        (206, {}, PIN, ASKED, TryLater("it sent another part than was asked for")),
        (
            416,
            {"content-range": "bytes */999"},
            PIN,
            ASKED,
            Refuse("its file has 999 bytes, pinned are 1000"),
        ),
        (416, {"content-range": "bytes */0"}, CAPPED, FIRST, Refuse("its file is empty")),
        (
            416,
            {"content-range": "bytes */1000"},
            PIN,
            ASKED,
            TryLater("it says that there is no such part of its file"),
        ),
        (416, {}, PIN, ASKED, TryLater("it says that there is no such part of its file")),
        (200, {"content-length": "1000"}, PIN, ASKED, Whole(1000)),
        (200, {"content-length": "1500"}, CAPPED, FIRST, Whole(1500)),
        (200, {"content-length": "1500"}, CAPPED, ASKED, OtherSize(1500)),
        (200, {"content-length": "77"}, PIN, ASKED, Refuse("it would send 77 bytes, pinned are 1000")),
        (200, {"content-length": "0"}, CAPPED, FIRST, Refuse("its file is empty")),
        (
            200,
            {"content-length": "77", "content-type": "text/html"},
            PIN,
            ASKED,
            Refuse("it would send a web page of 77 bytes, pinned are 1000"),
        ),
        (200, {"content-type": "text/html; charset=utf-8"}, PIN, ASKED, Refuse("it would send a web page")),
        (200, {}, PIN, ASKED, Whole(1000)),
        (
            200,
            {},
            CAPPED,
            FIRST,
            Refuse("it does not say how large the file is, and the manifest does not know it"),
        ),
        (
            206,
            {"content-range": "bytes 100-199/1000", "content-encoding": "gzip"},
            PIN,
            ASKED,
            Refuse("it sends other bytes than the file's: they are encoded, which nobody asked for"),
        ),
        (
            206,
            {"content-range": "bytes 100-199/1000", "content-encoding": "Identity"},
            PIN,
            ASKED,
            Part(1000),
        ),
        (401, {}, PIN, ASKED, Refuse("HTTP 401 Unauthorized: for a gated model, set HF_TOKEN")),
        (403, {}, PIN, ASKED, Refuse("HTTP 403 Forbidden: for a gated model, set HF_TOKEN")),
        (404, {}, PIN, ASKED, Refuse("HTTP 404 Not Found")),
        *((code, {}, PIN, SENT_ON, Expired) for code in (401, 403, 404, 410)),
        (429, {"retry-after": "7"}, PIN, ASKED, TryLater("HTTP 429 Too Many Requests", 7.0)),
        (
            429,
            {"retry-after": "Wed, 25 Nov 2026 12:00:30 GMT"},
            PIN,
            SENT_ON,
            TryLater("HTTP 429 Too Many Requests", 30.0),
        ),
        (503, {"retry-after": "soon"}, PIN, ASKED, TryLater("HTTP 503 Service Unavailable")),
        (451, {}, PIN, ASKED, Refuse("HTTP 451 Unavailable For Legal Reasons")),
    ],
)
def test_each_row_of_the_table(
    status: int, headers: dict[str, str], pin: BlobPin, asked: Asked, answer: Answer | type[Expired]
) -> None:
    found = judge_range(status, headers, pin, asked, NOW)
    assert isinstance(found, answer) if isinstance(answer, type) else found == answer


HEADERS = st.dictionaries(
    st.sampled_from(["content-range", "content-length", "retry-after", "content-type", "content-encoding"]),
    st.text(max_size=20) | st.builds("bytes {}-{}/{}".format, st.integers(0), st.integers(0), st.integers(0)),
)


@given(
    st.integers(100, 599), HEADERS, st.sampled_from([PIN, CAPPED]), st.sampled_from([ASKED, FIRST, SENT_ON])
)
def test_no_answer_is_taken_that_does_not_fit_the_pin(
    status: int, headers: dict[str, str], pin: BlobPin, asked: Asked
) -> None:
    found = judge_range(status, headers, pin, asked, NOW)
    if isinstance(found, Part | Whole):
        assert status in {200, 206}
        assert found.total_bytes == pin.size_bytes or (
            pin.size_bytes is None and 0 < found.total_bytes <= 2000
        )


def test_what_a_hub_says_as_it_sends_us_on() -> None:
    headers = {"X-Linked-ETag": f'"{SHA.hex}"', "x-linked-size": "1000", "X-Repo-Commit": "c3" * 20}
    assert parse_statement(headers) == Statement(SHA, 1000, "c3" * 20)
    assert (
        parse_statement({"X-Linked-ETag": 'W/"abc"', "X-Linked-Size": "-1", "X-Repo-Commit": "main"}) is None
    )
    assert parse_statement({"ETag": f'"{SHA.hex}"'}) is None
    assert contradiction(Statement(SHA, 1), PIN) is None
    assert contradiction(Statement(None, 1), PIN) is None
    assert contradiction(None, PIN) is None
    assert contradiction(Statement(Sha256("b2" * 32), None), PIN) == (
        f"upstream changed, or the pin is wrong: the hub has sha256:{'b2' * 32}"
    )


@given(st.binary(max_size=600))
def test_whatever_a_file_starts_with_is_named_in_one_printable_line(start: bytes) -> None:
    found = name_strange_start(start)
    assert found is None or found.isprintable()
    assert (found is None) == start.startswith(b"GGUF")
