"""A small program that starts, answers and ends as a test tells it to, in place of llama-server."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# What it does is in does.json beside it; each is optional.
#   lines, dies, killed: what it prints at its start, and how it then ends
#   health: the statuses of its health, the last one for all others; ends: how it ends after one of 200
#   props: the status of its other pages
#   status, says: of an answer; without `says` it dies of the question
#   sockets: false where it knows no unix sockets
#   until: a file; before it is there, its health is 503
#   holds: a file; its answer is half said before it is there
#   models: by their names, what those do instead
# What it was asked is in asked.json and asked-MODEL.json, and starts.txt has the model of each start.
PROGRAM = f"""#!{sys.executable}
import json, os, socket, socketserver, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

here = Path(__file__).parent
if "--help" in sys.argv:
    told = here / "does.json"
    sockets = not told.exists() or json.loads(told.read_text()).get("sockets", True)
    print("-t --alias --offline --no-warmup --cache-ram --temp --host ADDRESS", "or *.sock" if sockets else "")
    sys.exit()
if "--version" in sys.argv:
    sys.exit(print("version: 7 (fake)"))
does = json.loads((here / "does.json").read_text())
model = sys.argv[sys.argv.index("--alias") + 1] if "--alias" in sys.argv else ""
does |= does.get("models", {{}}).get(model, {{}})
with (here / "starts.txt").open("a") as starts:
    starts.write(model + "\\n")
(here / "argv.json").write_text(json.dumps(sys.argv[1:]))
print("environment:", json.dumps(sorted(os.environ)), flush=True)
print(*does.get("lines", ["a line of the log"]), sep="\\n", flush=True)
if "dies" in does:
    sys.exit(does["dies"])
if "killed" in does:
    os.kill(os.getpid(), does["killed"])
statuses = does.get("health", [200])

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/health":
            return self.answer(does.get("props", 200), f"no page {{model}}".strip().encode())
        status = statuses.pop(0) if statuses[1:] else statuses[0]
        if "until" in does and not os.path.exists(does["until"]):
            status = 503
        self.answer(status, b"{{}}")
        if status == 200 and "ends" in does:
            os._exit(does["ends"])

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        (here / "asked.json").write_bytes(body)
        (here / f"asked-{{model}}.json").write_bytes(body)
        print("asked:", self.path, self.headers["Content-Type"], flush=True)
        if "says" not in does:
            os._exit(9)
        self.answer(does.get("status", 200), does["says"].encode())

    def answer(self, status, body):
        print("status", status, flush=True)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        half = len(body) // 2 if self.command == "POST" else 0
        self.wfile.write(body[:half])
        while half and "holds" in does and not os.path.exists(does["holds"]):
            time.sleep(0.01)
        self.wfile.write(body[half:])

    def log_message(self, *_):
        pass

ThreadingHTTPServer.request_queue_size = 64

class Local(ThreadingHTTPServer):
    address_family = socket.AF_UNIX
    server_bind = socketserver.TCPServer.server_bind

host = sys.argv[sys.argv.index("--host") + 1]
if host.endswith(".sock"):
    Local(host, Handler).serve_forever()
ThreadingHTTPServer((host, int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


def write_server(folder: Path) -> Path:
    """Write the program into a folder; return its path."""
    path = folder / "llama-server"
    path.write_text(PROGRAM, encoding="utf-8")
    path.chmod(0o755)
    return path


def tell(folder: Path, **does: object) -> None:
    """Say what the program of a folder does when it is started next."""
    (folder / "does.json").write_text(json.dumps(does), encoding="utf-8")
