"""Starting, asking and ending a llama-server: against a small program that answers as it is told to."""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from recipes.manifest.load import PROJECT
from recipes.serve.llamacpp.listen_address import LOOPBACK, free_port
from recipes.serve.llamacpp.server import (
    TAIL_LINES,
    ChatReply,
    Server,
    ServerError,
    TokenChoice,
    assistant,
    describe_status,
    parse_reply,
    serve,
    tail,
    user,
)

if TYPE_CHECKING:
    from pathlib import Path

# `llama-server --host H --port P HEALTH REPLY`: HEALTH is how it starts (a status for each question after its health,
# the last one for all others, or `exit` or `abort`), REPLY the status of a completion (0: it hangs up).
FAKE = f"""#!{sys.executable}
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

print("arguments:", json.dumps(sys.argv[1:]), flush=True)
print("environment:", json.dumps(sorted(os.environ)), flush=True)
health, reply = sys.argv[5:]
if health in ("exit", "abort"):
    for line in range(40):
        print("line", line, flush=True)
    os.abort() if health == "abort" else sys.exit(3)
statuses = list(map(int, health.split(",")))

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/health":
            return self.answer(404, b"no page")
        self.answer(statuses.pop(0) if statuses[1:] else statuses[0], b"{{}}")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Path("asked.json").write_bytes(body)
        print("asked:", self.path, self.headers["Content-Type"], flush=True)
        if reply != "0":
            self.answer(int(reply), Path("reply.json").read_bytes())

    def answer(self, status, body):
        print("status", status, flush=True)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

HTTPServer((sys.argv[2], int(sys.argv[4])), Handler).serve_forever()
"""
COMPLETION = {
    "choices": [
        {
            "message": {"role": "assistant", "content": "red"},
            "logprobs": {
                "content": [
                    {
                        "token": "red",
                        "top_logprobs": [
                            {"token": "red", "logprob": -0.25, "bytes": [1]},
                            {"token": "blue", "logprob": -3},
                        ],
                    },
                    {"token": "<|im_end|>", "top_logprobs": [{"token": "x", "logprob": -9.0}]},
                ]
            },
        }
    ],
    "usage": {"prompt_tokens": 31, "completion_tokens": 2},
}
RED = ChatReply("red", (TokenChoice("red", -0.25), TokenChoice("blue", -3.0)), 31)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "llama-server"
    path.write_text(FAKE, encoding="utf-8")
    path.chmod(0o755)
    (tmp_path / "reply.json").write_text(json.dumps(COMPLETION), encoding="utf-8")
    return path


def asked(server: Server) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((server.log.parent / "asked.json").read_bytes())
    return body


def test_it_is_started_on_loopback_and_gone_after_the_block(program: Path, tmp_path: Path) -> None:
    port = free_port()
    with serve(program, ("200", "200"), tmp_path, port=port) as server:
        assert server.base == f"http://{LOOPBACK}:{port}"
        assert server.process.status is None
        arguments, environment = server.log.read_text(encoding="utf-8").splitlines()[:2]
        assert json.loads(arguments.removeprefix("arguments:")) == [
            *("--host", LOOPBACK, "--port", str(port), "200", "200")
        ]
        assert json.loads(environment.removeprefix("environment:")) == ["HOME", "LC_ALL", "TMPDIR"]
    assert server.process.status == -15
    with pytest.raises(requests.ConnectionError):
        server.get("/health")


def test_it_is_gone_after_an_error_in_the_block(program: Path, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), serve(program, ("200", "200"), tmp_path) as server:
        raise ZeroDivisionError
    assert server.process.status == -15


def test_it_is_waited_for_until_it_is_healthy(program: Path, tmp_path: Path) -> None:
    with serve(program, ("503,500,204,200", "200"), tmp_path) as server:
        statuses = [line for line in tail(server.log).splitlines() if line.startswith("status")]
    assert statuses == ["status 503", "status 500", "status 204", "status 200"]


