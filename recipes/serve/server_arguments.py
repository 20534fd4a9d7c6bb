"""The command line of a llama-server that serves a pinned model. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from recipes.serve.model_choice import ReadyModel

MIB = 1 << 20
PROMPTS_MIB = 8192  # what llama-server would keep of earlier prompts: more memory than a small machine has


@dataclass(frozen=True)
class Manner:
    """How a model is served.

    Parameters
    ----------
    threads
        To compute with; None is the server's own choice.
    temperature
        Where a client names none; None is the server's own.
    spare_bytes
        Memory that is left beside the model, where that is known.
    """

    threads: int | None = None
    temperature: float | None = None
    spare_bytes: int | None = None


def server_arguments(ready: ReadyModel, manner: Manner, known: AbstractSet[str]) -> tuple[str, ...]:
    """Give the arguments, without host and port.

    Parameters
    ----------
    ready
        What is served.
    manner
        How.
    known
        The options that the server knows: what it does not know and can do without is left out.
    """
    return tuple(
        word
        for option, *values in _options(ready, manner)
        if option in known or option in {"-m", "--mmproj", "-c"}
        for word in (option, *values)
    )


def _options(ready: ReadyModel, manner: Manner) -> Iterator[tuple[str, ...]]:
    yield "-m", str(ready.path)
    if ready.mmproj is not None:
        yield "--mmproj", str(ready.mmproj)
    yield "-c", str(ready.context)
    yield "--alias", ready.name  # else it is named by its file, which is a digest in the store
    yield ("--offline",)  # it has all that it needs
    yield (
        "--no-warmup",
    )  # the first question does the same; it would encode a picture of thousands of patches
    if manner.spare_bytes is not None:
        yield "--cache-ram", str(min(PROMPTS_MIB, max(0, manner.spare_bytes) // 2 // MIB))
    if manner.threads is not None:
        yield "-t", str(manner.threads)
    if manner.temperature is not None:
        yield "--temp", f"{manner.temperature:g}"
