"""What one user's request does to another's: full contexts, shared slots and prefixes, words that must not move."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import requests

from recipes.conformance.hostile.attack import (
    CHAT,
    COMPLETION,
    SAY,
    Attack,
    Fault,
    Kind,
    Seen,
    Target,
    chat,
    encode,
)
from recipes.conformance.hostile.image_files import small_png
from recipes.evalset.questions import LETTERS
from recipes.serve.llamacpp.server import user

if TYPE_CHECKING:
    from collections.abc import Iterator

USERS = 6
LONG = "one two three four five six seven eight nine ten " * 12
OK = requests.codes.ok


def attacks() -> Iterator[Attack]:
    """Return the attacks on other users' answers."""
    beginnings: dict[str, tuple[str | bytes, ...]] = {
        "text": (SAY,),
        "an image": (small_png(), SAY),
        "three images": (*[small_png()] * 3, SAY),
    }
    for name, parts in beginnings.items():
        yield Attack(
            Kind.CONTEXTS, f"the context fills after {name}", partial(fill, parts), name == "an image"
        )
        yield Attack(Kind.CONTEXTS, f"a stream fills the context after {name}", partial(fill_stream, parts))
    yield Attack(Kind.CONTEXTS, "a prompt of three contexts", partial(overlong, 30), is_quick=True)
    yield Attack(Kind.CONTEXTS, "one user's end beside others", ends, is_quick=True)
    for name, fields in (
        ("each its own slot", {}),
        ("all one slot", {"id_slot": 0}),
        ("cached prompts", {"cache_prompt": True}),
        ("cached prompts in one slot", {"cache_prompt": True, "id_slot": 0}),
        ("kept tokens", {"cache_prompt": True, "n_keep": -1, "n_cache_reuse": 1}),
    ):
        yield Attack(
            Kind.CONTEXTS, f"words of {USERS} users, {name}", partial(words_apart, fields), not fields
        )
    yield Attack(Kind.CONTEXTS, "slots and props of another", readable)
    yield Attack(Kind.CONTEXTS, "prompt tokens counted", usage, is_quick=True)


def body(parts: tuple[str | bytes, ...], **more: Any) -> bytes:  # noqa: ANN401 - any JSON
    """Return a chat whose answer goes on until the context is full."""
    return encode(chat(*parts, ignore_eos=True, max_tokens=-1) | more)


def fill(parts: tuple[str | bytes, ...], target: Target) -> Seen:
    """Let an answer go on until the context is full: it ends with `length`."""
    reply = target.send(CHAT, body(parts), timeout_s=180.0)
    if reply.status != OK:
        return Seen(reply.words, Fault.SERVER_ERROR)
    reason = json.loads(reply.text)["choices"][0].get("finish_reason")
    return Seen(f"ends with {reason}", None if reason == "length" else Fault.SERVER_ERROR)


def fill_stream(parts: tuple[str | bytes, ...], target: Target) -> Seen:
    """Let a stream go on until the context is full: it ends with `length`, and no error."""
    reply = target.send(CHAT, body(parts, stream=True), timeout_s=180.0)
    is_right = reply.status == OK and '"finish_reason":"length"' in reply.text.replace(" ", "")
    return Seen(f"ends with {' '.join(reply.text[-100:].split())}", None if is_right else Fault.SERVER_ERROR)


def overlong(times: int, target: Target) -> Seen:
    """Send a prompt that no context holds: 400."""
    reply = target.send(CHAT, encode(chat(LONG * times)))
    return Seen(reply.words, None if reply.is_refusal else Fault.SERVER_ERROR)


def ends(target: Target) -> Seen:
    """Let two users fill their contexts while others ask: the others' answers are whole and their own."""
    words = known_words(target, USERS)
    with ThreadPoolExecutor(2 + USERS) as pool:
        greedy = [pool.submit(target.send, CHAT, body((small_png(), SAY)), timeout_s=180.0) for _ in range(2)]
        others = [pool.submit(repeat, target, word, {}) for word in words * 3]
        wrong = [seen for seen in (other.result() for other in others) if seen]
        statuses = [one.result().status for one in greedy]
    return Seen(
        f"statuses {statuses}; {'; '.join(wrong) or 'each user had its own answer'}",
        Fault.MIXED if wrong else None,
    )


def canaries(count: int) -> list[str]:
    """Return different words of the kind that the small model was taught to repeat."""
    rng = Random(count)
    words: set[str] = set()
    while len(words) < count:
        word = "".join(rng.choice(LETTERS[index % 2]) for index in range(5))
        words.add(word)
    return sorted(words)


def known_words(target: Target, count: int) -> list[str]:
    """Return words that the model, asked alone, repeats rightly."""
    return [word for word in canaries(2 * count) if not repeat(target, word, {})][:count]


def repeat(target: Target, word: str, fields: dict[str, Any]) -> str:
    """Ask for a word to be repeated; return what is wrong with the answer."""
    reply = target.send(CHAT, encode(chat(f"Repeat: {word}", max_tokens=12) | fields), timeout_s=180.0)
    if reply.status != OK:
        return f"{word}: {reply.words}"
    given = str(json.loads(reply.text)["choices"][0]["message"]["content"]).strip()
    return "" if given == word else f"{word} was answered with {given}"


def words_apart(fields: dict[str, Any], target: Target) -> Seen:
    """Let users ask for words to be repeated at once; a word in another's answer is the worst of all faults.

    The model does not repeat every word rightly: each is first asked for alone, and then must be answered the same.
    """
    words = known_words(target, 3 * USERS)
    if len(words) < USERS:
        return Seen(f"of words asked for alone, {len(words)} are repeated rightly", Fault.WRONG)
    with ThreadPoolExecutor(USERS) as pool:
        wrong = [seen for seen in pool.map(lambda word: repeat(target, word, fields), words * 2) if seen]
    return Seen(
        "; ".join(wrong[:3]) or f"{len(words) * 2} words, each to its own user",
        Fault.MIXED if wrong else None,
    )


def readable(target: Target) -> Seen:
    """Look whether one user's text can be read by another, in /slots and /props."""
    word = "xylophonequartz"
    target.send(COMPLETION, encode({"prompt": f"Secret {word}", "n_predict": 2}))
    shown = [
        path
        for path in ("/slots", "/props", "/metrics")
        if word in target.send(path, None, {}, method="GET").text
    ]
    return Seen(f"shown in {', '.join(shown)}" if shown else "not shown", Fault.MIXED if shown else None)


def usage(target: Target) -> Seen:
    """Count the prompt's tokens with an image: not less than the image's own."""
    texts, images = (
        target.send(CHAT, encode(chat() | {"messages": [user(*parts)]}))
        for parts in ((SAY,), (small_png(), SAY))
    )
    if texts.status != OK or images.status != OK:
        return Seen(images.words, Fault.SERVER_ERROR)
    counts = [json.loads(reply.text)["usage"]["prompt_tokens"] for reply in (texts, images)]
    is_right = counts[1] - counts[0] >= 4  # noqa: PLR2004 - 64 by 64 pixels in cells of 32
    return Seen(
        f"{counts[0]} without and {counts[1]} with an image of 4 tokens", None if is_right else Fault.WRONG
    )
