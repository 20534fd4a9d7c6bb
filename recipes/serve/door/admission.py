"""Who may ask: the address that a request names, the web page it comes from, and the key. Pure.

A browser lets every page send requests to this machine. It says where a page is from (Origin), and which address the
page used (Host); neither can be forged by a page. A page that has its own name point to this machine (DNS rebinding)
still names itself in Host.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING

from recipes.serve.door.refusal import FORBIDDEN, UNAUTHORIZED, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
PORTS = {"http": 80, "https": 443}
LOCAL_NAMES = {"localhost", "127.0.0.1", "[::1]"}
HEALTH = {"/health", "/v1/health"}
# The page's own files, which a browser asks for before anybody can type a key; no endpoint is named like them.
PAGE_FILE = re.compile(
    r"/|/(?!v1/|api/|models/)(?:[\w.-]+/)*[\w.-]+\.(?:html|js|css|json|webmanifest|svg|png|ico|md|woff2?)",
    re.ASCII,
)
BEARER = re.compile(r"bearer +(.*)", re.IGNORECASE)
SHOW_KEY = "send the key that the server was started with, as `Authorization: Bearer KEY`"


@dataclass(frozen=True)
class Authority:
    """A name or an address with its port, as in an address line: `localhost:8080`."""

    name: str
    port: int


@dataclass(frozen=True)
class Origin:
    """Where a web page is from: a scheme and an authority."""

    scheme: str
    authority: Authority

    def __str__(self) -> str:
        """As a browser writes it, without the scheme's own port."""
        port = "" if self.authority.port == PORTS[self.scheme] else f":{self.authority.port}"
        return f"{self.scheme}://{self.authority.name}{port}"


@dataclass(frozen=True)
class Admission:
    """What decides who may ask: the IP address and port that are listened on, origins besides our own, the key."""

    host: str
    port: int
    origins: frozenset[Origin] = frozenset()
    api_key: str | None = None


def parse_authority(text: str, default_port: int) -> Authority | None:
    """Read a name with or without a port; None where it is neither.

    >>> parse_authority("LOCALHOST:8080", 80)
    Authority(name='localhost', port=8080)
    """
    match = AUTHORITY.fullmatch(text)
    if match is None:
        return None
    name, port = match[1].lower(), int(match[2]) if match[2] else default_port
    if name.startswith("["):
        try:
            name = f"[{ipaddress.IPv6Address(name[1:-1])}]"
        except ValueError:
            return None
    return Authority(name, port)


def parse_origin(text: str) -> Origin | None:
    """Read an origin as browsers send it; None for any other text, `null` and `*` too.

    >>> str(parse_origin("https://Example.org:443"))
    'https://example.org'
    """
    scheme, mark, rest = text.partition("://")
    if not mark or scheme.lower() not in PORTS:
        return None
    authority = parse_authority(rest, PORTS[scheme.lower()])
    return Origin(scheme.lower(), authority) if authority else None


def is_own_host(text: str, admission: Admission) -> bool:
    """Return whether a Host header names this machine.

    The names of this machine itself pass with any port, as a tunnel's end has its own. Where all addresses are listened
    on, every address in digits passes: a page's name is needed for DNS rebinding.
    """
    authority = parse_authority(text, PORTS["http"])
    if authority is None:
        return False
    if authority.name in LOCAL_NAMES:
        return True
    if any(parse_authority(text, PORTS[origin.scheme]) == origin.authority for origin in admission.origins):
        return True
    try:
        address = ipaddress.ip_address(authority.name.strip("[]"))
    except ValueError:
        return False
    own = ipaddress.ip_address(admission.host)
    return own.is_unspecified or (address == own and authority.port == admission.port)


def allowed_origin(text: str | None, host: str, admission: Admission) -> str | None:
    """Return the origin that an answer may be read by, where it is another than our own; None where it is ours.

    A RefusedError is raised if it is neither.
    """
    if text is None:
        return None
    origin = parse_origin(text)
    if origin is not None:
        if origin in admission.origins:
            return text
        if origin == Origin("http", parse_authority(host, PORTS["http"]) or Authority("", 0)):
            return None
    raise RefusedError(
        FORBIDDEN,
        f"web pages of {text[:200]!r} may not ask this server; to let them, start it with --allow-origin",
    )


def admit(headers: Mapping[str, str], hosts: Sequence[str], admission: Admission) -> str | None:
    """Judge where a request comes from; return what `allowed_origin` returns.

    The headers' names are in lower case. A RefusedError is raised if the request names another server, or comes from
    another one's web page.
    """
    if len(hosts) != 1 or not is_own_host(hosts[0], admission):
        raise RefusedError(
            FORBIDDEN,
            f"this server is not {', '.join(hosts)[:200]!r}: use the address that it printed, or start it with"
            " --allow-origin http://THAT-NAME:PORT",
        )
    origin = allowed_origin(headers.get("origin"), hosts[0], admission)
    # an image or a script of a page has no Origin; a link that somebody follows is no request of the page
    if (
        headers.get("origin") is None
        and headers.get("sec-fetch-site") in {"cross-site", "same-site"}
        and headers.get("sec-fetch-mode") != "navigate"
    ):
        raise RefusedError(FORBIDDEN, "another site's web page may not load this")
    return origin


def is_open(method: str, path: str) -> bool:
    """Return whether a path is answered without the key: health, and the page's own files.

    >>> is_open("GET", "/_app/bundle.js"), is_open("GET", "/props"), is_open("POST", "/index.html")
    (True, False, False)
    """
    return method in {"GET", "HEAD"} and (path in HEALTH or PAGE_FILE.fullmatch(path) is not None)


def demand_key(headers: Mapping[str, str], key: str) -> None:
    """Raise a RefusedError unless the headers show the key; how long that takes says nothing about the key."""
    shown = headers.get("authorization") or headers.get("x-api-key") or ""
    match = BEARER.fullmatch(shown)
    shown = match[1] if match else shown
    if not compare_digest(_hashed(shown), _hashed(key)):
        raise RefusedError(UNAUTHORIZED, f"Invalid API Key: {SHOW_KEY}")


def _hashed(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogateescape")).digest()
