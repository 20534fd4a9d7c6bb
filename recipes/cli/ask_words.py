"""Which of the words after `ask` are images and videos, and which is the question."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.serve.image_input import STANDARD_INPUT

if TYPE_CHECKING:
    from collections.abc import Sequence

SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jfif", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif")
}
VIDEO_SUFFIXES = {".mp4", ".m4v", ".mov", ".webm", ".mkv", ".3gp"}


@dataclass(frozen=True)
class NamedMedia:
    """A file that is named, as an image or as a video."""

    path: Path
    is_video: bool = False


class MediaWords(argparse.Action):
    """Keeps the words after `--image` and `--video` in one list, in the order in which they are named."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[str] | None,
        option: str | None = None,
    ) -> None:
        """Add what one option names."""
        words = [values] if isinstance(values, str) else list(values or ())
        namespace.media = [*namespace.media, (option == "--video", words)]


def split_words(
    groups: Sequence[tuple[bool, Sequence[str]]], question: str | None
) -> tuple[list[NamedMedia], str]:
    """Return the files and the question; an option for files takes all words that follow it, a question at the end too.

    >>> split_words([(False, ["a.png", "b.png", "Which is red?"])], None)[1]
    'Which is red?'
    """
    named = [(is_video, word) for is_video, words in groups for word in words]
    if question is None and groups and len(groups[-1][1]) > 1 and not is_file_name(named[-1][1]):
        question = named.pop()[1]
    return [NamedMedia(Path(word), is_video) for is_video, word in named], question or ""


def is_file_name(word: str) -> bool:
    """Whether a word names an image or a video rather than being a question: a file has it, or it ends as one."""
    return (
        word == STANDARD_INPUT
        or Path(word).suffix.lower() in SUFFIXES | VIDEO_SUFFIXES
        or Path(word).exists()
    )


def is_video_name(word: str) -> bool:
    """Whether a file is called as videos are.

    >>> is_video_name("clip.MP4"), is_video_name("clip.gif")
    (True, False)
    """
    return Path(word).suffix.lower() in VIDEO_SUFFIXES
