"""What the model reads is what transformers' own tokenizer, template, image processor and positions give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import PreTrainedTokenizerFast, Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from recipes.evalset.image_sizes import (
    CELL_PX,
    LEAST_PIXELS,
    MERGE,
    MOST_PIXELS,
    PATCH_PX,
    Grid,
    exact_size,
    grid_of,
    resized,
)
from recipes.evalset.render import draw
from recipes.pocket.model.export_gguf import IMAGE_MEAN, IMAGE_STD
from recipes.pocket.model.preprocess import UNTRAINED, Writer, cut, fit, image_positions, scenes_of
from recipes.pocket.model.tokenizer import CHAT_TEMPLATE, END, END_OF_TEXT, IMAGE_PAD
from tests.pocket.conftest import Model, collated
from tests.support.conversations import ANY

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from recipes.evalset.tasks import Conversation

PROCESSOR = Qwen2VLImageProcessorPil(
    patch_size=PATCH_PX,
    merge_size=MERGE,
    temporal_patch_size=2,
    image_mean=IMAGE_MEAN,
    image_std=IMAGE_STD,
    size={"shortest_edge": LEAST_PIXELS, "longest_edge": MOST_PIXELS},
)


def messages_of(conversation: Conversation) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for turn in conversation:
        parts = [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
            for part in turn.parts
        ]
        messages += [{"role": "user", "content": parts}, {"role": "assistant", "content": turn.answer}]
    return messages


def expanded(text: str, tokens: list[int]) -> str:
    """The text with as many pads for each image as Qwen3VLProcessor writes."""
    first, *rest = text.split(IMAGE_PAD)
    pads = [IMAGE_PAD * count for count in tokens]
    return first + "".join(pad + piece for pad, piece in zip(pads, rest, strict=True))


@settings(max_examples=40)
@given(ANY)
def test_tokens_are_those_of_the_chat_template(
    tokenizer: Tokenizer, writer: Writer, conversation: Conversation
) -> None:
    wrapped: Any = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, clean_up_tokenization_spaces=False
    )
    wrapped.chat_template = CHAT_TEMPLATE
    prepared = writer.prepare(conversation)
    text = wrapped.apply_chat_template(messages_of(conversation), tokenize=False)
    tokens = [rows * columns // MERGE**2 for rows, columns in prepared.grids]
    assert list(prepared.ids) == wrapped(expanded(text, tokens), add_special_tokens=False).input_ids


@settings(max_examples=30)
@given(ANY.filter(scenes_of))
def test_pixels_are_those_of_the_image_processor(writer: Writer, conversation: Conversation) -> None:
    batch = collated(writer, conversation)
    seen = PROCESSOR(images=[draw(scene) for scene in scenes_of(conversation)], return_tensors="pt")
    assert torch.equal(seen.image_grid_thw, batch.grids)
    ours, theirs = batch.pixels(), seen.pixel_values
    assert ours.dtype == theirs.dtype == torch.float32
    torch.testing.assert_close(
        ours, theirs, rtol=0, atol=2**-23
    )  # the last bit: dividing or multiplying by 1/255
    assert torch.equal((ours * 127.5 + 127.5).round(), (theirs * 127.5 + 127.5).round())


@settings(max_examples=30)
@given(st.lists(ANY, min_size=1, max_size=3))
def test_positions_are_those_of_get_rope_index(
    model: Model,
    writer: Writer,
    conversations: list[Conversation],
) -> None:
    batch = collated(writer, *conversations)
    kinds = (batch.ids == writer.special(IMAGE_PAD)).int()
    grids = batch.grids if len(batch.grids) else None
    positions, _ = model.model.get_rope_index(
        batch.ids, mm_token_type_ids=kinds, image_grid_thw=grids, attention_mask=batch.kept.long()
    )
    assert torch.equal(positions, batch.positions)


@settings(max_examples=40)
@given(ANY)
def test_what_is_learned_is_each_answer_with_its_end(
    tokenizer: Tokenizer, writer: Writer, conversation: Conversation
) -> None:
    prepared = writer.prepare(conversation)
    learned = np.zeros(len(prepared.ids), bool)
    for turn, (task, start, end) in zip(conversation, prepared.answers, strict=True):
        assert task == turn.task
        assert tokenizer.decode(prepared.ids[start:end], skip_special_tokens=False) == turn.answer + END
        learned[start:end] = True
    assert (prepared.labels[learned] == prepared.ids[learned]).all()
    assert (prepared.labels[~learned] == UNTRAINED).all()


@settings(max_examples=40)
@given(ANY)
def test_tokens_patches_and_sights_of_images_are_as_many_as_their_grids_say(
    writer: Writer, conversation: Conversation
) -> None:
    prepared = writer.prepare(conversation)
    cells = sum(rows * columns // MERGE**2 for rows, columns in prepared.grids)
    assert (prepared.ids == writer.special(IMAGE_PAD)).sum() == len(prepared.sights) == cells
    assert len(prepared.patches) == cells * MERGE**2
    sizes = [resized(scene.height, scene.width) for scene in scenes_of(conversation)]
    assert prepared.grids == tuple((height // PATCH_PX, width // PATCH_PX) for height, width in sizes)


@settings(max_examples=15)
@given(st.lists(ANY, min_size=2, max_size=4))
def test_conversations_of_a_batch_are_padded_at_their_ends_and_keep_their_images_order(
    writer: Writer, conversations: list[Conversation]
) -> None:
    batch = collated(writer, *conversations)
    alone = [collated(writer, conversation) for conversation in conversations]
    for row, one in enumerate(alone):
        size = one.ids.shape[1]
        assert torch.equal(batch.ids[row, :size], one.ids[0])
        assert torch.equal(batch.labels[row, :size], one.labels[0])
        assert batch.kept[row].tolist() == [True] * size + [False] * (batch.ids.shape[1] - size)
        assert (batch.ids[row, size:] == writer.special(END_OF_TEXT)).all()
        assert (batch.labels[row, size:] == UNTRAINED).all()
    for name in ("patches", "grids", "sights"):
        assert torch.equal(getattr(batch, name), torch.cat([getattr(one, name) for one in alone]))
    flat = batch.labels.reshape(-1)
    assert torch.equal(batch.answered, torch.nonzero(flat != UNTRAINED)[:, 0] - 1)


def test_a_token_that_the_tokenizer_does_not_have_is_named(writer: Writer) -> None:
    with pytest.raises(KeyError, match="no_such_token"):
        writer.special("<|no_such_token|>")


def test_patches_lie_cell_by_cell_and_keep_their_pixels() -> None:
    pixels = np.arange(64 * 96 * 3).reshape(64, 96, 3).astype(np.uint8)
    patches = cut(Image.fromarray(pixels))
    # the patches of each cell of 32 x 32 pixels in rows, the cells in rows
    corners = [
        (32 * row + 16 * down, 32 * column + 16 * across)
        for row in range(2)
        for column in range(3)
        for down in range(2)
        for across in range(2)
    ]
    expected = [pixels[top : top + 16, left : left + 16].transpose(2, 0, 1) for top, left in corners]
    assert np.array_equal(patches, np.stack(expected))


def test_positions_of_an_image_count_rows_and_columns_from_one_time() -> None:
    assert image_positions(7, Grid(2, 3)).tolist() == [
        [7, 7, 7, 7, 7, 7],
        [7, 7, 7, 8, 8, 8],
        [7, 8, 9, 7, 8, 9],
    ]


SIDES = st.integers(CELL_PX // 2 + 1, 3000)  # below half a cell llama.cpp rounds up first


@given(SIDES, SIDES)
def test_sizes_are_those_of_smart_resize_and_stay_as_they_are(height: int, width: int) -> None:
    size = resized(height, width)
    assert size == smart_resize(height, width, CELL_PX, LEAST_PIXELS, MOST_PIXELS)
    assert size[0] % CELL_PX == size[1] % CELL_PX == 0
    assert LEAST_PIXELS <= size[0] * size[1] <= MOST_PIXELS
    assert resized(*size) == exact_size(grid_of(height, width)) == size


def test_an_image_that_fits_is_not_touched() -> None:
    image = Image.new("RGB", (96, 128))
    assert fit(image) is image


@pytest.mark.parametrize("size", [(70, 60), (141, 150), (2500, 2100)])
def test_images_of_any_size_are_resized_as_the_processor_does(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    image = Image.fromarray(noise)
    seen = PROCESSOR(images=[image], return_tensors="pt")
    patches = torch.from_numpy(cut(fit(image)))
    theirs = seen.pixel_values.reshape(-1, 3, 2, PATCH_PX, PATCH_PX)
    for frame in range(2):
        assert torch.equal((theirs[:, :, frame] * 127.5 + 127.5).round().to(torch.uint8), patches)
