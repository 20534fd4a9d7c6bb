"""One connection by itself, beside others that are only said to be there."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from recipes.core.console import Silent
from recipes.fetch.download.piece_file import PieceFile
from recipes.fetch.download.piece_map import PieceLayout
from recipes.fetch.download.piece_scheduler import Board
from recipes.fetch.download.piece_worker import Connection, Transfer
from recipes.fetch.http.redirects import Route
from recipes.fetch.http.response_rules import BlobPin
from recipes.fetch.http.retry import Tempo
from recipes.fetch.http.session import open_session
from tests.support import http_server as servers
from tests.support.http_server import Server
from tests.support.model_project import DATA, OTHER, PIECE, SHA

if TYPE_CHECKING:
    from pathlib import Path

HELD, BUSY = range(10), range(10, 20)


@pytest.mark.parametrize("behaviour", [servers.GOOD, servers.IGNORES_RANGE])
def test_what_another_one_has_or_fetches_is_never_written(
    behaviour: servers.Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # else bytes could change behind the one that hashes them
    monkeypatch.setenv("NO_PROXY", "*")
    layout = PieceLayout(len(DATA), PIECE)
    with (
        Server() as server,
        PieceFile(tmp_path / "pieces", layout) as file,
        open_session(None, follows=False) as session,
    ):
        board = Board(layout, HELD)
        for index in (*HELD, *BUSY):
            file.write(layout.start(index), OTHER[layout.start(index) : layout.end(index)])
        assert all(board.claim(index) for index in BUSY)
        board.start(2)
        route = Route(server.serve("/file", DATA, behaviour))
        transfer = Transfer("here", BlobPin(SHA, len(DATA)), route, Silent(), Tempo())
        connection = Connection(0, transfer, session, board, file)
        thread = threading.Thread(target=connection.work)
        thread.start()
        for index in range(BUSY.stop, layout.count):
            while not board.wait_for(index, 10.0):
                assert thread.is_alive()
        board.end()
        thread.join()
        found = file.path.read_bytes()
        border = layout.start(BUSY.stop)
        assert found == OTHER[:border] + DATA[border:]
        assert sorted(file.pieces) == list(range(BUSY.stop, layout.count))
