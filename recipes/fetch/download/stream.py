"""One file from one address, over HTTP: resumed, capped, hashed while it streams. pooch calls it.

What an answer means is decided in `fetch.http.response_rules`; `partial_file` keeps the bytes and their digest.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from recipes.core.filesystem import remove_tree, storage_errors
from recipes.fetch.download.partial_file import Partial, receipt_folder, tidy
from recipes.fetch.http.network_errors import OriginError, describe_fault, is_lasting, shown_url
from recipes.fetch.http.response_rules import (
    LEAST_BYTES,
    PROGRESS_BYTES,
    Append,
    BlobPin,
    Complete,
    Held,
    Refuse,
    SetAside,
    StartOver,
    TryLater,
    Validator,
    Verdict,
    is_web_page,
    judge_answer,
)
from recipes.fetch.http.retry import Pace, Tempo

if TYPE_CHECKING:
    from requests import Response, Session

    from recipes.core.console import Console, Task
    from recipes.core.digest import Sha256
    from recipes.store.blobs import BlobStore

READ_BYTES = 1 << 20  # at most, at once: what is there is taken, so that an interruption loses nothing
MAX_REDIRECTS = 10
HEADERS = {
    "User-Agent": "pinned-llama",
    "Accept-Encoding": "identity",
}  # identity: the very bytes that are pinned


class PinnedDownloader:
    """A downloader for pooch that makes one pinned file of the store.

    pooch hands it an address and a file of pooch's own to fill, whose SHA-256 pooch then compares. To let
    pooch read and hash the whole download once more would halve the rate, and where a digest differs pooch
    deletes the bytes. So the download goes to the store, hashed as it streams, and pooch's file gets a
    receipt: the digest that was found. pooch demands the receipt of the pin and refuses any other.

    Parameters
    ----------
    label
        What the place is called in messages.
    pin
        What is wanted; its limit is known.
    store, console, tempo
        Where to, who is told, and how patiently. The caller holds the store's lock of this file.
    certificates
        Further certificates that the user trusts: a file or a folder.
    """

    def __init__(  # noqa: PLR0913 - one download's whole surroundings
        self,
        label: str,
        pin: BlobPin,
        store: BlobStore,
        console: Console,
        tempo: Tempo,
        *,
        certificates: str | None = None,
    ) -> None:
        self._certificates = certificates
        self._label, self._pin, self._store, self._console, self._tempo = label, pin, store, console, tempo
        self._path = store.partial_path(pin.sha256)
        self._has_answered = False

    def retrieve(self, url: str) -> Path:
        """Have pooch call this downloader, and give the store's file.

        Raises
        ------
        OriginError
            Where this place does not deliver the pinned bytes.
        StoreError
            Where the disk refuses.
        """
        import pooch

        pooch.get_logger().setLevel("WARNING")  # what is done is said by the console
        folder = receipt_folder(self._path)
        expected = _receipt(self._pin.sha256)
        try:
            with storage_errors(folder):
                remove_tree(folder)  # pooch would take a receipt that a killed process left
                pooch.retrieve(
                    url,
                    known_hash=f"sha256:{hashlib.sha256(expected.encode()).hexdigest()}",
                    fname="receipt",
                    path=folder,
                    downloader=self,
                )
            return self._store.adopt_blob(self._path, self._pin.sha256)
        finally:
            tidy(self._path)

    def __call__(self, url: str, output_file: str, pooch: object) -> None:  # noqa: ARG002 - pooch's interface
        """Download to the store until the pinned bytes are there, and write the receipt to `output_file`."""
        from recipes.fetch.http.session import open_session

        with open_session(self._certificates, follows=False) as session:
            session.headers.update(HEADERS)
            found = None
            while found != self._pin.sha256:  # a second round at most: it inherits nothing
                with Partial(self._path) as partial:
                    fault = self._fill(session, url, partial)
                    found = partial.digest()
                    if found != self._pin.sha256:
                        self._refuse_bytes(url, partial, fault or f"other bytes ({found})")
        Path(output_file).write_text(_receipt(found), encoding="ascii")

    def _refuse_bytes(self, url: str, partial: Partial, what: str) -> None:
        """Set bytes aside that are not the pinned ones; return only if the next try may do better."""
        if is_web_page(partial.start()):
            what = f"a web page: {what}"
        reason = f"{what}\nfrom {shown_url(url)}\npinned {self._pin.sha256}"
        kept = self._store.reject(self._path, reason)
        if not partial.is_inherited:
            raise OriginError(f"it sent {what}, kept in {kept}")
        # the first part came from elsewhere, or from an earlier run, and may be what is wrong
        self._console.say(f"{self._label}: the parts do not fit together; starting over")

    def _fill(self, session: Session, url: str, partial: Partial) -> str | None:
        """Ask until the file came to its end; say why it is not the pinned one, if that is seen already."""
        patience, best_bytes, failures = self._tempo.patience, partial.size_bytes, 0
        with self._console.task(f"fetch from {self._label}", self._pin.size_bytes) as task:
            for _ in range(patience.all_tries):
                verdict = self._ask(session, url, partial, task)
                task.position(partial.size_bytes)
                if isinstance(verdict, Complete):
                    return None
                if isinstance(verdict, SetAside):
                    return verdict.reason
                if isinstance(verdict, Refuse):
                    raise OriginError(verdict.reason, may_pass=verdict.may_pass)
                if isinstance(verdict, StartOver):
                    self._console.say(f"{self._label}: {verdict.reason}; starting over")
                    partial.restart(shown_url(url), Validator())
                if isinstance(verdict, TryLater):
                    # only bytes beyond the best so far count: a server that ignores ranges repeats itself
                    failures = 1 if partial.size_bytes - best_bytes >= PROGRESS_BYTES else failures + 1
                    best_bytes = max(best_bytes, partial.size_bytes)
                    self._tempo.pause(self._label, verdict, failures, self._console)
        raise OriginError(f"given up after {patience.all_tries} requests", may_pass=True)

    def _ask(self, session: Session, url: str, partial: Partial, task: Task) -> Verdict:
        """Make one request, and take in as much of the body as comes."""
        from requests import RequestException
        from urllib3.exceptions import HTTPError

        known = partial.validator_of(shown_url(url))
        headers = {"Range": f"bytes={partial.size_bytes}-"} if partial.size_bytes else {}
        if headers and known and known.if_range:
            headers["If-Range"] = known.if_range
        try:
            with self._open(session, url, headers) as response:
                self._has_answered = True
                names = {name.lower(): value for name, value in response.headers.items()}
                held = Held(partial.size_bytes, known)
                verdict = judge_answer(response.status_code, names, self._pin, held, datetime.now(UTC))
                if not isinstance(verdict, Append):
                    return verdict
                if verdict.offset == 0:
                    if partial.size_bytes:
                        self._console.say(f"{self._label}: it sends the file from its start; starting over")
                    partial.restart(shown_url(url), Validator.of_headers(names))
                partial.hash_inherited(task.position)
                return self._receive(response, partial, verdict, task)
        except (RequestException, HTTPError) as error:
            reason = describe_fault(error, self._tempo.patience.timeout_s)
            if is_lasting(error, has_answered=self._has_answered):
                return Refuse(reason, may_pass=True)
            return TryLater(f"{reason}, after {partial.size_bytes} bytes" if partial.size_bytes else reason)

    def _open(self, session: Session, url: str, headers: dict[str, str]) -> Response:
        """Send the request, and follow redirects."""
        from requests import TooManyRedirects

        for _ in range(MAX_REDIRECTS + 1):
            response = session.get(url, headers=headers, stream=True, timeout=self._tempo.patience.timeout_s)
            if not response.is_redirect:
                return response
            response.close()
            url = urljoin(url, response.headers["Location"])
        raise TooManyRedirects

    def _receive(self, response: Response, partial: Partial, begun: Append, task: Task) -> Verdict:
        limit_bytes = self._pin.limit_bytes or 0
        pace = Pace(self._tempo, partial.size_bytes)
        while partial.size_bytes < limit_bytes:
            chunk = response.raw.read1(
                min(READ_BYTES, limit_bytes - partial.size_bytes), decode_content=False
            )
            if not chunk:
                break
            partial.append(chunk)
            if pace.is_report_due():
                task.position(partial.size_bytes)
            if pace.is_too_slow(partial.size_bytes):
                return TryLater(f"less than {LEAST_BYTES} bytes came in {self._tempo.patience.timeout_s:g} s")
        return self._judge_end(response, partial, begun)

    def _judge_end(self, response: Response, partial: Partial, begun: Append) -> Verdict:
        """Say what it means that a body ended, or was read up to the cap."""
        size_bytes = partial.size_bytes
        if self._pin.size_bytes is None:
            if size_bytes == self._pin.limit_bytes and response.raw.read1(1, decode_content=False):
                return SetAside(f"more than the {size_bytes} bytes that may come")
            is_whole = begun.total_bytes is None or size_bytes == begun.total_bytes
            return Complete() if is_whole else TryLater(f"it sent {size_bytes} of {begun.total_bytes} bytes")
        if size_bytes == self._pin.size_bytes:
            return Complete()
        # only chunks say that a body is whole; without them, or a length, a lost connection looks the same
        is_whole = "chunked" in response.headers.get("transfer-encoding", "").lower()
        if begun.offset == 0 and (is_whole or is_web_page(partial.start())):
            return SetAside(f"{size_bytes} bytes, pinned are {self._pin.size_bytes}")
        return TryLater(f"it sent {size_bytes} of {self._pin.size_bytes} bytes")


def _receipt(found: Sha256) -> str:
    return f"{found}\n"
