"""Fetches one pinned file into the store, through pooch, from the first of its places that has it.

A file appears in the store by rename, once its digest holds. What has arrived of it survives a lost network,
Ctrl-C and `kill -9`, and the next try asks only for the rest, at whichever place it is made.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from recipes.console import Console, Task
from recipes.digest import Sha256
from recipes.errors import FetchError, PinMissingError
from recipes.partial import Partial, clear_sidecars, receipt_folder
from recipes.settings import MIRROR_VARIABLE, OFFLINE_VARIABLE, Settings
from recipes.storage import size_text, storage_errors
from recipes.store import Store
from recipes.transfer import (
    LEAST_BYTES,
    PROGRESS_BYTES,
    Append,
    BlobPin,
    Complete,
    Patience,
    Refuse,
    StartOver,
    TryLater,
    Validator,
    Verdict,
    describe_error,
    is_unreachable,
    is_web_page,
    judge_answer,
    next_wait,
    shown_url,
)

if TYPE_CHECKING:
    import requests
    from pooch import Pooch

READ_BYTES = 1 << 20
REPORT_S = 0.1  # between two updates of the progress; each costs more than receiving a small piece
MAX_REDIRECTS = 10
USER_AGENT = "pinned-llama"
FETCH_AGAIN = "python3 noxfile.py -s fetch"

T = TypeVar("T")


class OriginError(Exception):
    """One place did not deliver; the text says why. Never shown alone: a FetchError lists them all."""


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
    """Why one place did not deliver."""

    label: str
    reason: str

    def __str__(self) -> str:
        return f"{self.label}: {self.reason}"


@dataclass(frozen=True)
class Fetcher:
    """What downloads are made with.

    Parameters
    ----------
    store, console, settings
        Where to, who is told, and what the user asked for.
    patience
        How often and how long.
    sleep, clock
        Real time, in seconds; tests give others.
    """

    store: Store
    console: Console
    settings: Settings
    patience: Patience = field(default_factory=Patience)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        # the user's own timeout holds wherever the caller did not choose one
        if self.patience == Patience():
            object.__setattr__(self, "patience", replace(self.patience, timeout_s=self.settings.timeout_s))

    def fetch_blob(self, pin: BlobPin, candidates: Sequence[Candidate], *, where: str, fix: str = FETCH_AGAIN) -> Path:
        """Give a pinned file of the store, downloaded if it is not there.

        Parameters
        ----------
        pin
            What it is.
        candidates
            Where it may be, in order; the user's mirrors come before them.
        where
            What it is to the user, for errors.
        fix
            The command that tries again.

        Raises
        ------
        FetchError
            Where no place delivered, with the reason of each.
        PinMissingError
            Where nothing says how large it may be.
        StoreError
            Where the store cannot be read or written.
        """
        delivered = self.try_blob(pin, candidates, where=where)
        if isinstance(delivered, Path):
            return delivered
        size = f" ({pin.size_bytes} bytes)" if pin.size_bytes is not None else ""
        raise FetchError(
            where=where,
            expected=f"{pin.sha256}{size}",
            found="\n".join(str(failure) for failure in delivered),
            fix=fix_offline(fix) if self.settings.offline else fix,
        )

    def try_blob(
        self, pin: BlobPin, candidates: Sequence[Candidate], *, where: str
    ) -> Path | tuple[Failure, ...]:
        """As `fetch_blob`, but give the reasons where no place delivered."""
        if pin.limit_bytes is None:
            raise PinMissingError(
                where=where,
                expected="size_bytes, or max_bytes where the size was never seen",
                found="neither: nothing would end the download",
                fix="add `size_bytes:` (or `max_bytes:`) beside its sha256 in the manifest",
            )
        with self.store.lock(pin.sha256.hex, self.console):
            if blob := self.store.verified_blob(pin.sha256, pin.size_bytes) or self._finish_partial(pin, where):
                return blob
            if self.settings.offline:
                return (Failure(where, f"offline ({OFFLINE_VARIABLE}=1), and it is not in the store"),)
            mirrors = [Candidate(f"mirror {shown_url(base)}", f"{base}/{pin.sha256.hex}") for base in self.settings.mirrors]
            failures: list[Failure] = []
            for candidate in (*mirrors, *candidates):
                try:
                    return self._fetch_from(candidate, pin)
                except OriginError as error:
                    failures.append(Failure(candidate.label, str(error)))
                    self.console.warn(str(failures[-1]))
            return tuple(failures)

    def persist(self, label: str, attempt: Callable[[], T | TryLater]) -> T:
        """Repeat what may fail for a while, as often as patience allows.

        Raises
        ------
        OriginError
            With the last reason, once patience is at its end.
        """
        failures = 0
        while isinstance(outcome := attempt(), TryLater):
            failures += 1
            self.wait(label, outcome, failures)
        return outcome

    def wait(self, label: str, fault: TryLater, failures: int) -> None:
        """Wait before the next try.

        Raises
        ------
        OriginError
            Where there is to be none.
        """
        wait_s = next_wait(self.patience, failures, fault.wait_s)
        if wait_s is None:
            asked = f", and it asks to wait {fault.wait_s:g} s" if fault.wait_s else ""
            raise OriginError(f"{fault.reason}{asked}; given up after {failures} tries in a row")
        self.console.say(f"{label}: {fault.reason}; trying again in {wait_s:g} s")
        self.sleep(wait_s)

    def _finish_partial(self, pin: BlobPin, where: str) -> Path | None:
        """Use a download that had all its bytes when it was interrupted."""
        path = self.store.partial_path(pin.sha256)
        with storage_errors(path):
            try:
                if path.stat().st_size < (pin.size_bytes or 1):
                    return None
            except FileNotFoundError:
                return None
        if pin.size_bytes is None:
            return None  # whether it is whole is only known to a server
        with Partial(path) as partial, self.console.task(f"check {where}", partial.size_bytes) as task:
            partial.hash_inherited(task.position)
            found = partial.digest()
        if found == pin.sha256:
            return self._adopt(pin)
        self._reject(pin, f"{where}: a finished download that was interrupted has {found}, pinned is {pin.sha256}")
        return None

    def _fetch_from(self, candidate: Candidate, pin: BlobPin) -> Path:
        address = candidate.address if isinstance(candidate.address, str) else candidate.address()
        retrieve(address, pin, PinnedDownloader(self, candidate.label, pin), receipt_folder(self.store.partial_path(pin.sha256)))
        return self._adopt(pin)

    def _adopt(self, pin: BlobPin) -> Path:
        path = self.store.partial_path(pin.sha256)
        blob = self.store.adopt_blob(path, pin.sha256)
        clear_sidecars(path)
        return blob

    def _reject(self, pin: BlobPin, reason: str) -> Path:
        path = self.store.partial_path(pin.sha256)
        kept = self.store.reject(path, reason)
        clear_sidecars(path)
        return kept


class PinnedDownloader:
    pass
