"""Turns conversations into what the model reads: token ids, image patches and three-dimensional positions.

The layout is transformers' (Qwen3VLProcessor, Qwen2VLImageProcessor and get_rope_index of qwen3_vl_moe); a test
compares each with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from PIL import Image

from recipes.evalset.clips import Clip
from recipes.evalset.image_sizes import CELL_PX, MERGE, PATCH_PX, Grid, resized
from recipes.evalset.render import Scene, draw
from recipes.pocket.model.grid_labels import PAIR_SIGHTS, sights_of
from recipes.pocket.model.tokenizer import END, IMAGE_END, IMAGE_PAD, IMAGE_START, START, VIDEO_PAD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from recipes.evalset.tasks import Conversation

    Fitting = Callable[[Image.Image, tuple[int, int] | None], Image.Image]

JOINT = "\n"  # what some llama.cpp put between the parts of a message; the chat template has nothing there
UNTRAINED = -100  # the label of a token that is not learned: PyTorch's cross_entropy ignores it


class Message(Protocol):
    """A turn, or what a deviation makes of it."""

    @property
    def parts(self) -> tuple[Scene | Clip | Pair | str, ...]:
        """Images, clips and texts in order."""

    @property
    def answer(self) -> str:
        """What is answered."""

    @property
    def task(self) -> str:
        """Its task."""


class Pair(NamedTuple):
    """Two frames of one temporal patch: of a clip, whose height and width are given; or of a still, twice the same."""

    first: Scene
    second: Scene
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class PreparedConversation:
    """One conversation; its labels are the ids where the model answers, else UNTRAINED.

    A pair of frames of a clip is an image with a second frame of its own.
    """

    ids: NDArray[np.int64]  # (tokens,)
    labels: NDArray[np.int64]  # (tokens,)
    positions: NDArray[np.int64]  # (3, tokens): time, height and width
    patches: NDArray[np.uint8]  # (patches of all images, 3, PATCH_PX, PATCH_PX), channel values 0 to 255
    later: NDArray[np.uint8] | None  # the same of the second frames; None where all are those of the first
    grids: tuple[tuple[int, int], ...]  # rows and columns of patches of each image
    image_tokens: NDArray[np.int64]  # which tokens are of images
    sights: NDArray[np.uint8]  # (image tokens, PAIR_SIGHTS): what the cell of each shows in both frames
    answers: tuple[tuple[str, int, int], ...]  # the task of each, and the range of its tokens


def pieces_of(part: Scene | Clip | Pair | str) -> tuple[str | Pair, ...]:
    """Return what a part of a message becomes: of a clip, each pair of frames behind its time stamp."""
    if isinstance(part, str | Pair):
        return (part,)
    if isinstance(part, Clip):
        pairs = (Pair(*frames, part.size) for frames in part.pairs)
        return tuple(piece for both in zip(part.stamps, pairs, strict=True) for piece in both)
    return (Pair(part, part),)


def wrapped_pieces_of(part: Scene | Clip | Pair | str) -> tuple[str | Pair, ...]:
    """Return the same as transformers since 5.10 does: a clip has one more pair of vision tokens around all of it."""
    pieces = pieces_of(part)
    return (IMAGE_START, *pieces, IMAGE_END) if isinstance(part, Clip) else pieces


def fit(image: Image.Image, size: tuple[int, int] | None = None) -> Image.Image:
    """Resize an image as the reference does: PIL's bicubic filter, antialiased; to its own size, or a clip's."""
    height, width = size or resized(image.height, image.width)
    return image if image.size == (width, height) else bicubic(image, (width, height))


def bicubic(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize an image to a width and a height as the reference does."""
    return image.resize(size, Image.Resampling.BICUBIC)


