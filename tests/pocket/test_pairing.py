"""Images are paired as upstream's tokenizer pairs them, whatever a message is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from recipes.evalset.render import Scene
from recipes.evalset.tasks import Turn
from recipes.pocket.model.preprocess import Pair
from recipes.pocket.reference.frame_pairs import has_pair, pair

if TYPE_CHECKING:
    from collections.abc import Sequence


def image(number: int, height: int, width: int) -> Scene:
    """A scene of a size, told from others by its ground."""
    return Scene(width, height, (number, 0, 0), None, None, (), ())


IMAGES = st.builds(image, st.integers(0, 9), st.sampled_from([4, 6]), st.sampled_from([4, 6]))
TURNS = st.lists(st.lists(st.one_of(IMAGES, st.just("words")), max_size=8), min_size=1, max_size=3)


def conversation(turns: Sequence[Sequence[object]]) -> tuple[Turn, ...]:
    return tuple(Turn(tuple(parts), "answer", "which") for parts in turns)  # type: ignore[arg-type]


def size(part: object) -> tuple[int, int] | None:
    return (part.height, part.width) if isinstance(part, Scene) else None


def left_to_right(parts: Sequence[object]) -> list[list[object]]:
    """Group parts as a reader would: the next joins the last where both are images of one size, two at most."""
    groups: list[list[object]] = []
    for part in parts:
        last = groups[-1] if groups else []
        if len(last) == 1 and size(last[0]) == size(part) is not None:
            last.append(part)
        else:
            groups.append([part])
    return groups


@given(TURNS)
def test_pairs_are_those_that_are_found_from_left_to_right(turns: list[list[object]]) -> None:
    groups = [left_to_right(parts) for parts in turns]
    found = [
        [Pair(group[0], group[1]) if len(group) == 2 else group[0] for group in some]  # type: ignore[arg-type]
        for some in groups
    ]
    assert [list(turn.parts) for turn in pair(conversation(turns))] == found
    assert has_pair(conversation(turns)) == any(len(group) == 2 for some in groups for group in some)


def test_answers_and_tasks_stay() -> None:
    kept = pair(conversation([[image(1, 4, 4), image(2, 4, 4)]]))
    assert [(turn.answer, turn.task) for turn in kept] == [("answer", "which")]
