"""A door with a server behind it that does what a test tells it to, and raw connections to the door."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import requests

from recipes.serve.door.address import Address
from recipes.serve.door.admission import Admission
from recipes.serve.door.door import door, listen
from recipes.serve.door.options import DoorOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOOPBACK = "127.0.0.1"
COMPLETION = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "green"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
TIMEOUT_S = 60.0


class Handler(BaseHTTPRequestHandler):
    """One request of the server behind: a test's function for its path, or the answers below."""

    behind: Behind
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._do(b"")

    def do_POST(self) -> None:
        self._do(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _do(self, body: bytes) -> None:
        self.close_connection = True
        path = self.path.partition("?")[0]
        self.behind.asked.append(Asked(self.command, self.path, dict(self.headers.items()), body))
        if path in self.behind.does:
            self.behind.does[path](self)
            return
        answers: dict[str, Any] = {
            "/health": {"status": "ok"},
            "/props": self.behind.properties,
            "/v1/models": {"data": [{"id": "hub/pocket"}]},
            "/v1/chat/completions": COMPLETION,
        }
        self.answer(
            200 if path in answers else 404, json.dumps(answers.get(path, {"error": "none"})).encode()
        )

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(body)),
            "Access-Control-Allow-Origin": "*",
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def wait_for_its_end(self) -> None:
        """Wait until the door closes the connection."""
        self.connection.settimeout(TIMEOUT_S)
        while self.connection.recv(100):
            pass

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


@dataclass
class Behind:
    """The server behind: what it was asked, and what it does with some paths."""

    asked: list[Asked] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=lambda: {"total_slots": 4})
    does: dict[str, Callable[[Handler], None]] = field(default_factory=dict)

    def questions(self) -> list[Asked]:
        return [one for one in self.asked if one.method == "POST"]


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # the door hung up


@dataclass
class DoorBench:
    """An open door."""

    port: int
    behind: Behind

    @property
    def base(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def get(self, path: str, **headers: str) -> requests.Response:
        return self._ask("GET", path, None, headers)

    def post(self, body: object, path: str = "/v1/chat/completions", **headers: str) -> requests.Response:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._ask("POST", path, data, {"Content-Type": "application/json", **headers})

    def _ask(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self.base + path, data=data, headers=named, timeout=TIMEOUT_S)

    def connect(self, *lines: str, end: bool = True) -> socket.socket:
        """Open a connection, and send the first lines of a request."""
        connection = socket.create_connection((LOOPBACK, self.port), TIMEOUT_S)
        connection.sendall(("\r\n".join(lines) + ("\r\n\r\n" if end else "")).encode("latin-1"))
        return connection


class Standing:
    """A server that was started, and is not started again."""

    model, start_s, status = "", TIMEOUT_S, None

    def __init__(self, address: Address, is_alive: Callable[[], bool]) -> None:
        self.address, self.is_alive = address, is_alive

    def start(self) -> None:
        raise AssertionError("it was started")

    def end(self) -> None:
        raise AssertionError("it is not ended")


@contextmanager
def open_door(
    folder: Path,
    *,
    is_alive: Callable[[], bool] = lambda: True,
    api_key: str | None = None,
    properties: dict[str, Any] | None = None,
    **options: Any,  # noqa: ANN401
) -> Iterator[DoorBench]:
    """Open a door that is ready, in front of a server on a unix socket, which has some properties."""
    behind = Behind()
    behind.properties |= properties or {}
    handler = type("Bound", (Handler,), {"behind": behind})
    path = folder / "x.sock"
    listener = listen(LOOPBACK, 0)
    port = listener.getsockname()[1]
    origins = options.pop("origins", frozenset())
    with _Server(str(path), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        chosen = DoorOptions(Admission(LOOPBACK, port, origins, api_key), **options)
        try:
            with door(listener, chosen, (Standing(Address(path), is_alive),)):
                bench = DoorBench(port, behind)
                bench.get("/health")
                behind.asked.clear()
                yield bench
        finally:
            server.shutdown()
            thread.join()


def received(connection: socket.socket) -> bytes:
    """Return all that comes until the other side closes."""
    data = b""
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            return data
        if not piece:
            return data
        data += piece
