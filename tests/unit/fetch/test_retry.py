from __future__ import annotations

import pytest

from recipes.core.console import Silent
from recipes.fetch.http.network_errors import OriginError
from recipes.fetch.http.response_rules import TryLater
from recipes.fetch.http.retry import Pace, Patience, Tempo


class Saying(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_what_fails_for_a_while_is_repeated_with_exact_waits() -> None:
    waits: list[float] = []
    outcomes = iter([TryLater("busy"), TryLater("busy", 9.0), "found"])
    console = Saying()
    found = Tempo(sleep=waits.append).persist("index", lambda: next(outcomes), console)
    assert found == "found"
    assert waits == [1.0, 9.0]
    assert [line.startswith("index: busy;") for line in console.lines] == [True, True]
    assert [line.split()[-2] for line in console.lines] == ["1", "9"]


def test_what_fails_too_often_is_given_up_with_its_last_reason() -> None:
    waits: list[float] = []
    with pytest.raises(OriginError, match=r"^busy; .* 3 tries$") as caught:
        Tempo(Patience(tries=3), sleep=waits.append).persist("index", lambda: TryLater("busy"), Silent())
    assert waits == [1.0, 2.0]
    assert caught.value.may_pass


def test_a_report_is_due_ten_times_a_second_at_most() -> None:
    times = iter([0.0, 0.05, 0.1, 0.15, 0.25])
    pace = Pace(Tempo(clock=lambda: next(times)), 0)
    assert [pace.is_report_due() for _ in range(4)] == [False, True, False, True]


def test_a_server_is_too_slow_that_sends_less_than_a_kibibyte_within_the_timeout() -> None:
    times = iter([0.0, 9.0, 10.0, 19.0, 20.0, 31.0])
    pace = Pace(Tempo(Patience(timeout_s=10), clock=lambda: next(times)), 500)
    slow = []
    for size_bytes in (500, 500 + 1024, 500 + 1024, 500 + 2048, 500 + 2048 + 1023):
        pace.is_report_due()
        slow.append(pace.fault(size_bytes) is not None)
    assert slow == [False, False, False, False, True]


def test_a_server_that_must_be_faster_is_too_slow_earlier() -> None:
    times = iter([0.0, 10.0, 20.0])
    pace = Pace(Tempo(Patience(timeout_s=10, least_bytes=1 << 20), clock=lambda: next(times)), 0)
    pace.is_report_due()
    assert pace.fault(1 << 20) is None
    pace.is_report_due()
    fault = pace.fault((2 << 20) - 1)
    assert fault is not None
    assert "less than 1048576 bytes" in fault.reason


def test_the_waits_double_up_to_the_longest_and_end_with_the_tries() -> None:
    patience = Patience(tries=8, first_wait_s=1, longest_wait_s=30)
    assert [patience.next_wait(failures) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 30, 30, None]
    assert Patience(tries=1).next_wait(1) is None
    assert Patience(tries=10**6).next_wait(10**5) == 30.0


@pytest.mark.parametrize(
    ("failures", "asked_s", "wait_s"),
    [(1, 7.0, 7.0), (4, 7.0, 8.0), (1, 0.0, 1.0), (1, 120.0, 120.0), (1, 120.5, None), (5, 7.0, None)],
)
def test_a_wait_that_is_asked_for_is_kept_unless_it_is_shorter_than_ours_or_too_long(
    failures: int, asked_s: float, wait_s: float | None
) -> None:
    assert Patience(longest_asked_wait_s=120).next_wait(failures, asked_s) == wait_s
