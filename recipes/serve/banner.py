"""What a person is told of a server that runs: where its page is, and how a program asks it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.filesystem import size_text
from recipes.serve.api_key import KEY_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recipes.serve.model_choice import ReadyModel


@dataclass(frozen=True)
class Example:
    """A question about a picture, to show how one asks.

    Parameters
    ----------
    picture
        The file.
    question
        What is asked.
    """

    picture: str
    question: str


ANY = Example("picture.jpg", "What is in this picture?")
DRAWN = Example(
    "docs/assets/shapes.png", "What colour is the ring?"
)  # of the kind that the pocket model knows
TEXT = Example("", "What is 7 minus 5?")


def ready_lines(ready: ReadyModel, what: str, base: str, log: Path, key: str | None) -> Iterator[str]:
    """Say what is served, where, and how to ask.

    Parameters
    ----------
    ready
        The model.
    what
        The llama.cpp, for people.
    base
        The server's address.
    log
        What it prints.
    key
        Where the key is kept that clients must show, as a shell's words; None without one.
    """
    pictures = "with pictures" if ready.mmproj is not None else "text only"
    yield f"model:    {ready.name}, {pictures}, {ready.context} tokens of context"
    yield f"server:   {what}"
    yield f"page:     {base}" + (" (it asks for the key: Settings, API Key)" if key else "")
    yield f"API:      {base}/v1/chat/completions, as OpenAI's"
    yield f"log:      {log}"
    example = TEXT if ready.mmproj is None else DRAWN if ready.is_local else ANY
    yield from curl_lines(base, key, example)
    yield "Ctrl-C ends it."


def curl_lines(base: str, key: str | None, example: Example) -> Iterator[str]:
    """Give a command that asks the API, to paste into a shell; the picture does not pass through its arguments."""
    word = f" -H @<(printf 'Authorization: Bearer %s' \"{key}\")" if key else ""
    yield f"curl -s {base}/v1/chat/completions -H 'Content-Type: application/json'{word} -d @- <<END"
    content = f'{{"type": "text", "text": "{example.question}"}}'
    if example.picture:
        kind = "png" if example.picture.endswith(".png") else "jpeg"
        coded = f"$(base64 <{example.picture} | tr -d '\\n')"
        content = f"""{{"type": "image_url", "image_url": {{"url": "data:image/{kind};base64,{coded}"}}}}, {content}"""
    yield f'{{"messages": [{{"role": "user", "content": [{content}]}}]}}'
    yield "END"


def key_words(path: Path | None) -> str:
    """Give a shell's words for where the key is kept."""
    return f"$(cat {path})" if path is not None else f"${KEY_VARIABLE}"


def saved_line(ready: ReadyModel) -> str:
    """Say what memory is saved by doing without the projector."""
    memory = ready.inspection.memory
    if memory is None or memory.total == memory.without_projector:
        return "text only: the projector is not loaded; what memory that saves is not known, since it is not here"
    return (
        f"text only: the projector is not loaded: {size_text(memory.without_projector)} of memory instead of"
        f" {size_text(memory.total)}, {size_text(memory.total - memory.without_projector)} saved"
    )
