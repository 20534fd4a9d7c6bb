"""Brings one pinned file into the store, from the first of its places that has it.

A file appears in the store by rename, once its digest holds. What has arrived of it survives a lost network,
Ctrl-C and `kill -9`, and the next try asks only for the rest, at whichever place it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from recipes.core.errors import FetchError, PinMissingError, VerifyError
from recipes.core.filesystem import storage_errors
from recipes.core.invocation import this_command
from recipes.core.settings import (
    HUB_TOKEN_VARIABLE,
    MIRROR_VARIABLE,
    OFFLINE_VARIABLE,
    PIP_CERT_VARIABLE,
)
from recipes.fetch.download.downloader import SAVED, Downloader
from recipes.fetch.download.piece_file import pieces_path
from recipes.fetch.download.piece_map import PIECE_BYTES
from recipes.fetch.download.pooch_check import fetch_checked
from recipes.fetch.http.network_errors import UNTRUSTED, OriginError, shown_url
from recipes.fetch.http.redirects import Route
from recipes.fetch.http.response_rules import NO_TOKEN, NOT_LET_IN
from recipes.fetch.http.retry import Patience, Tempo
from recipes.fetch.http.sniff import WEB_PAGE
from recipes.fetch.package_index import PackageIndex
from recipes.store.context import Context

if TYPE_CHECKING:
    from recipes.fetch.http.redirects import Identity
    from recipes.fetch.http.response_rules import BlobPin


@dataclass(frozen=True)
class Candidate:
    """One place that may have a file; of a hub or a registry, `credential` says who may get the user's token."""

    label: str
    address: str | Callable[[], str]  # or how to find it, which may raise an OriginError
    credential: Identity | None = None

    def route(self) -> Route:
        """Return the way to it."""
        return Route(self.address if isinstance(self.address, str) else self.address(), self.credential)


@dataclass(frozen=True)
class Failure:
    """Why one place did not deliver."""

    label: str
    reason: str
    may_pass: bool = False
    advice: str | None = None  # what to do where a whole file came that is not the pinned one

    def __str__(self) -> str:
        return f"{self.label}: {self.reason}"


@dataclass(frozen=True)
class Delivery:
    """What came of asking all places: the store's file, or None; and who failed before."""

    blob: Path | None
    failures: tuple[Failure, ...] = ()


# makes what a downloader brings, by a route or from what has arrived, a file of the store
Receiver = Callable[[Downloader, Route | None], Path]


