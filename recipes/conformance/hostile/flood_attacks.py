"""Much at once: bodies of about the largest size that is taken, and streams that go on without their client."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from recipes.conformance.hostile.attack import (
    CHAT,
    COMPLETION,
    JSON,
    Attack,
    Fault,
    Kind,
    Seen,
    Target,
    chat,
    encode,
    judge_reply,
    several,
)
from recipes.conformance.hostile.connection_attacks import head

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = 63_000_000  # below 64 MB, what is taken by default
MANY = 40  # bodies at once: together more than the memory that a server may take
BLOCK = 1_000_000
URL = b"data:image/png;base64,"
STREAMS = 200
OWNER, READER = "conversation-of-one", "conversation-of-another"
ODD_IDS = ("a" * 7000, "::", "a::b::c", "\xff\xfe", "../../etc/passwd", "%00", "a b\tc", '"', "{}", "-1")
OFFSETS = ("-1", "18446744073709551615", "18446744073709551616", "1e9", "x", "", "0x10", "9" * 4000)


def attacks() -> Iterator[Attack]:
    """Return the attacks by amount."""
    for path, opening, closing in (
        ("/tokenize", b'{"content":"', b'"}'),
        (COMPLETION, b'{"n_predict":1,"prompt":"', b'"}'),
        (CHAT, b'{"max_tokens":1,"messages":[{"role":"user","content":"', b'"}]}'),
        ("/v1/messages", b'{"max_tokens":1,"messages":[{"role":"user","content":"', b'"}]}'),
        ("/v1/responses", b'{"max_output_tokens":1,"input":"', b'"}'),
        ("/v1/messages/count_tokens", b'{"messages":[{"role":"user","content":"', b'"}]}'),
        ("/apply-template", b'{"messages":[{"role":"user","content":"', b'"}]}'),
        ("/infill", b'{"n_predict":1,"input_suffix":"","input_prefix":"', b'"}'),
    ):
        for name, is_whole in (("", True), (", all but the last byte", False)):
            yield Attack(
                Kind.CONNECTIONS,
                f"{MANY} bodies of {LARGE // BLOCK} MB at {path}{name}",
                partial(bodies, path, opening, closing, is_whole=is_whole),
            )
    for path, opening, closing in (
        (
            CHAT,
            b'{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"' + URL,
            b'"}}]}]}',
        ),
        (
            "/v1/messages",
            b'{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"',
            b'"}}]}]}',
        ),
        (
            "/v1/responses",
            b'{"input":[{"role":"user","content":[{"type":"input_image","image_url":"' + URL,
            b'"}]}]}',
        ),
    ):
        yield Attack(
            Kind.CONNECTIONS,
            f"{MANY} images of {LARGE // BLOCK} MB at {path}",
            partial(bodies, path, opening, closing, is_whole=True, filler=b"AA"),
        )
    yield Attack(
        Kind.CONNECTIONS,
        f"{MANY} bodies of {LARGE // BLOCK} MB in chunks",
        partial(bodies, "/tokenize", b'{"content":"', b'"}', is_whole=True, in_chunks=True),
    )
    yield Attack(Kind.CONNECTIONS, f"{STREAMS} streams that go on without a client", streams)
    yield Attack(Kind.CONNECTIONS, "streams by the name of one that goes on", taken_over)
    yield Attack(Kind.CONTEXTS, "names of another's streams", names_of_streams)
    yield Attack(Kind.CONNECTIONS, "odd names of streams", odd_names)
    yield Attack(Kind.CONNECTIONS, "odd places in a stream", odd_places)
    lists: tuple[Any, ...] = (
        [OWNER] * 100_000,
        [7, None, [], {}],
        "x",
        7,
        {},
        [""] * 10,
        [OWNER * 5000] * 100,
    )
    yield several(
        Kind.ENDPOINTS,
        "streams looked up by odd lists",
        "/v1/streams/lookup",
        lambda: [{"conversation_ids": value} for value in lists],
    )


def bodies(  # noqa: PLR0913 - what a body is made of
    path: str,
    opening: bytes,
    closing: bytes,
    target: Target,
    *,
    is_whole: bool,
    in_chunks: bool = False,
    filler: bytes = b"a ",
) -> Seen:
    """Send bodies from many clients at once, and hold them open: /health answers meanwhile."""
    count = LARGE // BLOCK
    length = len(opening) + count * BLOCK + len(closing)
    more = b"Transfer-Encoding: chunked\r\n\r\n" if in_chunks else b"Content-Length: %d\r\n\r\n" % length
    parts = (opening, *[filler * (BLOCK // 2)] * count, closing if is_whole else closing[:-1])

    def send(stack: ExitStack) -> str:
        try:
            connection = stack.enter_context(target.connect())
            connection.sendall(head(target, more, path.encode()))
            for part in parts:
                connection.sendall(b"%x\r\n%s\r\n" % (len(part), part) if in_chunks else part)
            if not is_whole:
                return "held"
            connection.sendall(b"0\r\n\r\n" if in_chunks else b"")
            return connection.recv(100)[9:12].decode("latin-1") or "closed"
        except OSError:
            return "closed"

    with ExitStack() as stack, ThreadPoolExecutor(MANY) as pool:
        sent = [pool.submit(send, stack) for _ in range(MANY)]
        silent = False
        while not all(one.done() for one in sent):
            silent |= not target.is_healthy()
            time.sleep(0.2)
        silent |= not target.is_healthy()
    ends = [one.result() for one in sent]
    words = ", ".join(f"{ends.count(end)} times {end}" for end in sorted(set(ends)))
    faulty = any(end in {"500", "502", "504"} for end in ends)
    return Seen(words, Fault.SILENT if silent else Fault.SERVER_ERROR if faulty else None)


def begin(target: Target, name: str, tokens: int = 600, question: str = "Repeat: abcd") -> bytes:
    """Return a request for a long stream that can be read again by its name."""
    body = encode(chat(question, max_tokens=tokens, ignore_eos=True, stream=True))
    more = b"X-Conversation-Id: %s\r\nContent-Length: %d\r\n\r\n" % (name.encode("latin-1"), len(body))
    return head(target, more, CHAT.encode()) + body


def leave(target: Target, name: str, tokens: int = 600) -> bytes:
    """Begin a stream, read its start, and leave."""
    with suppress(OSError), target.connect(10.0) as connection:
        connection.sendall(begin(target, name, tokens))
        connection.settimeout(0.2 * target.patience)
        return connection.recv(2000)
    return b""


def stop(target: Target, *names: str) -> None:
    """End streams by their names."""
    for name in names:
        target.send(f"/v1/stream?conv_id={quote(name, safe='')}", None, {}, method="DELETE")


def streams(target: Target) -> Seen:
    """Begin many streams, each by its own name, and leave: others are answered in time, and memory is bounded."""
    for number in range(STREAMS):
        leave(target, f"left-{number}")
    is_healthy = target.is_healthy()
    return Seen(f"{STREAMS} streams left", None if is_healthy else Fault.SILENT)


def taken_over(target: Target) -> Seen:
    """Begin streams, one after another, by the name of one that goes on: each takes the place of the one before."""
    leave(target, OWNER, 2000)
    found = []
    for number in range(20):
        with suppress(OSError), target.connect(10.0) as connection:
            connection.sendall(begin(target, OWNER, 20, f"Repeat: take{number}"))
            found.append(connection.recv(2000)[9:12])
    is_healthy = target.is_healthy()
    stop(target, OWNER)
    return Seen(f"{len(found)} answers", None if is_healthy else Fault.SILENT)


def names_of_streams(target: Target) -> Seen:
    """Ask for streams by names that nobody has: those of others are neither listed nor shown."""
    leave(target, OWNER)
    guesses = ["", "*", "%", "conversation", OWNER[:-1], OWNER + ":", "::", ".*"]
    listed = target.send("/v1/streams/lookup", encode({"conversation_ids": guesses}))
    shown = [listed] + [
        target.send(f"/v1/stream?conv_id={quote(name, safe='')}&from=0", None, {}, method="GET", timeout_s=5)
        for name in guesses
    ]
    stop(target, OWNER)
    leaks = [reply.words for reply in shown if OWNER in reply.text or "data:" in reply.text]
    return Seen(leaks[0] if leaks else listed.words, Fault.MIXED if leaks else None)


def odd_names(target: Target) -> Seen:
    """Begin, read and end streams by names of odd letters."""
    answers = []
    for name in ODD_IDS:
        with suppress(OSError), target.connect(10.0) as connection:
            connection.sendall(begin(target, name, 4))
            answers.append(connection.recv(200)[9:12].decode("latin-1"))
        place = f"/v1/stream?conv_id={quote(name, safe='', encoding='latin-1')}"
        for method in ("GET", "DELETE"):
            seen = judge_reply(target.send(place, None, {}, method=method, timeout_s=10))
            if seen.fault:
                return Seen(f"{method} {name[:40]!r}: {seen.words}", seen.fault)
    faulty = any(answer in {"500", "502", "504"} for answer in answers)
    return Seen(", ".join(sorted(set(answers))), Fault.SERVER_ERROR if faulty else None)


def odd_places(target: Target) -> Seen:
    """Read a stream from places that it does not have; one beyond its end waits, and does not hold others up."""
    leave(target, READER, 50)
    with ThreadPoolExecutor(len(OFFSETS)) as pool:
        replies = list(
            pool.map(
                lambda place: target.send(
                    f"/v1/stream?conv_id={READER}&from={place}", None, JSON, method="GET"
                ),
                OFFSETS,
            )
        )
    stop(target, READER)
    for place, reply in zip(OFFSETS, replies, strict=True):
        seen = judge_reply(reply)
        if seen.fault:
            return Seen(f"from {place[:30]}: {seen.words}", seen.fault)
    return Seen(", ".join(sorted({str(reply.status) for reply in replies})))
