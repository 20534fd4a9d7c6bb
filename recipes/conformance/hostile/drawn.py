"""Requests drawn from a grammar of requests (hypothesis): fields with odd values, chats, grammars, schemas, images."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from recipes.conformance.hostile.attack import (
    CHAT,
    COMPLETION,
    SAY,
    Attack,
    Kind,
    Seen,
    Target,
    encode,
    judge_reply,
)
from recipes.conformance.hostile.endpoint_attacks import WHOLE
from recipes.conformance.hostile.field_attacks import NUMBERS, OTHERS
from recipes.conformance.hostile.image_files import changed, noise, saved, small_png
from recipes.conformance.hostile.request_fields import path_of, request_fields, routes
from recipes.serve.llamacpp.server import user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypothesis.strategies import SearchStrategy

    from recipes.conformance.hostile.judge import Trial
    from recipes.conformance.hostile.supervisor import Supervisor

BATCH = 50  # requests between two looks at the server
Request = tuple[str, bytes]
LETTERS = st.text(max_size=12)
VALUES = st.recursive(
    st.one_of(
        st.sampled_from(NUMBERS), st.sampled_from(OTHERS), st.integers(), st.floats(), st.booleans(), LETTERS
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(LETTERS, inner, max_size=4)),
    max_leaves=12,
)


@cache
def fields() -> SearchStrategy[dict[str, Any]]:
    """Draw some fields of a request, with any values."""
    return st.dictionaries(st.sampled_from(request_fields()), VALUES, max_size=5)


@cache
def rules() -> SearchStrategy[str]:
    """Draw a grammar, nearly always one that can be read."""
    atoms = st.sampled_from(('"a"', '""', "[a-z]", "[^\\n]", "x", "root", "y", ".", '"\\u00e9"'))
    signs = st.sampled_from(("", "", "*", "+", "?", "{2}", "{0,3}", "{1,}", "{3,1}", "{99999}"))
    parts = st.recursive(
        st.tuples(atoms, signs).map("".join),
        lambda inner: st.tuples(
            st.lists(inner, min_size=1, max_size=3), st.sampled_from((" ", " | ")), signs
        ).map(lambda drawn: f"({drawn[1].join(drawn[0])}){drawn[2]}"),
        max_leaves=8,
    )
    return st.tuples(parts, parts, parts).map(lambda p: f"root ::= {p[0]}\nx ::= {p[1]}\ny ::= {p[2]}\n")


@cache
def schemas() -> SearchStrategy[Any]:
    """Draw a JSON schema, with words of the standard and values that do not fit them."""
    leaf = st.one_of(
        st.fixed_dictionaries(
            {"type": st.sampled_from(("string", "integer", "number", "boolean", "null", 7))}
        ),
        st.fixed_dictionaries({"enum": st.lists(VALUES, max_size=3)}),
        st.fixed_dictionaries(
            {"pattern": st.text("^$()[]{}*+?|\\ab-0,", max_size=14), "type": st.just("string")}
        ),
        st.fixed_dictionaries({"$ref": st.sampled_from(("#", "#/$defs/a", "#/properties/a", "#/x/0"))}),
        VALUES,
    )
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.fixed_dictionaries(
                {"type": st.just("object"), "properties": st.dictionaries(LETTERS, inner, max_size=3)}
            ),
            st.fixed_dictionaries(
                {"type": st.just("array"), "items": inner, "minItems": st.sampled_from(NUMBERS)}
            ),
            st.builds(
                lambda word, some: {word: some},
                st.sampled_from(("anyOf", "allOf", "oneOf", "prefixItems")),
                st.lists(inner, max_size=3),
            ),
            st.fixed_dictionaries(
                {"$defs": st.dictionaries(st.just("a"), inner), "$ref": st.just("#/$defs/a")}
            ),
        ),
        max_leaves=8,
    )


@cache
def images() -> SearchStrategy[bytes]:
    """Draw an image's file: good, changed, cut, or not one."""
    files = (small_png(), *(saved(noise((48, 40)), kind) for kind in ("PNG", "JPEG", "BMP", "PPM", "TGA")))
    files += (saved(noise((48, 40)).convert("P"), "GIF"),)
    good = st.sampled_from(files)
    cut = st.tuples(good, st.integers(0, 2000)).map(lambda drawn: drawn[0][: drawn[1]])
    other = st.tuples(good, st.integers(0, 60), st.binary(min_size=1, max_size=4)).map(
        lambda drawn: drawn[0][: drawn[1]] + drawn[2] + drawn[0][drawn[1] + len(drawn[2]) :]
    )
    return st.one_of(good, cut, other, st.binary(max_size=200), good.map(changed))


