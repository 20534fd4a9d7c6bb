"""What a server's answer to a request for a part of a large file means, from its head alone. Pure.

The rules of ranges are those of RFC 9110, section 14. `response_rules` judges answers to requests for all that
follows a byte; here a part in the middle is asked for, by one of several connections.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from recipes.fetch.http.response_rules import (
    TRY_LATER,
    BlobPin,
    Refuse,
    TryLater,
    is_page_type,
    parse_retry_after,
    status_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

EXPIRED = frozenset({401, 403, 404, 410})  # what an address that a server gave for a while says after that
GATED = frozenset({401, 403})


@dataclass(frozen=True)
class Part:
    """The body begins at the byte that was asked for; the whole file has `total_bytes`."""

    total_bytes: int


@dataclass(frozen=True)
class Whole:
    """The body is the whole file: the server does not know ranges."""

    total_bytes: int


@dataclass(frozen=True)
class Expired:
    """The address that we were sent to serves no more: ask again where it was named."""

    reason: str


@dataclass(frozen=True)
class OtherSize:
    """The server has a file of another size than the one that is being fetched."""

    total_bytes: int


Answer = Part | Whole | Expired | OtherSize | TryLater | Refuse


@dataclass(frozen=True)
class Asked:
    """What was asked for.

    Parameters
    ----------
    start
        The first byte.
    size_bytes
        Of the whole file, where it is known already.
    is_redirected
        Whether a server named the address that answered.
    """

    start: int
    size_bytes: int | None
    is_redirected: bool = False


def judge_range(status: int, headers: Mapping[str, str], pin: BlobPin, asked: Asked, now: datetime) -> Answer:
    """Say what to do with an answer.

    | status             | head                                            | answer    |
    |--------------------|-------------------------------------------------|-----------|
    | 206                | begins where asked, total fits the pin          | Part      |
    | 206, 416           | total unlike the pin                            | Refuse    |
    | 206                | total unlike what was said before               | OtherSize |
    | 206                | another range, or none                          | TryLater  |
    | 200                | length fits the pin                             | Whole     |
    | 200                | length unlike the pin, or none and no pinned size | Refuse  |
    | 401, 403, 404, 410 | from an address that a server named             | Expired   |
    | 408, 425, 429, 5xx | Retry-After                                     | TryLater  |
    | below 400          | Content-Encoding                                | Refuse    |
    | any other          |                                                 | Refuse    |

    Parameters
    ----------
    status
        Of the final answer.
    headers
        Names in lower case.
    pin
        What is wanted.
    asked
        What was asked for.
    now
        For a Retry-After that is a date.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if status < HTTPStatus.BAD_REQUEST and encoding not in {"", "identity"}:
        return Refuse("it sends other bytes than the file's: they are encoded, which nobody asked for")
    if status == HTTPStatus.OK:
        return _judge_whole(headers, pin, asked)
    if status in {HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}:
        return _judge_part(status, headers, pin, asked)
    if status in EXPIRED and asked.is_redirected:
        return Expired(status_text(status))
    if status in TRY_LATER:
        return TryLater(status_text(status), parse_retry_after(headers.get("retry-after"), now))
    gated = ": for a gated model, set HF_TOKEN" if status in GATED else ""
    return Refuse(status_text(status) + gated)


def _judge_whole(headers: Mapping[str, str], pin: BlobPin, asked: Asked) -> Answer:
    length = headers.get("content-length", "").strip()
    page = "a web page of " if is_page_type(headers) else ""
    if not re.fullmatch(r"[0-9]{1,18}", length):
        if page:
            return Refuse("it would send a web page")
        if pin.size_bytes is None:
            return Refuse("it does not say how large the file is, and the manifest does not know it")
        return Whole(pin.size_bytes)
    return _fits(int(length), pin, asked, f"it would send {page}") or Whole(int(length))


def _judge_part(status: int, headers: Mapping[str, str], pin: BlobPin, asked: Asked) -> Answer:
    pattern = r"bytes\s+(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)"
    found = re.fullmatch(pattern, headers.get("content-range", "").strip())
    total = found[3] if found and found[3] != "*" else None
    if total is not None and (misfit := _fits(int(total), pin, asked, "its file has ")):
        return misfit
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return TryLater("it says that there is no such part of its file")
    if found is None or found[1] is None or int(found[1]) != asked.start:
        return TryLater("it sent another part than was asked for")
    size_bytes = int(total) if total is not None else pin.size_bytes
    return Part(size_bytes) if size_bytes else Refuse("it does not say how large its file is")


def _fits(total: int, pin: BlobPin, asked: Asked, words: str) -> Answer | None:
    if pin.size_bytes is not None and total != pin.size_bytes:
        return Refuse(f"{words}{total} bytes, pinned are {pin.size_bytes}")
    if pin.limit_bytes is not None and total > pin.limit_bytes:
        return Refuse(f"{words}{total} bytes, the most that may come is {pin.limit_bytes}")
    if not total:
        return Refuse("its file is empty")
    if asked.size_bytes is not None and total != asked.size_bytes:
        return OtherSize(total)
    return None
