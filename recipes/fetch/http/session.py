"""Sessions with web servers: which certificates are believed, and who follows redirects.

A server's certificate is checked against the operating system's own store, as pip does it: a company's authority
that the machine knows is known here too. What requests brings or a variable names counts as well.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import requests
import truststore
from requests.adapters import HTTPAdapter

from recipes.fetch.http.network_errors import InsecureRedirectError, refuse_insecure

if TYPE_CHECKING:
    from requests import Response, Session


class SystemTrust(HTTPAdapter):
    """Believes what the operating system believes, besides the certificates that a request names."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the library's interface
        """Make the pools with the system's trust."""
        super().init_poolmanager(*args, ssl_context=_system_context(), **kwargs)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the library's interface
        """Make the pools that lead through a proxy, likewise."""
        return super().proxy_manager_for(*args, ssl_context=_system_context(), **kwargs)


class _Following(requests.Session):
    def get_redirect_target(self, resp: Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is not None and resp.url:
            try:
                refuse_insecure(resp.url, urljoin(resp.url, target))
            except InsecureRedirectError:
                resp.close()  # the caller never gets it
                raise
        return target


class _NotFollowing(requests.Session):
    def get_redirect_target(self, resp: Response) -> str | None:  # noqa: ARG002 - the library's interface
        return None


def open_session(certificates: str | None, *, follows: bool = True) -> Session:
    """Return a session; close it after use.

    `certificates` is a file or folder of further certificates that the user trusts. Where the library follows
    redirects, it reads the body of each, however long; one from https to http is refused (InsecureRedirectError).
    """
    session = _Following() if follows else _NotFollowing()
    session.mount("https://", SystemTrust())
    if certificates:
        session.verify = certificates
    return session


def _system_context() -> ssl.SSLContext:
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
