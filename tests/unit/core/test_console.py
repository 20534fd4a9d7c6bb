"""What a person sees of a long download where there is no terminal."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from recipes.core import console
from recipes.core.console import Plain, Silent, Terminal, call_later, open_console, rate_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.mark.parametrize(
    ("done", "left", "seconds", "text"),
    [
        (500_000_000, 1_500_000_000, 10.0, ", 50.0 MB/s, 30 s left"),
        (10_000_000, 18_000_000_000, 1.0, ", 10.0 MB/s, 30 min left"),
        (1_000_000, 18_000_000_000, 1.0, ", 1.0 MB/s, 5 h left"),
        (1_000_000, 0, 1.0, ", 1.0 MB/s, 0 s left"),
        (0, 5, 1.0, ""),
        (-5, 5, 1.0, ""),
        (5, 5, 0.0, ""),
    ],
)
def test_rate_and_time_left(done: int, left: int, seconds: float, text: str) -> None:
    assert rate_text(done, left, seconds, "B") == text


def test_what_is_no_bytes_has_no_rate() -> None:
    assert rate_text(5, 5, 1.0, "parts") == ""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("recipes.core.console.time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show each task from its start, as one that takes longer than two seconds."""

    @contextmanager
    def at_once(act: Callable[[], None]) -> Iterator[None]:
        act()
        yield

    monkeypatch.setattr(console, "call_later", at_once)


@pytest.mark.usefixtures("slow")
def test_a_large_download_says_each_twentieth_how_fast_it_is_and_how_long_it_takes(
    clock: list[float],
) -> None:
    said = io.StringIO()
    with Plain(said).task("fetch", 2_000_000_000) as task:
        task.position(0)
        clock[0] = 2.0
        task.position(100_000_000)
        clock[0] = 4.0
        task.position(320_000_000)
    first, *between, last = said.getvalue().splitlines()
    assert "2.00 GB" in first
    assert [re.findall(r" (\d+%) .* ([\d.]+) MB/s, (\d+) s ", line) for line in between] == [
        [("5%", "50.0", "38")],
        [("10%", "80.0", "21")],
        [("15%", "80.0", "21")],
    ]
    assert last.endswith(" 4.0 s")


@pytest.mark.usefixtures("slow")
def test_what_had_arrived_before_does_not_count_for_the_rate(clock: list[float]) -> None:
    said = io.StringIO()
    with Plain(said).task("fetch", 4_000_000) as task:
        task.position(1_900_000)
        clock[0] = 1.0
        task.position(2_000_000)
    assert ", 0.1 MB/s, 20 s" in said.getvalue().splitlines()[2]


@pytest.mark.usefixtures("slow")
def test_a_small_one_says_each_quarter(clock: list[float]) -> None:
    said = io.StringIO()
    with Plain(said).task("hash", 8, "parts") as task:
        clock[0] = 1.0
        for _ in range(8):
            task.advance(1)
    assert said.getvalue().splitlines() == [
        "hash (8 parts)",
        "hash: 25% of 8 parts",
        "hash: 50% of 8 parts",
        "hash: 75% of 8 parts",
        "hash: done in 1.0 s",
    ]


class Full(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO(), Tty()])
def test_progress_of_less_than_two_seconds_prints_nothing(stream: io.StringIO) -> None:
    with open_console(stream).task("hash", 8, "parts") as task:
        task.advance(4)
        task.position(8)
    assert stream.getvalue() == ""


@pytest.mark.usefixtures("slow")
def test_a_bar_that_was_shown_leaves_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Tty()
    with Terminal(stream).task("hash", 8, "parts") as task:
        task.advance(8)
    assert "hash" in stream.getvalue()
    assert "8/8" in stream.getvalue()


def test_what_takes_longer_is_shown_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "SHOWN_AFTER_S", 0)
    shown = threading.Event()
    with call_later(shown.set):
        assert shown.wait(60)


def test_a_task_that_has_ended_is_not_shown_any_more() -> None:
    before = threading.active_count()
    with call_later(lambda: pytest.fail("shown")):
        pass
    assert threading.active_count() == before


def test_standard_error_can_be_closed_or_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert isinstance(open_console(), Silent)
    Plain(Full()).warn("the work goes on")


def test_who_wants_no_more_lines_ends_the_work() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w", encoding="utf-8")
    with pytest.raises(BrokenPipeError):
        Plain(stream).say("anyone?")
    with pytest.raises(BrokenPipeError):
        stream.close()
