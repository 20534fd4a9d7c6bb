"""The decisions of a download, free of I/O: what is wanted, what a server's answer means, how long to wait.

The rules of ranges and validators are those of RFC 9110, sections 13 and 14; of Retry-After, section 10.2.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recipes.core.digest import Sha256

TRY_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
PAGE_MARKS = (b"<!doctype html", b"<html")
SNIFF_BYTES = 512


@dataclass(frozen=True)
class BlobPin:
    """What identifies one file.

    Parameters
    ----------
    sha256
        Of its bytes.
    size_bytes
        Its length, where it was ever seen.
    max_bytes
        What caps the download where its length is not known.
    """

    sha256: Sha256
    size_bytes: int | None = None
    max_bytes: int | None = None

    @property
    def limit_bytes(self) -> int | None:
        """The most bytes that are ever read of it; None means that there is no cap, and so no fetch."""
        return self.size_bytes if self.size_bytes is not None else self.max_bytes


@dataclass(frozen=True)
class Patience:
    """How long and how often a download is tried.

    Parameters
    ----------
    tries
        In a row without any new bytes worth mentioning (PROGRESS_BYTES).
    all_tries
        At one origin, however much comes each time.
    first_wait_s, longest_wait_s
        Between two tries: doubled from the first up to the longest.
    longest_asked_wait_s
        The most that a server may ask for by Retry-After.
    timeout_s
        How long a server may be silent, or send less than LEAST_BYTES.
    """

    tries: int = 5
    all_tries: int = 100
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0
    longest_asked_wait_s: float = 120.0
    timeout_s: float = 30.0


PROGRESS_BYTES = 1 << 20  # a try that brought this much does not count as a failed one
LEAST_BYTES = 1 << 10  # within the timeout; a server that drips less is as good as silent


@dataclass(frozen=True)
class Append:
    """The body goes on at this offset, 0 being the file's start; the whole file has `total_bytes`."""

    offset: int
    total_bytes: int | None


@dataclass(frozen=True)
class StartOver:
    """What has arrived does not fit what this server has: ask for the whole."""

    reason: str


@dataclass(frozen=True)
class Complete:
    """The server has no byte more than what has arrived."""


@dataclass(frozen=True)
class TryLater:
    """A fault that may pass; `wait_s` is what the server asked for."""

    reason: str
    wait_s: float | None = None


@dataclass(frozen=True)
class Refuse:
    """The server does not have the pinned file: asking again now would not help.

    `may_pass` says that it could later, as with a network that is gone.
    """

    reason: str
    may_pass: bool = False


@dataclass(frozen=True)
class SetAside:
    """What came to its end is not the pinned file."""

    reason: str


Verdict = Append | StartOver | Complete | TryLater | Refuse | SetAside