def padded(
    image: Image.Image,
    size: tuple[int, int] | None = None,
    resize: Callable[[Image.Image, tuple[int, int]], Image.Image] = bicubic,
) -> Image.Image:
    """Resize an image as llama.cpp does since the middle of 2026: its aspect kept, centred on black."""
    height, width = size or resized(image.height, image.width)
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
        conversation: Sequence[Message],
        *,
        joint: str = "",
        fitting: Fitting = fit,
        pieces: Callable[[Any], Sequence[str | Pair]] = pieces_of,
    ) -> PreparedConversation:
        """Prepare a conversation with its answers.

        `joint` stands between the parts of a message: nothing in the template, a line end in some llama.cpp. `pieces`
        says what a part becomes.
        """
        ids: list[int] = []
        images: list[Prepared] = []
        answers: list[tuple[str, int, int]] = []
        for turn in conversation:
            ids += [self.special(START), *self.text("user\n")]
            pending = ""
            for index, part in enumerate(turn.parts):
                pending += joint if index else ""
                for piece in pieces(part):
                    if isinstance(piece, str):
                        pending += piece
                        continue
                    ids += [*self.text(pending), self.special(IMAGE_START)]
                    pending = ""
                    images.append(prepare_image(piece, len(ids), fitting))
                    pad = self.special(IMAGE_PAD if piece.size is None else VIDEO_PAD)
                    ids += [pad] * images[-1].grid.cells + [self.special(IMAGE_END)]
            ids += self.text(pending)
            ids += [self.special(END), *self.text("\n"), self.special(START), *self.text("assistant\n")]
            answer = [*self.text(turn.answer), self.special(END)]
            answers.append((turn.task, len(ids), len(ids) + len(answer)))
            ids += [*answer, *self.text("\n")]
        return assemble(ids, images, answers)


class Prepared(NamedTuple):
    """An image: its first token, its grid, the patches of its frames (a still has one) and what its cells show."""

    start: int
    grid: Grid
    patches: NDArray[np.uint8]
    later: NDArray[np.uint8] | None
    sights: NDArray[np.uint8]


def prepare_image(pair: Pair, start: int, fitting: Fitting) -> Prepared:
    """Draw, fit and cut an image."""
    image = fitting(draw(pair.first), pair.size)
    grid = Grid(image.height // CELL_PX, image.width // CELL_PX)
    first, patches = sights_of(pair.first, grid), cut(image)
    if pair.first == pair.second:
        return Prepared(start, grid, patches, None, np.concatenate([first, first], axis=1))
    second = sights_of(pair.second, grid)
    later = cut(fitting(draw(pair.second), pair.size))
    return Prepared(start, grid, patches, later, np.concatenate([first, second], axis=1))


def assemble(
    ids: list[int], images: Sequence[Prepared], answers: list[tuple[str, int, int]]
) -> PreparedConversation:
    """Return the arrays of a conversation: a text's positions go on from the largest one before it."""
    labels = np.full(len(ids), UNTRAINED, dtype=np.int64)
    for _, start, end in answers:
        labels[start:end] = ids[start:end]
    pieces: list[NDArray[np.int64]] = []
    done, position = 0, 0
    for image in images:
        pieces.append(np.tile(np.arange(position, position + image.start - done), (3, 1)))
        position += image.start - done
        pieces.append(image_positions(position, image.grid))
        position += max(image.grid.rows, image.grid.columns)
        done = image.start + image.grid.cells
    pieces.append(np.tile(np.arange(position, position + len(ids) - done), (3, 1)))
    empty = np.zeros((0, 3, PATCH_PX, PATCH_PX), np.uint8)
    later = [image.patches if image.later is None else image.later for image in images]
    return PreparedConversation(
        np.asarray(ids, np.int64),
        labels,
        np.concatenate(pieces, axis=1).astype(np.int64),
        np.concatenate([empty, *(image.patches for image in images)]),
        np.concatenate(later) if any(image.later is not None for image in images) else None,
        tuple((image.grid.rows * MERGE, image.grid.columns * MERGE) for image in images),
        np.concatenate(
            [np.arange(0), *(np.arange(image.start, image.start + image.grid.cells) for image in images)]
        ).astype(np.int64),
        np.concatenate([np.zeros((0, PAIR_SIGHTS), np.uint8), *(image.sights for image in images)]),
        tuple(answers),
    )


def scenes_of(conversation: Conversation) -> list[Scene]:
    """Return the still images of a conversation, in order."""
    return [part for turn in conversation for part in turn.parts if isinstance(part, Scene)]
