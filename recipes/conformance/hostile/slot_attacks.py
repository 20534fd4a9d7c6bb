"""What one user's request does to a slot that is another's: while it answers, to what it keeps, and to files of it."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from recipes.conformance.hostile.attack import (
    CHAT,
    COMPLETION,
    FOLDER,
    SAY,
    Attack,
    Fault,
    Kind,
    Reply,
    Seen,
    Target,
    chat,
    completion,
    encode,
    judge_reply,
    until,
)
from recipes.conformance.hostile.connection_attacks import head
from recipes.conformance.hostile.image_files import noise, saved, small_png

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Body = dict[str, Any]
SAVES = ("--slot-save-path", FOLDER)  # off by default
LONG = "one two three four five six seven eight nine ten " * 8
OWN = chat(LONG + SAY, max_tokens=60, ignore_eos=True, id_slot=0)
FIRST_LETTERS = 4  # of an answer: as many must be the same each time for it to be compared
OTHERS: dict[str, Body] = {
    "another prompt": chat("Repeat: abcd", max_tokens=12, id_slot=0),
    "the same beginning": chat(LONG + "Repeat: abcd", max_tokens=12, id_slot=0),
    "an image": chat(small_png(), SAY, max_tokens=12, id_slot=0),
    "nothing to generate": completion(n_predict=0, id_slot=0),
    "several prompts": completion(prompt=[SAY, LONG, "a"], id_slot=0),
    "several answers": completion(n_cmpl=4, id_slot=0),
    "a prompt that no context holds": chat(LONG * 40, id_slot=0),
    "a grammar": completion(grammar='root ::= "a"', id_slot=0),
}
PICTURE = saved(noise((64, 64)), "PNG")
CACHED: dict[str, tuple[Body, Body]] = {
    "the same words about another image": (chat(small_png(), SAY), chat(PICTURE, SAY)),
    "the same image and other words": (chat(PICTURE, SAY), chat(PICTURE, "Repeat: badeg")),
    "the same words without the image": (chat(PICTURE, SAY), chat(SAY)),
    "two images for one": (chat(PICTURE, SAY), chat(PICTURE, PICTURE, SAY)),
    "its beginning": (chat(LONG + SAY), chat(LONG)),
    "its beginning and more": (chat(LONG), chat(LONG + "Repeat: badeg")),
    "its end": (chat(LONG + SAY), chat(SAY)),
    "the same prompt": (chat(LONG + SAY), chat(LONG + SAY)),
}
# Tokens below 0 stand for the parts of an image in what a slot keeps.
NOT_TOKENS = ([-1] * 20, [-1], [1, -1, -1], [-2] * 20)
NO_NAMES: tuple[Any, ...] = (
    *(
        "",
        ".",
        "..",
        "../a",
        "../../../../../../tmp/a",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "a\0b",
        "a\nb",
        "C:a",
        "a:b",
    ),
    *("a" * 5000, "\udcff", "a ", " a", "*", 7, None, [], {}, ["a"], True),
)
BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "an empty file": lambda _: b"",
    "a file of zeros": lambda state: bytes(len(state)),
    "half of a file": lambda state: state[: len(state) // 2],
    "a file's head": lambda state: state[:16],
    "a file of 4 thousand million tokens": lambda state: state[:8] + b"\xff" * 4 + state[12:],
    "a file of a thousand million tokens": lambda state: state[:8] + b"\0\0\0\x40" + state[12:],
    "a file of tokens out of range": lambda state: state[:12] + b"\xff\xff\xff\x7f" * 8 + state[44:],
    "a file of negative tokens": lambda state: state[:12] + b"\xff\xff\xff\xff" * 8 + state[44:],
    "a file with another's end": lambda state: state[:-4000] + b"\xff" * 4000,
    "a file that is too long": lambda state: state + state,
    "no state, but a text": lambda _: b"root:x:0:0\n" * 1000,
}


def attacks() -> Iterator[Attack]:
    """Return the attacks on the slots of others."""
    for name, body in OTHERS.items():
        yield Attack(
            Kind.CONTEXTS,
            f"{name} for a slot that answers",
            partial(beside, partial(ask, body)),
            name == "another prompt",
        )
    yield Attack(Kind.CONTEXTS, "ten who leave a slot that answers", partial(beside, leave))
    for name, (first, second) in CACHED.items():
        yield Attack(Kind.CONTEXTS, f"a cached prompt, then {name}", partial(after, first, second))
    yield Attack(Kind.CONTEXTS, "a cached image, then tokens that are none", not_tokens, is_quick=True)
    for action in ("erase", "save", "restore"):
        yield Attack(
            Kind.CONTEXTS,
            f"{action} for a slot that answers",
            partial(beside, partial(act, action)),
            options=SAVES,
        )
    for action in ("save", "restore"):
        yield Attack(
            Kind.ENDPOINTS, f"slots: no names of files to {action}", partial(names, action), options=SAVES
        )
    for name, change in BROKEN.items():
        yield Attack(Kind.ENDPOINTS, f"slots: {name} is restored", partial(restored, change), options=SAVES)
    yield Attack(Kind.CONTEXTS, "slots: one with an image is saved and restored", saved_image, options=SAVES)


def ask(body: Body, target: Target) -> Reply:
    """Send a chat or a completion."""
    return target.send(CHAT if "messages" in body else COMPLETION, encode(body), timeout_s=120.0)


def answer(body: Body, target: Target) -> str:
    """Return the answer to a chat, or why there is none."""
    reply = ask(body, target)
    try:
        return str(json.loads(reply.text)["choices"][0]["message"]["content"])
    except (ValueError, LookupError, TypeError):
        return reply.words


def sure_answer(bodies: tuple[Body, ...], target: Target) -> str:
    """Return what is the same in the answers to equal chats, up to where the model hardly prefers a token.

    What of a prompt is cached changes how it is computed, and so the last bits of a probability.
    """
    found = [answer(body, target) for body in bodies]
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*found, strict=False))
    return "".join(letters[0] for letters in same)


def compared(found: str, sure: str) -> Seen:
    """Judge an answer by what it must begin with."""
    if len(sure) < FIRST_LETTERS:
        return Seen(f"asked for alone, the answers begin with {sure!r} alone")
    if found.startswith(sure):
        return Seen(f"{len(sure)} letters as they were when asked for alone")
    return Seen(f"answered with {found[:60]!r} instead of {sure[:60]!r}", Fault.MIXED)


def beside(other: Callable[[Target], object], target: Target) -> Seen:
    """Let one ask for a long answer in a slot, and another do something to that slot: the answer stays the same."""
    sure = sure_answer((OWN, OWN, OWN | {"cache_prompt": False}), target)
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(answer(OWN, target)))
    thread.start()
    until(lambda: is_answering(target), 5.0 * target.patience, 0.02)
    other(target)
    thread.join()
    return compared(answers[0], sure)


def is_answering(target: Target) -> bool:
    """Return whether the first slot answers."""
    reply = target.send("/slots", None, {}, method="GET", timeout_s=5.0)
    try:
        return bool(json.loads(reply.text)[0]["is_processing"])
    except (ValueError, LookupError, TypeError):
        return False


def leave(target: Target) -> None:
    """Ask for the slot and leave, some times."""
    body = encode(chat("Repeat: abcd", max_tokens=200, ignore_eos=True, id_slot=0, stream=True))
    for _ in range(10):
        with suppress(OSError), target.connect() as connection:
            connection.sendall(head(target, b"Content-Length: %d\r\n\r\n" % len(body), CHAT.encode()) + body)


def after(first: Body, second: Body, target: Target) -> Seen:
    """Ask something in a slot, then something else: the answer is that of a slot that keeps nothing."""
    fields = {"id_slot": 0, "max_tokens": 12}
    fresh = second | fields | {"cache_prompt": False}
    sure = sure_answer((fresh, fresh | {"id_slot": 1}), target)
    ask(first | fields | {"cache_prompt": True}, target)
    return compared(answer(second | fields | {"cache_prompt": True}, target), sure)


def not_tokens(target: Target) -> Seen:
    """Ask about an image in a slot, then send what stands for an image there as if it were tokens: refused."""
    for tokens in NOT_TOKENS:
        ask(chat(PICTURE, SAY, id_slot=0, cache_prompt=True), target)
        for prompt in (tokens, [*tokens, "a"]):
            reply = ask(completion(prompt=prompt, id_slot=0, cache_prompt=True), target)
            seen = judge_reply(reply, must_refuse=True)
            if seen.fault or reply.status < 0:
                return Seen(f"{prompt[:4]}: {seen.words}", seen.fault)
    return seen


def act(action: str, target: Target) -> None:
    """Save, restore or erase the first slot, some times; what is restored is of the second slot."""
    ask(chat("Repeat: abcd", max_tokens=12, id_slot=1), target)
    on_slot(target, 1, "save", "other")
    for _ in range(5):
        on_slot(target, 0, action, "other" if action == "restore" else "own")


def on_slot(target: Target, number: int, action: str, name: object) -> Reply:
    """Do something to a slot with a file."""
    path = f"/slots/{number}?action={action}"
    return target.send(path, encode({"filename": name}), timeout_s=60.0)


def names(action: str, target: Target) -> Seen:
    """Save to, or restore from, what is no name of a file: refused."""
    for name in NO_NAMES:
        seen = judge_reply(on_slot(target, 0, action, name), must_refuse=True)
        if seen.fault:
            return Seen(f"{str(name)[:40]!r}: {seen.words}", seen.fault)
    return seen


def restored(change: Callable[[bytes], bytes], target: Target) -> Seen:
    """Save a slot, change its file as another program could, and restore it: refused, or it does no harm."""
    ask(chat(LONG, id_slot=0), target)
    reply = on_slot(target, 0, "save", "whole")
    path = target.server.log.parent / "whole"
    if not path.is_file():
        return judge_reply(reply)
    (path.parent / "changed").write_bytes(change(path.read_bytes()))
    seen = judge_reply(on_slot(target, 1, "restore", "changed"))
    if seen.fault:
        return seen
    asked = judge_reply(ask(chat(LONG + SAY, id_slot=1, cache_prompt=True), target))
    return Seen(f"{seen.words}; then {asked.words}", asked.fault)


def saved_image(target: Target) -> Seen:
    """Save a slot that keeps an image, restore it for another user, and ask there: right, or refused."""
    sure = sure_answer((chat(SAY, id_slot=1, cache_prompt=False),) * 2, target)
    ask(chat(PICTURE, SAY, id_slot=0), target)
    for number, action in ((0, "save"), (1, "restore")):
        seen = judge_reply(on_slot(target, number, action, "image"))
        if seen.fault:
            return Seen(f"{action}: {seen.words}", seen.fault)
    return compared(answer(chat(SAY, id_slot=1, cache_prompt=True), target), sure)