@dataclass(frozen=True)
class Validator:
    """What a server said of the version of a file that it sent: its ETag and Last-Modified, as they came."""

    etag: str | None = None
    last_modified: str | None = None

    @classmethod
    def of_headers(cls, headers: Mapping[str, str]) -> Validator:
        """Take them from an answer whose header names are in lower case."""
        return cls(headers.get("etag"), headers.get("last-modified"))

    @property
    def if_range(self) -> str | None:
        """What an If-Range header may hold: never a weak ETag (RFC 9110, section 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified

    def contradicts(self, other: Validator) -> bool:
        """Whether the two surely name two versions."""
        return self.etag is not None and other.etag is not None and self.etag != other.etag


@dataclass(frozen=True)
class Held:
    """What has arrived so far, and of which version, where it came from the address that is asked."""

    size_bytes: int = 0
    version: Validator | None = None


def judge_answer(status: int, headers: Mapping[str, str], pin: BlobPin, held: Held, now: datetime) -> Verdict:
    """Say what to do with an answer, from its head alone.

    | status                 | head                                          | verdict   |
    |------------------------|-----------------------------------------------|-----------|
    | 200                    | length unlike the pin, or above the cap       | Refuse    |
    | 200                    | any other, ranged or not                      | Append 0  |
    | 206                    | range starts at our offset, total fits        | Append    |
    | 206                    | another ETag than that of what we have        | StartOver |
    | 206                    | total unlike the pin                          | Refuse    |
    | 206                    | another range, none, or one that was not asked | StartOver, Refuse |
    | 416                    | size not pinned, total is what we have        | Complete  |
    | 416                    | any other                                     | StartOver |
    | 408, 425, 429, 5xx     | Retry-After                                   | TryLater  |
    | any other              |                                               | Refuse    |

    Parameters
    ----------
    status
        Of the final answer, redirects followed.
    headers
        Names in lower case.
    pin
        What is wanted.
    held
        What is here; where that is something, a range from its end was asked for.
    now
        For a Retry-After that is a date.
    """
    if status == HTTPStatus.OK:
        return _judge_whole(headers, pin)
    if status == HTTPStatus.PARTIAL_CONTENT:
        return _judge_part(headers, pin, held)
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and held.size_bytes:
        total = _content_range(headers)[1]
        if pin.size_bytes is None and total == held.size_bytes:
            return Complete()
        return StartOver("the server has no such range")
    if status in TRY_LATER:
        return TryLater(status_text(status), parse_retry_after(headers.get("retry-after"), now))
    return Refuse(status_text(status))


def _judge_whole(headers: Mapping[str, str], pin: BlobPin) -> Verdict:
    length = _number(headers.get("content-length"))
    if length is not None:
        page = "a web page of " if is_page_type(headers) else ""
        if pin.size_bytes is not None and length != pin.size_bytes:
            return Refuse(f"it would send {page}{length} bytes, pinned are {pin.size_bytes}")
        if pin.limit_bytes is not None and length > pin.limit_bytes:
            return Refuse(f"it would send {page}{length} bytes, the most that may come is {pin.limit_bytes}")
    return Append(0, length)


def _judge_part(headers: Mapping[str, str], pin: BlobPin, held: Held) -> Verdict:
    if not held.size_bytes:
        return Refuse("it answered with a part (HTTP 206) where the whole was asked for")
    start, total = _content_range(headers)
    if held.version is not None and held.version.contradicts(Validator.of_headers(headers)):
        return StartOver("the file changed at the server")
    if start != held.size_bytes:
        return StartOver("it sent another range than was asked for")
    if total is not None and pin.size_bytes is not None and total != pin.size_bytes:
        return Refuse(f"its file has {total} bytes, pinned are {pin.size_bytes}")
    if total is not None and pin.limit_bytes is not None and total > pin.limit_bytes:
        return Refuse(f"its file has {total} bytes, the most that may come is {pin.limit_bytes}")
    return Append(held.size_bytes, total)


def next_wait(patience: Patience, failures: int, asked_s: float | None = None) -> float | None:
    """How long to wait before the next try, in seconds; None is to give up.

    Parameters
    ----------
    patience
        The limits.
    failures
        Tries in a row that failed, at least 1.
    asked_s
        What the server asked for.
    """
    if failures >= patience.tries or (asked_s is not None and asked_s > patience.longest_asked_wait_s):
        return None
    doubled = patience.first_wait_s * float(1 << min(failures - 1, 60))
    return max(min(doubled, patience.longest_wait_s), asked_s or 0.0)


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


def status_text(status: int) -> str:
    """Give an HTTP status with its name.

    >>> status_text(404), status_text(599)
    ('HTTP 404 Not Found', 'HTTP 599')
    """
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def is_web_page(start: bytes) -> bool:
    """Whether a file that starts so is a web page, such as a login page saved under a file's name."""
    return start[:SNIFF_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(PAGE_MARKS)


def _content_range(headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    """First byte and whole length that a Content-Range header names."""
    match = re.fullmatch(
        r"bytes\s+(?:(\d{1,19})-\d{1,19}|\*)/(\d{1,19}|\*)", headers.get("content-range", "").strip()
    )
    if match is None:
        return None, None
    return _number(match[1]), _number(match[2])


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,19}", text.strip()) else None


def is_page_type(headers: Mapping[str, str]) -> bool:
    """Whether an answer says of itself that it is a web page."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() in {
        "text/html",
        "application/xhtml+xml",
    }
