"""A small program in place of llama-server that answers honest questions, and has one fault that an attack finds."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# What it does once it is asked for /completion, by the word in fault.txt beside it; each start is counted.
PROGRAM = f"""#!{sys.executable}
import json, os, signal, sys, threading, time, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

here = Path(__file__).parent
fault = (here / "fault.txt").read_text()
answers = json.loads((here / "answers.json").read_text())
with (here / "starts.txt").open("a") as file:
    file.write(".")
state, kept, last = {{"bad": False}}, [], [""]
lock = threading.Lock()

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if state["bad"] and fault == "silent":
            time.sleep(600)
        self.answer(200, b"{{}}")

    do_OPTIONS = do_GET

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if fault == "guarded" and (self.headers.get("Origin") or "json" not in self.headers.get("Content-Type", "")):
            return self.answer(403, b"no")
        if self.path == "/completion":
            return self.attacked(body)
        try:
            asked = json.loads(body)["messages"]
            text = asked[-1]["content"] if isinstance(asked[-1]["content"], str) else asked[-1]["content"][-1]["text"]
        except (ValueError, LookupError, TypeError):
            return self.answer(400, b"no")
        said = answers.get(text) or text.removeprefix("Repeat: ")
        if state["bad"] and fault == "wrong":
            said = "something else"
        if fault == "mixed":
            with lock:
                said, last[0] = (last[0] or said) if threading.active_count() > 3 else said, said
            time.sleep(0.05)
        if fault == "curious" and "url" in repr(asked):
            address = asked[-1]["content"][0]["image_url"]["url"]
            urllib.request.urlopen(address).read()
        choice = {{"message": {{"content": said}}, "finish_reason": "stop"}}
        self.answer(200, json.dumps({{"choices": [choice], "usage": {{"prompt_tokens": 5}}}}).encode())

    def attacked(self, body):
        state["bad"] = True
        if fault == "dies":
            os.kill(os.getpid(), signal.SIGSEGV)
        if fault == "report":
            print("x.cpp:1:2: runtime error: signed integer overflow", flush=True)
        if fault == "exits":
            os._exit(1)
        if fault == "memory":
            kept.append(b"x" * 300_000_000)
        if fault == "never":
            time.sleep(600)
        self.answer({{"error": 500, "careless": 200}}.get(fault, 400), b"no")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

host, port = sys.argv[sys.argv.index("--host") + 1], int(sys.argv[sys.argv.index("--port") + 1])
ThreadingHTTPServer((host, port), Handler).serve_forever()
"""


def write_hostile_server(folder: Path, fault: str, answers: dict[str, str]) -> Path:
    """Write the program with a fault, and the answers that it knows; return its path."""
    (folder / "fault.txt").write_text(fault, encoding="utf-8")
    (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")
    path = folder / "llama-server"
    path.write_text(PROGRAM, encoding="utf-8")
    path.chmod(0o755)
    return path


def starts(folder: Path) -> int:
    """Return how often it was started."""
    return len((folder / "starts.txt").read_text(encoding="utf-8"))
