"""What is wanted, and what a server's answer to a request for it means, from the answer's head alone. Pure.

The rules of ranges are those of RFC 9110, section 14; of Retry-After, section 10.2.3.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recipes.core.digest import Sha256

TRY_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
EXPIRED = frozenset({401, 403, 404, 410})  # what an address that a server gave for a while says after that
GATED = frozenset({401, 403})
NO_TOKEN = "for a gated model, set HF_TOKEN"  # noqa: S105 - no token
NOT_LET_IN = "the account of HF_TOKEN may not read it"
MOST_SAID = 300  # characters of a server's own words
GONE = frozenset({404, 410})


@dataclass(frozen=True)
class BlobPin:
    """What identifies one file."""

    sha256: Sha256
    size_bytes: int | None = None  # where it was ever seen
    max_bytes: int | None = None  # what caps the download where its size is not known

    @property
    def limit_bytes(self) -> int | None:
        """The most bytes that are ever read of it; None means that there is no cap, and so no fetch."""
        return self.size_bytes if self.size_bytes is not None else self.max_bytes


@dataclass(frozen=True)
class Unpinned:
    """A file that nothing pins yet: only a cap is known. `lock` fetches such files, to pin them."""

    limit_bytes: int
    sha256: None = None
    size_bytes: None = None


@dataclass(frozen=True)
class TryLater:
    """A fault that may pass; `wait_s` is what the server asked for."""

    reason: str
    wait_s: float | None = None


@dataclass(frozen=True)
class Refuse:
    """The server does not have the wanted file: asking again now would not help."""

    reason: str
    may_pass: bool = False  # it could help later, as with a network that is gone


@dataclass(frozen=True)
class PartBody:
    """The body begins at the byte that was asked for; the whole file has `total_bytes`."""

    total_bytes: int


@dataclass(frozen=True)
class WholeBody:
    """The body is the whole file: no part was asked for, or the server does not know ranges."""

    total_bytes: int | None  # where the server or the pin says it


@dataclass(frozen=True)
class Expired:
    """The address that we were sent to serves no more: ask again where it was named."""

    reason: str


@dataclass(frozen=True)
class OtherSize:
    """The server has a file of another size than the one that is being fetched."""

    total_bytes: int


Answer = PartBody | WholeBody | Expired | OtherSize | TryLater | Refuse


@dataclass(frozen=True)
class Asked:
    """What was asked for."""

    start: int | None = None  # the first byte; None for the whole file
    size_bytes: int | None = None  # of the whole file, where it is known
    is_redirected: bool = False  # a server named the address that answered
    is_hub: bool = False  # it gives some files only to whom it knows
    has_token: bool = False  # it knows who asks


def interpret_answer(
    status: int, headers: Mapping[str, str], pin: BlobPin | Unpinned, asked: Asked, now: datetime
) -> Answer:
    """Decide what to do with an answer.

    | status             | head                                            | answer    |
    |--------------------|-------------------------------------------------|-----------|
    | 206                | begins where asked, total fits the pin          | PartBody  |
    | 206                | no part was asked for                           | Refuse    |
    | 206, 416           | total unlike the pin                            | Refuse    |
    | 206                | total unlike what was said before               | OtherSize |
    | 206                | another range, or none                          | TryLater  |
    | 200                | length fits the pin, or there is none           | WholeBody |
    | 200                | length unlike the pin                           | Refuse    |
    | 401, 403, 404, 410 | from an address that a server named             | Expired   |
    | 408, 425, 429, 5xx | Retry-After                                     | TryLater  |
    | below 400          | Content-Encoding                                | Refuse    |
    | any other          |                                                 | Refuse    |

    The status is that of the final answer, redirects followed; the headers' names are in lower case.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if status < HTTPStatus.BAD_REQUEST and encoding not in {"", "identity"}:
        return Refuse("it sends other bytes than the file's: they are encoded, which nobody asked for")
    if status == HTTPStatus.OK:
        return _interpret_whole(headers, pin, asked)
    if asked.start is not None and status in {
        HTTPStatus.PARTIAL_CONTENT,
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    }:
        return _interpret_part(status, headers, pin, asked)
    if status in EXPIRED and asked.is_redirected:
        return Expired(status_text(status))
    if status in TRY_LATER:
        return TryLater(status_text(status), parse_retry_after(headers.get("retry-after"), now))
    gated = f": {NOT_LET_IN if asked.has_token else NO_TOKEN}" if status in GATED and asked.is_hub else ""
    return Refuse(status_text(status) + gated)


def _interpret_whole(headers: Mapping[str, str], pin: BlobPin | Unpinned, asked: Asked) -> Answer:
    length = headers.get("content-length", "").strip()
    if not re.fullmatch(r"[0-9]{1,18}", length):
        return WholeBody(pin.size_bytes)
    return _misfit(int(length), pin, asked, "it would send ") or WholeBody(int(length))


def _interpret_part(status: int, headers: Mapping[str, str], pin: BlobPin | Unpinned, asked: Asked) -> Answer:
    pattern = r"bytes\s+(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)"
    found = re.fullmatch(pattern, headers.get("content-range", "").strip())
    total = found[3] if found and found[3] != "*" else None
    if total is not None and (misfit := _misfit(int(total), pin, asked, "its file has ")):
        return misfit
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return TryLater("it says that there is no such part of its file")
    if found is None or found[1] is None or int(found[1]) != asked.start:
        return TryLater("it sent another part than was asked for")
    size_bytes = int(total) if total is not None else pin.size_bytes
    return PartBody(size_bytes) if size_bytes else Refuse("it does not say how large its file is")


def _misfit(total: int, pin: BlobPin | Unpinned, asked: Asked, words: str) -> Answer | None:
    if pin.size_bytes is not None and total != pin.size_bytes:
        return Refuse(f"{words}{total} bytes, pinned are {pin.size_bytes}")
    if pin.limit_bytes is not None and total > pin.limit_bytes:
        return Refuse(f"{words}{total} bytes, the most that may come is {pin.limit_bytes}")
    if not total:
        return Refuse("its file is empty")
    if asked.size_bytes is not None and total != asked.size_bytes:
        return OtherSize(total)
    return None


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or a date; None where it says neither."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())


def own_words(headers: Mapping[str, str], start: bytes) -> str:
    """Return what a hub says of its refusal, in one line: its header, or the error in its JSON; "" where it says none.

    >>> own_words({}, b'{"error": "Access to model x is restricted."}')
    'Access to model x is restricted.'
    """
    said: object = headers.get("x-error-message", "")
    if not said and start.lstrip().startswith(b"{"):
        try:
            said = json.loads(start).get("error", "")
        except ValueError:  # not whole
            said = ""
    if not isinstance(said, str):
        return ""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in said).split())[:MOST_SAID]


def status_text(status: int) -> str:
    """Return an HTTP status with its name.

    >>> status_text(404), status_text(599)
    ('HTTP 404 Not Found', 'HTTP 599')
    """
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"
