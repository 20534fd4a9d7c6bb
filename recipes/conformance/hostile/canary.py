"""A web server of loopback that nobody may ask: whoever does, fetched an address of a request."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from recipes.serve.llamacpp.listen_address import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Canary:
    """Its port, and the paths that were asked for."""

    port: int
    asked: list[str] = field(default_factory=list)

    def url(self, host: str = LOOPBACK, path: str = "/image.png") -> str:
        """Return an address of it."""
        return f"http://{host}:{self.port}{path}"


@contextmanager
def canary(page: bytes = b"", kind: str = "text/plain") -> Iterator[Canary]:
    """Run the web server until the block ends; it answers with a page, or sends on to its own /image.png."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200 if self.path != "/redirect" else 302)
            if self.path == "/redirect":
                self.send_header("Location", "/image.png")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield Canary(server.server_port, asked)
        finally:
            server.shutdown()
            thread.join()
