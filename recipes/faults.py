"""What went wrong on the network, said for people: one line, without a library's class names or secrets."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit


def describe_fault(error: BaseException, timeout_s: float) -> str:
    """Say why a request failed: the innermost cause that one can act on.

    Parameters
    ----------
    error
        As the HTTP library raised it, with what it was raised from.
    timeout_s
        How long was waited, for where that was the cause.
    """
    causes = tuple(_causes(error))
    for cause in causes:
        if text := _known(cause, timeout_s):
            return text
    by_system = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    # the library's own text, cut to its first line: it can be long, and hold an address with its query
    return by_system[-1].lower() if by_system else f"{type(error).__name__} ({str(error).partition('for url')[0].strip()})"


def is_lasting(error: BaseException, *, has_answered: bool) -> bool:
    """Whether asking the same address again would not help.

    Parameters
    ----------
    error
        As above.
    has_answered
        Whether this address has answered before, in this run: then one that cannot be reached may come back.
    """
    from requests import exceptions  # noqa: PLC0415 - loaded by whoever made the request

    if isinstance(error, exceptions.TooManyRedirects | exceptions.SSLError | ValueError):
        return True  # requests' errors about a malformed address are ValueErrors
    unreachable = isinstance(error, exceptions.ConnectTimeout | exceptions.ProxyError) or any(
        isinstance(cause, socket.gaierror | ConnectionRefusedError) or _is_no_route(cause) for cause in _causes(error)
    )
    return unreachable and not has_answered


def shown_url(url: str) -> str:
    """Give an address that can be printed: without user, password and query, which can carry secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
