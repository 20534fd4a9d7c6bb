"""The sessions `serve` and `ask` from their command line, with a small program for a llama-server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from recipes.cli.main import main
from recipes.core.digest import Sha256
from recipes.manifest.load import PROJECT
from recipes.serve import prepare as readiness
from recipes.serve.free_memory import FreeMemory
from recipes.serve.llamacpp.listen_address import LOOPBACK
from recipes.store.store import Store
from tests.integration.models.test_models_command import MMPROJ, MODEL
from tests.support.model_manifests import HUB, a_project
from tests.unit.models.test_gguf_lint import MMPROJ_KEYS, MMPROJ_TENSORS, number
from tests.unit.models.test_gguf_reader import whole_draft

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recipes.manifest.load import Manifests

PICTURE = PROJECT / "docs" / "assets" / "shapes.png"
KEY = "a-key-of-more-than-16-letters"
# What it does lies beside it: `health` are its statuses, `ends` how it ends after that of 200, `says` what it streams.
FAKE = f"""#!{sys.executable}
import json, os, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

here = Path(__file__).parent
if "--help" in sys.argv:
    sys.exit(print("-t --alias --offline --no-warmup --cache-ram --temp"))
if "--version" in sys.argv:
    sys.exit(print("version: 7 (fake)"))
