"""Requests to one repository of a registry: logged in, tried again, redirected without the login, and bounded.

OCI Distribution Specification 1.1. Large blobs come by `recipes.fetch`, whose downloads go on from what has arrived.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, Self
from urllib.parse import urljoin

import msgspec

from recipes.core.digest import Sha256
from recipes.fetch.http.environment import check_environment
from recipes.fetch.http.network_errors import (
    OriginError,
    describe_fault,
    is_lasting,
    refuse_insecure,
    shown_url,
)
from recipes.fetch.http.redirects import HEADERS, MOST_REDIRECTS, as_it_is
from recipes.fetch.http.response_rules import TRY_LATER, TryLater, parse_retry_after, status_text
from recipes.fetch.http.retry import Pace, Patience, Tempo
from recipes.fetch.http.session import open_session
from recipes.registry.docker_config import find_login
from recipes.registry.documents import (
    INDEX_TYPE,
    MANIFEST_TYPE,
    MOST_MANIFEST_BYTES,
    Index,
    Manifest,
    parse_document,
)
from recipes.registry.login import RegistryLogin
from recipes.registry.untrusted import brief, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from recipes.registry.docker_config import StoredLogin
    from recipes.registry.reference import Reference, Repository
    from recipes.store.context import Context

READ_BYTES = 1 << 20
MOST_ERROR_BYTES = 1 << 16
MOST_PAGES = 100
TAGS_OF_A_PAGE = 1000
BLOB_LOOKS, BLOB_LOOK_S = 4, 0.5  # how often a manifest is sent whose blobs a registry does not know
PULL, PUSH, DELETE = "pull", "pull,push", "pull,push,delete"


class RegistryFaultError(OriginError):
    """A registry did not do what it was asked; `status` is the HTTP status of its answer, where it gave one."""

    def __init__(self, reason: str, *, status: int | None = None, may_pass: bool = False) -> None:
        super().__init__(reason, may_pass=may_pass)
        self.status = status


@dataclass(frozen=True)
class Reply:
    """An answer, its body read; the headers' names are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(frozen=True)
class Found:
    """A manifest or an index, as a registry sent it."""

    document: Manifest | Index
    data: bytes

    @property
    def digest(self) -> Sha256:
        """What identifies it."""
        return Sha256.of_bytes(self.data)


