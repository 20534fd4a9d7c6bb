"""What a registry demands of who asks: the header WWW-Authenticate, and the token that is given for a login. Pure.

RFC 9110, section 11.6.1, and the token specification of the Distribution project ("Token Authentication").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from recipes.registry.untrusted import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))\s*(?:,|$)\s*')
_SCHEME = re.compile(rf"({_WORD})(?:\s+|$)")
SHORTEST_S = 60.0  # how long a token lasts that does not say it; the specification's own default
MARGIN_S = 5.0  # before its end a token is not used any more


@dataclass(frozen=True)
class Challenge:
    """One way to log in that a server offers; the names are in small letters."""

    scheme: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class Token:
    """What a login was exchanged for, and for how long."""

    text: str
    lasts_s: float

    def __repr__(self) -> str:
        return f"Token(lasts_s={self.lasts_s})"


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Return each challenge of a header; what cannot be read ends them.

    >>> parse_challenges('Bearer realm="https://a/t",scope="repository:b:pull,push"')[0].parameters["scope"]
    'repository:b:pull,push'
    """
    found: list[Challenge] = []
    position = 0
    while position < len(header) and (scheme := _SCHEME.match(header, position)):
        position = scheme.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            quoted, plain = parameter[2], parameter[3]
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            parameters.setdefault(parameter[1].lower(), value)
            position = parameter.end()
        found.append(Challenge(scheme[1].lower(), parameters))
    return tuple(found)


class _TokenAnswer(msgspec.Struct):
    token: str = ""
    access_token: str = ""
    expires_in: float | None = None


def parse_token(data: bytes) -> Token:
    """Read a token service's answer; raises ValueError where it has no usable token."""
    answer = decode(data, _TokenAnswer)
    text = answer.token or answer.access_token
    if not re.fullmatch(r"[!-~]+", text):  # what a header can carry
        raise ValueError("an answer without a token")
    lasts_s = SHORTEST_S if answer.expires_in is None else answer.expires_in
    return Token(text, max(lasts_s - MARGIN_S, 0.0))
