"""Asking a server: the token that is forced, the order of answers, and servers that die or never start."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import requests

from recipes.conformance.results.numerics import UNSEEN
from recipes.evalset.prompts import compared
from recipes.pocket.fidelity import query_server as asking
from recipes.pocket.fidelity.query_server import Answer, AskedPrompt, ServerSetup, ask, ask_all, asked_prompt
from recipes.serve.llamacpp.server import ChatReply, ServerError, TokenChoice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class FakeServer:
    """Answers with the logarithm that a question names; dies of the question `fatal`."""

    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    has_died: bool = False

    def get(self, _path: str) -> requests.Response:
        if self.has_died:
            raise requests.ConnectionError
        response = requests.Response()
        response.status_code = 200
        return response

    def chat(self, messages: list[dict[str, Any]], **options: Any) -> ChatReply:  # noqa: ANN401 - as the real one
        name = messages[0]["name"]
        self.asked.append((name, options))
        if name == "fatal":
            self.has_died = True
            raise ServerError("no answer: ConnectionError\nGGML_ASSERT(false)")
        if name == "refused":
            raise ServerError("status 400: too long")
        if self.has_died:
            raise ServerError("no answer: ConnectionError")
        if name == "silent":
            return ChatReply("")
        return ChatReply(
            "a", (TokenChoice("a", -float(name)), TokenChoice("b", -3.0), TokenChoice("b", -9.0))
        )


def a_question(name: str) -> AskedPrompt:
    return AskedPrompt(name, [{"name": name}], 40, ("b", "a", "c"))


def setup_of(tmp_path: Path) -> ServerSetup:
    return ServerSetup(tmp_path / "model.gguf", tmp_path / "mmproj.gguf", "strict", tmp_path)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[FakeServer, tuple[str, ...]]]:
    """The servers that were started, with their options."""
    every: list[tuple[FakeServer, tuple[str, ...]]] = []

    @contextmanager
    def start(*arguments: Any) -> Iterator[FakeServer]:  # noqa: ANN401 - as the real one
        every.append((FakeServer(), arguments[-1]))
        yield every[-1][0]

    monkeypatch.setattr(asking, "start_server", start)
    return every


def test_the_answer_keeps_the_listed_tokens_in_order_and_the_likelier_of_two_alike() -> None:
    server: Any = FakeServer()
    assert ask(server, a_question("1")) == Answer((-3.0, -1.0, UNSEEN))
    _, options = server.asked[0]
    assert options == {"max_tokens": 1, "choices": 544, "logit_bias": [[40, 100.0]]}


def test_an_answer_without_tokens_is_a_failure() -> None:
    server: Any = FakeServer()
    assert ask(server, a_question("silent")) == Answer(failure="the answer lists no tokens")


@pytest.mark.parametrize("way", ["ubatch 32", "two clients"])
def test_every_question_is_answered_in_order(
    way: str, started: list[tuple[FakeServer, tuple[str, ...]]], tmp_path: Path
) -> None:
    subject: Any = None
    answers = ask_all(subject, setup_of(tmp_path), way, [a_question(str(n)) for n in range(5)])
    assert [answer.logprobs[1] for answer in answers] == [0.0, -1.0, -2.0, -3.0, -4.0]
    ((_, options),) = started
    assert options[:6] == ("-fa", "off", "-ctk", "f32", "-ctv", "f32")
    assert ("-np" in options) is (way == "two clients")


def test_a_server_that_dies_is_started_again_for_the_next_question(
    started: list[tuple[FakeServer, tuple[str, ...]]], tmp_path: Path
) -> None:
    subject: Any = None
    names = ["1", "fatal", "2", "fatal"]
    answers = ask_all(subject, setup_of(tmp_path), "ubatch 32", [a_question(name) for name in names])
    assert [answer.failure for answer in answers] == ["", "no answer: ConnectionError"] * 2
    assert [[name for name, _ in server.asked] for server, _ in started] == [["1", "fatal"], ["2", "fatal"]]


def test_a_refusal_is_no_death(started: list[tuple[FakeServer, tuple[str, ...]]], tmp_path: Path) -> None:
    subject: Any = None
    answers = ask_all(subject, setup_of(tmp_path), "ubatch 32", [a_question("refused"), a_question("1")])
    assert [answer.failure for answer in answers] == ["status 400: too long", ""]
    assert len(started) == 1


def test_who_asks_beside_a_fatal_question_is_asked_again(
    started: list[tuple[FakeServer, tuple[str, ...]]], tmp_path: Path
) -> None:
    subject: Any = None
    names = ["fatal", "1", "2", "3", "4"]
    answers = ask_all(subject, setup_of(tmp_path), "two clients", [a_question(name) for name in names])
    assert [bool(answer.failure) for answer in answers] == [True, False, False, False, False]
    assert [{name for name, _ in server.asked} for server, _ in started] == [
        {"fatal", "1"},
        {"fatal"},
        {"1", "2", "3", "4"},
    ]


def test_a_server_that_does_not_start_fails_every_question(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    starts = []

    def fail(*arguments: object) -> None:
        starts.append(arguments)
        raise ServerError("it ended with exit status 1\nunknown model architecture: 'qwen3vlmoe'")

    monkeypatch.setattr(asking, "start_server", fail)
    subject: Any = None
    answers = ask_all(subject, setup_of(tmp_path), "ubatch 32", [a_question("1"), a_question("2")])
    assert answers == [Answer(failure=answers[0].failure)] * 2
    assert answers[0].failure.endswith("exit status 1")
    assert len(starts) == 1


def test_a_prompt_is_asked_with_its_images() -> None:
    prompt = next(prompt for prompt in compared() if prompt.name == "where, wide")
    question = asked_prompt(prompt, 7, ("a",))
    kinds = [part["type"] for part in question.messages[0]["content"]]
    assert (question.name, question.token, kinds) == ("where, wide", 7, ["image_url", "text"])
