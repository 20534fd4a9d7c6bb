"""What a person sees of a long download where there is no terminal."""

from __future__ import annotations

import io

import pytest

from recipes.core.console import Plain, rate_text


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
    assert said.getvalue().splitlines() == [
        "fetch (2.00 GB)",
        "fetch: 5% of 2.00 GB, 50.0 MB/s, 38 s left",
        "fetch: 10% of 2.00 GB, 80.0 MB/s, 21 s left",
        "fetch: 15% of 2.00 GB, 80.0 MB/s, 21 s left",
        "fetch: done in 4.0 s",
    ]


def test_what_had_arrived_before_does_not_count_for_the_rate(clock: list[float]) -> None:
    said = io.StringIO()
    with Plain(said).task("fetch", 4_000_000) as task:
        task.position(1_900_000)
        clock[0] = 1.0
        task.position(2_000_000)
    assert said.getvalue().splitlines()[2] == "fetch: 50% of 4.0 MB, 0.1 MB/s, 20 s left"


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
