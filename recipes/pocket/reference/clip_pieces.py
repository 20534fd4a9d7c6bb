"""What becomes of a clip with each known deviation: another pairing, other sizes, other time stamps. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.evalset.clip_rules import UNKNOWN_RATE, paired, stamp
from recipes.evalset.clips import Clip
from recipes.evalset.image_sizes import resized
from recipes.pocket.model.preprocess import Pair, pieces_of, wrapped_pieces_of
from recipes.pocket.reference import known_deviations as known

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from recipes.evalset.render import Scene

    Part = Scene | Clip | Pair | str
    Pieces = Sequence[str | Pair]

UPSTREAM_RATE, UPSTREAM_STEP_S = 4, 5  # its defaults: frames a second, and seconds from one time to the next


def pieces_with(names: Collection[str]) -> Callable[[Part], Pieces]:
    """Return what a part of a message becomes with deviations; of two that say what a clip is, one is done."""
    makers = [maker for deviation, maker in MAKERS.items() if deviation in names]
    return makers[0] if makers else pieces_of


def _of_clips(make: Callable[[Clip], Pieces]) -> Callable[[Part], Pieces]:
    return lambda part: make(part) if isinstance(part, Clip) else pieces_of(part)


def _pairs(clip: Clip) -> list[Pair]:
    return [Pair(*frames, clip.size) for frames in clip.pairs]


def _swapped(clip: Clip) -> Pieces:
    return _joined(clip.stamps, [Pair(pair.second, pair.first, pair.size) for pair in _pairs(clip)])


def _without_stamps(clip: Clip) -> Pieces:
    return _pairs(clip)


def _stamped(rate: Callable[[Clip], float]) -> Callable[[Part], Pieces]:
    return _of_clips(
        lambda clip: _joined([stamp(pair, rate(clip)) for pair in paired(clip.indices)], _pairs(clip))
    )


def _apart(clip: Clip) -> Pieces:
    """Read each frame by itself, both of a pair behind its stamp."""
    pieces: list[str | Pair] = []
    for number, frame in enumerate(clip.frames):
        pieces += [clip.stamps[number // 2]] if number % 2 == 0 else []
        pieces.append(Pair(frame, frame, clip.size))
    return pieces


def _off_by_one(clip: Clip) -> Pieces:
    """Read the first frame by itself, then pairs, each behind its stamp."""
    first, *rest = clip.frames
    number, *numbers = clip.indices
    pairs = [(first, first), *paired(rest)]
    places = [(number, number), *paired(numbers)]
    return _joined(
        [stamp(place, clip.fps) for place in places], [Pair(*frames, clip.size) for frames in pairs]
    )


def _sized_as_stills(clip: Clip) -> Pieces:
    size = resized(clip.frames[0].height, clip.frames[0].width)
    return _joined(clip.stamps, [Pair(*frames, size) for frames in clip.pairs])


def _upstream(clip: Clip) -> Pieces:
    """Read a file as tools/mtmd/mtmd-helper.cpp of b11312: four frames a second, a time behind one in five seconds."""
    size = resized(clip.frames[0].height, clip.frames[0].width)
    pieces: list[str | Pair] = ["Video:"]
    seconds = 0
    waiting: list[Scene] = []
    for number, frame in enumerate(clip.frames):
        waiting.append(frame)
        is_timed = number >= seconds * UPSTREAM_RATE
        if is_timed or number + 1 == len(clip.frames):
            pieces += [Pair(*frames, size) for frames in paired(waiting)]
            waiting = []
        if is_timed:
            pieces.append(f"[{seconds // 60}m{seconds % 60:.2f}s]")
            seconds += UPSTREAM_STEP_S
    return pieces


def _joined(stamps: Sequence[str], pairs: Sequence[Pair]) -> Pieces:
    return tuple(piece for both in zip(stamps, pairs, strict=True) for piece in both)


MAKERS: dict[str, Callable[[Part], Pieces]] = {
    known.WRAPPED.name: wrapped_pieces_of,
    known.SWAPPED.name: _of_clips(_swapped),
    known.OFF_BY_ONE.name: _of_clips(_off_by_one),
    known.APART.name: _of_clips(_apart),
    known.NO_STAMPS.name: _of_clips(_without_stamps),
    known.USUAL_RATE.name: _stamped(lambda _: UNKNOWN_RATE),
    known.DOUBLE_RATE.name: _stamped(lambda clip: 2 * clip.fps),
    known.HALF_RATE.name: _stamped(lambda clip: clip.fps / 2),
    known.STILL_SIZES.name: _of_clips(_sized_as_stills),
    known.UPSTREAM_VIDEO.name: _of_clips(_upstream),
}
