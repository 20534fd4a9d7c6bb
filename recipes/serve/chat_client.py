"""Asks a server a question about pictures, and gives its answer piece by piece."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests

from recipes.core.errors import AnswerError, ApiKeyError, PictureError, UsageError
from recipes.serve.llamacpp.server import local_session, user
from recipes.serve.sse import Piece, StreamError, error_text, read_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recipes.serve.image_input import Picture

CONNECT_S = 10.0
SILENT_S = 3600.0  # a large picture on a slow machine: minutes before the first word
UNREADABLE = "Failed to load image"  # llama-server, where a picture cannot be decoded


def parse_url(text: str) -> str:
    """Give the address of a server without a slash at its end.

    >>> parse_url("http://127.0.0.1:8080/"), parse_url("http://127.0.0.1:8080/v1")
    ('http://127.0.0.1:8080', 'http://127.0.0.1:8080')

    Raises
    ------
    UsageError
        Where it is none.
    """
    parts = urlsplit(text)
    if parts.scheme in {"http", "https"} and parts.hostname and not parts.query and "@" not in parts.netloc:
        return text.rstrip("/").removesuffix("/v1")
    raise UsageError(
        where="--url",
        expected="the address that `serve` prints",
        found=repr(text) if "@" not in text else "one with a user name in it",
        fix="--url http://127.0.0.1:8080",
    )


def ask_server(
    base: str, pictures: Sequence[Picture], question: str, *, key: str | None, temperature: float | None
) -> Iterator[Piece]:
    """Ask, and give the answer as it comes.

    Parameters
    ----------
    base
        The server's address.
    pictures, question
        What is asked, the pictures first.
    key
        What the server demands; sent to it alone, and not to where it redirects.
    temperature
        None is the server's own.

    Raises
    ------
    AnswerError
        Where there is none, or not all of it.
    ApiKeyError
        Where the server demands another key.
    PictureError
        Where it cannot read a picture.
    """
    message = user(*(picture.data for picture in pictures), question)
    body = {"messages": [message], "stream": True}
    if temperature is not None:
        body["temperature"] = temperature
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    url = f"{base}/v1/chat/completions"
    try:
        with (
            local_session() as session,
            session.post(
                url,
                json.dumps(body).encode(),
                headers=headers,
                timeout=(CONNECT_S, SILENT_S),
                stream=True,
                allow_redirects=False,
            ) as response,
        ):
            if response.status_code != requests.codes.ok:
                raise refusal(url, response.status_code, response.text, pictures)
            yield from read_pieces(response.iter_lines())
    except StreamError as error:
        raise answer_error(url, str(error)) from error
    except requests.RequestException as error:
        raise answer_error(url, connection_text(error)) from error


def refusal(
    url: str, status: int, body: str, pictures: Sequence[Picture]
) -> AnswerError | ApiKeyError | PictureError:
    """Give the error for a server's answer that is one. Pure."""
    said = error_text(body)
    if status in {requests.codes.unauthorized, requests.codes.forbidden}:
        return ApiKeyError(
            where=url,
            expected="the key that the server was started with",
            found=f"status {status}: {said}",
            fix="export PINNED_LLAMA_API_KEY=..., or --api-key-file FILE",
        )
    if UNREADABLE in said:
        kinds = ", ".join(f"{picture.name} ({picture.kind})" for picture in pictures)
        return PictureError(
            where=url,
            expected="pictures that the server can decode",
            found=f"{kinds}: {said}",
            fix="open it in any program for pictures and export it as JPEG or PNG",
        )
    return answer_error(url, f"status {status}: {said}")


def answer_error(url: str, found: str) -> AnswerError:
    """Give the error for an answer that does not come. Pure."""
    fix = "look into the server's log"
    if "context" in found:
        fix = "ask with a smaller picture or fewer, or give the server a longer --context"
    elif "mmproj" in found or "image input" in found:
        fix = "start the server without --text-only"
    elif found.startswith("nothing listens"):
        fix = "python3 noxfile.py -s serve, or leave --url out"
    return AnswerError(where=url, expected="an answer", found=found, fix=fix)


def connection_text(error: requests.RequestException) -> str:
    """Say what became of a connection, without the libraries' names for it."""
    if isinstance(error, requests.ConnectTimeout):
        return f"nothing listens there, as far as {CONNECT_S:g} s tell"
    if isinstance(error, requests.Timeout):
        return f"nothing came for {SILENT_S:g} s"
    if "refused" in str(error):
        return "nothing listens there"
    return f"the connection broke off ({type(error).__name__})"
