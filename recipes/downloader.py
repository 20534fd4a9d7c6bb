"""One file from one address, over HTTP: resumed, capped, hashed while it streams. pooch calls it.

What an answer means is decided in `recipes.transfer`; the bytes and their digest are kept by `recipes.partial`.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from recipes.blobs import BlobStore
from recipes.console import Console, Task
from recipes.digest import Sha256
from recipes.partial import Partial, clear_sidecars, receipt_folder
from recipes.storage import storage_errors
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
    is_web_page,
    judge_answer,
    next_wait,
    shown_url,
)
from recipes.faults import describe_error, is_lasting

if TYPE_CHECKING:
    import requests

READ_BYTES = 1 << 20  # at most, at once; what is there is taken, so that an interruption loses nothing
REPORT_S = 0.1  # between two updates of the progress, since each costs as much as receiving a small piece
MAX_REDIRECTS = 10
HEADERS = {"User-Agent": "pinned-llama", "Accept-Encoding": "identity"}  # the bytes themselves, not packed again

T = TypeVar("T")


class OriginError(Exception):
    """One place did not deliver; the text says why. Never shown alone: a FetchError lists them all."""


@dataclass(frozen=True)
class Tempo:
    """Patience, and the time that it is measured in; tests give another time."""

    patience: Patience = field(default_factory=Patience)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def persist(self, label: str, attempt: Callable[[], T | TryLater], console: Console) -> T:
        """Repeat what may fail for a while, as often as patience allows.

        Raises
        ------
        OriginError
            With the last reason, once patience is at its end.
        """
        failures = 0
        while isinstance(outcome := attempt(), TryLater):
            failures += 1
            self.pause(label, outcome, failures, console)
        return outcome

    def pause(self, label: str, fault: TryLater, failures: int, console: Console) -> None:
        """Wait before the next try, and say so.

        Raises
        ------
        OriginError
            Where there is to be none.
        """
        wait_s = next_wait(self.patience, failures, fault.wait_s)
        if wait_s is None:
            asked = f"; it asks to wait {fault.wait_s:g} s" if fault.wait_s else ""
            raise OriginError(f"{fault.reason}{asked} ({_times(failures)})")
        console.say(f"{label}: {fault.reason}; trying again in {wait_s:g} s")
        self.sleep(wait_s)


class PinnedDownloader:
    """A downloader for pooch that makes one pinned file of the store.

    pooch hands it an address and a file of its own to write, whose SHA-256 pooch then compares. To have it read
    and hash the whole download once more would halve the rate, and where a digest differs pooch deletes the
    bytes. So the download goes to the store, hashed as it streams, and pooch's file gets a receipt: the digest
    that was found. pooch expects the receipt of the pin, and refuses any other.

    Parameters
    ----------
    label
        What the place is called in messages.
    pin
        What is wanted; its limit is known.
    store, console, tempo
        Where to, who is told, and how patiently.
    """

    def __init__(self, label: str, pin: BlobPin, store: BlobStore, console: Console, tempo: Tempo) -> None:
        import requests  # noqa: PLC0415 - a no-op build must not pay for it

        self._label, self._pin, self._store, self._console, self._tempo = label, pin, store, console, tempo
        self._session = requests.Session()
        self._session.max_redirects = MAX_REDIRECTS
        self._session.headers.update(HEADERS)
        self._has_answered = False

    def __call__(self, url: str, output_file: str, pooch: object) -> None:  # noqa: ARG002 - pooch's interface
        """Download the file, adopt it if it is the pinned one, and write the receipt.

        Raises
        ------
        OriginError
            Where this place does not deliver the pinned bytes.
        StoreError
            Where the disk refuses.
        """
        found, was_mixed = self._fill(url)
        if found != self._pin.sha256 and was_mixed:
            # the first part came from elsewhere and may be what is wrong: once more, from here alone
            self._console.say(f"{self._label}: the parts do not fit together; starting over")
            found, _ = self._fill(url)
        adopt(self._store, self._pin)
        Path(output_file).write_text(receipt(found), encoding="ascii")

    def retrieve(self, url: str) -> Path:
        """Drive pooch with this downloader, and give the store's file."""
        import pooch  # noqa: PLC0415 - as above

        pooch.get_logger().setLevel("WARNING")  # the console says what is done
        folder = receipt_folder(self._store.partial_path(self._pin.sha256))
        expected = receipt(self._pin.sha256)
        with storage_errors(folder), self._session:
            shutil.rmtree(folder, ignore_errors=True)  # pooch would trust a receipt of an earlier time
            pooch.retrieve(
                url,
                known_hash=f"sha256:{hashlib.sha256(expected.encode()).hexdigest()}",
                fname="receipt",
                path=folder,
                downloader=self,
            )
        return adopted


def receipt(found: Sha256) -> str:
    """What pooch gets to verify in place of the download: the digest of the bytes that arrived."""
    return f"{found}\n"
