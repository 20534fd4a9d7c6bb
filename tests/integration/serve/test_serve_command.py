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
from recipes.core.errors import AnswerError
from recipes.manifest.load import PROJECT
from recipes.serve import prepare as preparation
from recipes.serve.chat_client import refusal
from recipes.serve.free_memory import FreeMemory
from recipes.serve.llamacpp.installation import find_installation
from recipes.serve.llamacpp.listen_address import LOOPBACK, free_port
from recipes.store.store import Store
from tests.support import gguf_hybrid as hybrid
from tests.support.door_bench import open_door
from tests.support.fake_llama_server import tell, write_server
from tests.support.gguf_drafts import (
    F32,
    MMPROJ,
    MMPROJ_KEYS,
    MMPROJ_TENSORS,
    MODEL,
    model_keys,
    model_tensors,
    number,
    whole_draft,
    word,
    words,
)
from tests.support.model_manifests import BARE, a_project, hub_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE = PROJECT / "docs" / "assets" / "shapes.png"
KEY = "a-key-of-more-than-16-letters"
GREEN = 'data: {"choices": [{"delta": {"content": "green"}}]}\n\ndata: [DONE]\n\n'


class Bench:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.write(MMPROJ)
        self.bundle = folder / "bundle"
        self.bundle.mkdir()
        write_server(self.bundle)
        self.store = Store.open(folder / "store")

    def write(self, mmproj: bytes, model: bytes = MODEL) -> None:
        self.data = {"model": model, "mmproj": mmproj}
        hub = hub_with(model, mmproj)
        a_project(self.folder / "project", hub=hub, other=hub.replace("name: hub", "name: other"), bare=BARE)

    def path(self, role: str) -> Path:
        return self.store.blob_path(Sha256.of_bytes(self.data[role]))

    def fetch(self, *roles: str) -> None:
        for role in roles or self.data:
            self.path(role).parent.mkdir(parents=True, exist_ok=True)
            self.path(role).write_bytes(self.data[role])

    def does(self, **what: object) -> None:
        tell(self.bundle, **what)

    def run(self, session: str, *words: str | Path, bundle: bool = True) -> tuple[int, str, str]:
        argv = [session, "--project", str(self.folder / "project"), *map(str, words)]
        code = main([*argv, *(["--bundle", str(self.bundle)] if bundle else [])])
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    def serve(self, *words: str) -> tuple[int, str, str]:
        return self.run("serve", "--model", "hub", *words)

    def ask(self, *words: str | Path) -> tuple[int, str, str]:
        return self.run("ask", "--model", "hub", "--image", *(words or (IMAGE,)), "what?")

    @property
    def argv(self) -> list[str]:
        words: list[str] = json.loads((self.bundle / "argv.json").read_text(encoding="utf-8"))
        return words


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    monkeypatch.setenv("PINNED_LLAMA_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("PINNED_LLAMA_API_KEY", raising=False)
    monkeypatch.setenv("PINNED_LLAMA_PERMIT", "images")  # what is known against the recipe of the fixture
    monkeypatch.setenv("http_proxy", f"http://{LOOPBACK}:9")  # a proxy of the user must not come between
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return Bench(tmp_path, capsys)


@pytest.fixture
def port() -> str:
    return str(free_port())


def row(err: str, label: str) -> str:
    """The text of where, expected, found or fix in an error, with all its lines."""
    match = re.search(rf"^  {label}: +(.*(?:\n {{12}}.*)*)$", err, re.MULTILINE)
    assert match, err
    return match[1]


def test_it_is_started_on_the_pinned_files_and_its_end_is_ours(bench: Bench, port: str) -> None:
    bench.fetch()
    bench.does(ends=0)
    code, out, _ = bench.serve("--port", port, "--threads", "2", "--context", "64")
    assert code == 0
    assert out.splitlines()[0].split()[1:4] == ["hub,", "with", "images,"]
    assert "not built by this project" in out
    argv = bench.argv
    assert argv[0] == "--host"
    assert argv[1].endswith("/llama.sock")
    assert argv[2:11] == [
        *("-m", str(bench.path("model")), "--mmproj", str(bench.path("mmproj"))),
        *("-c", "64", "--alias", "hub", "--offline"),
    ]
    assert argv[-2:] == ["-t", "2"]


@pytest.mark.parametrize(("threads", "words"), [(2, ["-t", "2"]), (None, [])])
def test_in_a_container_no_more_threads_than_usable_cores(
    bench: Bench, port: str, monkeypatch: pytest.MonkeyPatch, threads: int | None, words: list[str]
) -> None:
    bench.fetch()
    bench.does(ends=0)
    monkeypatch.setattr(preparation, "threads_to_ask_for", lambda: threads)
    assert bench.serve("--port", port)[0] == 0
    assert bench.argv[bench.argv.index("--no-warmup") + 3 :] == words


def test_text_alone_needs_no_projector_and_says_what_that_saves(bench: Bench, port: str) -> None:
    bench.fetch("model")
    bench.does(ends=0)
    code, out, err = bench.serve("--port", port, "--text-only")
    assert code == 0
    assert "hub, text only, " in out
    assert "--mmproj" not in bench.argv
    assert "unknown" in err
    bench.fetch()
    _, _, err = bench.serve("--port", port, "--text-only")
    assert re.search(r"text only: .* saved\n", err)


def test_a_model_that_is_not_fetched(bench: Bench, port: str) -> None:
    bench.fetch("model")
    code, _, err = bench.serve("--port", port)
    assert (code, row(err, "where")) == (23, "manifests/models/hub.yaml: files[1]")
    assert row(err, "fix").splitlines()[0].endswith("models -- fetch hub")


def test_a_model_without_a_pin(bench: Bench, port: str) -> None:
    code, _, err = bench.run("serve", "--model", "bare", "--port", port)
    assert code == 11
    assert "lock -- --model bare" in row(err, "fix")


def test_a_damaged_model(bench: Bench, port: str) -> None:
    bench.fetch()
    bench.path("model").write_bytes(MODEL[:-1] + b"x")
    code, _, err = bench.serve("--port", port)
    assert (code, row(err, "where")) == (20, str(bench.path("model")))
    assert row(err, "found") == str(Sha256.of_bytes(MODEL[:-1] + b"x"))


def test_a_projector_of_another_model(bench: Bench, port: str) -> None:
    keys = {**MMPROJ_KEYS, "clip.vision.projection_dim": number(48)}
    bench.write(whole_draft(keys, MMPROJ_TENSORS).encode())
    bench.fetch()
    code, _, err = bench.serve("--port", port)
    assert code == 13
    assert row(err, "where").startswith("hub, ")


def test_a_kind_of_model_that_is_not_checked_whole_is_asked_for_by_name(bench: Bench, port: str) -> None:
    model = {"general.architecture": word("llama"), "tokenizer.ggml.tokens": words("a")}
    mmproj = {"general.architecture": word("clip"), "clip.projector_type": word("gemma3")}
    one = {"a": (F32, (8,))}
    bench.write(whole_draft(mmproj, one).encode(), whole_draft(model, one).encode())
    bench.fetch()
    bench.does(ends=0)
    code, _, err = bench.serve("--port", port)
    assert (code, row(err, "where")) == (13, "hub: general.architecture")
    assert row(err, "fix").startswith("--allow-architecture llama ")
    assert bench.serve("--port", port, "--allow-architecture", "qwen2")[0] == 13
    assert bench.serve("--port", port, "--allow-architecture", "llama")[0] == 0


def a_hybrid(bench: Bench) -> None:
    bench.write(hybrid.MMPROJ, hybrid.MODEL)
    manifest = bench.folder / "project" / "manifests" / "models" / "hub.yaml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("architecture: qwen3vlmoe", "architecture: qwen35moe"), encoding="utf-8")


def test_what_conformance_does_not_cover_is_served_and_said_once(bench: Bench, port: str) -> None:
    a_hybrid(bench)
    bench.fetch()
    bench.does(ends=0)
    code, _, err = bench.serve("--port", port)
    assert code == 0
    assert err.count("conformance does not cover qwen35moe, the architecture of hub") == 1
    bench.write(MMPROJ)
    bench.fetch()
    assert "conformance" not in bench.serve("--port", port)[2]


def test_what_the_recipe_does_not_load_is_refused_before_anything_is_fetched(bench: Bench, port: str) -> None:
    a_hybrid(bench)
    tables = sorted((bench.folder / "project" / "manifests" / "loaders").glob("*.json"))
    for table in tables:
        text = table.read_text(encoding="utf-8").replace('"qwen35moe",', "")
        (table.parent / f"{table.stem}.json").write_text(text, encoding="utf-8")
    code, _, err = bench.serve("--port", port, "--yes")
    assert (code, row(err, "where")) == (2, "hub: architecture")
    assert row(err, "found") == "qwen35moe"
    assert row(err, "fix").startswith("another --model; or --allow-architecture qwen35moe, if ")
    assert not bench.path("model").exists()
    assert (
        bench.serve("--port", port, "--allow-architecture", "qwen35moe")[0] == 23
    )  # asked for: its files come next


def test_a_template_that_never_ends_is_not_served(bench: Bench, port: str) -> None:
    endless = word("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}")
    keys = model_keys("qwen3vlmoe") | {"tokenizer.chat_template": endless}
    bench.write(MMPROJ, whole_draft(keys, model_tensors("qwen3vlmoe")).encode())
    bench.fetch()
    code, _, err = bench.serve("--port", port)
    assert (code, row(err, "where")) == (13, "hub, model: tokenizer.chat_template")


def test_a_model_that_was_fetched_is_the_default_and_one_of_the_repository_else(
    bench: Bench, port: str
) -> None:
    defaults = bench.folder / "project" / "manifests" / "defaults.yaml"
    defaults.write_text(f"{defaults.read_text()}served: [hub]\nmodel: bare\n", encoding="utf-8")
    bench.does(ends=0)
    code, _, err = bench.run("serve", "--port", port)
    assert code == 11  # the other one has no pin here
    assert "using bare, " in err
    assert "models -- fetch hub" in err
    bench.fetch()
    code, out, err = bench.run("serve", "--port", port)
    assert (code, out.splitlines()[0].split()[1]) == (0, "hub,")
    assert "using hub" in err


def test_too_little_memory(bench: Bench, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.fetch()
    bench.does(ends=0)
    monkeypatch.setattr(preparation, "free_memory", lambda: FreeMemory(1000, "a test"))
    code, _, err = bench.serve("--port", port)
    assert (code, row(err, "found")) == (24, "1.0 kB (a test)")
    assert re.fullmatch(r"hub, \d+ .*, with images", row(err, "where"))
    assert row(err, "fix").endswith("--ignore-memory")
    code, _, err = bench.serve("--port", port, "--ignore-memory")
    assert code == 0
    assert "1.0 kB is available" in err
    assert bench.argv[bench.argv.index("--cache-ram") + 1] == "0"


@pytest.mark.parametrize("fit", [True, False])
def test_it_is_said_whether_several_models_are_in_memory_together(
    bench: Bench, port: str, monkeypatch: pytest.MonkeyPatch, *, fit: bool
) -> None:
    bench.fetch()
    bench.does(dies=3)
    monkeypatch.setattr(preparation, "free_memory", lambda: FreeMemory(1000, "a test"))
    said = row(bench.serve("--port", port)[2], "expected").split(":")[0]
    need = round(float(said.split()[0]) * {"kB": 1e3, "MB": 1e6, "GB": 1e9}[said.split()[1]])
    free = FreeMemory(need * 3 if fit else need * 3 // 2, "a test")
    monkeypatch.setattr(preparation, "free_memory", lambda: free)
    code, _, err = bench.serve("--port", port, "--model", "other", "--model", "hub")
    assert (code, row(err, "where")) == (28, f"{bench.bundle}/llama-server")  # the first one must start
    assert ("the models are in memory together, " in err) == fit
    assert ("one model at a time is in memory, " in err) != fit
    assert "all 2 need " in err


def test_one_of_several_that_is_not_there_is_said_before_any_is_started(bench: Bench, port: str) -> None:
    bench.fetch()
    code, _, _ = bench.serve("--port", port, "--model", "bare")
    assert code == 11
    assert not (bench.bundle / "argv.json").exists()


def test_unknown_memory_is_no_reason_to_refuse(
    bench: Bench, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.fetch()
    bench.does(ends=0)
    monkeypatch.setattr(preparation, "free_memory", lambda: None)
    code, _, err = bench.serve("--port", port)
    assert code == 0
    assert "warning: it is unknown" in err


def test_a_context_that_the_model_does_not_know(bench: Bench, port: str) -> None:
    bench.fetch()
    code, _, err = bench.serve("--port", port, "--context", "99999999")
    assert (code, row(err, "where"), row(err, "fix")) == (2, "--context", "--context 64")


def test_a_recipe_that_was_not_built(bench: Bench, port: str) -> None:
    code, _, err = bench.run("serve", "--model", "hub", "--port", port, bundle=False)
    assert code == 27
    assert row(err, "where").endswith(f", in {bench.store.root}")
    fix, more = row(err, "fix").splitlines()
    assert "--yes" in more
    assert "build -- --recipe " in fix
    assert fix.endswith(f" --project {bench.folder / 'project'}")


@pytest.mark.parametrize(
    ("does", "code", "found", "fix"),
    [
        ({"dies": 3}, 28, "exit status 3; ", "read "),
        ({"ends": 7}, 28, "exit status 7; ", "read "),
        ({"killed": 9}, 28, "signal 9; ", "dmesg"),
        ({"health": [503]}, 29, "not healthy", "--start-timeout 2"),
    ],
)
def test_a_server_that_ends_or_is_never_healthy_is_named_with_its_log(
    bench: Bench, does: dict[str, object], code: int, found: str, fix: str
) -> None:
    bench.fetch()
    bench.does(**does)
    given, _, err = bench.serve(
        "--port", str(free_port()), "--start-timeout", "0.5" if "health" in does else "60"
    )
    assert (given, row(err, "where")) == (code, f"{bench.bundle}/llama-server")
    assert found in row(err, "found")
    if code == 28:  # the other one may be given up before it says anything
        assert "a line of the log" in row(err, "found")
    assert fix in row(err, "fix")


def test_an_address_that_others_reach_needs_a_key(bench: Bench, port: str) -> None:
    code, _, err = bench.serve("--port", port, "--host", "0.0.0.0")  # noqa: S104
    assert (code, row(err, "where")) == (26, "--host 0.0.0.0")


def test_a_server_that_does_not_ask_for_the_key(
    bench: Bench, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.fetch()
    bench.does(sockets=False)
    monkeypatch.setenv("PINNED_LLAMA_API_KEY", KEY)
    code, _, err = bench.serve("--port", port)
    assert (code, row(err, "where")) == (26, f"{bench.bundle}/llama-server")
    assert "status 200 from /props" in row(err, "found")
    assert KEY not in err


def test_a_server_without_unix_sockets_gets_a_port_and_a_key_of_its_own(bench: Bench, port: str) -> None:
    bench.fetch()
    bench.does(sockets=False, props=401, ends=3)
    code, _, err = bench.serve("--port", port)
    assert (code, "exit status 3; " in row(err, "found")) == (28, True)
    argv = bench.argv
    assert argv[:3] == ["--host", "127.0.0.1", "--port"]
    assert argv[3] != port
    log = (bench.store.root / "logs" / f"serve-{port}.log").read_text("utf-8")
    assert "LLAMA_API_KEY" in log.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("serve", "--recipe", "small"), "serve: --bundle and --recipe"),
        (("ask", "--image", str(IMAGE)), "ask"),
        (("ask", "--image", str(IMAGE), "  "), "ask"),
        (("ask", "--url", "http://127.0.0.1:1", "what?"), "ask: --url and --bundle"),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    bench: Bench, words: tuple[str, ...], where: str
) -> None:
    code, _, err = bench.run(*words)
    assert (code, row(err, "where")) == (2, where)


def test_a_question_is_answered_and_leaves_no_log(bench: Bench) -> None:
    bench.fetch()
    bench.does(says=GREEN)
    assert bench.ask()[:2] == (0, "green\n")
    assert not list((bench.store.root / "logs").glob("serve-*"))


@pytest.mark.parametrize(
    ("does", "code", "found", "fix"),
    [
        ({}, 28, "exit status 9; ", "read "),  # it dies over the question
        ({"status": 500, "says": '{"error": {"message": "no"}}'}, 31, "status 400: no", "log"),
        (
            {"status": 500, "says": '{"error": {"message": "Compute error."}}'},
            31,
            "status 500: Compute error.",
            "log",
        ),
        ({"says": 'data: {"choices": [{"delta": {"content": "gr"}}]}\n\n'}, 31, "ends too early", "log"),
        (
            {"status": 400, "says": '{"error": {"message": "Failed to load image or audio file"}}'},
            30,
            "shapes.png: Failed to load image or audio file",
            "export",
        ),
        (
            {"status": 400, "says": '{"error": {"message": "exceeds the available context size"}}'},
            31,
            "status 400: exceeds the available context size",
            "--context",
        ),
    ],
)
def test_a_server_that_dies_or_refuses_is_quoted(
    bench: Bench, does: dict[str, object], code: int, found: str, fix: str
) -> None:
    bench.fetch()
    bench.does(**does)
    given, _, err = bench.ask()
    assert given == code
    assert found in row(err, "found")
    assert fix in row(err, "fix")


def test_a_file_that_is_no_image_is_refused_before_anything_is_started(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "x.webp"
    path.write_bytes(b"RIFF....WEBPVP8 and then nothing of it")
    code, _, err = bench.ask(path)
    assert (code, row(err, "where")) == (30, f"--image {path}")
    assert not (bench.bundle / "argv.json").exists()


def test_nothing_listens(bench: Bench, port: str) -> None:
    base = f"http://{LOOPBACK}:{port}"
    code, _, err = bench.run("ask", "--url", base, "what?", bundle=False)
    assert (code, row(err, "where")) == (31, f"{base}/v1/chat/completions")
    assert "refused" in row(err, "found")
    assert "-s serve" in row(err, "fix")


def test_a_server_that_is_named_as_it_does_not_know_itself_says_so_and_no_key_is_blamed(
    tmp_path: Path,
) -> None:
    with open_door(tmp_path) as door:
        answer = door.post({"messages": []}, Host="my-machine:8080")
    error = refusal(door.base, answer.status_code, answer.text, ())
    assert isinstance(error, AnswerError)
    assert "--allow-origin" in error.fix


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
    assert (code, row(err, "found")) == (31, "status 307: nothing")
    assert asked == []


def test_a_recipes_own_server_gets_the_variables_of_its_platform_and_no_other_does(
    bench: Bench, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for recipe in (bench.folder / "project" / "manifests" / "recipes").glob("*.yaml"):
        text = recipe.read_text(encoding="utf-8")
        recipe.write_text(
            text.replace("    bundle:\n", "    environment: {FASTER: '1'}\n    bundle:\n"), "utf-8"
        )
    bench.fetch()
    bench.does(ends=0)
    log = bench.store.root / "logs" / f"serve-{port}.log"
    assert bench.serve("--port", port)[0] == 0
    assert "FASTER" not in log.read_text(encoding="utf-8")
    own = find_installation(bench.bundle)
    monkeypatch.setattr(preparation, "find_server", lambda *_, **__: own)
    assert bench.run("serve", "--model", "hub", "--port", port, bundle=False)[0] == 0
    assert "FASTER" in log.read_text(encoding="utf-8")


def test_a_server_that_cannot_sleep_is_not_told_to(bench: Bench, port: str) -> None:
    bench.fetch()
    code, _, err = bench.serve("--port", port, "--unload-after", "60")
    assert (code, row(err, "where")) == (2, "--sleep-idle-seconds")
    assert "--unload-after" in row(err, "fix")
