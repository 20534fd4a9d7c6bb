"""The list of models that the door answers with where it has several, the default one first. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

LISTS = {"/v1/models", "/models"}


def listed(models: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return OpenAI's list of models by names, with the states that llama-server's own router adds.

    >>> listed([("pocket", "loaded")])["data"][0]["status"]
    {'value': 'loaded'}
    """
    data = [
        {"id": name, "object": "model", "created": 0, "owned_by": "llamacpp", "status": {"value": state}}
        for name, state in models
    ]
    return {"object": "list", "data": data}
