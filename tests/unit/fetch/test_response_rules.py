"""What an answer means: each row of the table; what a hub says as it sends us on; what bytes start like."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.core.digest import Sha256
from recipes.fetch.download.piece_worker import contradiction
from recipes.fetch.http.redirects import Statement, parse_statement
from recipes.fetch.http.response_rules import (
    Answer,
    Asked,
    BlobPin,
    Expired,
    OtherSize,
    PartBody,
    Refuse,
    TryLater,
    Unpinned,
    WholeBody,
    interpret_answer,
    parse_retry_after,
    status_text,
)
from recipes.fetch.http.sniff import is_web_page, name_wrong_start

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SHA = Sha256("a1" * 32)
PIN = BlobPin(SHA, 1000)
CAPPED = BlobPin(SHA, max_bytes=2000)
UNPINNED = Unpinned(2000)
ASKED, FIRST, ALL = Asked(100, 1000), Asked(100), Asked()
SENT_ON = Asked(100, 1000, is_redirected=True)
HUB = Asked(100, 1000, is_hub=True)
NO_SUCH, OTHER_PART = (
    "it says that there is no such part of its file",
    "it sent another part than was asked for",
)


def range_of(text: str, **more: str) -> dict[str, str]:
    return {"content-range": text, **{name.replace("_", "-"): value for name, value in more.items()}}


@pytest.mark.parametrize(
    ("status", "headers", "pin", "asked", "answer"),
    [
        (206, range_of("bytes 100-199/1000"), PIN, ASKED, PartBody(1000)),
        (206, range_of("bytes 100-199/1000"), CAPPED, FIRST, PartBody(1000)),
        (206, range_of("bytes 100-199/*"), PIN, ASKED, PartBody(1000)),
        (206, range_of("bytes 100-199/*"), CAPPED, FIRST, Refuse("it does not say how large its file is")),
        (206, range_of("bytes 100-199/999"), PIN, ASKED, Refuse("its file has 999 bytes, pinned are 1000")),
        (
            206,
            range_of("bytes 100-199/2001"),
            CAPPED,
            FIRST,
            Refuse("its file has 2001 bytes, the most that may come is 2000"),
        ),
        (206, range_of("bytes 100-199/1001"), CAPPED, ASKED, OtherSize(1001)),
        (206, range_of("bytes 0-99/1000"), PIN, ASKED, TryLater(OTHER_PART)),
        (206, range_of("bytes */1000"), PIN, ASKED, TryLater(OTHER_PART)),
        (206, range_of("items 100-199/1000"), PIN, ASKED, TryLater(OTHER_PART)),
        (206, range_of(f"bytes {'1' * 400}-999/1000"), PIN, ASKED, TryLater(OTHER_PART)),
        (206, {}, PIN, ASKED, TryLater(OTHER_PART)),
        (206, range_of("bytes 0-99/1000"), UNPINNED, ALL, Refuse("HTTP 206 Partial Content")),
        (416, range_of("bytes */999"), PIN, ASKED, Refuse("its file has 999 bytes, pinned are 1000")),
        (416, range_of("bytes */0"), CAPPED, FIRST, Refuse("its file is empty")),
        (416, range_of("bytes */1000"), PIN, ASKED, TryLater(NO_SUCH)),
        (416, {}, PIN, ASKED, TryLater(NO_SUCH)),
        (200, {"content-length": " 1000 "}, PIN, ASKED, WholeBody(1000)),
        (200, {"content-length": "1500"}, CAPPED, FIRST, WholeBody(1500)),
        (200, {"content-length": "1500"}, CAPPED, ASKED, OtherSize(1500)),
        (200, {"content-length": "1500"}, UNPINNED, ALL, WholeBody(1500)),
        (200, {"content-length": "77"}, PIN, ASKED, Refuse("it would send 77 bytes, pinned are 1000")),
        (
            200,
            {"content-length": "2001"},
            UNPINNED,
            ALL,
            Refuse("it would send 2001 bytes, the most that may come is 2000"),
        ),
        (200, {"content-length": "0"}, CAPPED, FIRST, Refuse("its file is empty")),
        (200, {"content-length": "-1"}, PIN, ASKED, WholeBody(1000)),
        (200, {}, PIN, ASKED, WholeBody(1000)),
        (200, {}, CAPPED, FIRST, WholeBody(None)),
        (200, {"content-encoding": "gzip"}, PIN, ASKED, Refuse),
        (206, range_of("bytes 100-199/1000", content_encoding="Identity"), PIN, ASKED, PartBody(1000)),
        (401, {}, PIN, HUB, Refuse("HTTP 401 Unauthorized: for a gated model, set HF_TOKEN")),
        (403, {}, PIN, ASKED, Refuse("HTTP 403 Forbidden")),
        *((code, {}, PIN, SENT_ON, Expired(status_text(code))) for code in (401, 403, 404, 410)),
        (429, {"retry-after": "7"}, PIN, ASKED, TryLater("HTTP 429 Too Many Requests", 7.0)),
        *(
            (code, {}, PIN, SENT_ON, TryLater(status_text(code)))
            for code in (408, 425, 429, 500, 502, 503, 504)
        ),
        *(
            (code, {"retry-after": "9"}, PIN, ASKED, Refuse(status_text(code)))
            for code in (204, 300, 304, 400, 404, 410, 451, 501, 505, 599)
        ),
    ],
)
def test_each_row_of_the_table(
    status: int,
    headers: dict[str, str],
    pin: BlobPin | Unpinned,
    asked: Asked,
    answer: Answer | type[Answer],
) -> None:
    found = interpret_answer(status, headers, pin, asked, NOW)
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
    found = interpret_answer(status, headers, pin, asked, NOW)
    if isinstance(found, PartBody | WholeBody):
        assert status in {200, 206}
        total = found.total_bytes
        assert total == pin.size_bytes or (pin.size_bytes is None and total and 0 < total <= 2000)


def test_the_limit_is_the_size_or_else_the_cap_or_else_there_is_none() -> None:
    assert [BlobPin(SHA, 5, 9).limit_bytes, BlobPin(SHA, None, 9).limit_bytes, BlobPin(SHA).limit_bytes] == [
        5,
        9,
        None,
    ]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("9" * 400, None),
        ("Fri, 02 Jan 2026 03:04:15 GMT", 10.0),
        ("Fri, 02 Jan 2026 03:04:15 -0000", 10.0),
        ("Fri, 02 Jan 2026 04:04:15 +0100", 10.0),
        ("Thu, 01 Jan 2026 00:00:00 GMT", 0.0),
        ("Fri, 99 Jan 2026 03:04:15 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


def test_what_a_hub_says_as_it_sends_us_on() -> None:
    headers = {"X-Linked-ETag": f'"{SHA.hex}"', "x-linked-size": "1000", "X-Repo-Commit": "c3" * 20}
    assert parse_statement(headers) == Statement(SHA, 1000, "c3" * 20)
    assert (
        parse_statement({"X-Linked-ETag": 'W/"abc"', "X-Linked-Size": "-1", "X-Repo-Commit": "main"}) is None
    )
    assert parse_statement({"ETag": f'"{SHA.hex}"'}) is None
    for said in (Statement(SHA, 1), Statement(None, 1), None):
        assert contradiction(said, PIN) is None
    other = Statement(Sha256("b2" * 32), None)
    assert contradiction(other, UNPINNED) is None
    assert str(other.sha256) in (contradiction(other, PIN) or "")


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"", "nothing"),
        (b"<!doctype HTML PUBLIC", "a web page"),
        (b"\xef\xbb\xbf \r\n\t<html", "a web page"),
        (b"<HTML lang=en>", "a web page"),
        (b"<?xml version='1.0'?><Error>", "a web page"),
        (b' {"error": 1}', "JSON"),
        (bytes(9), "zeros"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 7\n",
            "a Git LFS pointer to a file of 7",
        ),
        *(
            (start, None)
            for start in (b"\x1f\x8b", b"PK\x03\x04", b"GGUF", b"x<html>", b" " * 600 + b"<html>")
        ),
    ],
)
def test_what_is_not_a_file_is_told_by_how_it_starts(start: bytes, kind: str | None) -> None:
    found = name_wrong_start(start)
    assert found is None if kind is None else found is not None and found.startswith(kind)
    assert is_web_page(start) == (kind == "a web page")


@given(st.binary(max_size=600))
def test_whatever_a_file_starts_with_is_named_in_one_printable_line(start: bytes) -> None:
    found = name_wrong_start(start)
    assert found is None or found.isprintable()
