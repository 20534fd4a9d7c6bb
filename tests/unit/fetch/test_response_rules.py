from __future__ import annotations

from datetime import UTC, datetime

import pytest

from recipes.core.digest import Sha256
from recipes.fetch.http.response_rules import (
    Append,
    BlobPin,
    Complete,
    Held,
    Patience,
    Refuse,
    StartOver,
    TryLater,
    Validator,
    Verdict,
    is_web_page,
    judge_answer,
    next_wait,
    parse_retry_after,
    status_text,
)

SHA = Sha256.of_bytes(b"")
SIZED = BlobPin(SHA, 1000)
CAPPED = BlobPin(SHA, max_bytes=1000)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PART = Held(400, Validator('"a"'))


def judge(
    status: int,
    pin: BlobPin = SIZED,
    held: Held | None = None,
    named: dict[str, str] | None = None,
    **headers: str,
) -> Verdict:
    """Judge an answer; its headers by keyword, with underscores, or by name."""
    by_name = {name.replace("_", "-"): value for name, value in headers.items()} | (named or {})
    return judge_answer(status, by_name, pin, held or Held(), NOW)


def test_the_limit_is_the_size_or_else_the_cap_or_else_there_is_none() -> None:
    assert BlobPin(SHA, 5, 9).limit_bytes == 5
    assert BlobPin(SHA, None, 9).limit_bytes == 9
    assert BlobPin(SHA).limit_bytes is None


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({}, Append(0, None)),
        ({"content-length": "1000"}, Append(0, 1000)),
        ({"content-length": " 1000 "}, Append(0, 1000)),
        ({"content-length": "nonsense"}, Append(0, None)),
        ({"content-length": "-1"}, Append(0, None)),
        ({"content-length": "999"}, Refuse("it would send 999 bytes, pinned are 1000")),
        ({"content-length": "1001"}, Refuse("it would send 1001 bytes, pinned are 1000")),
        (
            {"content-length": "77", "content-type": "Text/HTML; charset=utf-8"},
            Refuse("it would send a web page of 77 bytes, pinned are 1000"),
        ),
        ({"content-type": "text/html"}, Append(0, None)),
    ],
)
def test_a_whole_file_of_pinned_size_is_judged_by_its_length(
    headers: dict[str, str], verdict: Verdict
) -> None:
    assert judge(200, named=headers) == verdict
    assert judge(200, held=PART, named=headers) == verdict


def test_a_whole_file_of_unknown_size_is_judged_by_the_cap() -> None:
    assert judge(200, CAPPED, content_length="1") == Append(0, 1)
    assert judge(200, CAPPED, content_length="1000") == Append(0, 1000)
    assert judge(200, CAPPED, content_length="1001") == Refuse(
        "it would send 1001 bytes, the most that may come is 1000"
    )


@pytest.mark.parametrize(
    ("content_range", "verdict"),
    [
        ("bytes 400-999/1000", Append(400, 1000)),
        ("bytes 400-500/1000", Append(400, 1000)),
        ("bytes 400-999/*", Append(400, None)),
        ("bytes 401-999/1000", StartOver("it sent another range than was asked for")),
        ("bytes 0-999/1000", StartOver("it sent another range than was asked for")),
        ("bytes */1000", StartOver("it sent another range than was asked for")),
        ("items 400-999/1000", StartOver("it sent another range than was asked for")),
        ("bytes 400-1999/2000", Refuse("its file has 2000 bytes, pinned are 1000")),
        (f"bytes {'4' * 400}-999/1000", StartOver("it sent another range than was asked for")),
    ],
)
def test_a_part_is_taken_only_where_it_fits(content_range: str, verdict: Verdict) -> None:
    assert judge(206, held=PART, content_range=content_range) == verdict


def test_a_part_without_a_range_is_started_over() -> None:
    assert judge(206, held=PART) == StartOver("it sent another range than was asked for")


def test_a_part_of_a_file_above_the_cap_is_refused() -> None:
    assert judge(206, CAPPED, PART, content_range="bytes 400-1999/2000") == Refuse(
        "its file has 2000 bytes, the most that may come is 1000"
    )


