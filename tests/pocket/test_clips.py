"""Clips are what transformers' own processor, video processor, positions and model make of the same frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast, Qwen2VLImageProcessorPil
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
from transformers.video_utils import VideoMetadata

from recipes.evalset.clip_rules import LEAST_PIXELS, MOST_PIXELS
from recipes.evalset.clips import Clip
from recipes.evalset.prompts import Prompt, compared_clips
from recipes.evalset.render import draw
from recipes.pocket.model.preprocess import pieces_of, wrapped_pieces_of
from recipes.pocket.model.tokenizer import CHAT_TEMPLATE, END, IMAGE_END, IMAGE_PAD, IMAGE_START, VIDEO_PAD
from recipes.pocket.reference import known_deviations as known
from tests.pocket.conftest import Model, collated

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from recipes.evalset.golden import Deviation
    from recipes.pocket.model.batches import Batch
    from recipes.pocket.model.preprocess import Writer
    from recipes.pocket.reference.reference import Reference

PROMPTS = {prompt.name: prompt for prompt in compared_clips()}
OF_CLIPS = [prompt for prompt in PROMPTS.values() if prompt.clips]


@pytest.fixture(scope="module")
def processor(tokenizer: Tokenizer) -> Model:
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, clean_up_tokenization_spaces=False
    )
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessorPil(
            patch_size=16,
            merge_size=2,
            temporal_patch_size=2,
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
            size={"shortest_edge": 8 * 1024, "longest_edge": 4096 * 1024},
        ),
        tokenizer=wrapped,
        video_processor=Qwen3VLVideoProcessor(
            size={"shortest_edge": LEAST_PIXELS, "longest_edge": MOST_PIXELS}, do_sample_frames=False
        ),
        chat_template=CHAT_TEMPLATE,
    )


def processed(processor: Model, prompt: Prompt) -> Model:
    """What transformers makes of a prompt, its answers included."""
    messages: list[dict[str, Any]] = []
    for turn in prompt.turns:
        content = [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {"type": "video" if isinstance(part, Clip) else "image"}
            for part in turn.parts
        ]
        messages += [{"role": "user", "content": content}, {"role": "assistant", "content": turn.answer}]
    text = processor.apply_chat_template(messages, tokenize=False)
    videos = [
        torch.from_numpy(np.stack([np.asarray(draw(frame)) for frame in clip.frames])).permute(0, 3, 1, 2)
        for clip in prompt.clips
    ]
    metadata = [
        VideoMetadata(total_num_frames=clip.indices[-1] + 1, fps=clip.fps, frames_indices=list(clip.indices))
        for clip in prompt.clips
    ]
    images = [draw(scene) for scene in prompt.scenes]
    return processor(
        text=[text], images=images or None, videos=videos, video_metadata=metadata, return_tensors="pt"
    )


def wrapped(writer: Writer, prompt: Prompt) -> list[int]:
    return list(map(int, writer.prepare(prompt.turns, pieces=wrapped_pieces_of).ids))


@pytest.mark.parametrize("prompt", OF_CLIPS, ids=lambda prompt: prompt.name)
def test_tokens_with_the_outer_pair_are_those_of_the_processor(
    processor: Model, writer: Writer, prompt: Prompt
) -> None:
    assert wrapped(writer, prompt) == processed(processor, prompt).input_ids[0].tolist()


@pytest.mark.parametrize("prompt", OF_CLIPS, ids=lambda prompt: prompt.name)
def test_without_it_the_stamps_replace_what_the_template_writes(
    writer: Writer, tokenizer: Tokenizer, prompt: Prompt
) -> None:
    ours, outer = (
        tokenizer.decode(ids, skip_special_tokens=False)
        for ids in (list(writer.prepare(prompt.turns).ids), wrapped(writer, prompt))
    )
    for clip in prompt.clips:
        pieces = [piece if isinstance(piece, str) else "" for piece in pieces_of(clip)]
        first = next(filter(None, pieces))
        assert outer.count(IMAGE_START + first) == 1 or len(prompt.clips) > 1
        outer = outer.replace(IMAGE_START + first, first, 1)
    assert outer.replace(IMAGE_END + IMAGE_END, IMAGE_END) == ours


@pytest.mark.parametrize("prompt", OF_CLIPS, ids=lambda prompt: prompt.name)
def test_pixels_and_grids_are_those_of_the_video_processor(
    processor: Model, writer: Writer, prompt: Prompt
) -> None:
    theirs = processed(processor, prompt)
    batch = collated(writer, prompt.turns)
    is_clip = [
        isinstance(part, Clip) for turn in prompt.turns for part in turn.parts if not isinstance(part, str)
    ]
    ours, grids = split(batch, prompt, is_clip)
    assert grids == theirs.video_grid_thw.tolist()
    assert ours.shape == theirs.pixel_values_videos.shape
    # torchvision resizes by whole numbers, as Pillow does: at most one step of 255 apart
    most = 1.01 / 127.5 if any(clip.is_resized for clip in prompt.clips) else 2**-22
    torch.testing.assert_close(ours, theirs.pixel_values_videos, rtol=0, atol=most)


def split(batch: Batch, prompt: Prompt, is_clip: list[bool]) -> tuple[torch.Tensor, list[list[int]]]:
    """The rows of clips among a batch's patches, and their grids with all pairs."""
    rows, grids, done, image = [], [], 0, 0
    pixels = batch.pixels()
    clips = iter(prompt.clips)
    for clip_here in is_clip:
        pairs = len(next(clips).pairs) if clip_here else 1
        size = int(batch.grids[image].prod()) * pairs
        if clip_here:
            rows.append(pixels[done : done + size])
            grids.append([pairs, *map(int, batch.grids[image][1:])])
        done, image = done + size, image + pairs
    return torch.cat(rows), grids


