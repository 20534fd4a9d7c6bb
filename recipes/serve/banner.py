"""What `serve` prints once the server runs: its address, and an example request. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.filesystem import size_text
from recipes.serve.api_key import KEY_VARIABLE
from recipes.serve.model_choice import served_kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from recipes.serve.model_choice import ReadyModel


@dataclass(frozen=True)
class Example:
    """A request to show: an image file, "" for none, and a question."""

    image: str
    question: str


ANY = Example("image.jpg", "What is in this image?")
# The pocket model knows only drawings of this kind.
DRAWN = Example("docs/assets/shapes.png", "What colour is the ring?")
TEXT = Example("", "What is 7 minus 5?")


def ready_lines(
    models: Sequence[ReadyModel], title: str, base: str, logs: Sequence[Path], key: str | None
) -> Iterator[str]:
    """Yield what is served, by which llama.cpp (`title`), at which address, and how to send a request.

    The key that clients must send is a shell expression; None without a key. The first model is the default one.
    """
    for model in models:
        kind = served_kind(images=model.mmproj is not None)
        asked = "" if model is models[0] else ', where a request names it: {"model": "' + model.name + '"}'
        yield f"model:    {model.name}, {kind}, {model.context} tokens of context{asked}"
    yield f"server:   {title}"
    yield f"page:     {base}" + (" (it asks for the key: Settings, API Key)" if key else "")
    yield f"API:      {base}/v1/chat/completions, as OpenAI's"
    yield from (f"log:      {log}" for log in logs)
    ready = models[0]
    example = TEXT if ready.mmproj is None else DRAWN if ready.is_local else ANY
    yield from curl_lines(base, key, example)
    yield "Ctrl-C stops the server."


def curl_lines(base: str, key: str | None, example: Example) -> Iterator[str]:
    """Yield a command to paste into a shell; the image is sent on standard input, not as an argument."""
    word = f" -H @<(printf 'Authorization: Bearer %s' \"{key}\")" if key else ""
    yield f"curl -s {base}/v1/chat/completions -H 'Content-Type: application/json'{word} -d @- <<END"
    content = f'{{"type": "text", "text": "{example.question}"}}'
    if example.image:
        kind = "png" if example.image.endswith(".png") else "jpeg"
        coded = f"$(base64 <{example.image} | tr -d '\\n')"
        content = f"""{{"type": "image_url", "image_url": {{"url": "data:image/{kind};base64,{coded}"}}}}, {content}"""
    yield f'{{"messages": [{{"role": "user", "content": [{content}]}}]}}'
    yield "END"


def key_words(path: Path | None) -> str:
    """Return a shell expression for the key: a file's content, or the variable."""
    return f"$(cat {path})" if path is not None else f"${KEY_VARIABLE}"


def saved_line(ready: ReadyModel) -> str:
    """Return how much memory is saved without the projector."""
    memory = ready.inspection.memory
    if memory is None or memory.total == memory.without_projector:
        return "text only: the projector is not loaded; it is not on this machine, so the saved memory is unknown"
    return (
        f"text only: the projector is not loaded: {size_text(memory.without_projector)} of memory instead of"
        f" {size_text(memory.total)}, {size_text(memory.total - memory.without_projector)} saved"
    )