def test_no_proxy_and_no_login_of_the_user_comes_between(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{LOOPBACK}:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serve(program, ("200", "200"), tmp_path, timeout_s=5) as server:
        assert server.chat([user("What?")]) == RED
        assert server.get("/x").status_code == 404


def test_what_it_is_told_besides_is_in_its_environment_alone(program: Path, tmp_path: Path) -> None:
    log = tmp_path / "other.log"
    with serve(program, ("200", "200"), tmp_path, log=log, environment={"SECRET": "x"}) as server:
        assert server.log == log
    arguments, environment = log.read_text(encoding="utf-8").splitlines()[:2]
    assert "x" not in json.loads(arguments.removeprefix("arguments:"))
    assert "SECRET" in json.loads(environment.removeprefix("environment:"))


def test_it_ends_where_who_started_it_is_killed(program: Path, tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells a process that its parent died")
    code = (
        "import os, sys; from pathlib import Path; from recipes.serve.llamacpp.server import serve\n"
        "with serve(Path(sys.argv[1]), ('200', '200'), Path(sys.argv[2])) as server:\n"
        "    print(server.process.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    argv = (sys.executable, "-c", code, str(program), str(tmp_path))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT) as starter:
        assert starter.stdout is not None
        server = os.pidfd_open(int(starter.stdout.readline()))
        starter.kill()
    try:
        assert select.select([server], [], [], 30) == ([server], [], []), "it runs on alone"
    finally:
        os.close(server)


def test_one_that_is_never_healthy_is_given_up(program: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(ServerError, match=r"^it was not healthy within 0\.5 s\n"),
        serve(program, ("503", "200"), tmp_path, timeout_s=0.5),
    ):
        pytest.fail("it never said that it is healthy")


def test_one_that_is_slow_to_say_its_health_is_asked_again(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, waited = requests.Session.get, [requests.ReadTimeout()]

    def get(session: requests.Session, url: str, timeout: float) -> requests.Response:
        if waited:
            raise waited.pop()
        return ask(session, url, timeout=timeout)

    monkeypatch.setattr(requests.Session, "get", get)
    with serve(program, ("200", "200"), tmp_path) as server:
        assert server.get("/x").status_code == 404


@pytest.mark.parametrize(("way", "words"), [("exit", "exit status 3"), ("abort", "signal 6")])
def test_one_that_ends_early_is_named_with_the_last_lines_of_its_log(
    program: Path, tmp_path: Path, way: str, words: str
) -> None:
    with pytest.raises(ServerError) as error, serve(program, (way, "200"), tmp_path):
        pytest.fail("it does not run any more")
    last = "\n".join(f"line {number}" for number in range(40 - TAIL_LINES, 40))
    assert str(error.value) == f"it ended with {words}\n{last}"


def test_a_program_that_cannot_be_started_is_the_system_s_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), serve(tmp_path / "x", (), tmp_path):
        pytest.fail("there is no such program")


def test_a_question_is_asked_greedily_and_the_answer_read(program: Path, tmp_path: Path) -> None:
    question = [user("What shape is this?")]
    with serve(program, ("200", "200"), tmp_path) as server:
        assert server.chat(question, max_tokens=3, choices=7, seed=1) == RED
        assert asked(server) == {
            "messages": question,
            "max_tokens": 3,
            "temperature": 0,
            "cache_prompt": False,
            "logprobs": True,
            "top_logprobs": 7,
            "seed": 1,
        }
        server.chat(question, cache_prompt=True)
        assert asked(server) == {
            "messages": question,
            "max_tokens": 16,
            "temperature": 0,
            "cache_prompt": True,
        }
        log = server.log.read_text(encoding="utf-8")
    assert "asked: /v1/chat/completions application/json" in log


def test_bytes_are_sent_as_they_are_and_pages_fetched(program: Path, tmp_path: Path) -> None:
    with serve(program, ("200", "200"), tmp_path) as server:
        assert server.post("/v1/chat/completions", b'{"malformed').status_code == 200
        assert (tmp_path / "asked.json").read_bytes() == b'{"malformed'
        page = server.get("/")
    assert (page.status_code, page.text) == (404, "no page")


def test_an_answer_that_is_an_error_is_quoted(program: Path, tmp_path: Path) -> None:
    (tmp_path / "reply.json").write_text('{"error": "no mmproj"}' + "x" * 600, encoding="utf-8")
    with serve(program, ("200", "500"), tmp_path) as server, pytest.raises(ServerError) as error:
        server.chat([user("What?")])
    assert str(error.value) == 'status 500: {"error": "no mmproj"}' + "x" * 478


def test_a_connection_that_is_dropped_is_told_with_the_log(program: Path, tmp_path: Path) -> None:
    with serve(program, ("200", "0"), tmp_path) as server, pytest.raises(ServerError) as error:
        server.chat([user("What?")])
    first, *log = str(error.value).splitlines()
    assert first == "no answer: ConnectionError"
    assert log[-1] == "asked: /v1/chat/completions application/json"


def test_an_answer_that_is_no_json_is_an_error(program: Path, tmp_path: Path) -> None:
    (tmp_path / "reply.json").write_text("<html>", encoding="utf-8")
    with serve(program, ("200", "200"), tmp_path) as server, pytest.raises(ServerError):
        server.chat([user("What?")])


def test_a_completion_without_probabilities_or_usage_is_read() -> None:
    assert parse_reply({"choices": [{"message": {"content": "red"}}]}) == ChatReply("red")
    assert parse_reply(
        {"choices": [{"message": {"content": None}, "logprobs": None}], "usage": None}
    ) == ChatReply("")
    assert parse_reply({"choices": [{"message": {"content": ""}, "logprobs": {"content": []}}]}) == ChatReply(
        ""
    )


def test_a_token_that_cannot_be_is_left_out() -> None:
    listed = [{"token": "a", "logprob": -1}, {"token": "b", "logprob": float("-inf")}]
    choice = {"message": {"content": "a"}, "logprobs": {"content": [{"top_logprobs": listed}]}}
    assert parse_reply({"choices": [choice]}).first == (TokenChoice("a", -1.0),)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"message": {}}]},
        {"choices": None, "error": {"message": "x" * 600}},
        {"choices": [{"message": {"content": "a"}, "logprobs": {"content": [{"top_logprobs": [{}]}]}}]},
        {"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": "many"}},
    ],
)
def test_what_is_no_completion_is_quoted(data: dict[str, Any]) -> None:
    with pytest.raises(ServerError) as error:
        parse_reply(data)
    assert str(error.value) == f"not a chat completion: {json.dumps(data)[:500]}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=6,
)


