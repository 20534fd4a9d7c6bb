"""An HTTP server on loopback that does each thing that servers do wrong, and says what it was asked and sent.

A path is given a script: one behaviour per request, the last one for all that follow. Nothing here waits for
a time: a stall lasts until the client goes away or the server is closed.
"""

from __future__ import annotations

import re
import select
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from mmap import mmap

PIECE_BYTES = 1 << 16  # sent at once
PAGE = b"<!DOCTYPE html>\n<html><body>Please log in to use this network.</body></html>\n"


@dataclass(frozen=True)
class Behaviour:
    """How one request is answered.

    After `stop_after` body bytes the connection is closed or, with `stalls`, kept open without another byte;
    status 0 is no answer at all, not even a head. `framing` is how the body's end is told: by its length, by
    chunks, or by closing the connection.
    """

    status: int = 200
    body: bytes | None = None
    honours_range: bool = True
    honours_if_range: bool = True
    shifted_range: int = 0
    stop_after: int | None = None
    stalls: bool = False
    framing: str = "length"
    length_claim: int | None = None
    etag: str | None = '"v1"'
    last_modified: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


GOOD = Behaviour()
IGNORES_RANGE = Behaviour(honours_range=False)
NOT_SATISFIABLE = Behaviour(status=416)
NOT_FOUND = Behaviour(status=404, body=PAGE)
WEB_PAGE = Behaviour(body=PAGE, headers=(("Content-Type", "text/html; charset=utf-8"),))
WEB_PAGE_IN_CHUNKS = replace(WEB_PAGE, framing="chunked")
HANGS_UP = Behaviour(status=0)
SILENT = Behaviour(status=0, stalls=True)
WRONG_RANGE = Behaviour(shifted_range=1)


def closes_after(size_bytes: int) -> Behaviour:
    return Behaviour(stop_after=size_bytes)


def stalls_after(size_bytes: int) -> Behaviour:
    return Behaviour(stop_after=size_bytes, stalls=True)


def sends(body: bytes, framing: str = "length") -> Behaviour:
    return Behaviour(body=body, framing=framing)


def redirects_to(url: str) -> Behaviour:
    return Behaviour(status=302, body=b"moved", headers=(("Location", url),))


def asks_to_wait(retry_after: str, status: int = 429) -> Behaviour:
    return Behaviour(status=status, body=b"slow down", headers=(("Retry-After", retry_after),))


@dataclass
class Request:
    """What was asked, and what was answered."""

    path: str
    headers: dict[str, str]
    status: int = 0
    sent_bytes: int = 0

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


@dataclass
class _Script:
    data: bytes | mmap  # of a large file
    behaviours: tuple[Behaviour, ...]
    used: int = 0

    def next(self) -> Behaviour:
        behaviour = self.behaviours[min(self.used, len(self.behaviours) - 1)]
        self.used += 1
        return behaviour


@dataclass
class Server:
    """Use it as a context manager; `url` gives the address of a path, `log` all requests so far."""

    log: list[Request] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    _scripts: dict[str, _Script] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if (
            self.tls
        ):  # the handshake is the handler's: a client that refuses the certificate ends only its own
            self._http.socket = self.tls.wrap_socket(
                self._http.socket, server_side=True, do_handshake_on_connect=False
            )
        self._http.daemon_threads = False  # so that closing waits for every handler
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Go away: from now on connections are refused."""
        self._ended.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def base(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._http.server_address[1]}"

    def url(self, path: str) -> str:
        return f"{self.base}{path}"

    def serve(self, path: str, data: bytes | mmap, *behaviours: Behaviour) -> str:
        """Answer for a path with this file, behaving so; give its address."""
        with self._lock:
            self._scripts[path] = _Script(data, behaviours or (GOOD,))
        return self.url(path)

    def ranges(self) -> list[str | None]:
        """The Range header of each request so far."""
        return [request.range for request in self.log]


class _Handler(BaseHTTPRequestHandler):
    owner: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        pass

    def handle(self) -> None:
        with suppress(
            ssl.SSLError, ConnectionResetError
        ):  # a client that does not trust us says so and leaves
            super().handle()

    def do_GET(self) -> None:
        self.close_connection = True
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.path, headers)
        with self.owner._lock:
            self.owner.log.append(request)
            script = self.owner._scripts.get(self.path)
            behaviour = script.next() if script else NOT_FOUND
        with suppress(BrokenPipeError, ConnectionResetError):  # the client may go away: some tests want it to
            self._answer(request, behaviour, script.data if script else b"")

    def _answer(self, request: Request, behaviour: Behaviour, data: bytes | mmap) -> None:
        body: bytes | mmap = data if behaviour.body is None else behaviour.body
        status, start, end = behaviour.status, 0, len(body)
        if not status:
            if behaviour.stalls:
                self._wait_for_the_client_to_leave()
            return
        whole = len(body)
        if status == 200 and behaviour.honours_range and request.range and self._version_fits(behaviour):
            match = re.fullmatch(r"bytes=(\d+)-(\d+)?", request.range)
            assert match, f"no range that a client of ours sends: {request.range}"
            start = int(match[1])
            end = min(whole, int(match[2]) + 1) if match[2] else whole
            status = 206 if start < whole else 416
        request.status = status
        self.send_response(status)
        if status == 416:
            self.send_header("Content-Range", f"bytes */{whole}")
            body = b""
        elif status == 206:
            start += behaviour.shifted_range
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{whole}")
            body = body[start:end]
        self._send_head(behaviour, len(body))
        self._send_body(request, behaviour, body)

    def _version_fits(self, behaviour: Behaviour) -> bool:
        wanted = self.headers.get("If-Range")
        return (
            wanted is None
            or not behaviour.honours_if_range
            or wanted in {behaviour.etag, behaviour.last_modified}
        )

    def _send_head(self, behaviour: Behaviour, size_bytes: int) -> None:
        if behaviour.framing == "length":
            claim = behaviour.length_claim
            self.send_header("Content-Length", str(size_bytes if claim is None else claim))
        elif behaviour.framing == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        for name, value in (("ETag", behaviour.etag), ("Last-Modified", behaviour.last_modified)):
            if value:
                self.send_header(name, value)
        for name, value in behaviour.headers:
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def _send_body(self, request: Request, behaviour: Behaviour, body: bytes | mmap) -> None:
        part: bytes | mmap = body if behaviour.stop_after is None else body[: behaviour.stop_after]
        for begin in range(0, len(part), PIECE_BYTES):
            piece = part[begin : begin + PIECE_BYTES]
            self.wfile.write(
                b"%x\r\n%b\r\n" % (len(piece), piece) if behaviour.framing == "chunked" else piece
            )
            request.sent_bytes += len(piece)
        if behaviour.framing == "chunked" and len(part) == len(body):
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        if behaviour.stalls:
            self._wait_for_the_client_to_leave()

    def _wait_for_the_client_to_leave(self) -> None:
        while not self.owner._ended.is_set():
            readable, _, _ = select.select([self.connection], [], [], 0.05)
            if readable and not self.connection.recv(1):
                return


def http_date(timestamp: float) -> str:
    """Give a time as HTTP's headers have it."""
    return formatdate(timestamp, usegmt=True)


def closed_port() -> int:
    """Give a port of loopback on which nobody listens: one that was just given back."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return int(server.server_address[1])
