"""Which of the words after `ask` are images, and which is the question."""

from __future__ import annotations

from pathlib import Path

from recipes.serve.image_input import STANDARD_INPUT

SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jfif", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif")
}


def split_words(images: list[list[str]], question: str | None) -> tuple[list[Path], str]:
    """Return the images and the question; `--image` takes all words that follow it, a question at the end too.

    >>> split_words([["a.png", "b.png", "Which is red?"]], None)
    ([PosixPath('a.png'), PosixPath('b.png')], 'Which is red?')
    """
    words = [word for group in images for word in group]
    if question is None and images and len(images[-1]) > 1 and not is_file_name(words[-1]):
        question = words.pop()
    return [Path(word) for word in words], question or ""


def is_file_name(word: str) -> bool:
    """Whether a word names an image rather than being a question: a file has it, or it ends as one."""
    return word == STANDARD_INPUT or Path(word).suffix.lower() in SUFFIXES or Path(word).exists()