def places(node: Any) -> list[tuple[str | int, ...]]:  # noqa: ANN401 - any JSON
    """The way to each value in it."""
    inner = list(
        node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    )
    return [(key, *rest) for key, value in inner for rest in [(), *places(value)]]


@given(st.sampled_from(places(COMPLETION)), JSON)
def test_any_json_is_a_reply_or_a_refusal(place: tuple[str | int, ...], value: object) -> None:
    data: Any = json.loads(json.dumps(COMPLETION))
    node = data
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    try:
        reply = parse_reply(data)
    except ServerError:
        return
    assert isinstance(reply.text, str)
    assert all(isinstance(choice.text, str) for choice in reply.first)


def test_images_are_sent_as_data_addresses_of_their_kind() -> None:
    png, jpeg = b"\x89PNG...", b"\xff\xd8\xff..."
    assert user("a", png, jpeg, "b") == {
        "role": "user",
        "content": [
            {"type": "text", "text": "a"},
            *(
                {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{encoded}"}}
                for kind, encoded in (
                    ("png", base64.b64encode(png).decode()),
                    ("jpeg", base64.b64encode(jpeg).decode()),
                )
            ),
            {"type": "text", "text": "b"},
        ],
    }
    assert assistant("red") == {"role": "assistant", "content": "red"}


def test_a_free_port_can_be_listened_on() -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, free_port()))
        listener.listen()


def test_the_tail_of_a_log_is_its_last_lines_whatever_bytes_they_hold(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"".join(b"%d \xff\n" % number for number in range(100)))
    assert tail(log).splitlines() == [f"{number} \ufffd" for number in range(100 - TAIL_LINES, 100)]
    log.write_bytes(b"")
    assert tail(log) == ""


@pytest.mark.parametrize(
    ("status", "words"), [(0, "exit status 0"), (139, "exit status 139"), (-11, "signal 11")]
)
def test_how_a_program_ended_is_said_in_words(status: int, words: str) -> None:
    assert describe_status(status) == words
