"""One connection by itself, beside others that are only said to be there."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from recipes.board import Board
from recipes.connection import open_session
from recipes.console import Silent
from recipes.piece_connection import Connection, Undertaking
from recipes.piece_file import PieceFile
from recipes.pieces import Layout
from recipes.route import Route
from recipes.tempo import Tempo
from recipes.transfer import BlobPin
from tests.integration import servers
from tests.integration.model_bench import DATA, OTHER, PIECE, SHA
from tests.integration.servers import Server

if TYPE_CHECKING:
    from pathlib import Path

HELD, BUSY = range(10), range(10, 20)


@pytest.mark.parametrize("behaviour", [servers.GOOD, servers.IGNORES_RANGE])
def test_what_another_one_has_or_fetches_is_never_written(
    behaviour: servers.Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # else bytes could change behind the one that hashes them
    monkeypatch.setenv("NO_PROXY", "*")
    layout = Layout(len(DATA), PIECE)
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
        undertaking = Undertaking("here", BlobPin(SHA, len(DATA)), route, Silent(), Tempo())
        connection = Connection(0, undertaking, session, board, file)
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
