"""Which packets are decoded for the frames that are wanted: all that they need, from a key frame on."""

from __future__ import annotations

import itertools
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from recipes.serve.door.video_packets import PacketTable, ranges

GROUPS = st.lists(st.permutations(range(6)), min_size=1, max_size=6)


def table_of(groups: list[list[int]]) -> PacketTable:
    """Groups of six packets, each shown as its number says; the first of a group is a key frame."""
    table = PacketTable()
    for start, group in enumerate(groups):
        for place, shown in enumerate(group):
            table.add(6 * start + shown, 1, is_key=place == 0, is_shown=True)
    return table


@given(GROUPS, st.data())
def test_each_wanted_packet_is_decoded_with_all_since_the_key_frame_that_it_needs(
    groups: list[list[int]], data: st.DataObject
) -> None:
    table = table_of(groups)
    wanted = data.draw(st.lists(st.integers(0, len(table) - 1), min_size=1, unique=True))
    found = ranges(table, wanted)
    decoded = {place for first, last in found for place in range(first, last + 1)}
    for place in wanted:
        key = place - place % 6
        needs_more = table.times[place] < table.times[key]
        assert set(range(max(0, key - 6 * needs_more), place + 1)) <= decoded
    assert all(first % 6 == 0 and last in wanted for first, last in found)
    assert all(one[1] < other[0] - 1 for one, other in itertools.pairwise(found))


def test_the_order_is_that_of_showing() -> None:
    assert table_of([[0, 2, 1, 3, 5, 4]]).in_order() == [0, 2, 1, 3, 5, 4]


def test_without_times_nothing_is_skipped_and_the_order_is_that_of_decoding() -> None:
    table = PacketTable()
    for time in (None, 5, None):
        table.add(time, is_key=True, is_shown=True)
    assert not table.can_skip()
    assert table.in_order() == [0, 1, 2]
    assert table.rate == 0


def test_the_rate_counts_how_long_the_last_frame_is_shown_or_takes_it_as_the_others() -> None:
    table = PacketTable()
    for time, lasts in ((0, 10), (10, 10), (20, 60)):
        table.add(time, lasts, is_key=True, is_shown=True)
    assert table.rate == Fraction(3, 80)
    table = PacketTable()
    for time in (0, 10, 20):
        table.add(time, is_key=True, is_shown=True)
    assert table.rate == Fraction(1, 10)
