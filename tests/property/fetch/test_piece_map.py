"""Pieces, their note, and who fetches what: whatever happens, nothing is lost, doubled or taken for what it is not."""

from __future__ import annotations

import random
import threading
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.fetch.download.piece_file import PieceFile
from recipes.fetch.download.piece_map import (
    Note,
    PieceLayout,
    PieceNote,
    Version,
    head_line,
    lost_line,
    parse_note,
    piece_line,
    version_line,
)
from recipes.fetch.download.piece_scheduler import BUSY, HELD, MISSING, Board, PieceRun, next_run

LAYOUTS = st.builds(PieceLayout, st.integers(1, 1 << 45), st.integers(1, 1 << 30))
SMALL = st.builds(PieceLayout, st.integers(1, 500), st.integers(1, 40))
VERSIONS = st.lists(st.builds(Version, st.text(), st.text()), max_size=4, unique=True)

if TYPE_CHECKING:
    from pathlib import Path


@given(SMALL)
def test_pieces_cover_the_file_without_a_gap(layout: PieceLayout) -> None:
    assert layout.start(0) == 0
    assert layout.end(layout.count - 1) == layout.size_bytes
    for index in range(layout.count):
        assert 0 < layout.size_of(index) <= layout.piece_bytes
        assert index == 0 or layout.start(index) == layout.end(index - 1)


@given(LAYOUTS)
def test_there_are_as_many_pieces_as_the_size_needs(layout: PieceLayout) -> None:
    assert (layout.count - 1) * layout.piece_bytes < layout.size_bytes <= layout.count * layout.piece_bytes


@st.composite
def histories(draw: st.DrawFn) -> tuple[PieceLayout, tuple[Version, ...], list[str], dict[int, PieceNote]]:
    layout = draw(SMALL)
    versions = tuple(draw(VERSIONS))
    lines = [head_line(layout), *map(version_line, versions)]
    pieces: dict[int, PieceNote] = {}
    events = st.tuples(st.integers(0, layout.count - 1), st.integers(0, (1 << 32) - 1), st.booleans())
    for index, checksum, is_lost in draw(st.lists(events, max_size=20)) if versions else ():
        if is_lost:
            lines.append(lost_line(index))
            pieces.pop(index, None)
        else:
            pieces[index] = PieceNote(checksum, checksum % len(versions))
            lines.append(piece_line(index, pieces[index]))
    return layout, versions, lines, pieces


@given(histories())
def test_what_was_noted_is_read(
    history: tuple[PieceLayout, tuple[Version, ...], list[str], dict[int, PieceNote]],
) -> None:
    layout, versions, lines, pieces = history
    assert parse_note("".join(lines)) == Note(layout, versions, pieces)


@given(histories(), st.floats(0, 1))
def test_a_note_that_was_cut_anywhere_says_what_its_whole_lines_say(
    history: tuple[PieceLayout, tuple[Version, ...], list[str], dict[int, PieceNote]], place: float
) -> None:
    text = "".join(history[2])
    cut = text[: int(place * len(text))]
    whole = cut[: cut.rfind("\n") + 1]
    assert parse_note(cut) == parse_note(whole)
    if "\n" not in cut:
        assert parse_note(cut) is None


@given(histories(), st.floats(0, 1), st.text(max_size=5))
def test_a_note_that_was_changed_is_read_without_a_crash_and_never_beyond_the_file(
    history: tuple[PieceLayout, tuple[Version, ...], list[str], dict[int, PieceNote]], place: float, junk: str
) -> None:
    text = "".join(history[2])
    at = int(place * len(text))
    note = parse_note(text[:at] + junk + text[at + len(junk) :])
    if note is not None:
        assert all(0 <= index < note.layout.count for index in note.pieces)
        assert all(piece.version < len(note.versions) for piece in note.pieces.values())


@pytest.mark.parametrize(
    "line", ["2 00000000 0", "0 00000000 1", "0 0000000 0", "-1 00000000 0", "lost", "1e0 00000000 0"]
)
def test_a_line_that_cannot_be_meant_ends_the_note(line: str) -> None:
    version = Version("there")
    text = head_line(PieceLayout(10, 5)) + version_line(version) + f"1 000000ff 0\n{line}\n0 00000000 0\n"
    assert parse_note(text) == Note(PieceLayout(10, 5), (version,), {1: PieceNote(255, 0)})


def test_a_note_of_another_layout_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pieces"
    with PieceFile(path, PieceLayout(10, 5)) as file:
        file.write(0, b"x" * 10)
        for index in range(2):
            file.note(index, zlib.crc32(b"xxxxx"), file.version(Version("there")))
    with PieceFile(path, PieceLayout(10, 5)) as file:
        assert sorted(file.pieces) == [0, 1]
    with PieceFile(path, PieceLayout(10, 10)) as file:
        assert (file.pieces, file.versions) == ({}, [])


@given(st.text())
def test_any_text_is_a_note_or_none(text: str) -> None:
    parse_note(text)
    parse_note(f"pieces/1 100 10\n{text}\n")


@given(st.lists(st.sampled_from([MISSING, BUSY, HELD]), min_size=1, max_size=40), st.integers(1, 10))
def test_the_next_run_is_the_first_that_nobody_has_or_fetches(states: list[int], most: int) -> None:
    run = next_run(bytearray(states), most)
    if run is None:
        assert MISSING not in states
        return
    assert run.first == states.index(MISSING)
    assert 0 < run.end - run.first <= most
    assert set(states[run.first : run.end]) == {MISSING}
    assert run.end - run.first == most or run.end == len(states) or states[run.end] != MISSING


@given(st.integers(1, 300), st.integers(1, 5), st.integers(0, 1 << 30))
def test_however_connections_come_and_go_each_piece_is_written_by_one_at_a_time(
    count: int, workers: int, seed: int
) -> None:
    chance = random.Random(seed)
    board = Board(PieceLayout(count, 1))
    board.start(workers)
    runs: list[PieceRun] = []
    owned: set[int] = set()
    while board.held_bytes < count:
        if chance.random() < 0.5 and next_run(board._states, 1) is not None:
            run = board.take()
            assert run is not None
            pieces = set(range(run.first, run.end))
            assert not pieces & owned
            owned |= pieces
            runs.append(run)
        elif chance.random() < 0.2:
            index = chance.randrange(count)
            if board.claim(index):
                assert index not in owned
                board.hold(index)
        elif runs:
            run = runs.pop(chance.randrange(len(runs)))
            done = chance.randrange(run.first, run.end + 1)
            for index in range(run.first, done):
                board.hold(index)
            board.give_back(PieceRun(done, run.end))
            owned -= set(range(run.first, run.end))
    board.end()
    assert board.take() is None
    assert all(board.is_held(index) for index in range(count))


def test_one_who_waits_for_work_is_told_that_all_has_ended() -> None:
    board = Board(PieceLayout(2, 1))
    assert board.take() == PieceRun(0, 2)
    found: list[PieceRun | None] = []
    waiting = threading.Thread(target=lambda: found.append(board.take()))
    waiting.start()
    board.end()
    waiting.join()
    assert found == [None]


def test_a_piece_that_is_lost_is_work_again() -> None:
    board = Board(PieceLayout(10, 4), held=(0, 1, 2))
    assert board.held_bytes == 10
    board.lose(2)
    assert (board.held_bytes, board.take()) == (8, PieceRun(2, 3))
    assert not board.claim(2)
    board.start(2)
    assert [board.retire(), board.retire()] == [False, True]
