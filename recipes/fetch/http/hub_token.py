"""Who gets the user's token: the model hub itself, and nobody that it sends us on to. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

# What an address of ours is made of. Libraries disagree on whom others name, such as one with a backslash.
_PLAIN = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~%!$&'()*+,;=:@/-]*)?(\?[!-~]*)?")
_PORTS = {"http": 80, "https": 443}
_LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))


@dataclass(frozen=True)
class Credential:
    """A token, and the one host that it is for."""

    hub: str
    token: str | None = field(default=None, repr=False)

    @property
    def usable_token(self) -> str | None:
        """The token, where the way to the hub is encrypted or does not leave this machine."""
        place = place_of(self.hub)
        return self.token if place and (place[0] == "https" or place[1] in _LOOPBACK) else None

    def headers_for(self, url: str, *, is_redirected: bool = False) -> dict[str, str]:
        """Return the headers that carry the token, where this address is the hub's own.

        An address that a server named by a redirect gets nothing, whatever host it is of.
        """
        place = place_of(url)
        if self.usable_token is None or is_redirected or place is None or place != place_of(self.hub):
            return {}
        return {"Authorization": f"Bearer {self.usable_token}"}

    def answer(self, header: str) -> bool:  # noqa: ARG002 - as asked
        """Return False: a hub's token is the only one."""
        return False


def place_of(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port; None where it is not sure what they are."""
    if not _PLAIN.fullmatch(url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port or _PORTS[parts.scheme]) if parts.hostname else None
