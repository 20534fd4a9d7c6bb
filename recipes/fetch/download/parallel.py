"""One large file from one address, over several connections, with one hash over the whole.

What an answer means is decided in `fetch.http.range_rules`; `piece_scheduler` says who fetches what; `piece_file`
keeps the bytes. The connections write what they get where it belongs; the thread that called reads it back behind
them, from the page cache, and hashes it in order.
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from recipes.core.digest import Sha256
from recipes.core.filesystem import storage_errors
from recipes.fetch.download.piece_file import PieceFile, note_path, read_note
from recipes.fetch.download.piece_map import PIECE_BYTES, Layout
from recipes.fetch.download.piece_scheduler import Board
from recipes.fetch.download.piece_worker import Connection, OtherSizeError, Undertaking
from recipes.fetch.http.network_errors import OriginError
from recipes.fetch.http.range_rules import Part, Whole
from recipes.fetch.http.response_rules import BlobPin, Refuse, TryLater
from recipes.fetch.http.retry import REPORT_S, Pace, Tempo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from recipes.core.console import Console
    from recipes.fetch.http.redirects import Route

CONNECTIONS = 4
MOST_SIZES = 3  # a file that changes its size more often changes all the time


@dataclass(frozen=True)
class Fetched:
    """A file that is there whole.

    Parameters
    ----------
    path
        Where.
    digest
        Of all its bytes.
    size_bytes
        How many they are.
    """

    path: Path
    digest: Sha256
    size_bytes: int


class PieceDownloader:
    """A download of one file. The caller holds the store's lock of it.

    Parameters
    ----------
    label
        What the place is called in messages.
    pin
        What is wanted; its limit is known.
    path
        Where the pieces are kept; they survive this process.
    console, tempo
        Who is told, and how patiently.
    connections
        How many at a time.
    certificates
        Further certificates that the user trusts: a file or a folder.
    piece_bytes
        Of each piece.
    """

    def __init__(  # noqa: PLR0913 - one download's whole surroundings
        self,
        label: str,
        pin: BlobPin,
        path: Path,
        console: Console,
        tempo: Tempo,
        *,
        connections: int = CONNECTIONS,
        certificates: str | None = None,
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        self._label, self._pin, self._path, self._console = label, pin, path, console
        self._connections, self._certificates, self._piece_bytes = connections, certificates, piece_bytes
        self._ended = threading.Event()
        # a connection that waits must not keep the others' work from being done
        self._tempo = replace(tempo, sleep=self._rest) if tempo.sleep is time.sleep else tempo
        self.strange = b""

    def _rest(self, wait_s: float) -> None:
        self._ended.wait(wait_s)

    def fetch(self, route: Route, check_room: Callable[[int], None]) -> Fetched:
        """Give the whole file, with its digest; whether that is the pinned one, the caller judges.

        Parameters
        ----------
        route
            The way to it.
        check_room
            Called with the file's size before a byte of it is asked for; raises where the disk has no room.

        Raises
        ------
        OriginError
            Where this place does not deliver; what has arrived is kept, and `strange` is the start of what it sent.
        StoreError
            Where the disk refuses.
        """
        undertaking = Undertaking(self._label, self._pin, route, self._console, self._tempo)
        try:
            for _ in range(MOST_SIZES):
                size_bytes = self._size(undertaking)
                check_room(size_bytes)
                try:
                    return self._fill(undertaking, Layout(size_bytes, self._piece_bytes))
                except OtherSizeError:
                    self._console.say(
                        f"{self._label}: the file changed its size at the server; starting over"
                    )
                    with storage_errors(self._path):
                        note_path(self._path).unlink(missing_ok=True)
            raise OriginError("the file changes its size at the server all the time", may_pass=True)
        finally:
            self.strange = undertaking.strange

    def finish(self) -> Fetched | None:
        """Give the file, where every piece of it arrived before and is what it was: that needs no network.

        Raises
        ------
        StoreError
            Where the disk refuses.
        """
        note = read_note(self._path)
        if note is None or len(note.pieces) < note.layout.count:
            return None
        size_bytes = note.layout.size_bytes
        if self._pin.size_bytes not in {None, size_bytes}:
            return None
        with PieceFile(self._path, note.layout) as file:
            board = Board(note.layout, file.pieces)
            with self._console.task(f"check what has arrived of {self._label}", size_bytes) as task:
                digest = self._hash(file, board, task.position, waits=False)
        return Fetched(self._path, digest, size_bytes) if digest else None

    def _size(self, undertaking: Undertaking) -> int:
        if self._pin.size_bytes is not None:
            return self._pin.size_bytes
        if (note := read_note(self._path)) and note.pieces:
            return note.layout.size_bytes

        def ask() -> int | TryLater:
            from recipes.fetch.http.session import open_session

            with open_session(self._certificates, follows=False) as session:
                answer = undertaking.request(session, 0, 1, None, lambda _response, answer: answer)
            if isinstance(answer, Part | Whole):
                return answer.total_bytes
            if isinstance(answer, Refuse):
                raise OriginError(answer.reason, may_pass=answer.may_pass)
            return answer if isinstance(answer, TryLater) else TryLater("it says nothing of the file")

        return self._tempo.persist(self._label, ask, self._console)

    def _fill(self, undertaking: Undertaking, layout: Layout) -> Fetched:
        title = f"fetch from {self._label}"
        with PieceFile(self._path, layout) as file, self._console.task(title, layout.size_bytes) as task:
            while True:
                digest = self._round(file, undertaking, task.position)
                misfits = () if digest == self._pin.sha256 else choose_misfits(file, undertaking.latest)
                if not misfits:
                    return Fetched(self._path, digest, layout.size_bytes)
                self._console.say(
                    f"{self._label}: the parts do not fit together; fetching the older ones again"
                )
                for index in misfits:
                    file.lose(index)

    def _round(self, file: PieceFile, undertaking: Undertaking, on_position: Callable[[int], None]) -> Sha256:
        """Fetch what is missing, and hash the whole."""
        board = Board(file.layout, file.pieces)
        board.start(self._connections)
        undertaking.error, undertaking.streamer = None, None
        self._ended.clear()
        threads = [
            threading.Thread(target=self._connect, args=(number, undertaking, board, file), daemon=True)
            for number in range(self._connections)
        ]
        for thread in threads:
            thread.start()
        try:
            digest = self._hash(file, board, on_position, waits=True)
        except KeyboardInterrupt:
            file.abandon()  # a connection may hang for as long as a server may be silent: a person does not wait
            threads.clear()
            raise
        finally:
            board.end()
            self._ended.set()
            for thread in threads:  # nobody may write to a file that is closed
                thread.join()
        if undertaking.error is not None:
            raise undertaking.error
        if digest is None:
            raise AssertionError("unreachable: it ends with all pieces, or with an error")
        return digest

    def _connect(self, number: int, undertaking: Undertaking, board: Board, file: PieceFile) -> None:
        """Be one of the connections, in a thread of its own."""
        from recipes.fetch.http.session import open_session

        error: BaseException | None = None
        try:
            with open_session(self._certificates, follows=False) as session:
                Connection(number, undertaking, session, board, file).work()
        except BaseException as caught:  # noqa: BLE001 - it is raised where the download was called
            error = caught
        with undertaking.lock:
            if undertaking.streamer == number:
                undertaking.streamer = None
            is_last = board.retire()
            # where others go on, one that is turned away means no more than that there are too many
            is_fatal = error is not None and not (isinstance(error, OriginError) and error.may_pass)
            if (is_fatal or is_last) and not board.is_ended:
                undertaking.error = error or OriginError("it does not go on", may_pass=True)
                board.end()

    def _hash(
        self, file: PieceFile, board: Board, on_position: Callable[[int], None], *, waits: bool
    ) -> Sha256 | None:
        """Hash the pieces in order, as they come; None where they do not all come."""
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
        return Sha256(hasher.hexdigest())

    def _take(self, index: int, file: PieceFile, board: Board, timeout_s: float) -> memoryview | None:
        if not board.wait_for(index, timeout_s):
            return None
        data = file.read(index)
        if data is None:
            start = file.layout.start(index)
            self._console.warn(
                f"{self._label}: what had arrived at byte {start} is damaged, and fetched again"
            )
            file.lose(index)
            board.lose(index)
        return data


def choose_misfits(file: PieceFile, latest: int | None) -> tuple[int, ...]:
    """Say which pieces to fetch again where the whole is not the pinned file; none where it came from one source.

    Those of an older version than the one met last; where there is one version, those that an earlier run left, from
    a place that may have sent something else under the same name.
    """
    used = {piece.version for piece in file.pieces.values()}
    if len(used) > 1:
        kept = latest if latest in used else max(used)
        return tuple(index for index, piece in file.pieces.items() if piece.version != kept)
    return tuple(file.inherited)
