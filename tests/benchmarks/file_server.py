"""A fast server of one file, as a process of its own: `python -m tests.benchmarks.file_server FILE`.

It prints its port, sends the file with sendfile(2), and ends when its standard input does, so that it cannot
outlive the one who started it, even where that one is killed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.manifest.load import PROJECT
from tests.benchmarks.turns import UnmeasurableError, say

if TYPE_CHECKING:
    from collections.abc import Iterator


def handler_of(path: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with path.open("rb") as file:
                size_bytes = os.fstat(file.fileno()).st_size
                part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
                sent, end = (int(part[1]), int(part[2]) + 1) if part else (0, size_bytes)
                self.send_response(206 if part else 200)
                if part:
                    self.send_header("Content-Range", f"bytes {sent}-{end - 1}/{size_bytes}")
                self.send_header("Content-Length", str(end - sent))
                self.end_headers()
                self.wfile.flush()
                with suppress(BrokenPipeError, ConnectionResetError):
                    while sent < end:
                        sent += os.sendfile(self.connection.fileno(), file.fileno(), sent, end - sent)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the interface's name
            pass

    return Handler


@contextmanager
def serving(path: Path) -> Iterator[str]:
    """Serve a file on loopback, from another process; give its address.

    Raises
    ------
    UnmeasurableError
        Where the server does not start.
    """
    argv = (sys.executable, "-m", "tests.benchmarks.file_server", str(path))
    with subprocess.Popen(
        argv,
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # the terminal's Ctrl-C is ours to handle
    ) as process:
        try:
            port = process.stdout.readline().strip() if process.stdout else ""
            if not port:
                raise UnmeasurableError("the loopback server did not start")
            yield f"http://127.0.0.1:{port}/{path.name}"
        finally:
            process.kill()


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(Path(sys.argv[1])))
    say(str(server.server_address[1]))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
