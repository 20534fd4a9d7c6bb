"""Which errors of llama-server are its client's mistakes, though it calls them its own. Pure.

It answers 500 to every exception before a request is begun; those come from the request. What fails later is its own:
the texts below, from `send_error` in tools/server of b6751, b7827 and b11312.
"""

from __future__ import annotations

import json
import re

from recipes.serve.door.refusal import BAD_REQUEST, error_body

SERVER_ERROR = 500
ITS_OWN = re.compile(
    r"context shift|context size has been exceeded|does not (?:support )?logits|failed to process|too large to process"
    r"|compute error|invalid input batch|failed to decode|unable to save|got exception|bad_alloc|unknown error"
    r"|out of memory|failed to allocate|cuda|metal|vulkan",
    re.IGNORECASE,
)


def restated(status: int, body: bytes) -> tuple[int, bytes]:
    """Return the status and body that a client should see for those of the server."""
    if status != SERVER_ERROR:
        return status, body
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, LookupError, TypeError):
        return status, body
    if not isinstance(message, str) or ITS_OWN.search(message):
        return status, body
    return BAD_REQUEST, error_body(BAD_REQUEST, message)
