"""Brings one pinned file into the store, from the first of its places that has it.

A file appears in the store by rename, once its digest holds. What has arrived of it survives a lost network,
Ctrl-C and `kill -9`, and the next try asks only for the rest, at whichever place it is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.errors import FetchError, PinMissingError
from recipes.core.filesystem import storage_errors
from recipes.core.invocation import this_command
from recipes.core.settings import MIRROR_VARIABLE, OFFLINE_VARIABLE, PIP_CERT_VARIABLE, Settings
from recipes.fetch.download.partial_file import Partial, tidy
from recipes.fetch.download.stream import PinnedDownloader
from recipes.fetch.http.network_errors import UNTRUSTED, OriginError, shown_url
from recipes.fetch.http.response_rules import BlobPin, Patience
from recipes.fetch.http.retry import Tempo
from recipes.fetch.package_index import PackageIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from recipes.core.console import Console
    from recipes.store.store import Store


@dataclass(frozen=True)
class Candidate:
    """One place that may have a file.

    Parameters
    ----------
    label
        What it is called in messages.
    address
        Its http or https address, or how to find that out; this raises an OriginError where it cannot.
    """

    label: str
    address: str | Callable[[], str]


@dataclass(frozen=True)
class Failure:
    """Why one place did not deliver, and whether it may do so later."""

    label: str
    reason: str
    may_pass: bool = False

    def __str__(self) -> str:
        return f"{self.label}: {self.reason}"


@dataclass(frozen=True)
class Delivery:
    """What came of asking all places: the store's file, or None; and who failed before."""

    blob: Path | None
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class Fetcher:
    """What downloads are made with.

    Parameters
    ----------
    store, console, settings
        Where to, who is told, and what the user asked for.
    tempo
        How patiently; by default as the settings say. Read `pace`.
    """

    store: Store
    console: Console
    settings: Settings
    tempo: Tempo | None = None

    @property
    def pace(self) -> Tempo:
        """How patiently downloads are made."""
        return self.tempo or Tempo(Patience(timeout_s=self.settings.timeout_s))

    @property
    def index(self) -> PackageIndex:
        """The package index that the user has."""
        settings = self.settings
        return PackageIndex(settings.index_url, self.pace.patience.timeout_s, settings.certificates)

    def fetch_blob(self, pin: BlobPin, candidates: Sequence[Candidate], where: str) -> Path:
        """Give a pinned file of the store, downloaded if it is not there.

        Parameters
        ----------
        pin
            What it is.
        candidates
            Where it may be, in order; the user's mirrors come before them.
        where
            What it is to the user, for errors.

        Raises
        ------
        FetchError
            Where no place delivered, with the reason of each.
        PinMissingError
            Where nothing says how large it may be.
        StoreError
            Where the store cannot be read or written, or its file was changed.
        """
        delivery = self.try_blob(pin, candidates, where)
        if delivery.blob is None:
            size = f", {pin.size_bytes} bytes" if pin.size_bytes is not None else ""
            raise fetch_error(where, f"{pin.sha256}{size}", delivery.failures, self.settings)
        for failure in delivery.failures:
            self.console.warn(f"passed over: {failure}")
        return delivery.blob

    def try_blob(self, pin: BlobPin, candidates: Sequence[Candidate], where: str) -> Delivery:
        """As `fetch_blob`, but give the reasons where it raises a FetchError."""
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
            blob = self.store.verified_blob(pin.sha256, pin.size_bytes) or self._finish(pin, where)
            if blob:
                return Delivery(blob)
            if self.settings.offline:
                reason = f"not in the store, and {OFFLINE_VARIABLE}=1 forbids the network"
                return Delivery(None, (Failure(where, reason),))
            return self._ask_all(pin, candidates)

    def _ask_all(self, pin: BlobPin, candidates: Sequence[Candidate]) -> Delivery:
        mirrors = [
            Candidate(f"mirror {shown_url(base)}", f"{base}/{pin.sha256.hex}")
            for base in self.settings.mirrors
        ]
        failures: list[Failure] = []
        for candidate in (*mirrors, *candidates):
            try:
                address = candidate.address if isinstance(candidate.address, str) else candidate.address()
                downloader = PinnedDownloader(
                    candidate.label,
                    pin,
                    self.store,
                    self.console,
                    self.pace,
                    certificates=self.settings.certificates,
                )
                blob = downloader.retrieve(address)
            except OriginError as error:
                failures.append(Failure(candidate.label, str(error), error.may_pass))
                continue
            return Delivery(blob, tuple(failures))
        return Delivery(None, tuple(failures))

    def _finish(self, pin: BlobPin, where: str) -> Path | None:
        """Adopt a download that was interrupted after its last byte: that needs no network."""
        path = self.store.partial_path(pin.sha256)
        with storage_errors(path):
            arrived_bytes = path.stat().st_size if path.exists() else 0
        if pin.size_bytes is None or arrived_bytes < pin.size_bytes:
            return None
        title = f"check the download of {where}"
        with Partial(path) as partial, self.console.task(title, arrived_bytes) as task:
            partial.hash_inherited(task.position)
            found = partial.digest()
        if found == pin.sha256:
            blob = self.store.adopt_blob(path, pin.sha256)
        else:
            self.store.reject(path, f"a download with all its bytes\nfound {found}\npinned {pin.sha256}")
            blob = None
        tidy(path)
        return blob


def fetch_error(where: str, expected: str, failures: Sequence[Failure], settings: Settings) -> FetchError:
    """Give the error that lists why each place did not deliver."""
    again = this_command("fetch")
    if settings.offline:
        fix = f"{OFFLINE_VARIABLE}=0 {again}"
    elif any(UNTRUSTED in failure.reason for failure in failures):
        fix = f"{PIP_CERT_VARIABLE}=/path/to/authority.pem {again}  # your network's own, if it has one"
    elif any(failure.may_pass for failure in failures):
        fix = f"{again}  # once the network is back; it goes on from what has arrived"
    else:
        fix = f"{MIRROR_VARIABLE}=https://... {again}  # with a mirror that has it; or correct the pin"
    return FetchError(
        where=where, expected=expected, found="\n".join(str(failure) for failure in failures), fix=fix
    )
