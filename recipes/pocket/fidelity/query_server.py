"""Asks a llama.cpp's server every trial, and keeps what it says of the tokens that the reference lists."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import requests

from recipes.conformance.results.inputs import messages, start_server
from recipes.conformance.results.numerics import UNSEEN
from recipes.pocket.fidelity.servers import SERVERS, SETTINGS, number_of
from recipes.serve.llamacpp.server import ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from recipes.evalset.prompts import Prompt
    from recipes.serve.llamacpp.installation import Installation
    from recipes.serve.llamacpp.server import Server

CHOICES = 544  # every row of every model's embedding
# What a server adds to the likeliest token's logit before it chooses: the answer is then a token that it lists. The
# logarithms that it lists are the model's own, from before.
CERTAIN = 100.0


@dataclass(frozen=True)
class AskedPrompt:
    """What is asked of every subject: the number of the token to answer with, and those whose logarithms are kept."""

    name: str
    messages: list[dict[str, Any]]
    token: int
    tokens: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """The logarithms of the listed tokens; or, where there are none, why."""

    logprobs: tuple[float, ...] = ()
    failure: str = ""


@dataclass(frozen=True)
class ServerSetup:
    """What a server is started with."""

    model: Path
    mmproj: Path
    setting: str
    work: Path


def ask_all(
    subject: Installation, run: ServerSetup, server: str, asked: Sequence[AskedPrompt]
) -> list[Answer]:
    """Ask questions of a server that is started one way; one that dies of a question is started again.

    `server` is a name out of SERVERS.
    """
    options = (*SETTINGS[run.setting], *SERVERS[server])
    clients = number_of(server, "-np")
    answers: list[Answer] = []
    together = clients
    while len(answers) < len(asked):
        try:
            with (
                start_server(subject, run.model, run.mmproj, run.work, options) as running,
                ThreadPoolExecutor(clients) as threads,
            ):
                while len(answers) < len(asked):
                    some = asked[len(answers) : len(answers) + together]
                    said = [*threads.map(partial(ask, running), some)]
                    has_died = any(answer.failure for answer in said) and not is_up(running)
                    if has_died and len(some) > 1:
                        together = 1  # it died of one of them: each is asked again, alone
                        break
                    answers += said
                    together = clients
                    if has_died:
                        break
        except ServerError as error:  # of the start: `ask` raises none
            why = f"the server does not start: {str(error).splitlines()[0]}"
            answers += [Answer(failure=why)] * (len(asked) - len(answers))
    return answers


def is_up(server: Server) -> bool:
    """Whether a server still answers."""
    try:
        return server.get("/health").status_code == requests.codes.ok
    except requests.RequestException:
        return False


def ask(server: Server, question: AskedPrompt) -> Answer:
    """Ask one question."""
    bias = [[question.token, CERTAIN]]
    try:
        found = server.chat(question.messages, max_tokens=1, choices=CHOICES, logit_bias=bias).logprobs
    except ServerError as error:
        return Answer(failure=str(error).splitlines()[0])
    if not found:
        return Answer(failure="the answer lists no tokens")
    return Answer(tuple(found.get(token, UNSEEN) for token in question.tokens))


def asked_prompt(prompt: Prompt, token: int, tokens: tuple[str, ...]) -> AskedPrompt:
    """Return what is asked of a prompt."""
    return AskedPrompt(prompt.name, messages(prompt), token, tokens)
