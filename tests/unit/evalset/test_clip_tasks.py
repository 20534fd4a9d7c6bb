"""Questions about clips have the answer that is drawn, and clips are what they must be."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.evalset.clip_tasks import CLIP_CLASSES, CLIP_TASKS, held_out_clips, training_clips
from recipes.evalset.clips import Clip
from recipes.evalset.held_out import EVERY_TASK, held_out_question
from recipes.evalset.prompts import Prompt, compared_clips, held_out
from recipes.evalset.render import Scene, draw
from recipes.evalset.tasks import TASKS, Conversation, Turn
from tests.support.clip_answers import CLIP_ANSWERS

NUMBERS = st.integers(0, 10**6)


def words(turn: Turn) -> str:
    """The question, without the words before the images."""
    return [part for part in turn.parts if isinstance(part, str)][-1]


def asked_of_clips(conversation: Conversation) -> list[Turn]:
    return [turn for turn in conversation if turn.task in CLIP_TASKS]


def demand_right(conversation: Conversation) -> None:
    for turn in asked_of_clips(conversation):
        seen = [part for part in turn.parts if isinstance(part, Scene | Clip)]
        if turn.task == "motion":
            seen = [part for part in seen if isinstance(part, Clip)]
        assert CLIP_ANSWERS[turn.task](words(turn), seen) == turn.answer


@settings(max_examples=60, deadline=None)
@given(NUMBERS, st.sampled_from(CLIP_TASKS))
def test_held_out_answers_are_what_is_drawn(index: int, task: str) -> None:
    demand_right(held_out_clips(index, task))


@settings(max_examples=40, deadline=None)
@given(NUMBERS, st.integers(0, len(CLIP_CLASSES) - 1))
def test_training_answers_are_what_is_drawn(index: int, clip_class: int) -> None:
    demand_right(training_clips(index, clip_class))


@pytest.mark.parametrize("prompt", compared_clips(), ids=lambda prompt: prompt.name)
def test_compared_answers_are_what_is_drawn(prompt: Prompt) -> None:
    demand_right(prompt.turns)
    assert prompt.expected == prompt.turns[-1].answer


@settings(max_examples=40, deadline=None)
@given(NUMBERS, st.sampled_from(CLIP_TASKS))
def test_a_clip_has_frames_of_one_size_with_numbers_that_do_not_fall(index: int, task: str) -> None:
    for turn in held_out_clips(index, task):
        for clip in (part for part in turn.parts if isinstance(part, Clip)):
            assert len({(frame.width, frame.height) for frame in clip.frames}) == 1
            assert len(clip.frames) == len(clip.indices) >= 2
            assert list(clip.indices) == sorted(clip.indices)
            assert clip.indices[0] >= 0
            assert len(set(clip.stamps)) == len(clip.pairs)
            assert {draw(frame).size for frame in clip.frames} == {
                (clip.frames[0].width, clip.frames[0].height)
            }


def test_there_are_clips_of_every_kind_that_must_be_compared() -> None:
    prompts = {prompt.name: prompt for prompt in compared_clips()}
    assert len(prompts) == len(compared_clips()) >= 16
    counts = {len(clip.frames) for prompt in prompts.values() for clip in prompt.clips}
    assert counts >= {2, 3, 4, 5, 6, 7, 8, 9}
    assert max(counts) > 64
    assert sum(prompt.is_resized for prompt in prompts.values()) >= 2
    assert sum(bool(prompt.clips and prompt.scenes) for prompt in prompts.values()) >= 3
    assert any(len(prompt.clips) == 2 for prompt in prompts.values())
    (stills,) = (prompt for prompt in prompts.values() if not prompt.clips)
    assert len(stills.scenes) == 2
    assert len(set(stills.scenes)) == 1


def test_the_splits_have_no_question_in_common() -> None:
    assert (*TASKS, *CLIP_TASKS) == EVERY_TASK
    for task in CLIP_TASKS:
        ours = {prompt.turns for prompt in held_out(task)}
        assert len(ours) == 36
        assert not ours & {held_out_question(index, task) for index in range(100)}
