"""Which packets of a video have to be decoded for the frames that are wanted, and which frames those are. Pure.

A packet stands for a frame. A frame needs all packets from a key frame before it on, in the order of decoding, which is
not that of showing; one that is shown before its own key frame also needs those of the key frame before.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_PACKETS = 1 << 20  # of a video: an hour has 216,000 at 60 a second


@dataclass
class PacketTable:
    """The packets of a video in the order of decoding: when each is shown, if it is, and the places of key frames."""

    times: array[int] = field(default_factory=lambda: array("q"))
    shown: bytearray = field(default_factory=bytearray)
    keys: array[int] = field(default_factory=lambda: array("q"))
    is_timed: bool = True  # each packet says when it is shown
    begins: int | None = None  # when the first frame is shown
    last: int = 0  # when the last one is
    ends: int = 0  # when that is over

    def add(self, time: int | None, lasts: int = 0, *, is_key: bool, is_shown: bool) -> None:
        """Add the next packet."""
        if is_key:
            self.keys.append(len(self.times))
        self.is_timed = self.is_timed and time is not None
        time = time or 0
        self.times.append(time)
        self.shown.append(is_shown)
        if is_shown:
            self.begins = time if self.begins is None else min(self.begins, time)
            self.last, self.ends = max(self.last, time), max(self.ends, time + max(0, lasts))

    def __len__(self) -> int:
        return len(self.times)

    @property
    def frames(self) -> int:
        """How many frames are shown."""
        return sum(self.shown)

    @property
    def rate(self) -> Fraction:
        """The average number of frames in a unit of time, as torchcodec has it; 0 where the times do not say.

        A last frame that does not say how long it is lasts as long as the others do.
        """
        if not self.is_timed or self.begins is None:
            return Fraction(0)
        if self.ends > self.last:
            return Fraction(self.frames, self.ends - self.begins)
        return Fraction(self.frames - 1, self.last - self.begins) if self.last > self.begins else Fraction(0)

    def in_order(self) -> list[int]:
        """Return the places of the shown frames in the order of showing."""
        places = [place for place, is_shown in enumerate(self.shown) if is_shown]
        return sorted(places, key=self.times.__getitem__) if self.is_timed else places

    def can_skip(self) -> bool:
        """Whether frames are told apart by their times."""
        return self.is_timed and len(set(self.times)) == len(self.times)


def ranges(table: PacketTable, places: Iterable[int]) -> list[tuple[int, int]]:
    """Return from which to which packet is decoded, both included, for the frames of some packets.

    >>> table = PacketTable()
    >>> for time, is_key in ((0, True), (2, False), (1, False), (4, True), (3, False), (5, False)):
    ...     table.add(time, is_key=is_key, is_shown=True)
    >>> ranges(table, [1, 5]), ranges(table, [4])
    ([(0, 1), (3, 5)], [(0, 4)])
    """
    needed: list[tuple[int, int]] = []
    key, keys = -1, table.keys
    for place in sorted(places):
        while key + 1 < len(keys) and keys[key + 1] <= place:
            key += 1
        first = 0
        if key >= 0:
            is_leading = table.times[place] < table.times[keys[key]]
            first = keys[key - 1] if is_leading and key else 0 if is_leading else keys[key]
        needed.append((first, place))
    found: list[tuple[int, int]] = []
    for first, last in sorted(needed):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found