def test_a_part_that_nobody_asked_for_is_refused() -> None:
    verdict = judge(206, content_range="bytes 0-999/1000")
    assert verdict == Refuse("it answered with a part (HTTP 206) where the whole was asked for")


def test_a_part_of_another_version_is_started_over() -> None:
    verdict = judge(206, held=PART, content_range="bytes 400-999/1000", etag='"b"')
    assert verdict == StartOver("the file changed at the server")
    assert judge(206, held=PART, content_range="bytes 400-999/1000", etag='"a"') == Append(400, 1000)
    unknown = Held(400, None)
    assert judge(206, held=unknown, content_range="bytes 400-999/1000", etag='"b"') == Append(400, 1000)


def test_a_416_is_the_end_of_a_file_of_unknown_size_and_else_a_new_start() -> None:
    assert judge(416, CAPPED, PART, content_range="bytes */400") == Complete()
    assert judge(416, CAPPED, PART, content_range="bytes */399") == StartOver("the server has no such range")
    assert judge(416, CAPPED, PART) == StartOver("the server has no such range")
    assert judge(416, SIZED, PART, content_range="bytes */400") == StartOver("the server has no such range")
    assert judge(416, SIZED) == Refuse("HTTP 416 Requested Range Not Satisfiable")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_fault_that_may_pass_is_tried_later(status: int) -> None:
    assert judge(status, retry_after="9") == TryLater(status_text(status), 9.0)
    assert judge(status) == TryLater(status_text(status))


@pytest.mark.parametrize("status", [204, 300, 304, 400, 401, 403, 404, 410, 451, 501, 505, 599])
def test_any_other_status_is_refused(status: int) -> None:
    assert judge(status, retry_after="9") == Refuse(status_text(status))


def test_a_status_has_its_name_where_it_has_one() -> None:
    assert status_text(404) == "HTTP 404 Not Found"
    assert status_text(599) == "HTTP 599"


def test_a_validator_guards_a_range_unless_it_is_weak() -> None:
    assert Validator('"a"', "date").if_range == '"a"'
    assert Validator('W/"a"', "date").if_range == "date"
    assert Validator('W/"a"').if_range is None
    assert Validator(None, "date").if_range == "date"
    assert Validator().if_range is None


def test_validators_contradict_only_where_both_have_a_tag() -> None:
    assert Validator('"a"').contradicts(Validator('"b"'))
    assert not Validator('"a"').contradicts(Validator('"a"'))
    assert not Validator('"a"').contradicts(Validator(None, "date"))
    assert not Validator().contradicts(Validator('"a"'))


def test_the_waits_double_up_to_the_longest_and_end_with_the_tries() -> None:
    patience = Patience(tries=8, first_wait_s=1, longest_wait_s=30)
    waits = [next_wait(patience, failures) for failures in range(1, 9)]
    assert waits == [1, 2, 4, 8, 16, 30, 30, None]


def test_one_try_means_no_wait() -> None:
    assert next_wait(Patience(tries=1), 1) is None


def test_a_wait_that_is_asked_for_is_kept_unless_it_is_shorter_than_ours_or_too_long() -> None:
    patience = Patience(longest_asked_wait_s=120)
    assert next_wait(patience, 1, 7.0) == 7.0
    assert next_wait(patience, 4, 7.0) == 8.0
    assert next_wait(patience, 1, 0.0) == 1.0
    assert next_wait(patience, 1, 120.0) == 120.0
    assert next_wait(patience, 1, 120.5) is None
    assert next_wait(patience, 5, 7.0) is None


def test_any_number_of_tries_has_a_finite_wait() -> None:
    assert next_wait(Patience(tries=10**6), 10**5) == 30.0


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


@pytest.mark.parametrize(
    "start",
    [b"<!DOCTYPE html>", b"<!doctype HTML PUBLIC", b"<html>", b"<HTML lang=en>", b"\xef\xbb\xbf \r\n\t<html"],
)
def test_a_web_page_is_told_by_how_it_starts(start: bytes) -> None:
    assert is_web_page(start)


@pytest.mark.parametrize(
    "start", [b"", b"\x1f\x8b", b"<?xml", b"PK\x03\x04", b"x<html>", b" " * 600 + b"<html>"]
)
def test_other_files_are_no_web_page(start: bytes) -> None:
    assert not is_web_page(start)
