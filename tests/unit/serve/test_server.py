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
    EndedError,
    Server,
    ServerError,
    TokenChoice,
    UnhealthyError,
    assistant,
    describe_status,
    parse_reply,
    serve,
    tail,
    user,
)
from tests.support.fake_llama_server import tell, write_server

if TYPE_CHECKING:
    from pathlib import Path

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
    tell(tmp_path, says=json.dumps(COMPLETION), props=404)
    return write_server(tmp_path)


def started_with(folder: Path) -> list[str]:
    words: list[str] = json.loads((folder / "argv.json").read_bytes())
    return words


def variables(log: Path) -> list[str]:
    names: list[str] = json.loads(
        log.read_text(encoding="utf-8").splitlines()[0].removeprefix("environment:")
    )
    return names


def asked(server: Server) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((server.log.parent / "asked.json").read_bytes())
    return body


def test_it_is_started_on_loopback_and_gone_after_the_block(program: Path, tmp_path: Path) -> None:
    port = free_port()
    with serve(program, ("-x", "y"), tmp_path, port=port) as server:
        assert server.base == f"http://{LOOPBACK}:{port}"
        assert server.process.status is None
        assert started_with(tmp_path) == ["--host", LOOPBACK, "--port", str(port), "-x", "y"]
        assert variables(server.log) == ["HOME", "LC_ALL", "TMPDIR"]
    assert server.process.status == -15
    with pytest.raises(requests.ConnectionError):
        server.get("/health")


def test_it_is_gone_after_an_error_in_the_block(program: Path, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), serve(program, (), tmp_path) as server:
        raise ZeroDivisionError
    assert server.process.status == -15


def test_it_is_waited_for_until_it_is_healthy(program: Path, tmp_path: Path) -> None:
    tell(tmp_path, health=[503, 500, 204, 200])
    with serve(program, (), tmp_path) as server:
        statuses = [line for line in tail(server.log).splitlines() if line.startswith("status")]
    assert statuses == ["status 503", "status 500", "status 204", "status 200"]


def test_no_proxy_and_no_login_of_the_user_comes_between(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{LOOPBACK}:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serve(program, (), tmp_path, timeout_s=5) as server:
        assert server.chat([user("What?")]) == RED
        assert server.get("/x").status_code == 404


def test_what_it_is_told_besides_is_in_its_environment_alone(program: Path, tmp_path: Path) -> None:
    log = tmp_path / "other.log"
    with serve(program, (), tmp_path, log=log, environment={"SECRET": "x"}) as server:
        assert server.log == log
    assert "x" not in started_with(tmp_path)
    assert "SECRET" in variables(log)


def test_it_ends_where_who_started_it_is_killed(program: Path, tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells a process that its parent died")
    code = (
        "import os, sys; from pathlib import Path; from recipes.serve.llamacpp.server import serve\n"
        "with serve(Path(sys.argv[1]), (), Path(sys.argv[2])) as server:\n"
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
    tell(tmp_path, health=[503])
    with pytest.raises(UnhealthyError), serve(program, (), tmp_path, timeout_s=0.5):
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
    with serve(program, (), tmp_path) as server:
        assert server.get("/x").status_code == 404


@pytest.mark.parametrize(("way", "status"), [({"dies": 3}, 3), ({"killed": 6}, -6)])
def test_one_that_ends_early_is_named_with_the_last_lines_of_its_log(
    program: Path, tmp_path: Path, way: dict[str, int], status: int
) -> None:
    lines = [f"line {number}" for number in range(40)]
    tell(tmp_path, lines=lines, **way)
    with pytest.raises(EndedError) as error, serve(program, (), tmp_path):
        pytest.fail("it does not run any more")
    assert error.value.status == status
    assert str(error.value).splitlines()[1:] == lines[-TAIL_LINES:]


def test_a_program_that_cannot_be_started_is_the_system_s_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), serve(tmp_path / "x", (), tmp_path):
        pytest.fail("there is no such program")


def test_a_question_is_asked_greedily_and_the_answer_read(program: Path, tmp_path: Path) -> None:
    question = [user("What shape is this?")]
    with serve(program, (), tmp_path) as server:
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
    with serve(program, (), tmp_path) as server:
        assert server.post("/v1/chat/completions", b'{"malformed').status_code == 200
        assert (tmp_path / "asked.json").read_bytes() == b'{"malformed'
        page = server.get("/")
    assert (page.status_code, page.text) == (404, "no page")


@pytest.mark.parametrize(
    ("does", "found"),
    [
        (
            {"says": '{"error": "no mmproj"}' + "x" * 600, "status": 500},
            'status 500: {"error": "no mmproj"}' + "x" * 478,
        ),
        ({"says": "<html>"}, "not JSON: <html>"),
        ({}, "no answer: ConnectionError"),  # it dies of the question
    ],
)
def test_what_is_no_answer_is_an_error_that_quotes_it(
    program: Path, tmp_path: Path, does: dict[str, object], found: str
) -> None:
    tell(tmp_path, **does)
    with serve(program, (), tmp_path) as server, pytest.raises(ServerError) as error:
        server.chat([user("What?")])
    first, *log = str(error.value).splitlines()
    assert first == found
    assert does or log[-1].startswith("asked: /v1/chat/completions")


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
    assert str(error.value).endswith(json.dumps(data)[:500])


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
