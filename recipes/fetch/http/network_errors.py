"""What went wrong on the network, said for people: one line, without a library's class names or secrets."""

from __future__ import annotations

import errno
import re
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

INSECURE = "it redirects from https to http"
UNTRUSTED = "its certificate is not trusted"
_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})


class OriginError(Exception):
    """One place did not deliver. Never shown alone: a FetchError lists them all.

    `may_pass` says that it may later, as it is; `advice` is what to do where a whole file came that is not the pinned
    one.
    """

    def __init__(self, reason: str, *, may_pass: bool = False, advice: str | None = None) -> None:
        super().__init__(reason)
        self.may_pass, self.advice = may_pass, advice


class InsecureRedirectError(ValueError):
    """A server that was reached by https leads to where anybody on the way can read and change what comes."""


def refuse_insecure(before: str, after: str) -> None:
    """Raise InsecureRedirectError where one address, whose server cannot be forged, leads to one whose server can."""
    if before.lower().startswith("https:") and not after.lower().startswith("https:"):
        raise InsecureRedirectError(INSECURE)


def describe_fault(error: BaseException, timeout_s: float) -> str:
    """Return why a request failed: the innermost cause that one can act on."""
    from requests.exceptions import ProxyError

    if isinstance(error, InsecureRedirectError):
        return INSECURE
    causes = tuple(_causes(error))
    place = "its proxy: " if any(isinstance(cause, ProxyError) for cause in causes) else ""
    for cause in causes:
        if text := _known(cause, timeout_s):
            return place + text
    by_system = [str(cause.strerror) for cause in causes if isinstance(cause, OSError) and cause.strerror]
    if by_system:
        return place + by_system[-1].lower()
    # not its text, which can hold an address with its secrets: `TooManyRedirects` is `too many redirects`
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()


def is_lasting(error: BaseException, *, has_answered: bool) -> bool:
    """Whether asking the same address again would not help; one that answered before in this run may come back."""
    from requests import exceptions

    if isinstance(error, exceptions.TooManyRedirects | exceptions.SSLError | ValueError):
        return True  # requests' errors about a malformed address are ValueErrors
    unreachable = isinstance(error, exceptions.ConnectTimeout | exceptions.ProxyError) or any(
        isinstance(cause, socket.gaierror | ConnectionRefusedError)
        or (isinstance(cause, OSError) and cause.errno in _NO_ROUTE)
        for cause in _causes(error)
    )
    return unreachable and not has_answered


def shown_url(url: str) -> str:
    """Return an address that can be printed: without user, password and query, which can carry secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _known(cause: BaseException, timeout_s: float) -> str | None:
    import http.client
    import ssl

    if isinstance(cause, socket.gaierror):
        return "its name cannot be resolved (is there a network?)"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"{UNTRUSTED}: {cause.verify_message}"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    if isinstance(cause, http.client.IncompleteRead | ConnectionResetError | BrokenPipeError):
        return "the connection was closed early"
    if isinstance(cause, TimeoutError):
        return f"nothing came for {timeout_s:g} s"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Return the error and everything that it carries or was raised from, each once, outermost first."""
    waiting, seen = [error], {id(error)}
    while waiting:
        found = waiting.pop(0)
        yield found
        for item in (found.__cause__, found.__context__, getattr(found, "reason", None), *found.args):
            if isinstance(item, BaseException) and id(item) not in seen:
                seen.add(id(item))
                waiting.append(item)