does = json.loads((here / "does.json").read_text())
(here / "argv.json").write_text(json.dumps(sys.argv[1:]))
print("a line of the log", flush=True)
if "dies" in does:
    sys.exit(does["dies"])

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status = does.get("health", 200) if self.path == "/health" else does.get("props", 200)
        self.answer(status, b"{{}}")
        if self.path == "/health" and status == 200 and "ends" in does:
            os._exit(does["ends"])

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if does.get("says") is None:
            os._exit(9)
        self.answer(does.get("status", 200), does["says"].encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

host, port = sys.argv[sys.argv.index("--host") + 1], int(sys.argv[sys.argv.index("--port") + 1])
HTTPServer((host, port), Handler).serve_forever()
"""
GREEN = 'data: {"choices": [{"delta": {"content": "green"}}]}\n\ndata: [DONE]\n\n'


class Bench:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.manifests = self.write(MMPROJ)
        self.bundle = folder / "bundle"
        self.bundle.mkdir()
        server = self.bundle / "llama-server"
        server.write_text(FAKE, encoding="utf-8")
        server.chmod(0o755)
        self.store = Store.open(folder / "store")

    def write(self, mmproj: bytes) -> Manifests:
        self.data = {"model": MODEL, "mmproj": mmproj}
        text = HUB.replace("unlocked: no digest is known", f"sha256: {Sha256.of_bytes(MODEL).hex}")
        text = text.replace("max_bytes: 5000", f"size_bytes: {len(MODEL)}")
        text = text.replace("b2" * 32, Sha256.of_bytes(mmproj).hex)
        text = text.replace("size_bytes: 4\n", f"size_bytes: {len(mmproj)}\n")
        return a_project(self.folder / "project", hub=text, bare=HUB.replace("name: hub", "name: bare"))

    def path(self, role: str) -> Path:
        return self.store.blob_path(Sha256.of_bytes(self.data[role]))

    def fetch(self, *roles: str) -> None:
        for role in roles or self.data:
            self.path(role).parent.mkdir(parents=True, exist_ok=True)
            self.path(role).write_bytes(self.data[role])

    def does(self, **what: object) -> None:
        (self.bundle / "does.json").write_text(json.dumps(what), encoding="utf-8")

    def run(self, session: str, *words: str | Path, bundle: bool = True) -> tuple[int, str, str]:
        argv = [session, "--project", str(self.folder / "project"), *map(str, words)]
        code = main([*argv, *(["--bundle", str(self.bundle)] if bundle else [])])
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    @property
    def argv(self) -> list[str]:
        words: list[str] = json.loads((self.bundle / "argv.json").read_text(encoding="utf-8"))
        return words


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    monkeypatch.setenv("PINNED_LLAMA_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("PINNED_LLAMA_API_KEY", raising=False)
    monkeypatch.setenv("http_proxy", f"http://{LOOPBACK}:9")  # a proxy of the user must not come between
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return Bench(tmp_path, capsys)


@pytest.fixture
def port() -> str:
    with ThreadingHTTPServer((LOOPBACK, 0), BaseHTTPRequestHandler) as server:
        return str(server.server_address[1])


def error_of(err: str) -> str:
    return err[err.index("error:") :].rstrip()


def test_it_is_started_on_the_pinned_files_and_its_end_is_ours(bench: Bench, port: str) -> None:
    bench.fetch()
    bench.does(ends=0)
    code, out, err = bench.run("serve", "--model", "hub", "--port", port, "--threads", "2", "--context", "64")
    assert code == 0
    assert out.startswith(
        "model:    hub, with pictures, 64 tokens of context\nserver:   not built by this project"
    )
    assert err.endswith("the server was told to end by somebody else\n")
    argv = bench.argv
    assert argv[:4] == ["--host", "127.0.0.1", "--port", port]
    assert argv[4:13] == [
        *("-m", str(bench.path("model")), "--mmproj", str(bench.path("mmproj"))),
        *("-c", "64", "--alias", "hub", "--offline"),
    ]
    assert argv[-2:] == ["-t", "2"]


def test_text_alone_needs_no_projector_and_says_what_that_saves(bench: Bench, port: str) -> None:
    bench.fetch("model")
    bench.does(ends=0)
    code, out, err = bench.run("serve", "--model", "hub", "--port", port, "--text-only")
    assert code == 0
    assert "hub, text only, " in out
    assert "--mmproj" not in bench.argv
    assert "what memory that saves is not known, since it is not here" in err
    bench.fetch()
    _, _, err = bench.run("serve", "--model", "hub", "--port", port, "--text-only")
    assert re.search(r"text only: the projector is not loaded: .* of memory instead of .*, .* saved\n", err)


def test_a_model_that_is_not_fetched(bench: Bench, port: str) -> None:
    bench.fetch("model")
    code, _, err = bench.run("serve", "--model", "hub", "--port", port)
    assert code == 23
    assert error_of(err) == (
        "error: the model is not on this machine\n"
        "  where:    manifests/models/hub.yaml: files[1]\n"
        f"  expected: mmproj.gguf of hub, at {bench.path('mmproj')}\n"
        "  found:    no such file\n"
        "  fix:      python3 noxfile.py -s models -- fetch hub"
    )


def test_a_model_without_a_pin(bench: Bench, port: str) -> None:
    code, _, err = bench.run("serve", "--model", "bare", "--port", port)
    assert code == 11
    assert "fix:      python3 noxfile.py -s lock -- --model bare" in err


def test_a_damaged_model(bench: Bench, port: str) -> None:
    bench.fetch()
    bench.path("model").write_bytes(MODEL[:-1] + b"x")
    code, _, err = bench.run("serve", "--model", "hub", "--port", port)
    assert code == 20
    assert error_of(err) == (
        "error: the store cannot be used\n"
        f"  where:    {bench.path('model')}\n"
        f"  expected: {Sha256.of_bytes(MODEL)}\n"
        f"  found:    {Sha256.of_bytes(MODEL[:-1] + b'x')}\n"
        "  fix:      python3 noxfile.py -s gc -- --damaged, then\n"
        "            python3 noxfile.py -s models -- fetch hub"
    )


def test_a_projector_of_another_model(bench: Bench, port: str) -> None:
    keys = {**MMPROJ_KEYS, "clip.vision.projection_dim": number(48)}
    bench.manifests = bench.write(whole_draft(keys, MMPROJ_TENSORS).encode())
    bench.fetch()
    code, _, err = bench.run("serve", "--model", "hub", "--port", port)
    assert code == 13
    assert "expected: a model that llama.cpp loads, and a projector that belongs to it\n" in err


def test_a_model_that_was_fetched_is_the_default_and_one_of_the_repository_else(
    bench: Bench, port: str
) -> None:
    defaults = bench.folder / "project" / "manifests" / "defaults.yaml"
    defaults.write_text(f"{defaults.read_text()}served: hub\nmodel: bare\n", encoding="utf-8")
    bench.does(ends=0)
    code, _, err = bench.run("serve", "--port", port)
    assert code == 11  # the other one has no pin here
    assert "no model was named, and hub is not fetched: this is bare, " in err
    assert "for your own pictures: python3 noxfile.py -s models -- fetch hub, then the same command\n" in err
    bench.fetch()
    code, out, err = bench.run("serve", "--port", port)
    assert (code, out.splitlines()[0].split(",")[0]) == (0, "model:    hub")
    assert "no model was named: this is hub, which is fetched\n" in err


def test_too_little_memory(bench: Bench, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.fetch()
    bench.does(ends=0)
    monkeypatch.setattr(readiness, "free_memory", lambda: FreeMemory(1000, "a test"))
    code, _, err = bench.run("serve", "--model", "hub", "--port", port)
    assert code == 24
    assert re.fullmatch(
        r"error: this machine has too little memory left\n"
        r"  where:    hub, \d+ tokens of context, with pictures\n"
        r"  expected: [\d.]+ MB: .* weights, .* keys and values, about .* to compute, .* projector, about .*\n"
        r"  found:    1\.0 kB \(a test\)\n"
        r"  fix:      end other programs that hold [\d.]+ MB\n"
        r"            to try it all the same: --ignore-memory",
        error_of(err),
    )
    code, _, err = bench.run("serve", "--model", "hub", "--port", port, "--ignore-memory")
    assert code == 0
    assert "of memory, and 1.0 kB is left: it may be slow, or be killed\n" in err
    assert bench.argv[-2:] == ["--cache-ram", "0"]


def test_memory_that_nobody_can_tell_of_is_no_reason_to_refuse(
    bench: Bench, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.fetch()
    bench.does(ends=0)
    monkeypatch.setattr(readiness, "free_memory", lambda: None)
    code, _, err = bench.run("serve", "--model", "hub", "--port", port)
    assert code == 0
    assert "warning: whether there is enough memory for hub cannot be said\n" in err


def test_a_context_that_the_model_does_not_know(bench: Bench, port: str) -> None:
    bench.fetch()
    code, _, err = bench.run("serve", "--model", "hub", "--port", port, "--context", "99999999")
    assert code == 2
    assert re.search(
        r"where:    --context\n  expected: at most (\d+) tokens, .*\n.*\n  fix:      --context \1$", err
    )


def test_a_recipe_that_was_not_built(bench: Bench, port: str) -> None:
    code, _, err = bench.run("serve", "--model", "hub", "--port", port, bundle=False)
    assert code == 27
    error = error_of(err).splitlines()
    assert error[0] == "error: the bundle is not built"
    assert error[1].endswith(f", in {bench.store.root}")
    assert error[2:4] == [
        "  expected: the bundle of the recipe, whose llama-server is run",
        "  found:    none was built here",
    ]
    assert error[4].startswith("  fix:      python3 noxfile.py -s build -- --recipe ")


def test_a_server_that_dies_at_its_start(bench: Bench, port: str) -> None:
    bench.fetch()
    bench.does(dies=3)
    code, _, err = bench.run("serve", "--model", "hub", "--port", port)
    log = bench.store.root / "logs" / f"serve-{port}.log"
    assert code == 28
    assert error_of(err) == (
        "error: the server ended by itself\n"
        f"  where:    {bench.bundle}/llama-server\n"
        "  expected: a server that runs until it is told to end\n"
        f"  found:    exit status 3; the last lines of {log}:\n"
        "            a line of the log\n"
        f"  fix:      read {log}"
    )


def test_a_server_that_ends_later_by_itself(bench: Bench, port: str) -> None:
    bench.fetch()
    bench.does(ends=7)
    code, out, err = bench.run("serve", "--model", "hub", "--port", port)
    assert code == 28
    assert f"page:     http://127.0.0.1:{port}\n" in out
    assert "  found:    exit status 7; the last lines of " in err


def test_a_server_that_never_becomes_healthy(bench: Bench, port: str) -> None:
    bench.fetch()
    bench.does(health=503)
    code, _, err = bench.run("serve", "--model", "hub", "--port", port, "--start-timeout", "0.5")
    log = bench.store.root / "logs" / f"serve-{port}.log"
    assert code == 29
    assert error_of(err) == (
        "error: the server does not become healthy\n"
        f"  where:    {bench.bundle}/llama-server\n"
        "  expected: `ok` from /health within 0.5 s\n"
        f"  found:    it runs, and does not say so; the last lines of {log}:\n"
        "            a line of the log\n"
        "  fix:      where the disk is that slow: --start-timeout 2"
    )


def test_an_address_that_others_reach_needs_a_key(bench: Bench, port: str) -> None:
    code, _, err = bench.run("serve", "--model", "hub", "--port", port, "--host", "0.0.0.0")  # noqa: S104
    assert code == 26
    assert "  found:    none\n" in err


def test_a_server_that_does_not_ask_for_the_key(
    bench: Bench, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.fetch()
    bench.does()
    monkeypatch.setenv("PINNED_LLAMA_API_KEY", KEY)
    code, _, err = bench.run("serve", "--model", "hub", "--port", port)
    assert code == 26
    assert error_of(err) == (
        "error: the API key cannot be used\n"
        f"  where:    {bench.bundle}/llama-server\n"
        "  expected: a server that refuses who does not show the key\n"
        "  found:    status 200 from /props without it\n"
        "  fix:      take a llama-server that knows LLAMA_API_KEY, as those of this project do"
    )


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("serve", "--recipe", "small"), "--recipe and --bundle"),
        (("ask", "--image", str(PICTURE)), "ask"),
        (("ask", "--image", str(PICTURE), "  "), "ask"),
        (("ask", "--url", "http://127.0.0.1:1", "what?"), "--url and --bundle"),
    ],
)
def test_what_cannot_be_meant_is_refused(bench: Bench, words: tuple[str, ...], where: str) -> None:
    code, _, err = bench.run(*words)
    assert code == 2, err
    assert f"  where:    {where}\n" in err


def test_a_question_is_answered_and_leaves_no_log(bench: Bench) -> None:
    bench.fetch()
    bench.does(says=GREEN)
    code, out, _ = bench.run("ask", "--model", "hub", "--image", PICTURE, "what?")
    assert (code, out) == (0, "green\n")
    assert not list((bench.store.root / "logs").iterdir())


def test_a_server_that_dies_over_a_question(bench: Bench) -> None:
    bench.fetch()
    bench.does()
    code, out, err = bench.run("ask", "--model", "hub", "--image", PICTURE, "what?")
    assert (code, out) == (28, "")
    assert "  found:    exit status 9; the last lines of " in err


@pytest.mark.parametrize(
    ("does", "code", "found"),
    [
        ({"status": 500, "says": '{"error": {"message": "no"}}'}, 31, "status 500: no"),
        ({"says": 'data: {"choices": [{"delta": {"content": "gr"}}]}\n\n'}, 31, "it breaks off"),
        (
            {"status": 400, "says": '{"error": {"message": "Failed to load image or audio file"}}'},
            30,
            "shapes.png (PNG): Failed to load image or audio file",
        ),
        (
            {"status": 400, "says": '{"error": {"message": "exceeds the available context size"}}'},
            31,
            (
                "status 400: exceeds the available context size\n"
                "  fix:      ask with a smaller picture or fewer, or give the server a longer --context"
            ),
        ),
    ],
)
def test_a_server_that_refuses_is_quoted(
    bench: Bench, does: dict[str, object], code: int, found: str
) -> None:
    bench.fetch()
    bench.does(**does)
    given, _, err = bench.run("ask", "--model", "hub", "--image", PICTURE, "what?")
    assert given == code
    assert f"  found:    {found}\n" in err


def test_a_picture_that_is_none_is_refused_before_anything_is_started(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "x.webp"
    path.write_bytes(b"RIFF....WEBPVP8 ")
    code, _, err = bench.run("ask", "--model", "hub", "--image", path, "what?")
    assert code == 30
    assert "  found:    WebP, which llama.cpp cannot read\n" in err


def test_nothing_listens(bench: Bench, port: str) -> None:
    code, _, err = bench.run("ask", "--url", f"http://{LOOPBACK}:{port}", "what?", bundle=False)
    assert code == 31
    assert error_of(err) == (
        "error: there is no answer\n"
        f"  where:    http://{LOOPBACK}:{port}/v1/chat/completions\n"
        "  expected: an answer\n"
        "  found:    nothing listens there\n"
        "  fix:      python3 noxfile.py -s serve, or leave --url out"
    )


@contextmanager
def streaming(asked: list[dict[str, str]], go_on: threading.Event) -> Iterator[str]:
    """A server that says the second half once somebody read the first, and thinks before."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(dict(self.headers.items()))
            if self.path != "/v1/chat/completions":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")  # as llama-server does
            self.end_headers()
            for name, text in (("reasoning_content", "hm"), ("content", "gr"), ("content", "een")):
                if text == "een":
                    go_on.wait()
                event = json.dumps({"choices": [{"delta": {name: text}}]})
                self.send_chunk(f"data: {event}\n\n".encode())
            self.send_chunk(b"data: [DONE]\n\n")
            self.send_chunk(b"")

        def send_chunk(self, data: bytes) -> None:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_address[1]}"
        finally:
            go_on.set()
            server.shutdown()
            thread.join()


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("bench")
def test_an_answer_is_printed_as_it_comes_and_thoughts_go_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, str]] = []
    go_on = threading.Event()
    monkeypatch.setenv("PINNED_LLAMA_API_KEY", KEY)
    with streaming(asked, go_on) as base:
        argv = (sys.executable, "-m", "recipes", "ask", "--url", f"{base}/v1/", "what?")
        with subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.read(2) == b"gr"  # the second half was not sent yet
            go_on.set()
            out, err = process.communicate()
    assert (process.returncode, out, err) == (0, b"een\n", b"hm")
    assert [headers["Authorization"] for headers in asked] == [f"Bearer {KEY}"]


def test_a_redirection_is_not_followed_with_the_key(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, str]] = []
    monkeypatch.setenv("PINNED_LLAMA_API_KEY", KEY)

    with streaming(asked, threading.Event()) as other:

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(307)
                self.send_header("Location", f"{other}/v1/chat/completions")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            base = f"http://{LOOPBACK}:{server.server_address[1]}"
            code, _, err = bench.run("ask", "--url", base, "what?", bundle=False)
            thread.join()
    assert code == 31
    assert "  found:    status 307: nothing\n" in err
    assert asked == []
