"""Who asks a registry: a login turned into what it demands, and told to nobody else.

A token goes to the registry's own address alone, never where it redirects to, and a password besides to the token
service that the registry names; both only over https, or within this machine.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from recipes.fetch.http.hub_token import place_of
from recipes.fetch.http.network_errors import OriginError, describe_fault, refuse_insecure
from recipes.fetch.http.redirects import HEADERS, as_it_is
from recipes.fetch.http.response_rules import TRY_LATER, TryLater, status_text
from recipes.fetch.http.session import open_session
from recipes.registry.challenge import Challenge, Token, parse_challenges, parse_token
from recipes.registry.untrusted import brief

if TYPE_CHECKING:
    from collections.abc import Callable

    from recipes.fetch.http.retry import Tempo
    from recipes.registry.docker_config import StoredLogin
    from recipes.registry.reference import Repository
    from recipes.store.context import Context

MOST_TOKEN_BYTES = 1 << 20
CLIENT = "pinned-llama"
LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))


class RegistryLogin:
    """One repository's login; every method may be called from any thread.

    `scopes` are what is to be done, as token services name it; `find` returns the user's own login for a host.
    """

    def __init__(
        self,
        repository: Repository,
        context: Context,
        tempo: Tempo,
        scopes: tuple[str, ...],
        find: Callable[[str], StoredLogin | None],
    ) -> None:
        self._repository, self._tempo, self._find = repository, tempo, find
        self._console, self._certificates = context.console, context.settings.certificates
        self._scopes = scopes
        self._challenge: Challenge | None = None
        self._token: Token | None = None
        self._ends_at_s = 0.0
        self._lock = threading.RLock()
        self.stored: StoredLogin | None = None  # the user's own, once it was asked for

    @property
    def how(self) -> str:
        """With which login the last request was made, for an error."""
        if self.stored is None:
            return "asked without a login"
        if not _is_safe(self._repository.base):
            return f"asked without the login of {self.stored.source}: it goes over https only"
        return f"asked with the login of {self.stored.source}"

    def headers_for(self, url: str, *, is_redirected: bool = False) -> dict[str, str]:
        """Return the headers that say who asks, where this address is the registry's own.

        Raises OriginError where a token has ended and no other is given.
        """
        is_own = place_of(url) is not None and place_of(url) == place_of(self._repository.base)
        with self._lock:
            if is_redirected or not is_own or self._challenge is None:
                return {}
            if self._challenge.scheme == "basic":
                return {"Authorization": self.stored.basic} if self.stored and _is_safe(url) else {}
            if self._token is None or self._tempo.clock() >= self._ends_at_s:
                self._renew()
            return {"Authorization": f"Bearer {self._token.text}"} if self._token and _is_safe(url) else {}

    def answer(self, header: str) -> bool:
        """Do what a registry demands with its answer 401; return whether asking again can help.

        Raises OriginError where the token service gives no token, and UsageError as `find_login`.
        """
        found = {challenge.scheme: challenge for challenge in parse_challenges(header)}
        challenge = found.get("bearer") or found.get("basic")
        with self._lock:
            if challenge is None:
                return False
            self.stored = self.stored or self._find(self._repository.host)
            self._challenge, self._token = challenge, None
            if challenge.scheme == "basic":
                return self.stored is not None and bool(self.stored.user)
            self._renew()
            return True

    def _renew(self) -> None:
        assert self._challenge is not None  # noqa: S101 - both callers have it
        realm = self._challenge.parameters.get("realm", "")
        if place_of(realm) is None:
            raise OriginError("it names no token service that can be asked")
        try:
            refuse_insecure(self._repository.base, realm)
        except ValueError as error:
            raise OriginError("it names a token service that anybody on the way can read") from error
        self._token = self._tempo.persist(
            f"the token service of {self._repository.host}", lambda: self._ask(realm), self._console
        )
        self._ends_at_s = self._tempo.clock() + self._token.lasts_s

    def _ask(self, realm: str) -> Token | TryLater:
        from requests import RequestException
        from urllib3.exceptions import HTTPError

        assert self._challenge is not None  # noqa: S101 - as above
        wanted = {self._challenge.parameters.get("scope", ""), *self._scopes} - {""}
        fields = [
            ("service", self._challenge.parameters.get("service", "")),
            *(("scope", each) for each in sorted(wanted)),
        ]
        login = self.stored if _is_safe(realm) else None
        headers, form, timeout_s = dict(HEADERS), None, self._tempo.patience.timeout_s
        if login and login.identity_token:
            form = [
                *fields,
                ("grant_type", "refresh_token"),
                ("client_id", CLIENT),
                ("refresh_token", login.identity_token),
            ]
        elif login:
            headers["Authorization"] = login.basic
            fields.append(("account", login.user))
        try:
            with (
                open_session(self._certificates, follows=False) as session,
                session.request(
                    "POST" if form else "GET",
                    realm,
                    params=None if form else fields,
                    data=form,
                    headers=headers,
                    auth=as_it_is,
                    stream=True,
                    timeout=timeout_s,
                    allow_redirects=False,
                ) as response,
            ):
                status = response.status_code
                data = response.raw.read(MOST_TOKEN_BYTES, decode_content=True) if response.ok else b""
        except (RequestException, HTTPError, OSError) as error:
            return TryLater(f"its token service: {describe_fault(error, timeout_s)}")
        if status in TRY_LATER:
            return TryLater(f"its token service: {status_text(status)}")
        if not response.ok or response.is_redirect:
            source = f", with the login of {login.source}" if login else ", without a login"
            raise OriginError(f"its token service gives no token{source}: {status_text(status)}")
        try:
            return parse_token(data)
        except ValueError as error:
            raise OriginError(f"its token service sent {brief(error)}") from error


def _is_safe(url: str) -> bool:
    """Whether nobody on the way can read what is sent."""
    place = place_of(url)
    return place is not None and (place[0] == "https" or place[1] in LOOPBACK)
