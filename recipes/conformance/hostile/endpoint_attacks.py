"""What the endpoints that the server's source registers do not expect: odd bodies, paths, and values in each field."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from recipes.conformance.hostile.attack import (
    SAY,
    Attack,
    Body,
    Kind,
    Seen,
    Target,
    encode,
    judge_reply,
    request,
    several,
)
from recipes.conformance.hostile.field_attacks import INT32, NUMBERS, OTHERS
from recipes.conformance.hostile.request_fields import distinct_routes, path_of, request_fields, routes
from recipes.serve.llamacpp.server import user

if TYPE_CHECKING:
    from collections.abc import Iterator

# what each endpoint needs, all in one: what another's field says to it is not read
WHOLE: dict[str, Any] = {
    "prompt": SAY,
    "messages": [user(SAY)],
    "input": SAY,
    "content": SAY,
    "tokens": [1, 2, 3],
    "query": SAY,
    "documents": [SAY],
    "input_prefix": "a",
    "input_suffix": "b",
    "n_predict": 2,
    "max_tokens": 2,
    "max_output_tokens": 2,
    "filename": "a",
    "conversation_ids": ["a"],
    "id": "a",
    "action": "reasoning_end",
}
PLAIN = ("input", "content", "query", "documents", "tokens")
NO_OBJECT: tuple[Body, ...] = (
    *(b"null", b"true", b"7", b"-1.5", b"1e308", b'"a"', b'""'),
    *(b"[]", b"[[]]", b"[{}]", b"[null]", b"[7]", b" \n\t[\r\n]"),
)
TAKES_A_LIST = "/lora-adapters"
TAKES_BYTES = ("/cors-proxy", "/props")  # it reads no body, or what it passes on
VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "-1": -1,
    "2 to the 31st": INT32,
    "2 to the 64th, less 1": (1 << 64) - 1,
    "10 to the 9th": 10**9,
    "a half": 0.5,
    "10 to the 308th": 1e308,
    "an empty text": "",
    "a text": "x",
    "an empty list": [],
    "a list of a list": [[]],
    "a list of -1": [-1],
    "an empty object": {},
    "a list of an object": [{}],
    "20,000 numbers": [0] * 20_000,
}
# what is off by default, with the options that turn it on: a model of embeddings, one that fills in, one that ranks
EMBEDS, RANKS = ("--embeddings", "--pooling", "mean"), ("--reranking",)
FILLS_IN = tuple(
    word
    for name in ("pre", "suf", "mid")
    for word in ("--override-kv", f"tokenizer.ggml.fim_{name}_token_id=int:5")
)
NEEDS = {
    **dict.fromkeys(("/embedding", "/embeddings", "/v1/embeddings"), EMBEDS),
    **dict.fromkeys(("/rerank", "/reranking", "/v1/rerank", "/v1/reranking"), RANKS),
    "/infill": FILLS_IN,
}
COVERED = {"/completion", "/chat/completions"}  # each field with every value, in field_attacks


def attacks() -> Iterator[Attack]:
    """Return the attacks on endpoints: no object, wrong values of each field, odd paths, long lists."""
    for method, path in routes():
        if path != "/health":
            yield Attack(Kind.ENDPOINTS, f"{method} {path}", partial(try_endpoint, method, path_of(path)))
    for path in (path for method, path in distinct_routes() if method == "POST"):
        if path not in {TAKES_A_LIST, *TAKES_BYTES}:
            yield several(
                Kind.ENDPOINTS,
                f"no object at {path}",
                path_of(path),
                lambda: list(NO_OBJECT),
                must_refuse=True,
                quick=path == "/tokenize",
                options=NEEDS.get(path, ()),
            )
        if path not in COVERED:
            for name, value in VALUES.items():
                yield several(
                    Kind.ENDPOINTS,
                    f"{name} in each field at {path}",
                    path_of(path),
                    partial(in_each_field, value),
                    options=NEEDS.get(path, ()),
                )
    yield from paths_and_lists()


def in_each_field(value: object) -> list[Body]:
    """Return bodies that every endpoint takes, but for one field."""
    return [WHOLE | {field: value} for field in request_fields()]


def paths_and_lists() -> Iterator[Attack]:
    """Return odd paths of slots, and lists and texts that are long or of odd members."""
    numbers = ("0", "-1", "99999999999999999999", "x", "%00", "../../etc/passwd", "1e9", "")
    for action in ("erase", "save", "restore", "", "nothing"):
        paths = [f"/slots/{number}?action={action}" for number in numbers]
        yield Attack(Kind.ENDPOINTS, f"slots, {action or 'no'} action", partial(try_paths, paths))
    tokens: list[Body] = [{"tokens": value} for value in NUMBERS + OTHERS]
    tokens += [{"tokens": [value]} for value in NUMBERS] + [{"tokens": [1] * 300_000}]
    yield several(Kind.ENDPOINTS, "detokenize tokens out of range", "/detokenize", lambda: tokens, quick=True)
    post = partial(request, Kind.ENDPOINTS)
    yield post("tokenize 5 MB", "/tokenize", lambda: {"content": "a " * 2_500_000})
    yield post("tokenize 60 MB of one letter", "/tokenize", lambda: {"content": "a" * 60_000_000})
    yield post("tokenize pieces of broken letters", "/tokenize", {"content": "\ud83d", "with_pieces": True})
    templates: list[Body] = [{"messages": value} for value in NUMBERS + OTHERS]
    yield several(
        Kind.ENDPOINTS, "apply-template of no messages", "/apply-template", lambda: templates, quick=True
    )
    for path, name in (
        ("/v1/chat/completions", "messages"),
        ("/apply-template", "messages"),
        ("/v1/chat/completions/input_tokens", "messages"),
        ("/v1/messages", "messages"),
        ("/v1/messages/count_tokens", "messages"),
        ("/v1/responses", "input"),
        ("/v1/responses/input_tokens", "input"),
    ):
        yield post(f"an empty list of {name} at {path}", path, {name: [], "max_tokens": 2}, must_refuse=True)
    adapter = {"id": 0, "scale": 1.0}
    for name, body in (
        ("a million adapters", lambda: [adapter] * 1_000_000),
        ("1,025 adapters", lambda: [adapter | {"id": n} for n in range(1025)]),
        ("adapters of odd numbers", lambda: [{"id": n, "scale": n} for n in NUMBERS]),
        ("an adapter that is not there", lambda: [{"id": 10**9, "scale": 1e308}]),
        ("an object for adapters", lambda: adapter),
    ):
        yield post(f"lora-adapters: {name}", TAKES_A_LIST, body, must_refuse=True)
    odd: list[Body] = [[value] for value in NUMBERS + OTHERS]
    odd += [[adapter | {key: value}] for key in adapter for value in NUMBERS + OTHERS]
    yield several(Kind.ENDPOINTS, "lora-adapters: odd members", TAKES_A_LIST, lambda: odd)
    yield several(
        Kind.ENDPOINTS,
        "lora of a request: odd members",
        "/completion",
        lambda: [{"prompt": SAY, "n_predict": 2, "lora": body} for body in odd],
    )


def try_endpoint(method: str, path: str, target: Target) -> Seen:
    """Send an endpoint what it does not expect."""
    fields = [dict.fromkeys(PLAIN, SAY) | {field: value} for field in PLAIN for value in OTHERS]
    for body in (b"", b"null", b"[]", b"7", b'"a"', b"{}", b"{", b"\xff\xfe", *map(encode, fields)):
        reply = target.send(path, body if method == "POST" else None, method=method)
        seen = judge_reply(reply)
        if seen.fault or method == "GET":
            return seen
    return Seen(reply.words)


def try_paths(paths: list[str], target: Target) -> Seen:
    """Ask for odd paths."""
    for path in paths:
        seen = judge_reply(target.send(path, b"{}"))
        if seen.fault:
            return Seen(f"{path}: {seen.words}", seen.fault)
    return Seen(seen.words)
