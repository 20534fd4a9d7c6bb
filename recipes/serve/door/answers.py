"""The door's own answers, and the headers that it adds to all: who may read them, and who may frame them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON_TYPE = "application/json"
METHODS = ("GET", "HEAD", "POST", "DELETE")
NOTES = "X-Image-Notes"
MOST_NOTES = 2000  # characters of a header
# No other site's page may show ours in a frame, or use what we send as its own.
GUARDS = {
    "Server": "pinned-llama",
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def json_answer(status: int, body: bytes, extra: Mapping[str, str]) -> web.Response:
    """Return an answer of JSON."""
    headers = {"Content-Type": f"{JSON_TYPE}; charset=utf-8", **extra}
    return web.Response(status=status, body=body, headers=headers)


def readable_by(origin: str) -> dict[str, str]:
    """Return the headers that let a page of another origin read an answer (Fetch, 3.3)."""
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": NOTES,
        "Vary": "Origin",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }


def preflight(headers: Mapping[str, str], extra: dict[str, str]) -> web.Response:
    """Answer what a browser asks before it lets a page of another origin send JSON or a key (Fetch, 4.8)."""
    if "Access-Control-Allow-Origin" not in extra:
        return web.Response(status=204, headers={"Allow": ", ".join((*METHODS, "OPTIONS")), **extra})
    allowed = {
        "Access-Control-Allow-Methods": ", ".join(METHODS),
        "Access-Control-Allow-Headers": headers.get(
            "access-control-request-headers", "content-type, authorization"
        ),
        "Access-Control-Max-Age": "600",
    }
    if headers.get("access-control-request-private-network") == "true":
        allowed["Access-Control-Allow-Private-Network"] = "true"
    return web.Response(status=204, headers={**extra, **allowed})


def notes_header(notes: tuple[str, ...]) -> dict[str, str]:
    """Return the header that says what was done to a request's images; none where nothing was."""
    text = "; ".join(notes).encode("ascii", "replace").decode("ascii")[:MOST_NOTES]
    return {NOTES: text} if text else {}
