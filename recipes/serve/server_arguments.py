"""The command line of a llama-server that serves a pinned model. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.serve.door.options import WORKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from recipes.serve.model_choice import ReadyModel

MIB = 1 << 20
THREADS = WORKING + 16  # of HTTP: some are left for what takes no time
# The first request does the same as the warm-up, which encodes an image of thousands of patches; the model's own
# template (--jinja) is needed for tools and thinking.
EVERY_SERVER = (("--offline",), ("--no-warmup",), ("--jinja",), ("--threads-http", str(THREADS)))
# What the door and `ask` send has the pixels of each file: more than what was asked, for which they have own limits.
MOST_BODY_MIB = 1024
PROMPTS_MIB = 8192  # llama-server's own cache of earlier prompts: more than a small machine has


@dataclass(frozen=True)
class ServerOptions:
    """How a model is served; None for llama-server's default.

    The temperature is for requests that name none, `spare_bytes` is memory that remains beside the model.
    """

    threads: int | None = None
    temperature: float | None = None
    image_max_tokens: int | None = None
    spare_bytes: int | None = None
    unload_s: int | None = (
        None  # how long nobody asks until the model leaves the memory; it comes back when asked
    )


def server_arguments(ready: ReadyModel, chosen: ServerOptions, known: AbstractSet[str]) -> tuple[str, ...]:
    """Return the arguments, without host and port; optional ones only if the server's help lists them (`known`)."""
    return tuple(
        word
        for option, *values in _options(ready, chosen)
        if option in known or option in {"-m", "--mmproj", "-c"}
        for word in (option, *values)
    )


def _options(ready: ReadyModel, chosen: ServerOptions) -> Iterator[tuple[str, ...]]:
    yield "-m", str(ready.path)
    if ready.mmproj is not None:
        yield "--mmproj", str(ready.mmproj)
    yield "-c", str(ready.context)
    yield "--alias", ready.name  # otherwise it has the name of its file, which is a digest in the store
    yield from EVERY_SERVER
    yield "--max-body", str(MOST_BODY_MIB)
    if chosen.spare_bytes is not None:
        yield "--cache-ram", str(min(PROMPTS_MIB, max(0, chosen.spare_bytes) // 2 // MIB))
    if chosen.threads is not None:
        yield "-t", str(chosen.threads)
    if chosen.image_max_tokens is not None:
        yield "--image-max-tokens", str(chosen.image_max_tokens)
    if chosen.unload_s is not None:
        yield "--sleep-idle-seconds", str(chosen.unload_s)
    if chosen.temperature is not None:
        yield "--temp", f"{chosen.temperature:g}"
