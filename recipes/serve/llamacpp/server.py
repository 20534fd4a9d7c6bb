"""Starts a llama-server, waits until it is healthy, and sends requests to its OpenAI API."""

from __future__ import annotations

import base64
import json
import math
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

from recipes.core.process import Command, Running, start
from recipes.serve.llamacpp.listen_address import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

POLL_S = 0.05  # between two health checks
ANSWER_S = 120.0  # timeout of one answer
TAIL_LINES = 25
KINDS = {b"\xff\xd8": "jpeg", b"GIF": "gif", b"BM": "bmp", b"RIFF": "webp"}  # of images; others are PNG


class ServerError(Exception):
    """The server did not start, or does not answer; the text ends with the last lines of its log."""


class EndedError(ServerError):
    """The server ended, with `status`, before it was healthy."""

    def __init__(self, status: int, log: Path) -> None:
        super().__init__(f"it ended with {describe_status(status)}\n{tail(log)}")
        self.status = status


class UnhealthyError(ServerError):
    """The server runs, but was not healthy in time."""


@dataclass(frozen=True)
class TokenChoice:
    """A candidate token, and the natural logarithm of its probability."""

    text: str
    logprob: float


@dataclass(frozen=True)
class ChatReply:
    """An answer of the model; the length of the prompt is with its images.

    `first` are candidates for the first token, the likeliest first; empty if they were not requested.
    """

    text: str
    first: tuple[TokenChoice, ...] = ()
    prompt_tokens: int = 0

    @property
    def logprobs(self) -> dict[str, float]:
        """The logarithm of each candidate's text; of tokens with the same text the likeliest."""
        return {choice.text: choice.logprob for choice in reversed(self.first)}


@dataclass(frozen=True)
class Server:
    """A healthy server: its base URL, its process, and the file with its output."""

    base: str
    process: Running
    log: Path

    def post(self, path: str, body: bytes, timeout_s: float = ANSWER_S) -> requests.Response:
        """Send bytes as they are, with the content type JSON."""
        headers = {"Content-Type": "application/json"}
        with local_session() as session:
            return session.post(f"{self.base}{path}", body, headers=headers, timeout=timeout_s)

    def get(self, path: str) -> requests.Response:
        """Fetch a page."""
        with local_session() as session:
            return session.get(f"{self.base}{path}", timeout=ANSWER_S)

    def chat(
        self, messages: Sequence[dict[str, Any]], *, max_tokens: int = 16, choices: int = 0, **more: object
    ) -> ChatReply:
        """Send messages of the OpenAI API, and return the answer with greedy sampling.

        `choices` is the number of candidates for the first token to return, `more` are more fields of the request. A
        ServerError is raised if the server answers with an error, or not at all.
        """
        fields: dict[str, object] = {
            "messages": list(messages),
            "max_tokens": max_tokens,
            "temperature": 0,
            "cache_prompt": False,
            **more,
        }
        if choices:
            fields |= {"logprobs": True, "top_logprobs": choices}
        try:
            answer = self.post("/v1/chat/completions", json.dumps(fields).encode())
        except requests.RequestException as error:
            raise ServerError(f"no answer: {type(error).__name__}\n{tail(self.log)}") from error
        if answer.status_code != requests.codes.ok:
            raise ServerError(f"status {answer.status_code}: {answer.text[:500]}")
        try:
            return parse_reply(answer.json())
        except requests.JSONDecodeError as error:
            raise ServerError(f"not JSON: {answer.text[:500]}") from error


def parse_reply(data: dict[str, Any]) -> ChatReply:
    """Parse the body of a chat completion; a ServerError is raised if it is none."""
    try:
        choice = data["choices"][0]
        content = ((choice.get("logprobs") or {}).get("content") or [{}])[0]
        first = tuple(
            TokenChoice(_text(item["token"]), float(item["logprob"]))
            for item in content.get("top_logprobs", ())
            if math.isfinite(float(item["logprob"]))
        )
        usage = data.get("usage") or {}
        return ChatReply(_text(choice["message"]["content"] or ""), first, int(usage.get("prompt_tokens", 0)))
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise ServerError(f"not a chat completion: {json.dumps(data)[:500]}") from error


@dataclass(frozen=True)
class VideoFrames:
    """Frames of a video, as image files, with their numbers in it and its rate."""

    files: tuple[bytes, ...]
    fps: float
    indices: tuple[int, ...]


def user(*parts: str | bytes | VideoFrames) -> dict[str, Any]:
    """Return a message of the user from texts, image files (bytes) and frames of videos."""
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
        elif isinstance(part, VideoFrames):
            frames = [base64.b64encode(file).decode("ascii") for file in part.files]
            video = {"frames": frames, "fps": part.fps, "indices": list(part.indices)}
            content.append({"type": "input_video", "input_video": video})
        else:
            data = base64.b64encode(part).decode("ascii")
            kind = next((kind for start, kind in KINDS.items() if part.startswith(start)), "png")
            content.append({"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{data}"}})
    return {"role": "user", "content": content}


def assistant(text: str) -> dict[str, Any]:
    """Return a message of the model."""
    return {"role": "assistant", "content": text}


def local_session() -> requests.Session:
    """Return a session for a server of this machine: no proxy, no login from netrc."""
    session = requests.Session()
    session.trust_env = False
    return session


@contextmanager
def serve(  # noqa: PLR0913 - as many as the server has itself
    program: Path,
    arguments: Sequence[str],
    folder: Path,
    *,
    timeout_s: float = 60.0,
    host: str = LOOPBACK,
    port: int = 0,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server until the block ends. Its arguments are without host and port; port 0 is any free one.

    The folder is its working folder and home, and has its log if no file is named. The environment adds variables:
    secrets that other users must not see on the command line. If the server ends, or is not healthy within
    `timeout_s`, an EndedError or UnhealthyError is raised.
    """
    port = port or free_port()
    log = log or folder / f"llama-server-{port}.log"
    argv = (str(program), "--host", host, "--port", str(port), *arguments)
    variables = {"HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C", **(environment or {})}
    with start(Command(argv, folder, variables), log) as process:
        server = Server(base_url(host, port), process, log)
        wait_for_health(server, timeout_s)
        yield server


def wait_for_health(server: Server, timeout_s: float) -> None:
    """Wait until the server is healthy; if it ends or takes longer, an EndedError or UnhealthyError is raised."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        status = server.process.status
        if status is not None:
            raise EndedError(status, server.log)
        try:
            with local_session() as session:
                if session.get(f"{server.base}/health", timeout=5).status_code == requests.codes.ok:
                    return
        except (requests.ConnectionError, requests.Timeout):
            pass  # it does not listen yet, or is slow
        time.sleep(POLL_S)
    raise UnhealthyError(f"it was not healthy within {timeout_s:g} s\n{tail(server.log)}")


def base_url(host: str, port: int) -> str:
    """Return the URL for a server that listens on an IP address; for "all addresses", on loopback.

    >>> base_url("0.0.0.0", 80), base_url("::1", 81)
    ('http://127.0.0.1:80', 'http://[::1]:81')
    """
    asked = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - it is replaced
    return f"http://[{asked}]:{port}" if ":" in asked else f"http://{asked}:{port}"


def tail(log: Path) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:])


def describe_status(status: int) -> str:
    """Return how a program ended, in words."""
    return f"exit status {status}" if status >= 0 else f"signal {-status}"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(type(value))
    return value
