"""An attack, what it reaches, and what it showed."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

from recipes.serve.llamacpp.server import local_session, user

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recipes.conformance.hostile.canary import Canary
    from recipes.serve.llamacpp.server import Server

REPLY_S = 30.0  # an attack without a status for that long is unanswered
HEALTH_S = 5.0
SHOWN = 120  # characters of an answer
CHAT, COMPLETION = "/v1/chat/completions", "/completion"
JSON = {"Content-Type": "application/json"}
SAY = "What is 1 plus 2?"
FOLDER = "{folder}"  # in the options of an attack: the folder that the server runs in
NOT_OFFERED = {501, 503}  # a feature that is off, a queue that is full: said, not a fault


class Kind(Enum):
    """What an attack goes by."""

    FIELDS = "fields of a request"
    JSON = "shapes of JSON"
    GRAMMARS = "grammars"
    SCHEMAS = "JSON schemas"
    TRIGGERS = "lazy triggers"
    CHATS = "chat messages"
    ENDPOINTS = "other endpoints"
    IMAGES = "images"
    CLIPS = "videos"
    ADDRESSES = "addresses of images"
    ASKERS = "who may ask"
    CONNECTIONS = "connections"
    CONTEXTS = "contexts of several users"
    FILES = "model files"
    DRAWN = "drawn requests"
    CROWD = "clients at once"


class Fault(Enum):
    """What an attack did, the worst first."""

    REPORTED = "a sanitizer reports"
    DEAD = "the server died"
    SILENT = "/health silent"
    MEMORY = "too much memory"
    MIXED = "answers mixed up"
    WRONG = "honest question answered wrongly"
    LATE = "honest question not answered in time"
    ASKED = "an address was asked"
    OPEN = "a foreign page is served"
    UNANSWERED = "attack never answered"
    BUSY = "went on after the client left"
    SERVER_ERROR = "client's mistake answered with 5xx"
    ACCEPTED = "accepted, must be refused"
    REFUSED = "refused, must be answered"
    ALONE = "only the gate for files holds it"  # a known limit, not a failure


@dataclass(frozen=True)
class Seen:
    """What an attack itself saw, in words, and a fault that needs no look at the server."""

    words: str
    fault: Fault | None = None


@dataclass(frozen=True)
class Reply:
    """An answer to a request: status 0 where there was none, with the reason as the text."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def is_refusal(self) -> bool:
        """Whether it is the client's mistake, and says so."""
        return bool(requests.codes.bad_request <= self.status < requests.codes.server_error)

    @property
    def words(self) -> str:
        """Status and the start of the text."""
        return f"status {self.status}: {' '.join(self.text[:SHOWN].split())}"


@dataclass(frozen=True)
class Target:
    """A running server, and an address that it must never ask; `patience` and `memory` multiply the limits."""

    server: Server
    canary: Canary
    patience: float = 1.0
    memory: float = 1.0

    @property
    def base(self) -> str:
        """The server's URL."""
        return self.server.base

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, for a socket."""
        parts = urlsplit(self.server.base)
        assert parts.hostname is not None  # noqa: S101 - the URL is ours
        assert parts.port is not None  # noqa: S101 - as above
        return parts.hostname, parts.port

    def send(
        self,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str] = JSON,
        *,
        method: str = "POST",
        timeout_s: float = REPLY_S,
    ) -> Reply:
        """Send bytes, and return the answer; no answer has the status 0."""
        try:
            with local_session() as session:
                answer = session.request(
                    method,
                    f"{self.base}{path}",
                    data=body,
                    headers=dict(headers),
                    timeout=timeout_s * self.patience,
                    allow_redirects=False,
                )
                return Reply(answer.status_code, answer.text, dict(answer.headers))
        except requests.Timeout:
            return Reply(0, f"no answer within {timeout_s * self.patience:g} s", {})
        except (requests.RequestException, OSError) as error:
            return Reply(-1, f"{type(error).__name__}", {})

    def connect(self, timeout_s: float = REPLY_S) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(self.address, timeout_s * self.patience)

    def is_healthy(self, timeout_s: float = HEALTH_S) -> bool:
        """Ask for its health now; a request in parts gets no second try."""
        return bool(
            self.send("/health", None, {}, method="GET", timeout_s=timeout_s).status == requests.codes.ok
        )


@dataclass(frozen=True)
class Attack:
    """One attack: its kind, its name within that, and what it does; the quick ones make up a minute.

    `options` are those of a server that offers what is attacked, where it is off by default.
    """

    kind: Kind
    name: str
    run: Callable[[Target], Seen]
    is_quick: bool = False
    options: tuple[str, ...] = ()


Body = bytes | dict[str, Any] | list[Any] | str | int | None


def encode(body: Body) -> bytes:
    """Return a request's body; bytes stay as they are."""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def judge_reply(reply: Reply, *, must_refuse: bool = False, must_answer: bool = False) -> Seen:
    """Return what an answer to an attack says by itself."""
    fault = None
    if reply.status == 0:
        fault = Fault.UNANSWERED
    elif reply.status >= requests.codes.server_error and reply.status not in NOT_OFFERED:
        fault = Fault.SERVER_ERROR
    elif must_refuse and requests.codes.ok <= reply.status < requests.codes.bad_request:
        fault = Fault.ACCEPTED
    elif must_answer and reply.status != requests.codes.ok:
        fault = Fault.REFUSED
    return Seen(reply.words, fault)


def request(  # noqa: PLR0913 - what a request has
    kind: Kind,
    name: str,
    path: str,
    body: Body | Callable[[], Body],
    *,
    must_refuse: bool = False,
    must_answer: bool = False,
    is_quick: bool = False,
) -> Attack:
    """Return the attack of one POST request; a large body is made when it is sent."""

    def run(target: Target) -> Seen:
        reply = target.send(path, encode(body() if callable(body) else body))
        return judge_reply(reply, must_refuse=must_refuse, must_answer=must_answer)

    return Attack(kind, name, run, is_quick)


def several(  # noqa: PLR0913 - what requests have
    kind: Kind,
    name: str,
    path: str,
    bodies: Callable[[], list[Body]],
    *,
    must_refuse: bool = False,
    quick: bool = False,
    options: tuple[str, ...] = (),
) -> Attack:
    """Return the attack of many small requests, one after another; the first fault is its own."""

    def run(target: Target) -> Seen:
        statuses: dict[int, int] = {}
        for body in bodies():
            reply = target.send(path, encode(body))
            statuses[reply.status] = statuses.get(reply.status, 0) + 1
            seen = judge_reply(reply, must_refuse=must_refuse)
            if seen.fault:
                return Seen(f"{encode(body)[:SHOWN]!r}: {seen.words}", seen.fault)
            if reply.status < 0 and target.server.process.wait(1.0) is not None:
                return Seen(f"{encode(body)[:SHOWN]!r}: {seen.words}", Fault.DEAD)
        counts = ", ".join(f"{number} times {status}" for status, number in sorted(statuses.items()))
        return Seen(counts)

    return Attack(kind, name, run, quick, options)


def completion(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return the body of a completion of two tokens, with more fields."""
    return {"prompt": SAY, "n_predict": 2, **fields}


def chat(*parts: str | bytes, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return the body of a chat completion of two tokens: texts and images, and more fields."""
    return {"messages": [user(*(parts or (SAY,)))], "max_tokens": 2, "temperature": 0, **fields}


def until(is_so: Callable[[], bool], timeout_s: float, poll_s: float = 0.1) -> bool:
    """Wait until something is so; return whether it was in time."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll_s)
    return True