class Streamed(Protocol):
    """A body that is read as it is sent."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...


Body = bytes | Streamed


class Client:
    """One repository; use it as a context manager. Its methods raise OriginError, and UsageError for a bad setting.

    `others` are repositories of the same registry that blobs may be mounted from.
    """

    def __init__(  # noqa: PLR0913 - one client's whole environment
        self,
        repository: Repository,
        context: Context,
        actions: str = PULL,
        *,
        others: tuple[str, ...] = (),
        tempo: Tempo | None = None,
        find: Callable[[str], StoredLogin | None] = find_login,
    ) -> None:
        self.repository, self.context, self.others = repository, context, others
        self.tempo = tempo or Tempo(Patience(timeout_s=context.settings.timeout_s))
        scopes = (
            f"repository:{repository.path}:{actions}",
            *(f"repository:{each}:{PULL}" for each in others),
        )
        self.login = RegistryLogin(repository, context, self.tempo, scopes, find)
        self._has_answered = False
        self._session = open_session(context.settings.certificates, follows=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def find_manifest(self, reference: Reference) -> Found | None:
        """Return a manifest or an index, its digest checked where it is asked for by one; None where there is none."""
        accept = {"Accept": f"{MANIFEST_TYPE}, {INDEX_TYPE}"}
        reply = self.ask("GET", reference.url, accept, most_bytes=MOST_MANIFEST_BYTES)
        if reply.status == HTTPStatus.NOT_FOUND:
            return None
        self.demand(reply, HTTPStatus.OK)
        found = Sha256.of_bytes(reply.body)
        if isinstance(reference.name, Sha256) and found != reference.name:
            raise RegistryFaultError(f"{reference}: it sent other bytes, of {found}")
        claimed = reply.headers.get("content-type", "").partition(";")[0].strip()
        try:
            document = parse_document(reply.body)
        except ValueError as error:  # of msgspec too
            raise RegistryFaultError(f"{reference}: it sent {brief(error)}") from error
        if claimed != document.media_type:
            raise RegistryFaultError(
                f"{reference}: it says {brief(claimed)!r} of a document of type {document.media_type!r}"
            )
        return Found(document, reply.body)

    def put_manifest(self, reference: Reference, data: bytes, media_type: str) -> Reply:
        """Store a manifest or an index under a tag or its digest.

        Where two send the same blob at once, docker-registry writes its link twice, and for that moment does not know
        it: such a refusal is not the last word.
        """
        for _ in range(BLOB_LOOKS):
            reply = self.ask("PUT", reference.url, {"Content-Type": media_type}, lambda: data)
            if reply.status not in _NO_BLOB or b"BLOB_UNKNOWN" not in reply.body:
                break
            self.tempo.sleep(BLOB_LOOK_S)
        self.demand(reply, HTTPStatus.CREATED)
        said = reply.headers.get("docker-content-digest")
        if said is not None and said != str(Sha256.of_bytes(data)):
            raise RegistryFaultError(
                f"{reference}: it stored {brief(said)}, sent was {Sha256.of_bytes(data)}"
            )
        return reply

    def has_blob(self, sha: Sha256, size_bytes: int) -> bool:
        """Whether the repository has a blob, of the right size as far as it says one."""
        reply = self.ask("HEAD", self.repository.url("blobs", str(sha)))
        if reply.status in _REDIRECTS:  # to where its bytes lie
            return True
        return reply.status == HTTPStatus.OK and reply.headers.get("content-length", str(size_bytes)) == str(
            size_bytes
        )

    def read_blob(self, sha: Sha256, most_bytes: int) -> bytes:
        """Return a small blob, its digest checked."""
        reply = self.ask("GET", self.repository.url("blobs", str(sha)), most_bytes=most_bytes)
        self.demand(reply, HTTPStatus.OK, what=f"the blob {sha}")
        if Sha256.of_bytes(reply.body) != sha:
            raise RegistryFaultError(f"the blob {sha}: it sent other bytes, of {Sha256.of_bytes(reply.body)}")
        return reply.body

    def delete(self, sha: Sha256) -> None:
        """Remove a manifest or an index, and every tag of it; one that is not there is no fault."""
        reply = self.ask("DELETE", self.repository.at(sha).url)
        self.demand(reply, HTTPStatus.ACCEPTED, HTTPStatus.OK, HTTPStatus.NOT_FOUND, what=f"removing {sha}")

    def tags(self) -> tuple[str, ...]:
        """Return all tags of the repository; none where there is no such repository."""
        url, found = f"{self.repository.url('tags', 'list')}?n={TAGS_OF_A_PAGE}", list[str]()
        for _ in range(MOST_PAGES):
            reply = self.ask("GET", url, most_bytes=MOST_MANIFEST_BYTES)
            if reply.status == HTTPStatus.NOT_FOUND:
                return ()
            self.demand(reply, HTTPStatus.OK)
            try:
                found += decode(reply.body, _Tags).tags or ()
            except ValueError as error:
                raise RegistryFaultError(f"the tags of {self.repository}: it sent {brief(error)}") from error
            following = next_page(reply)
            if following is None:
                return tuple(found)
            url = following
        raise RegistryFaultError(f"the tags of {self.repository} do not end")

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Body] | None = None,
        *,
        most_bytes: int = MOST_ERROR_BYTES,
    ) -> Reply:
        """Make a request, and again while it may pass; return the answer, whatever it says."""
        return self.tempo.persist(
            self.repository.host,
            lambda: self.ask_once(method, url, headers, body, most_bytes=most_bytes),
            self.context.console,
        )

    def ask_once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Body] | None = None,
        *,
        most_bytes: int = MOST_ERROR_BYTES,
    ) -> Reply | TryLater:
        """Make a request, logged in as is demanded; redirects of GET are followed, without the login."""
        address, is_redirected, has_answered = url, False, False
        for _ in range(MOST_REDIRECTS + 2):
            reply = self._send(method, address, headers or {}, body, most_bytes, is_redirected=is_redirected)
            if isinstance(reply, TryLater):
                return reply
            if reply.status == HTTPStatus.UNAUTHORIZED and not is_redirected and not has_answered:
                has_answered = True
                if self.login.answer(reply.headers.get("www-authenticate", "")):
                    continue
            location = reply.headers.get("location")
            if location is None or method != "GET" or reply.status not in _REDIRECTS:
                return _try_later(reply) or reply
            address, is_redirected = joined(address, location), True
        raise RegistryFaultError("too many redirects")

    def demand(self, reply: Reply, *statuses: int, what: str = "") -> None:
        """Raise a RegistryFaultError unless an answer has one of these statuses."""
        if reply.status in statuses:
            return
        reason = f"{status_text(reply.status)}{_said(reply.body)}" + (f", for {what}" if what else "")
        if reply.status in _NOT_ALLOWED:
            reason += f"; {self.login.how}"
        raise RegistryFaultError(reason, status=reply.status)

    def _send(  # noqa: PLR0913 - one request
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Callable[[], Body] | None,
        most_bytes: int,
        *,
        is_redirected: bool,
    ) -> Reply | TryLater:
        from requests import RequestException
        from urllib3.exceptions import HTTPError

        timeout_s = self.tempo.patience.timeout_s
        known = self.login.headers_for(url, is_redirected=is_redirected)
        try:
            with self._session.request(
                method,
                url,
                headers={**HEADERS, **headers, **known},
                data=body() if body else None,
                auth=as_it_is,
                stream=True,
                timeout=timeout_s,
                allow_redirects=False,
            ) as response:
                self._has_answered = True
                names = {name.lower(): value for name, value in response.headers.items()}
                data, pace = bytearray(), Pace(self.tempo, 0)
                while chunk := response.raw.read1(READ_BYTES, decode_content=False):
                    data += chunk
                    if len(data) > most_bytes:
                        if not response.ok:
                            break
                        raise RegistryFaultError(f"{shown_url(url)}: it sends more than {most_bytes} bytes")
                    pace.is_report_due()
                    if fault := pace.fault(len(data)):
                        return fault
                return Reply(response.status_code, names, bytes(data[:most_bytes]), url)
        except (RequestException, HTTPError, OSError, ValueError) as error:
            verify = self._session.verify
            check_environment(error, url, verify if isinstance(verify, str) else None)
            reason = describe_fault(error, timeout_s)
            if is_lasting(error, has_answered=self._has_answered):
                raise RegistryFaultError(reason, may_pass=True) from error
            return TryLater(reason)


class _Tags(msgspec.Struct):
    tags: tuple[str, ...] | None = None


_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


def next_page(reply: Reply) -> str | None:
    """Return the address of what follows an answer that came in pages (RFC 8288); None at the end."""
    following = _NEXT.search(reply.headers.get("link", ""))
    return joined(reply.url, following[1]) if following else None


def joined(url: str, location: str) -> str:
    """Return where a server sends us on to; raises RegistryFaultError where the way is less safe, or leads nowhere."""
    try:
        target = urljoin(url, location)
        refuse_insecure(url, target)
    except ValueError as error:
        raise RegistryFaultError(str(error)) from error
    return target


_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NO_BLOB = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND})
_NOT_ALLOWED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


def _try_later(reply: Reply) -> TryLater | None:
    if reply.status not in TRY_LATER:
        return None
    from datetime import UTC, datetime

    wait_s = parse_retry_after(reply.headers.get("retry-after"), datetime.now(UTC))
    return TryLater(f"{status_text(reply.status)}{_said(reply.body)}", wait_s)


class _ErrorLine(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct):
    errors: tuple[_ErrorLine, ...] = ()


def _said(body: bytes) -> str:
    """Return what a registry says of its refusal, in one short line with a colon before it; else ""."""
    try:
        errors = decode(body, _Errors).errors
    except ValueError:
        return ""
    text = "; ".join(" ".join(filter(None, (each.code, each.message))) for each in errors)
    return f": {brief(text)}" if text else ""
