"""Sends a question about images to a server, and yields the answer as it streams."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

from recipes.core.errors import AnswerError, ApiKeyError, PictureError, UsageError
from recipes.serve.door.image_decode import EXPORT
from recipes.serve.llamacpp.server import assistant, local_session
from recipes.serve.sse import Piece, StreamError, error_text, read_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recipes.serve.door.image_decode import Detail
    from recipes.serve.video_input import Media

CONNECT_S = 10.0
SILENT_S = 3600.0  # a large image on a slow machine takes minutes before the first word
UNREADABLE = "Failed to load image"  # llama-server, if it cannot decode an image

NAMED = "--allow-origin"  # in what the door says to who names it by a name that it does not know
REFUSED = "connection refused: no server listens there"
TIMED_OUT = f"connection timed out after {CONNECT_S:g} s"


def parse_url(text: str) -> str:
    """Return the address of a server without a trailing slash or /v1; a UsageError is raised if it is none.

    >>> parse_url("http://127.0.0.1:8080/"), parse_url("http://127.0.0.1:8080/v1")
    ('http://127.0.0.1:8080', 'http://127.0.0.1:8080')
    """
    parts = urlsplit(text)
    if parts.scheme in {"http", "https"} and parts.hostname and not parts.query and "@" not in parts.netloc:
        return text.rstrip("/").removesuffix("/v1")
    raise UsageError(
        where="--url",
        expected="the address that `serve` prints",
        found=repr(text) if "@" not in text else "an address with a user name",
        fix="--url http://127.0.0.1:8080",
    )


@dataclass(frozen=True)
class Turn:
    """A question about prepared images and clips that was asked before, and its answer."""

    text: str
    media: tuple[Media, ...]
    answer: str


@dataclass(frozen=True)
class Question:
    """A question about prepared images and clips, and how large images are; no temperature is the server's default.

    `earlier` is what was said before in the same conversation; no model's name asks the default one.
    """

    text: str
    media: tuple[Media, ...]
    detail: Detail
    temperature: float | None
    earlier: tuple[Turn, ...] = ()
    model: str | None = None

    def answered(self, answer: str) -> tuple[Turn, ...]:
        """Return the conversation with an answer to it."""
        return (*self.earlier, Turn(self.text, self.media, answer))

    def body(self) -> bytes:
        """Return the request that asks it."""
        messages = []
        for turn in self.earlier:
            messages += [self._user(turn.text, turn.media), assistant(turn.answer)]
        messages.append(self._user(self.text, self.media))
        body: dict[str, object] = {"messages": messages, "stream": True}
        if self.model is not None:
            body["model"] = self.model
        if self.temperature is not None:
            body["temperature"] = self.temperature
        return json.dumps(body).encode()

    @property
    def tokens(self) -> int:
        """About how many tokens the images and clips of the conversation take."""
        return sum(
            one.tokens for media in (*(turn.media for turn in self.earlier), self.media) for one in media
        )

    def _user(self, text: str, media: tuple[Media, ...]) -> dict[str, Any]:
        parts = [one.part(self.detail) for one in media]
        return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}


def ask_server(base: str, question: Question, *, key: str | None) -> Iterator[Piece]:
    """Ask, and yield the answer as it streams.

    The key is sent only to this server, not to where it redirects. An AnswerError is raised if there is no answer, or
    not all of it; an ApiKeyError if the server demands another key; a PictureError if it cannot decode an image.
    """
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    url = f"{base}/v1/chat/completions"
    try:
        with (
            local_session() as session,
            session.post(
                url,
                question.body(),
                headers=headers,
                timeout=(CONNECT_S, SILENT_S),
                stream=True,
                allow_redirects=False,
            ) as response,
        ):
            if (
                response.status_code == requests.codes.bad_gateway
            ):  # the door's word for a server that hung up
                raise requests.ConnectionError(error_text(response.text))
            if response.status_code != requests.codes.ok:
                raise refusal(url, response.status_code, response.text, question.media)
            yield from read_pieces(response.iter_lines())
    except StreamError as error:
        raise answer_error(url, str(error)) from error
    except requests.RequestException as error:
        raise answer_error(url, connection_text(error)) from error


def refusal(
    url: str, status: int, body: str, media: Sequence[Media]
) -> AnswerError | ApiKeyError | PictureError:
    """Return the error for an HTTP status and body. Pure."""
    said = error_text(body)
    if status in {requests.codes.unauthorized, requests.codes.forbidden} and NAMED not in said:
        return ApiKeyError(
            where=url,
            expected="the key that the server was started with",
            found=f"status {status}: {said}",
            fix="export PINNED_LLAMA_API_KEY=..., or --api-key-file FILE",
        )
    if UNREADABLE in said:
        names = ", ".join(one.name for one in media)
        return PictureError(
            where=url, expected="images that the server can decode", found=f"{names}: {said}", fix=EXPORT
        )
    return answer_error(url, f"status {status}: {said}")


def answer_error(url: str, found: str) -> AnswerError:
    """Return the error for a missing answer. Pure."""
    fix = "read the server's log"
    if "context" in found:
        fix = "ask with smaller or fewer images or frames, or start the server with a longer --context"
    elif "mmproj" in found or "image input" in found:
        fix = "start the server without --text-only"
    elif NAMED in found:
        fix = "name the server in --url as it prints itself, or start it with --allow-origin http://THAT-NAME:PORT"
    elif found in {REFUSED, TIMED_OUT}:
        fix = "python3 noxfile.py -s serve, or leave out --url"
    return AnswerError(where=url, expected="an answer", found=found, fix=fix)


def connection_text(error: requests.RequestException) -> str:
    """Return what happened to a connection, in words."""
    if isinstance(error, requests.ConnectTimeout):
        return TIMED_OUT
    if isinstance(error, requests.Timeout):
        return f"no data for {SILENT_S:g} s"
    return REFUSED if "refused" in str(error) else f"the connection was lost ({type(error).__name__})"
