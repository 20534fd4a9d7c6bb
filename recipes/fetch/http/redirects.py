"""The way to a file: the address that is pinned, and where a server sends us on to for a while.

A hub answers with a redirect to an address that is signed and expires. It is remembered, so that the hub is not asked
for each part, and forgotten when it serves no more. The token goes to the hub alone.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urljoin

from recipes.core.digest import Sha256
from recipes.fetch.http.environment import check_environment
from recipes.fetch.http.hub_token import Credential
from recipes.fetch.http.network_errors import refuse_insecure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from requests import PreparedRequest, Response, Session

MOST_REDIRECTS = 10
UNAUTHORIZED = 401
HEADERS = {"User-Agent": "pinned-llama", "Accept-Encoding": "identity"}  # identity: the pinned bytes


@dataclass(frozen=True)
class Statement:
    """What a hub says of a file as it sends us on: the digest and size that its repository has, and the commit.

    These headers (X-Linked-ETag, X-Linked-Size, X-Repo-Commit) are those that the hub's own client reads.
    """

    sha256: Sha256 | None = None
    size_bytes: int | None = None
    commit: str = ""


@dataclass(frozen=True)
class RouteReply:
    """An answer, and whether a server named the address that gave it; `is_fresh` if it was named just now."""

    response: Response
    is_redirected: bool
    is_fresh: bool


class Identity(Protocol):
    """Who asks: the headers that say it, to the servers that may know it."""

    def headers_for(self, url: str, *, is_redirected: bool = False) -> dict[str, str]:
        """Return the headers for an address; one that a server named by a redirect gets nothing."""
        ...

    def answer(self, header: str) -> bool:
        """Do what a server demands with 401 in its header WWW-Authenticate; return whether asking again can help."""
        ...


class Route:
    """One pinned address, and who asks there, if that is to be known; every method may be called from any thread."""

    def __init__(self, address: str, credential: Identity | None = None) -> None:
        self.address = address
        self.statement: Statement | None = None
        self._credential = credential
        self._target: str | None = None
        self._lock = threading.Lock()

    @property
    def is_hub(self) -> bool:
        """Whether it leads to a model hub."""
        return isinstance(self._credential, Credential)

    @property
    def has_token(self) -> bool:
        """Whether the hub is told who asks."""
        return isinstance(self._credential, Credential) and self._credential.usable_token is not None

    def without_token(self, text: str) -> str:
        """Return a text without the token, which a server may send back."""
        token = self._credential.token if isinstance(self._credential, Credential) else None
        return text.replace(token, "***") if token else text

    def ask(self, session: Session, start: int | None, end: int, timeout_s: float) -> RouteReply:
        """Ask for a part of the file: from `start` to `end`, without the byte at `end`; for all where `start` is None.

        Raises what the session does (RequestException, OSError, ValueError), the ValueError InsecureRedirectError where
        the way leads from https to http, or a UsageError where the user's proxy, certificates or logins cannot be used.
        """
        from requests import TooManyRedirects
        from requests.exceptions import InvalidURL

        with self._lock:
            url = self._target or self.address
        is_redirected, is_fresh, has_answered = url != self.address, url == self.address, False
        for _ in range(MOST_REDIRECTS + 1):
            headers = HEADERS if start is None else {**HEADERS, "Range": f"bytes={start}-{end - 1}"}
            if self._credential:
                headers = headers | self._credential.headers_for(url, is_redirected=is_redirected)
            # where no credential is given, a login of the address or of ~/.netrc is used, for that very host
            auth = as_it_is if self._credential else None
            try:
                response = session.get(url, headers=headers, auth=auth, stream=True, timeout=timeout_s)
            except (OSError, ValueError) as error:
                check_environment(error, url, session.verify if isinstance(session.verify, str) else None)
                raise
            if url == self.address and (statement := parse_statement(response.headers)):
                self.statement = statement
            # a login can end while a file is downloaded
            if response.status_code == UNAUTHORIZED and not is_redirected and not has_answered:
                has_answered = True
                if self._credential and self._credential.answer(response.headers.get("WWW-Authenticate", "")):
                    response.close()
                    continue
            if not response.is_redirect:
                if is_redirected and response.ok:
                    with self._lock:
                        self._target = url
                return RouteReply(response, is_redirected, is_fresh)
            response.close()
            try:
                target = urljoin(url, response.headers["Location"])
            except ValueError as error:
                raise InvalidURL from error
            refuse_insecure(url, target)
            url, is_redirected = target, True
        raise TooManyRedirects

    def forget_target(self) -> None:
        """Ask the pinned address again the next time."""
        with self._lock:
            self._target = None


def as_it_is(request: PreparedRequest) -> PreparedRequest:
    """Leave a request's headers alone: else a login of ~/.netrc would take the token's place."""
    return request


def parse_statement(headers: Mapping[str, str]) -> Statement | None:
    """Return what a hub says of a file in the head of its answer; None where it says nothing."""
    names = {name.lower(): value.strip() for name, value in headers.items()}
    digest = re.fullmatch(r'(?:W/)?"?([0-9a-f]{64})"?', names.get("x-linked-etag", ""))
    size = re.fullmatch(r"[0-9]{1,18}", names.get("x-linked-size", ""))
    commit = re.fullmatch(r"[0-9a-f]{40}", names.get("x-repo-commit", ""))
    if not (digest or size or commit):
        return None
    return Statement(
        Sha256(digest[1]) if digest else None, int(size[0]) if size else None, commit[0] if commit else ""
    )
