"""Connections that HTTP does not mean: slow, half open, many, lying about their length, closed too early."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from recipes.conformance.hostile.attack import (
    CHAT,
    SAY,
    Attack,
    Fault,
    Kind,
    Seen,
    Target,
    chat,
    completion,
    encode,
)
from recipes.conformance.hostile.image_files import noise, saved
from recipes.serve.llamacpp.server import user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MANY = 64
FAULTY = {b"500", b"502", b"504"}  # not 501, 503 and 505: what is not supported, too much, another version
REPLY_S = 10.0
LARGE = 300_000_000  # a body
BODY = encode(completion())
HEAD = b"POST /completion HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"


def head(target: Target, more: bytes = b"", path: bytes = b"/completion") -> bytes:
    """Return the start of a request, up to its own headers."""
    host = "{}:{}".format(*target.address).encode()
    return HEAD.replace(b"{host}", host).replace(b"/completion", path) + more


def lengths(length: bytes, body: bytes = BODY) -> Callable[[Target], bytes]:
    """Return a request that says this of its length."""
    return lambda target: head(target, b"Content-Length: " + length + b"\r\n\r\n") + body


def chunked(body: bytes) -> Callable[[Target], bytes]:
    """Return a request in chunks as they are written."""
    return lambda target: head(target, b"Transfer-Encoding: chunked\r\n\r\n") + body


RAW: dict[str, Callable[[Target], bytes]] = {
    "a length of 0": lengths(b"0"),
    "a length below 0": lengths(b"-5"),
    "a length of 2 to the 64th": lengths(b"18446744073709551616"),
    "a length of 9 exabytes": lengths(b"9223372036854775807"),
    "a length in hexadecimal": lengths(b"0x10"),
    "a length with a plus": lengths(b"+5"),
    "a length that is no number": lengths(b"many"),
    "a length shorter than the body": lengths(b"3"),
    "two lengths": lengths(b"5\r\nContent-Length: 5000"),
    "two lengths in one": lengths(b"5, 5000"),
    "a length and chunks": lambda target: (
        head(target, b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n") + b"0\r\n\r\n"
    ),
    "chunks and no end": chunked(b"5\r\nabcde\r\n"),
    "a chunk below 0": chunked(b"-1\r\nabc\r\n0\r\n\r\n"),
    "a chunk of 2 to the 64th": chunked(b"FFFFFFFFFFFFFFFFF\r\nabc"),
    "a chunk of 2 to the 63rd": chunked(b"8000000000000000\r\nabc"),
    "a chunk with 1 MB of extensions": chunked(b"1;" + b"x" * 1_000_000 + b"\r\na\r\n0\r\n\r\n"),
    "a chunk without line ends": chunked(b"3abc0"),
    "200,000 chunks of a byte": chunked(b"1\r\n \r\n" * 200_000 + b"0\r\n\r\n"),
    "200,000 trailers": chunked(b"2\r\n{}\r\n0\r\n" + b"X-A: b\r\n" * 200_000 + b"\r\n"),
    "an encoding nobody knows": lambda target: head(target, b"Transfer-Encoding: nothing\r\n\r\n"),
    "a compressed body that is none": lambda target: (
        head(target, b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n") + b"abcd"
    ),
    "no version": lambda _: b"GET /health\r\n\r\n",
    "a version of 9.9": lambda _: b"GET /health HTTP/9.9\r\n\r\n",
    "HTTP/2": lambda _: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": lambda _: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "no letters": lambda _: bytes(range(256)) * 40,
    "only line ends": lambda _: b"\r\n" * 100_000,
    "a line of 1 MB": lambda _: b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n",
    "a header of 1 MB": lambda target: head(target, b"X-A: " + b"a" * 1_000_000 + b"\r\n\r\n"),
    "100,000 headers": lambda target: head(target, b"X-A: b\r\n" * 100_000 + b"\r\n"),
    "a header without an end": lambda target: head(target, b"X-A: b"),
    "a header of zeros": lambda target: head(target, b"X-\0: \0\r\n\r\n"),
    "a header that is folded": lambda target: head(target, b"X-A: b\r\n c\r\n\td\r\n\r\n"),
    "a header with a blank name": lambda target: head(target, b" : b\r\n: c\r\n\r\n"),
    "headers that name the client": lambda target: head(
        target, b"REMOTE_ADDR: 10.0.0.1\r\nLOCAL_PORT: x\r\nREMOTE_PORT: 99999999999\r\n\r\n"
    ),
    "a range": lambda target: head(
        target, b"Range: bytes=0-18446744073709551615,-1,5-2\r\n\r\n", b"/"
    ).replace(b"POST", b"GET"),
    "10,000 ranges": lambda target: head(
        target, b"Range: bytes=" + b"0-1," * 10_000 + b"\r\n\r\n", b"/"
    ).replace(b"POST", b"GET"),
    "a path out of the page": lambda target: head(target, b"\r\n", b"/../../../../etc/passwd").replace(
        b"POST", b"GET"
    ),
    "a path with escapes": lambda target: head(target, b"\r\n", b"/%2e%2e/%2e%2e/etc/passwd%00.html").replace(
        b"POST", b"GET"
    ),
    "a path of percent signs": lambda target: head(target, b"\r\n", b"/%" * 3000).replace(b"POST", b"GET"),
    "a query of 100,000 fields": lambda target: head(target, b"\r\n", b"/slots?" + b"a=b&" * 2000).replace(
        b"POST", b"GET"
    ),
    "a method nobody knows": lambda target: head(target, b"\r\n").replace(b"POST", b"NOTHING"),
    "CONNECT": lambda _: b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n",
    "an address as the path": lambda target: head(target, b"\r\n", b"http://127.0.0.1:22/").replace(
        b"POST", b"GET"
    ),
    "Expect": lambda target: head(target, b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"),
    "Upgrade": lambda target: head(
        target, b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n"
    ),
    "multipart without an end": lambda target: multipart(
        target, b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n" + b"a" * 100_000
    ),
    "multipart of 50,000 parts": lambda target: multipart(
        target, b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 50_000 + b"--x--"
    ),
    "multipart with a long boundary": lambda target: multipart(target, b"--x\r\n" * 3, b"x" * 100_000),
    "multipart with a name of 1 MB": lambda target: multipart(
        target, b"--x\r\nContent-Disposition: form-data; name*=UTF-8''" + b"%" * 1_000_000
    ),
    "200 requests at once on one connection": lambda target: lengths(str(len(BODY)).encode())(target) * 200,
    "a request hidden in another": lambda target: (
        lengths(b"0", b"")(target) + b"GET /slots HTTP/1.1\r\nHost: a\r\n\r\n"
    ),
}
QUICK = {
    "a length below 0",
    "a length of 2 to the 64th",
    "a chunk of 2 to the 63rd",
    "a header of 1 MB",
    "a path out of the page",
}
QUICK |= {"multipart of 50,000 parts", "headers that name the client"}


def multipart(target: Target, body: bytes, boundary: bytes = b"x") -> bytes:
    """Return a form of parts for the endpoint that takes one."""
    more = b"Content-Length: %d\r\n\r\n" % len(body)
    start = head(target, more, b"/v1/audio/transcriptions")
    return start.replace(b"application/json", b"multipart/form-data; boundary=" + boundary) + body


def attacks() -> Iterator[Attack]:
    """Return the attacks below HTTP."""
    for name, make in RAW.items():
        yield Attack(Kind.CONNECTIONS, name, partial(raw, make), name in QUICK)
    for name, start in (
        ("half a request", lengths(b"5000", b'{"prompt":')),
        ("half of the headers", head),
        ("nothing", lambda _: b""),
        ("finished requests kept open", lengths(str(len(BODY)).encode())),
    ):
        yield Attack(
            Kind.CONNECTIONS,
            f"{MANY} connections with {name}",
            partial(held, start, MANY),
            name == "half a request",
        )
        yield Attack(Kind.CONNECTIONS, f"600 connections with {name}", partial(held, start, 600))
    yield Attack(Kind.CONNECTIONS, "headers a byte at a time", partial(slow, 24, b""), is_quick=False)
    yield Attack(
        Kind.CONNECTIONS, "a body a byte at a time", partial(slow, 24, b"Content-Length: 5000\r\n\r\n")
    )
    yield Attack(Kind.CONNECTIONS, "a body of 300 MB", partial(large, LARGE), is_quick=True)
    yield Attack(Kind.CONNECTIONS, "a body of 300 MB in chunks", partial(large, LARGE, in_chunks=True))
    yield Attack(Kind.CONNECTIONS, "a body of 100 MB of arrays", partial(large, 100_000_000, filling=b"[],"))
    yield Attack(Kind.CONNECTIONS, "clients that leave during a stream", leave_streams, is_quick=True)
    yield Attack(Kind.CONNECTIONS, "clients that do not read their stream", deaf_streams)
    yield Attack(Kind.CONNECTIONS, "clients that reset", partial(raw_reset, 50))
    yield Attack(Kind.CONNECTIONS, "/health during encodes", encodes, is_quick=True)


def raw(make: Callable[[Target], bytes], target: Target) -> Seen:
    """Send bytes as they are; any answer is right, or none."""
    data = make(target)
    with suppress(OSError), target.connect(REPLY_S) as connection:
        with suppress(OSError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(4000)
        if b"root:" in answer:
            return Seen("it showed a file", Fault.ASKED)
        if answer[9:12] in FAULTY:
            return Seen(answer[:60].decode("latin-1"), Fault.SERVER_ERROR)
        return Seen(" ".join(answer[:60].decode("latin-1").split()) or "closed without an answer")
    return Seen("no answer")


def held(start: Callable[[Target], bytes], count: int, target: Target) -> Seen:
    """Hold many connections open in the middle of a request: /health answers meanwhile."""
    with ExitStack() as stack:
        refused = 0
        for _ in range(count):
            try:
                connection = stack.enter_context(target.connect(2.0))
                connection.sendall(start(target))
            except OSError:
                refused += 1
        words = f"{count - refused} of {count} connections open"
        if not target.is_healthy():
            return Seen(f"{words}, no health in time", Fault.SILENT)
    return Seen(words)


def slow(count: int, start: bytes, target: Target) -> Seen:
    """Send requests a byte at a time for ten seconds: /health answers meanwhile."""
    with ExitStack() as stack:
        connections = [stack.enter_context(target.connect(2.0)) for _ in range(count)]
        for connection in connections:
            connection.sendall(head(target, start))
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline:
            for connection in connections:
                with suppress(OSError):  # it may have been closed, which is right
                    connection.sendall(b"X")
            if not target.is_healthy():
                return Seen(f"{count} slow clients, no health in time", Fault.SILENT)
            time.sleep(1.0)
    return Seen(f"{count} slow clients")


def large(size: int, target: Target, *, in_chunks: bool = False, filling: bytes = b"a ") -> Seen:
    """Send a body of many MB, as text or as JSON that is larger in memory than on the way."""
    opening, closing = (b'{"content":"', b'"}') if filling == b"a " else (b'{"content":[', b"1]}")
    block = filling * (1_000_000 // len(filling))
    count = size // len(block)
    length = len(opening) + count * len(block) + len(closing)
    more = b"Transfer-Encoding: chunked\r\n\r\n" if in_chunks else b"Content-Length: %d\r\n\r\n" % length
    sent = 0
    with suppress(OSError), target.connect() as connection:
        with suppress(OSError):
            connection.sendall(head(target, more, b"/tokenize"))
            for part in (opening, *[block] * count, closing):
                connection.sendall(b"%x\r\n%s\r\n" % (len(part), part) if in_chunks else part)
                sent += len(part)
            connection.sendall(b"0\r\n\r\n" if in_chunks else b"")
        answer = connection.recv(100)
        return Seen(f"{sent / 1e6:.0f} MB sent; {' '.join(answer[:40].decode('latin-1').split())}")
    return Seen(f"{sent / 1e6:.0f} MB sent; closed")


def stream(target: Target) -> bytes:
    """Return a request for a long stream."""
    body = encode(chat("Repeat: abcd", max_tokens=600, ignore_eos=True, stream=True))
    return head(target, b"Content-Length: %d\r\n\r\n" % len(body), CHAT.encode()) + body


def leave_streams(target: Target) -> Seen:
    """Open twelve streams, read the start, and leave at once."""
    for _ in range(12):
        with suppress(OSError), target.connect(REPLY_S) as connection:
            connection.sendall(stream(target))
            connection.recv(200)
    return Seen("12 clients left")


def deaf_streams(target: Target) -> Seen:
    """Open streams, and never read them; /health answers meanwhile."""
    with ExitStack() as stack:
        for _ in range(12):
            connection = stack.enter_context(target.connect(REPLY_S))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            connection.sendall(stream(target))
        is_healthy = target.is_healthy()
    return Seen("12 clients that do not read", None if is_healthy else Fault.SILENT)


def raw_reset(count: int, target: Target) -> Seen:
    """Send requests and reset the connections."""
    for _ in range(count):
        with suppress(OSError), target.connect(REPLY_S) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(stream(target))
    return Seen(f"{count} resets")


def encodes(target: Target) -> Seen:
    """Send photos from five clients at once: /health answers meanwhile, /slots may wait."""
    image = saved(noise((1600, 1200)), "PNG")
    body = encode(chat() | {"messages": [user(image, SAY)]})
    request = head(target, b"Content-Length: %d\r\n\r\n" % len(body), CHAT.encode()) + body
    with ExitStack() as stack:
        for path in (request,) * 5 + (head(target, b"\r\n", b"/slots").replace(b"POST", b"GET"),) * 5:
            with suppress(OSError):
                stack.enter_context(target.connect(REPLY_S)).sendall(path)
        time.sleep(0.5)  # so that an encode has begun
        is_healthy = target.is_healthy()
    return Seen("5 photos and 5 looks at /slots", None if is_healthy else Fault.SILENT)