@dataclass(frozen=True)
class Fetcher(Context):
    """What downloads are made with."""

    tempo: Tempo | None = None  # by default as the settings say: read `pace`
    connections: int = 1  # for each file
    piece_bytes: int = PIECE_BYTES

    @classmethod
    def of(cls, context: Context) -> Self:
        """Return one with the settings' patience."""
        return cls(context.store, context.console, context.settings)

    @property
    def pace(self) -> Tempo:
        """How patiently downloads are made."""
        return self.tempo or Tempo(Patience(timeout_s=self.settings.timeout_s))

    @property
    def index(self) -> PackageIndex:
        """The package index that the user has."""
        timeout_s = self.pace.patience.timeout_s
        return PackageIndex(self.settings.index_url, timeout_s, self.settings.certificates)

    def fetch_blob(self, pin: BlobPin, candidates: Sequence[Candidate], where: str) -> Path:
        """Return a pinned file of the store, downloaded if it is not there.

        The places are asked in order; the user's mirrors come before them. `where` is what the file is to the user.
        Where no place delivered, a FetchError lists the reason of each; where one sent other bytes, a VerifyError. A
        PinMissingError is raised where nothing says how large it may be, a StoreError where the store fails or its file
        was changed.
        """
        delivery = self.try_blob(pin, candidates, where)
        if delivery.blob is None:
            raise self.error(where, pin_text(pin), delivery.failures)
        for failure in delivery.failures:
            self.console.warn(f"skipped: {failure}")
        return delivery.blob

    def try_blob(self, pin: BlobPin, candidates: Sequence[Candidate], where: str) -> Delivery:
        """As `fetch_blob`, but return the reasons where it raises a FetchError or a VerifyError."""
        if pin.limit_bytes is None:
            raise PinMissingError(
                where=where,
                expected="size_bytes, or max_bytes where the size was never seen",
                found="neither, so nothing would end the download",
                fix="write `size_bytes:` or `max_bytes:` beside the sha256 in the manifest",
            )
        if blob := self.store.verified_blob(pin.sha256, pin.size_bytes):
            return Delivery(blob)  # without the lock: a store that is read-only serves what it has
        with self.store.lock(pin.sha256.hex, self.console):
            if blob := self.store.verified_blob(pin.sha256, pin.size_bytes):
                return Delivery(blob)
            return self.deliver(
                pin,
                candidates,
                where,
                lambda downloader, route: fetch_checked(downloader, pin, route, self.store),
            )

    def deliver(
        self, pin: BlobPin, candidates: Sequence[Candidate], where: str, receive: Receiver
    ) -> Delivery:
        """Use what has arrived where that is all, else ask each place; the caller holds the store's lock of the file.

        `receive` makes what a downloader brings a file of the store, and raises an OriginError where it cannot.
        """
        failures: list[Failure] = []
        has_all = self._downloader(SAVED, pin).has_all  # killed after the last byte
        if has_all and (blob := self._ask(SAVED, lambda: None, pin, receive, failures)):
            return Delivery(blob)
        if self.settings.offline:
            reason = f"not in the store, and {OFFLINE_VARIABLE}=1 forbids the network"
            return Delivery(None, (*failures, Failure(where, reason)))
        mirrors = (
            Candidate(f"mirror {shown_url(base)}", f"{base}/{pin.sha256.hex}")
            for base in self.settings.mirrors
        )
        for candidate in (*mirrors, *candidates):
            if blob := self._ask(candidate.label, candidate.route, pin, receive, failures):
                return Delivery(blob, tuple(failures))
        return Delivery(None, tuple(failures))

    def failure_of(self, downloader: Downloader, error: OriginError) -> Failure:
        """Return why a download failed; what was sent in the file's place is kept for diagnosis."""
        reason = str(error)
        if downloader.strange:
            answer = downloader.path.with_suffix(".answer")
            with storage_errors(answer):
                answer.write_bytes(downloader.strange)
            reason += f", kept in {self.store.reject(answer, reason)}"
        return Failure(downloader.label, reason, error.may_pass, error.advice)

    def error(
        self,
        where: str,
        expected: str,
        failures: Sequence[Failure],
        again: str | None = None,
        relock: str | None = None,
    ) -> FetchError | VerifyError:
        """Return the error that lists why each place did not deliver.

        `again` is the command that tries again; `relock` the one that shows what upstream has now, where there is one.
        """
        again = again or this_command("fetch")
        advice = next((failure.advice for failure in reversed(failures) if failure.advice), None)
        if advice is not None:
            fix = f"{advice}: {again}"
        elif self.settings.offline:
            fix = f"{OFFLINE_VARIABLE}=0 {again}"
        elif any(UNTRUSTED in failure.reason for failure in failures):
            fix = f"{PIP_CERT_VARIABLE}=/path/to/authority.pem {again}  # your network's own, if it has one"
        elif any(NO_TOKEN in failure.reason for failure in failures):
            fix = (
                f"{HUB_TOKEN_VARIABLE}=... {again}  # a token of an account that the model's page has let in"
            )
        elif any(NOT_LET_IN in failure.reason for failure in failures):
            fix = (
                f"ask for access on the model's page, with the account of {HUB_TOKEN_VARIABLE}; then {again}"
            )
        elif any(WEB_PAGE in failure.reason for failure in failures):
            fix = f"log in to this network in a browser, or use another network, then {again}"
        elif any(failure.may_pass for failure in failures):
            fix = f"{again}  # once the network is back; it goes on from what has arrived"
        elif relock and any("upstream changed" in failure.reason for failure in failures):
            fix = f"{relock}  # shows what the hub has now"
        else:
            fix = f"{MIRROR_VARIABLE}=https://... {again}  # with a mirror that has it; or correct the pin"
        kind = FetchError if advice is None else VerifyError
        found = "\n".join(str(failure) for failure in failures)
        return kind(where=where, expected=expected, found=found, fix=fix)

    def _downloader(self, label: str, pin: BlobPin) -> Downloader:
        return Downloader(
            label,
            pin,
            pieces_path(self.store, pin.sha256),
            self,
            self.pace,
            connections=self.connections,
            piece_bytes=self.piece_bytes,
        )

    def _ask(
        self,
        label: str,
        find_route: Callable[[], Route | None],
        pin: BlobPin,
        receive: Receiver,
        failures: list[Failure],
    ) -> Path | None:
        """Ask one place; where it does not deliver, note why."""
        downloader = self._downloader(label, pin)
        try:
            return receive(downloader, find_route())
        except OriginError as error:
            failures.append(self.failure_of(downloader, error))
            return None


def pin_text(pin: BlobPin) -> str:
    """Return a pin as errors show it."""
    return str(pin.sha256) if pin.size_bytes is None else f"{pin.sha256}, {pin.size_bytes} bytes"
