"""Turns conversations into what the model reads: token ids, image patches and three-dimensional positions.

The layout is transformers' (Qwen3VLProcessor, Qwen2VLImageProcessor and get_rope_index of qwen3_vl_moe); a test
compares each with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from recipes.evalset.image_sizes import MERGE, PATCH_PX, Grid, grid_of, resized
from recipes.evalset.render import draw
from recipes.pocket.model.grid_labels import SIGHTS, sights_of
from recipes.pocket.model.tokenizer import END, IMAGE_END, IMAGE_PAD, IMAGE_START, START

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from recipes.evalset.render import Scene
    from recipes.evalset.tasks import Conversation

JOINT = "\n"  # what some llama.cpp put between the parts of a message; the chat template has nothing there
UNTRAINED = -100  # the label of a token that is not learned: PyTorch's cross_entropy ignores it


@dataclass(frozen=True)
class PreparedConversation:
    """One conversation; its labels are the ids where the model answers, else UNTRAINED."""

    ids: NDArray[np.int64]  # (tokens,)
    labels: NDArray[np.int64]  # (tokens,)
    positions: NDArray[np.int64]  # (3, tokens): time, height and width
    patches: NDArray[np.uint8]  # (patches of all images, 3, PATCH_PX, PATCH_PX), channel values 0 to 255
    grids: tuple[tuple[int, int], ...]  # rows and columns of patches of each image
    sights: NDArray[np.uint8]  # (image tokens, SIGHTS): what each image token's cell shows
    answers: tuple[tuple[str, int, int], ...]  # the task of each, and the range of its tokens


def fit(image: Image.Image) -> Image.Image:
    """Resize an image as the reference does: PIL's bicubic filter, antialiased."""
    height, width = resized(image.height, image.width)
    return image if image.size == (width, height) else bicubic(image, (width, height))


def bicubic(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize an image to a width and a height as the reference does."""
    return image.resize(size, Image.Resampling.BICUBIC)


def padded(
    image: Image.Image, resize: Callable[[Image.Image, tuple[int, int]], Image.Image] = bicubic
) -> Image.Image:
    """Resize an image as llama.cpp does since the middle of 2026: its aspect kept, centred on black."""
    height, width = resized(image.height, image.width)
    if image.size == (width, height):
        return image
    scale = min(height / image.height, width / image.width)
    inner = (min(width, math.ceil(image.width * scale)), min(height, math.ceil(image.height * scale)))
    whole = Image.new("RGB", (width, height))
    whole.paste(resize(image, inner), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return whole


def cut(image: Image.Image) -> NDArray[np.uint8]:
    """Cut a fitted image into patches, the patches of a cell together; shape (patches, 3, PATCH_PX, PATCH_PX)."""
    pixels = np.asarray(image, dtype=np.uint8)
    rows, columns = pixels.shape[0] // (MERGE * PATCH_PX), pixels.shape[1] // (MERGE * PATCH_PX)
    split = pixels.reshape(rows, MERGE, PATCH_PX, columns, MERGE, PATCH_PX, 3)
    ordered = split.transpose(0, 3, 1, 4, 6, 2, 5)
    return np.ascontiguousarray(ordered).reshape(-1, 3, PATCH_PX, PATCH_PX)


def image_positions(start: int, grid: Grid) -> NDArray[np.int64]:
    """Positions of an image's tokens: one time, and its rows and columns counted from there; shape (3, tokens)."""
    rows, columns = np.indices((grid.rows, grid.columns)).reshape(2, -1)
    return np.stack([np.full_like(rows, start), start + rows, start + columns]).astype(np.int64)


class Writer:
    """Writes conversations as the chat template renders them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._pad = self.special(IMAGE_PAD)

    def special(self, token: str) -> int:
        """Return the id of a special token."""
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise KeyError(token)
        return int(number)

    def text(self, text: str) -> list[int]:
        """Return the ids of a text."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def prepare(
        self,
        conversation: Conversation,
        *,
        images: Sequence[Image.Image] | None = None,
        joint: str = "",
        fitting: Callable[[Image.Image], Image.Image] = fit,
    ) -> PreparedConversation:
        """Prepare a conversation with its answers; images that are not named are drawn.

        `joint` stands between the parts of a message: nothing in the template, a line end in some llama.cpp.
        """
        supply = iter(images) if images is not None else None
        ids: list[int] = []
        spans: list[tuple[int, Grid]] = []
        answers: list[tuple[str, int, int]] = []
        patches: list[NDArray[np.uint8]] = []
        sights: list[NDArray[np.uint8]] = []
        for turn in conversation:
            ids += [self.special(START), *self.text("user\n")]
            pending = ""
            for index, part in enumerate(turn.parts):
                pending += joint if index else ""
                if isinstance(part, str):
                    pending += part
                    continue
                image = fitting(next(supply) if supply else draw(part))
                grid = grid_of(image.height, image.width)
                ids += [*self.text(pending), self.special(IMAGE_START)]
                spans.append((len(ids), grid))
                ids += [self._pad] * grid.cells + [self.special(IMAGE_END)]
                patches.append(cut(image))
                sights.append(sights_of(part, grid))
                pending = ""
            ids += self.text(pending)
            ids += [self.special(END), *self.text("\n"), self.special(START), *self.text("assistant\n")]
            answer = [*self.text(turn.answer), self.special(END)]
            answers.append((turn.task, len(ids), len(ids) + len(answer)))
            ids += [*answer, *self.text("\n")]
        return assemble(ids, spans, answers, patches, sights)


def assemble(
    ids: list[int],
    spans: list[tuple[int, Grid]],
    answers: list[tuple[str, int, int]],
    patches: list[NDArray[np.uint8]],
    sights: list[NDArray[np.uint8]],
) -> PreparedConversation:
    """Return the arrays of a conversation: a text's positions go on from the largest one before it."""
    labels = np.full(len(ids), UNTRAINED, dtype=np.int64)
    for _, start, end in answers:
        labels[start:end] = ids[start:end]
    pieces: list[NDArray[np.int64]] = []
    done, position = 0, 0
    for start, grid in spans:
        pieces.append(np.tile(np.arange(position, position + start - done), (3, 1)))
        position += start - done
        pieces.append(image_positions(position, grid))
        position += max(grid.rows, grid.columns)
        done = start + grid.cells
    pieces.append(np.tile(np.arange(position, position + len(ids) - done), (3, 1)))
    empty = np.zeros((0, 3, PATCH_PX, PATCH_PX), np.uint8)
    return PreparedConversation(
        np.asarray(ids, np.int64),
        labels,
        np.concatenate(pieces, axis=1).astype(np.int64),
        np.concatenate(patches) if patches else empty,
        tuple((grid.rows * MERGE, grid.columns * MERGE) for _, grid in spans),
        np.concatenate(sights) if sights else np.zeros((0, SIGHTS), np.uint8),
        tuple(answers),
    )


def scenes_of(conversation: Conversation) -> list[Scene]:
    """Return the images of a conversation, in order."""
    return [part for turn in conversation for part in turn.parts if not isinstance(part, str)]
