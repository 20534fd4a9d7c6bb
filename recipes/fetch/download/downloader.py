"""One file from one address, over one or several connections: resumed, capped, hashed as a whole.

What an answer means is decided in `fetch.http.response_rules`; `piece_scheduler` says who fetches what; `piece_file`
keeps the bytes. The connections write what they get where it belongs; the thread that called reads it back behind
them, from the page cache, and hashes it in order.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from recipes.core.digest import Sha256
from recipes.core.filesystem import open_to_write, storage_errors
from recipes.fetch.download.piece_file import PieceFile, note_path, read_note
from recipes.fetch.download.piece_map import PIECE_BYTES, PieceLayout
from recipes.fetch.download.piece_scheduler import Board
from recipes.fetch.download.piece_worker import (
    READ_BYTES,
    STRANGE_BYTES,
    Connection,
    OtherSizeError,
    Transfer,
)
from recipes.fetch.http.network_errors import OriginError
from recipes.fetch.http.response_rules import (
    Answer,
    BlobPin,
    PartBody,
    Refuse,
    TryLater,
    Unpinned,
    WholeBody,
)
from recipes.fetch.http.retry import REPORT_S, Pace, Tempo
from recipes.fetch.http.session import open_session
from recipes.fetch.http.sniff import is_web_page, name_wrong_start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from requests import Response

    from recipes.core.digest import Hasher
    from recipes.fetch.download.piece_map import PieceNote
    from recipes.fetch.http.redirects import Route
    from recipes.store.context import Context

CONNECTIONS = 4
MOST_SIZES = 3  # a file that changes its size more often changes all the time
MOST_ROUNDS = 5  # of fetching again what does not fit; a server that names a new version each time never ends
SAVED = "what had arrived"


@dataclass(frozen=True)
class Fetched:
    """A file that is there whole; its digest is None where it was not asked for."""

    path: Path
    digest: Sha256 | None
    size_bytes: int


class Downloader:
    """A download of one file, whose pieces survive this process at `path`; the caller holds the store's lock of it."""

    def __init__(  # noqa: PLR0913 - one download's whole environment
        self,
        label: str,
        pin: BlobPin | Unpinned,
        path: Path,
        context: Context,
        tempo: Tempo,
        *,
        connections: int = CONNECTIONS,
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        self.label, self.pin, self.path = label, pin, path
        self._console, self._certificates = context.console, context.settings.certificates
        self._connections, self._piece_bytes = connections, piece_bytes
        self._ended = threading.Event()
        # a connection that waits must not keep the others' work from being done
        self._tempo = replace(tempo, sleep=self._rest) if tempo.sleep is time.sleep else tempo
        self._hashes = True
        self._old: set[int] | None = None  # pieces that an earlier run left
        self._misfits: tuple[int, ...] = ()
        self._rounds = 0
        self.strange = b""

    def _rest(self, wait_s: float) -> None:
        self._ended.wait(wait_s)

    @property
    def has_all(self) -> bool:
        """Whether every piece arrived before, as after a kill behind the last byte."""
        note = read_note(self.path)
        return (
            note is not None
            and len(note.pieces) == note.layout.count
            and self.pin.size_bytes in {None, note.layout.size_bytes}
        )

    def fetch(
        self, route: Route | None, check_room: Callable[[int], None] | None = None, *, hashes: bool = True
    ) -> Fetched:
        """Return the whole file; whether it is the pinned one, the caller checks.

        Without a route, what has arrived is used. `check_room` is called with the file's size before a byte of it is
        asked for, and raises where the disk has no room. `hashes` also fetches again what does not fit where the digest
        is not the pinned one; without it the caller hashes, and calls `drop_misfits`.

        An OriginError is raised where this place does not deliver: what has arrived is kept, and `strange` is the start
        of what it sent. A StoreError is raised where the disk refuses, a UsageError where the user's proxy or
        certificates cannot be used.
        """
        self._hashes = hashes
        self._ended.clear()
        if route is None:
            return self._finish()
        transfer = Transfer(self.label, self.pin, route, self._console, self._tempo)
        try:
            for _ in range(MOST_SIZES):
                found = self._begin(transfer)
                if isinstance(found, Fetched):
                    return found
                if check_room:
                    check_room(found)
                try:
                    return self._fetch_fitting(transfer, PieceLayout(found, self._piece_bytes))
                except OtherSizeError:
                    self._console.say(f"{self.label}: the file changed its size at the server; starting over")
                    self._forget_note()
            raise OriginError("the file changes its size at the server all the time", may_pass=True)
        finally:
            self.strange = transfer.strange

    def drop_misfits(self) -> bool:
        """Forget the pieces that may be why the whole is not the pinned file; return whether there were any."""
        note = read_note(self.path)
        self._rounds += 1
        if note is None or not self._misfits or self._rounds > MOST_ROUNDS:
            return False
        self._console.say(f"{self.label}: the parts do not fit together; fetching the older ones again")
        with PieceFile(self.path, note.layout) as file:
            for index in self._misfits:
                file.lose(index)
        self._misfits = ()
        return True

    def forget(self) -> None:
        """Remove the pieces, and the note of them."""
        with storage_errors(self.path):
            self.path.unlink(missing_ok=True)
        self._forget_note()

    def _forget_note(self) -> None:
        self._old = set()
        with storage_errors(self.path):
            note_path(self.path).unlink(missing_ok=True)

    def _finish(self) -> Fetched:
        note = read_note(self.path)
        if note is None:
            raise OriginError("nothing")
        with PieceFile(self.path, note.layout) as file:
            board = Board(note.layout, file.pieces)
            with self._console.task(
                f"check what has arrived of {self.label}", note.layout.size_bytes
            ) as task:
                hasher = self._follow(file, board, task.position, waits=False)
            self._misfits = choose_misfits(file.pieces, (), None)
        if hasher is None:
            raise OriginError("a part of it is damaged", may_pass=True)
        fetched = self._fetched(hasher, note.layout.size_bytes)
        if self._hashes and fetched.digest != self.pin.sha256 and self.drop_misfits():
            raise OriginError("its parts do not fit together", may_pass=True)
        return fetched

    def _fetched(self, hasher: Hasher, size_bytes: int) -> Fetched:
        return Fetched(self.path, Sha256(hasher.hexdigest()) if self._hashes else None, size_bytes)

    def _begin(self, transfer: Transfer) -> int | Fetched:
        """Return the file's size; or the file itself, where its size is not told or nothing pins it."""
        if self.pin.size_bytes is not None:
            return self.pin.size_bytes
        is_pinned = self.pin.sha256 is not None
        if is_pinned and (note := read_note(self.path)) and note.pieces:
            return note.layout.size_bytes

        found: list[int | Fetched] = []

        def receive(response: Response, answer: PartBody | WholeBody) -> Answer:
            if is_pinned and answer.total_bytes is not None:
                found.append(answer.total_bytes)
                return answer
            whole = self._receive_whole(transfer, response, answer.total_bytes)
            if not isinstance(whole, Fetched):
                return whole
            found.append(whole)
            return answer

        def ask() -> int | Fetched | TryLater:
            with open_session(self._certificates, follows=False) as session:
                answer = transfer.request(session, 0 if is_pinned else None, 1, None, receive)
            if isinstance(answer, Refuse):
                raise OriginError(answer.reason, may_pass=answer.may_pass)
            if isinstance(answer, TryLater):
                return answer
            return found[0] if found else TryLater("it says nothing of the file")

        self._tempo.persist(self.label, ask, self._console)
        return found[0]

    def _receive_whole(
        self, transfer: Transfer, response: Response, total_bytes: int | None
    ) -> Fetched | TryLater | Refuse:
        """Take a file in from its start to its end, in one answer: nothing would tell whether two parts fit."""
        self._forget_note()
        limit_bytes = self.pin.limit_bytes or 0
        hasher, size_bytes, start, pace = hashlib.sha256(), 0, b"", Pace(self._tempo, 0)
        with (
            storage_errors(self.path),
            os.fdopen(open_to_write(self.path), "wb") as file,
            self._console.task(f"fetch from {self.label}", total_bytes) as task,
        ):
            while chunk := response.raw.read1(READ_BYTES, decode_content=False):
                start += chunk[: STRANGE_BYTES - len(start)]
                size_bytes += len(chunk)
                if size_bytes > limit_bytes:
                    break
                file.write(chunk)
                hasher.update(chunk)
                if pace.is_report_due():
                    task.position(size_bytes)
                if fault := pace.fault(size_bytes):
                    return fault
        if size_bytes <= limit_bytes and not is_web_page(start) and start:
            return self._fetched(hasher, size_bytes)
        transfer.strange = start
        self.forget()
        if size_bytes > limit_bytes:
            return Refuse(f"it sent more than the {limit_bytes} bytes that may come")
        return Refuse(f"it sent {name_wrong_start(start)}")

    def _fetch_fitting(self, transfer: Transfer, layout: PieceLayout) -> Fetched:
        """Fetch what is missing, and again what does not fit."""
        while True:
            with (
                PieceFile(self.path, layout) as file,
                self._console.task(f"fetch from {self.label}", layout.size_bytes) as task,
            ):
                if self._old is None:
                    self._old = set(file.inherited)
                hasher = self._fill(file, transfer, task.position)
                self._old &= file.inherited.keys()
                self._misfits = choose_misfits(file.pieces, self._old, transfer.latest)
            fetched = self._fetched(hasher, layout.size_bytes)
            if not self._hashes or fetched.digest == self.pin.sha256 or not self.drop_misfits():
                return fetched

    def _fill(self, file: PieceFile, transfer: Transfer, on_position: Callable[[int], None]) -> Hasher:
        board = Board(file.layout, file.pieces)
        board.start(self._connections)
        transfer.error, transfer.streamer = None, None
        self._ended.clear()
        threads = [
            threading.Thread(target=self._connect, args=(number, transfer, board, file), daemon=True)
            for number in range(self._connections)
        ]
        for thread in threads:
            thread.start()
        try:
            hasher = self._follow(file, board, on_position, waits=True)
        except KeyboardInterrupt:
            file.abandon()  # a connection may hang for as long as a server may be silent: a person does not wait
            threads.clear()
            raise
        finally:
            board.end()
            self._ended.set()
            for thread in threads:  # nobody may write to a file that is closed
                thread.join()
        if transfer.error is not None:
            raise transfer.error
        if hasher is None:
            raise AssertionError("unreachable: it ends with all pieces, or with an error")
        return hasher

    def _connect(self, number: int, transfer: Transfer, board: Board, file: PieceFile) -> None:
        """Be one of the connections, in a thread of its own."""
        error: BaseException | None = None
        try:
            with open_session(self._certificates, follows=False) as session:
                Connection(number, transfer, session, board, file).work()
        except BaseException as caught:  # noqa: BLE001 - it is raised where the download was called
            error = caught
        with transfer.lock:
            if transfer.streamer == number:
                transfer.streamer = None
            is_last = board.retire()
            # where others go on, one that is turned away means no more than that there are too many
            is_fatal = error is not None and not (isinstance(error, OriginError) and error.may_pass)
            if (is_fatal or is_last) and not board.is_ended:
                transfer.error = error or OriginError("it does not go on", may_pass=True)
                board.end()

    def _follow(
        self, file: PieceFile, board: Board, on_position: Callable[[int], None], *, waits: bool
    ) -> Hasher | None:
        """Go through the pieces in order, as they come, and hash them; None where they do not all come."""
        hasher, pace = hashlib.sha256(), Pace(self._tempo, 0)
        for index in range(file.layout.count):
            while (data := self._take(index, file, board, REPORT_S if waits else 0)) is None:
                if board.is_ended or not waits:
                    return None
                on_position(board.held_bytes)
            hasher.update(data)
            if pace.is_report_due():
                on_position(board.held_bytes if waits else file.layout.end(index))
        on_position(file.layout.size_bytes)
        return hasher

    def _take(self, index: int, file: PieceFile, board: Board, timeout_s: float) -> memoryview | bytes | None:
        if not board.wait_for(index, timeout_s):
            return None
        if not self._hashes and index not in file.inherited:
            return b""
        data = file.read(index)
        if data is None:
            start = file.layout.start(index)
            self._console.warn(
                f"{self.label}: what had arrived at byte {start} is damaged, and fetched again"
            )
            file.lose(index)
            board.lose(index)
        return data


def choose_misfits(
    pieces: Mapping[int, PieceNote], old: Iterable[int], latest: int | None
) -> tuple[int, ...]:
    """Return the pieces to fetch again where the whole is not the pinned file; none where it came from one source.

    Those of an older version than the one met last; where there is one version, those that an earlier run left, from
    a place that may have sent something else under the same name. Pure.
    """
    used = {piece.version for piece in pieces.values()}
    if len(used) > 1:
        kept = latest if latest in used else max(used)
        return tuple(index for index, piece in pieces.items() if piece.version != kept)
    return tuple(old)