@pytest.mark.parametrize("prompt", OF_CLIPS, ids=lambda prompt: prompt.name)
def test_positions_and_logits_are_those_of_the_whole_model(
    processor: Model, reference: Reference, prompt: Prompt
) -> None:
    """With transformers' own pixels and grids, and our tokens; where frames are resized its pixels differ a little."""
    theirs = processed(processor, prompt)
    batch = reference.prepare(prompt)
    kinds = torch.zeros_like(batch.ids)
    kinds[batch.ids == reference.writer.special(IMAGE_PAD)] = 1
    kinds[batch.ids == reference.writer.special(VIDEO_PAD)] = 2
    more = {
        name: theirs[name]
        for name in ("pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw")
        if name in theirs
    }
    grids = {name: value for name, value in more.items() if name.endswith("thw")}
    positions, _ = reference.model.model.get_rope_index(
        batch.ids, mm_token_type_ids=kinds, attention_mask=torch.ones_like(batch.ids), **grids
    )
    assert torch.equal(positions, batch.positions)
    with torch.no_grad():
        whole = reference.model(
            input_ids=batch.ids, attention_mask=torch.ones_like(batch.ids), mm_token_type_ids=kinds, **more
        ).logits[0, -1]
    ours = reference.logits(batch, reference.see(batch), [])
    torch.testing.assert_close(ours, whole, rtol=0, atol=0.05 if prompt.is_resized else 1e-4)


@pytest.mark.parametrize("deviation", known.OF_CLIPS, ids=lambda deviation: deviation.name)
def test_each_deviation_of_clips_changes_what_the_model_reads(
    reference: Reference, deviation: Deviation
) -> None:
    changed = 0
    for prompt in PROMPTS.values():
        plain, other = reference.prepare(prompt), reference.prepare(prompt, {deviation.name})
        changed += not all(
            torch.equal(one, two)
            for one, two in (
                (plain.ids, other.ids),
                (plain.positions, other.positions),
                (plain.pixels(), other.pixels()),
            )
        )
    assert changed