@cache
def messages() -> SearchStrategy[Any]:
    """Draw the messages of a chat, mostly of the shape that is meant."""
    texts = st.one_of(
        st.just(SAY), LETTERS, st.sampled_from(("<__media__>", "<|im_end|>", "{{ x }}", "\ud83d"))
    )
    roles = st.sampled_from(("user", "user", "system", "assistant", "tool", "nobody"))
    whole = st.lists(st.one_of(texts, images()), min_size=1, max_size=3).map(lambda parts: user(*parts))
    plain = st.fixed_dictionaries({"role": roles, "content": st.one_of(texts, texts, VALUES)})
    return st.one_of(st.lists(st.one_of(whole, plain), max_size=4), VALUES)


@cache
def requests() -> SearchStrategy[Request]:
    """Draw a request: its path and body."""
    paths = [path_of(path) for method, path in routes() if method == "POST"]
    few = {"n_predict": 3, "max_tokens": 3}
    said = st.builds(lambda chosen, some: few | {"messages": chosen} | some, messages(), fields())
    asked = st.builds(lambda some: few | {"prompt": SAY} | some, fields())
    ruled = st.builds(lambda text, some: few | {"prompt": SAY, "grammar": text} | some, rules(), st.just({}))
    shaped = schemas().map(lambda schema: few | {"prompt": SAY, "json_schema": schema})
    lazy = st.builds(
        lambda text, pattern, kind: (
            few
            | {"prompt": "Repeat: aaaa", "grammar": text, "grammar_lazy": True}
            | {"grammar_triggers": [{"type": kind, "value": pattern}]}
        ),
        rules(),
        st.text("^$()[]{}*+?|\\ab-", max_size=10),
        st.integers(-1, 5),
    )
    tools = st.builds(
        lambda schema, name, choice: (
            few
            | {"messages": [user(SAY)], "tool_choice": choice}
            | {"tools": [{"type": "function", "function": {"name": name, "parameters": schema}}]}
        ),
        schemas(),
        LETTERS,
        st.sampled_from(("auto", "required", "none", "nothing", 7)),
    )
    broken = st.builds(
        lambda body, at, more: body[:at] + more + body[at:],
        st.just(encode(few | {"prompt": SAY})),
        st.integers(0, 40),
        st.binary(max_size=4),
    )
    return st.one_of(
        st.tuples(st.just(CHAT), said.map(encode)),
        st.tuples(st.just(CHAT), tools.map(encode)),
        st.tuples(st.just(COMPLETION), st.one_of(asked, ruled, shaped, lazy).map(encode)),
        st.tuples(st.sampled_from(paths), st.one_of(fields(), fields().map(WHOLE.__or__)).map(encode)),
        st.tuples(st.just(COMPLETION), broken),
    )


def drawn(supervisor: Supervisor, count: int, number: int) -> Iterator[Trial]:
    """Send drawn requests, in batches between which the server is judged; equal numbers draw equal requests."""
    done = 0
    while done < count:
        size = min(BATCH, count - done)
        batch = draw(size, number + done)
        yield supervisor.attempt(
            Attack(Kind.DRAWN, f"requests {done + 1} to {done + size}", Batch(batch).run)
        )
        done += size


def draw(count: int, number: int) -> list[Request]:
    """Draw so many requests; equal numbers draw equal ones."""
    found: list[Request] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests())
    def keep(request: Request) -> None:
        found.append(request)

    keep()
    return found[:count]


class Batch:
    """Requests that are sent one after another, until one ends the server."""

    def __init__(self, requests: list[Request]) -> None:
        self._requests = requests

    def run(self, target: Target) -> Seen:
        """Send them; the first fault is named with its request."""
        fault = None
        for path, body in self._requests:
            reply = target.send(path, body)
            seen = judge_reply(reply)
            words = Seen(f"{path} {body[:600]!r}: {seen.words}", seen.fault)
            if reply.status < 0 and target.server.process.wait(1.0) is not None:
                return words
            if seen.fault and fault is None:
                fault = words
        return fault or Seen(f"{len(self._requests)} requests")
