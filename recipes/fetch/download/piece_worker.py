"""One of the connections of a download: takes runs from the board, and puts each byte where it belongs."""

from __future__ import annotations

import threading
import zlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from recipes.fetch.download.piece_map import Version
from recipes.fetch.download.piece_scheduler import PieceRun
from recipes.fetch.http.network_errors import OriginError, describe_fault, is_lasting, shown_url
from recipes.fetch.http.response_rules import (
    GONE,
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
    own_words,
)
from recipes.fetch.http.retry import PROGRESS_BYTES, Pace
from recipes.fetch.http.sniff import is_web_page, name_wrong_start

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import Response, Session

    from recipes.core.console import Console
    from recipes.fetch.download.piece_file import PieceFile
    from recipes.fetch.download.piece_scheduler import Board
    from recipes.fetch.http.redirects import Route, RouteReply, Statement
    from recipes.fetch.http.retry import Tempo

READ_BYTES = 1 << 20  # at most, at once: what is there is taken, so that an interruption loses nothing
STRANGE_BYTES = 1 << 16  # of a body that is not the file, to say what it is


class OtherSizeError(Exception):
    """The server has a file of another size than before: what has arrived is of another version."""


@dataclass
class Transfer:
    """What the connections of one download share."""

    label: str
    pin: BlobPin | Unpinned
    route: Route
    console: Console
    tempo: Tempo
    strange: bytes = b""  # the start of an answer that was not the file
    streamer: int | None = None  # the connection that takes the whole file in: the server knows no ranges
    latest: int | None = None  # the number of the version that was met last
    error: BaseException | None = None
    has_answered: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def meet(self, response: Response, file: PieceFile) -> int:
        """Return the number of the version that an answer is of."""
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        with self.lock:
            self.latest = file.version(Version(shown_url(self.route.address), tag))
            return self.latest

    def is_streamer(self, number: int) -> bool:
        """Whether this connection is the one that takes the whole file in; the first to ask is."""
        with self.lock:
            if self.streamer is None:
                self.console.say(f"{self.label}: it sends the whole file each time; one connection is used")
                self.streamer = number
            return self.streamer == number

    def request(
        self,
        session: Session,
        start: int | None,
        end: int,
        size_bytes: int | None,
        receive: Callable[[Response, PartBody | WholeBody], Answer],
    ) -> Answer:
        """Make one request, and hand a body that is the file's to `receive`.

        `start` and `end` say which part, without the byte at `end`; the whole file is asked for where `start` is None.
        `size_bytes` is that of the whole file, where it is known. A UsageError is raised where the user's proxy or
        certificates cannot be used.
        """
        from requests import RequestException
        from urllib3.exceptions import HTTPError

        timeout_s = self.tempo.patience.timeout_s
        try:
            reply = self.route.ask(session, start, end, timeout_s)
            with reply.response as response:
                self.has_answered = True
                answer = self._interpret(reply, start, size_bytes)
                return receive(response, answer) if isinstance(answer, PartBody | WholeBody) else answer
        except (RequestException, HTTPError, OSError, ValueError) as error:
            self.route.forget_target()  # it may be the place that we were sent to that is gone
            reason = describe_fault(error, timeout_s)
            if is_lasting(error, has_answered=self.has_answered):
                return Refuse(reason, may_pass=True)
            return TryLater(reason)

    def _interpret(self, reply: RouteReply, start: int | None, size_bytes: int | None) -> Answer:
        response = reply.response
        if misfit := contradiction(self.route.statement, self.pin):
            return Refuse(misfit)
        names = {name.lower(): value for name, value in response.headers.items()}
        route = self.route
        asked = Asked(start, size_bytes, reply.is_redirected, route.is_hub, has_token=route.has_token)
        answer = interpret_answer(response.status_code, names, self.pin, asked, datetime.now(UTC))
        if isinstance(answer, Expired):
            self.route.forget_target()
            if not reply.is_fresh:
                return answer
            reason = f"{answer.reason}, where it sent us on to"
            return Refuse(reason) if response.status_code in GONE else TryLater(reason)
        if isinstance(answer, Refuse) and route.is_hub and response.status_code >= HTTPStatus.BAD_REQUEST:
            words = route.without_token(own_words(names, _peek(response)))
            return replace(answer, reason=f"{answer.reason}; it says: {words}") if words else answer
        if isinstance(answer, Refuse) and response.status_code == HTTPStatus.OK:
            self.strange = _peek(response)
            what = name_wrong_start(self.strange) if self.strange else None
            return Refuse(f"{answer.reason}: {what}") if what else answer
        return answer


