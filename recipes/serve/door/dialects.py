"""Puts what the APIs name otherwise where llama-server reads it, and refuses what it would leave out unsaid. Pure.

OpenAI's chat and responses, and Anthropic's messages, as llama-server b11312 takes them (tools/server/server-chat.cpp).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recipes.serve.door.refusal import BAD_REQUEST, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
# What Anthropic's messages are made of. An image has a source; what was thought before may be left out.
PARTS = frozenset(("text", "image", "tool_use", "tool_result", "thinking", "redacted_thinking"))
RESULT_PARTS = frozenset(("text", "image"))
SYSTEM_PARTS = frozenset(("text",))


def translate(request: dict[str, Any], path: str) -> None:
    """Change a request to what llama-server reads; a RefusedError names what it would leave out."""
    if "max_completion_tokens" in request:  # OpenAI's newer name, which older servers do not know
        wanted = request.pop("max_completion_tokens")
        if wanted is not None:
            request["max_tokens"] = wanted
    if path.startswith((RESPONSES, RESPONSES.removeprefix("/v1"))):
        _answer_format(request)
    elif path.startswith(MESSAGES):
        _anthropic(request)


def _answer_format(request: dict[str, Any]) -> None:
    """Put the form that an answer must have where chats have it."""
    text = request.pop("text", None)
    form = text.get("format") if isinstance(text, dict) else text
    if form is None:
        return
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "json_schema":
        request["response_format"] = {"type": kind, "json_schema": {"schema": form.get("schema")}}
    elif kind == "json_object":
        request["response_format"] = {"type": kind}
    elif kind != "text":
        raise _refused("text.format.type", "text, json_object or json_schema")


def _anthropic(request: dict[str, Any]) -> None:
    config = request.get("output_config")
    if isinstance(config, dict) and config.get("format") is not None:
        message = "'output_config.format' is not supported: name a tool with that schema in 'tools' and 'tool_choice'"
        raise RefusedError(BAD_REQUEST, message, "output_config")
    for where, part, known in _parts(request):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in known:
            raise _refused(f"{where}.type", f"one of {', '.join(sorted(known))}")
        if kind == "image" and not isinstance(part.get("source"), dict):
            raise _refused(f"{where}.source", "an object with 'data' in base64")


def _parts(request: dict[str, Any]) -> Iterator[tuple[str, Any, frozenset[str]]]:
    """Return the parts of all contents: where each is, the part, and what it may be."""
    yield from ((where, part, SYSTEM_PARTS) for where, part in _listed(request, "system", ""))
    for place, message in _listed(request, "messages", ""):
        for where, part in _listed(message, "content", f"{place}."):
            yield where, part, PARTS
            if isinstance(part, dict) and part.get("type") == "tool_result":
                results = _listed(part, "content", f"{where}.")
                yield from ((inner, each, RESULT_PARTS) for inner, each in results)


def _listed(holder: Any, name: str, where: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - JSON
    items = holder.get(name) if isinstance(holder, dict) else None
    for index, item in enumerate(items if isinstance(items, list) else ()):
        yield f"{where}{name}[{index}]", item


def _refused(where: str, expected: str) -> RefusedError:
    return RefusedError(BAD_REQUEST, f"'{where}' must be {expected}", where)