class Connection:
    """One connection."""

    def __init__(
        self, number: int, transfer: Transfer, session: Session, board: Board, file: PieceFile
    ) -> None:
        self._number, self._all, self._session = number, transfer, session
        self._board, self._file = board, file
        self._index, self._position, self._checksum = 0, 0, 0
        self._version: int | None = None
        self._start = b""  # of a whole file
        self._new_bytes = 0
        self._failures, self._requests = 0, 0

    def work(self) -> None:
        """Fetch until nothing is left or this is of no use; raises an OriginError, OtherSizeError or StoreError."""
        while (run := self._board.take()) is not None:
            if not self._fetch(run):
                return

    def _fetch(self, run: PieceRun) -> bool:
        """Fetch a run; return whether this connection is of further use."""
        end = run.end
        self._begin(run.first)
        try:
            while self._index < end and not self._board.is_ended:
                before = self._new_bytes
                answer = self._ask(end)
                if isinstance(answer, WholeBody):  # the other connection takes all in
                    return False
                if isinstance(answer, TryLater):
                    if not self._board.has_one_worker:  # others can go on with what comes behind this piece
                        self._board.give_back(PieceRun(self._index + 1, end))
                        end = min(end, self._index + 1)
                    self._wait(answer, progress_bytes=self._new_bytes - before)
                elif not isinstance(answer, PartBody | Expired):
                    raise _refusal(answer)
        finally:
            self._board.give_back(PieceRun(self._index, end))
        return True

    def _wait(self, fault: TryLater, *, progress_bytes: int) -> None:
        tempo = self._all.tempo
        self._requests += 1
        self._failures = 1 if progress_bytes >= PROGRESS_BYTES else self._failures + 1
        if self._requests >= tempo.patience.all_tries:
            raise OriginError(f"{fault.reason}; given up after {self._requests} requests", may_pass=True)
        tempo.pause(self._all.label, fault, self._failures, self._all.console)

    def _begin(self, index: int) -> None:
        self._index, self._checksum = index, 0
        self._position = self._file.layout.start(index)

    def _ask(self, end: int) -> Answer:
        layout = self._file.layout

        def receive(response: Response, answer: PartBody | WholeBody) -> Answer:
            version = self._all.meet(response, self._file)
            if isinstance(answer, WholeBody):
                if not self._all.is_streamer(self._number):
                    return answer
                self._board.give_back(PieceRun(self._index, end))
                self._index = end
                return self._stream(response, version)
            if version != self._version and self._position != layout.start(self._index):
                self._begin(self._index)  # never one piece of two versions
                return Expired("another version")
            self._version = version
            return self._receive(response, end, version) or answer

        asked_end = layout.end(end - 1)
        return self._all.request(self._session, self._position, asked_end, layout.size_bytes, receive)

    def _receive(self, response: Response, end: int, version: int) -> Answer | None:
        """Take a part in; None where all of it came."""
        layout, pace = self._file.layout, Pace(self._all.tempo, self._new_bytes)
        while self._index < end and not self._board.is_ended:
            chunk = self._read(response, layout.end(self._index) - self._position)
            if not chunk:
                return self._cut(self._position)
            self._file.write(self._position, chunk)
            self._checksum = zlib.crc32(chunk, self._checksum)
            self._position += len(chunk)
            self._new_bytes += len(chunk)
            if self._position == layout.end(self._index):
                self._file.note(self._index, self._checksum, version)
                self._board.hold(self._index)
                self._begin(self._index + 1)
            pace.is_report_due()
            if fault := pace.fault(self._new_bytes):
                return fault
        return None

    def _stream(self, response: Response, version: int) -> Answer:
        """Take the whole file in, one piece behind the other; leave what is there, or what another one fetches."""
        layout, pace = self._file.layout, Pace(self._all.tempo, 0)
        self._start = b""
        for index in range(layout.count):
            is_ours = self._board.claim(index)
            try:
                if fault := self._stream_piece(response, index, version if is_ours else None, pace):
                    return fault
            finally:
                if is_ours:
                    self._board.give_back(PieceRun(index, index + 1))  # unless it is there now
        return Expired("all of it came")

    def _stream_piece(self, response: Response, index: int, version: int | None, pace: Pace) -> Answer | None:
        """Take one piece in, or only read past it where no version is given; None where all of it came."""
        layout, checksum, position = self._file.layout, 0, self._file.layout.start(index)
        while position < layout.end(index):
            if self._board.is_ended:
                return Expired("all is there")
            chunk = self._read(response, layout.end(index) - position)
            if not chunk:
                return self._cut_stream(response, position)
            self._start += chunk[: STRANGE_BYTES - len(self._start)]
            if version is not None:
                self._file.write(position, chunk)
                self._new_bytes += len(chunk)
                checksum = zlib.crc32(chunk, checksum)
            position += len(chunk)
            pace.is_report_due()
            if fault := pace.fault(position):
                return fault
        if version is not None:
            self._file.note(index, checksum, version)
            self._board.hold(index)
        return None

    def _cut_stream(self, response: Response, position: int) -> Answer:
        """Return what it means that a body ended too early.

        Only chunks say that a body is whole; without them, or a length, a lost connection looks the same.
        """
        is_whole = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        if not is_whole and not is_web_page(self._start):
            return self._cut(position)
        self._all.strange = self._start
        what = name_wrong_start(self._start)
        reason = f"it sent {position} bytes, {self._file.layout.size_bytes} were expected"
        return Refuse(f"{reason}: {what}" if what else reason)

    @staticmethod
    def _read(response: Response, most_bytes: int) -> bytes:
        return bytes(response.raw.read1(min(READ_BYTES, most_bytes), decode_content=False))

    @staticmethod
    def _cut(position: int) -> TryLater:
        return TryLater(f"the connection was closed early, after {position} bytes")


def _peek(response: Response) -> bytes:
    from urllib3.exceptions import HTTPError

    try:
        return bytes(response.raw.read(STRANGE_BYTES, decode_content=False))
    except HTTPError:  # what it sends is not needed to refuse it
        return b""


def contradiction(statement: Statement | None, pin: BlobPin | Unpinned) -> str | None:
    """Return how what a hub says of a file contradicts the pin; None where it does not. Pure."""
    if statement is None or statement.sha256 is None or pin.sha256 in {None, statement.sha256}:
        return None
    size = f", {statement.size_bytes} bytes" if statement.size_bytes is not None else ""
    commit = f", at its commit {statement.commit}" if statement.commit else ""
    return f"upstream changed, or the pin is wrong: the hub has {statement.sha256}{size}{commit}"


def _refusal(answer: Answer) -> Exception:
    if isinstance(answer, OtherSize):
        return OtherSizeError()
    if isinstance(answer, Refuse):
        return OriginError(answer.reason, may_pass=answer.may_pass)
    return OriginError(getattr(answer, "reason", "an answer that means nothing"), may_pass=True)
