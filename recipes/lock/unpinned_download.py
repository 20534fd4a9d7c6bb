"""One file from one address, of which nobody knows the digest yet: capped, and refused if it is a web page.

A download that ends early is begun anew: without a digest, nothing would tell whether two parts fit together.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urljoin

from recipes.core.digest import Sha256
from recipes.core.filesystem import size_text
from recipes.fetch.download.stream import HEADERS, MAX_REDIRECTS, READ_BYTES
from recipes.fetch.http.network_errors import OriginError, describe_fault, is_lasting
from recipes.fetch.http.response_rules import (
    LEAST_BYTES,
    SNIFF_BYTES,
    Append,
    BlobPin,
    Held,
    Refuse,
    TryLater,
    is_web_page,
    judge_answer,
)
from recipes.fetch.http.retry import Pace

if TYPE_CHECKING:
    from pathlib import Path

    from requests import Response, Session

    from recipes.core.console import Task
    from recipes.fetch.fetcher import Fetcher

MAX_ARCHIVE_BYTES = 256 << 20  # seven times the largest source archive that the package index has today


class FirstDownload:
    """A download that is hashed while it streams; whoever has it must say that nothing vouches for the bytes.

    Parameters
    ----------
    fetcher
        What it is made with.
    label
        What the place is called in messages.
    path
        Where the bytes go.
    """

    def __init__(self, fetcher: Fetcher, label: str, path: Path) -> None:
        self.path = path
        self._fetcher, self._label, self._tempo = fetcher, label, fetcher.pace
        self._certificates = fetcher.settings.certificates

    def attempt(self, url: str) -> Sha256 | TryLater:
        """Ask once, from the start; give the digest of what came.

        Raises
        ------
        OriginError
            Where asking again would not help.
        """
        import requests
        from urllib3.exceptions import HTTPError

        from recipes.fetch.http.session import open_session

        try:
            with open_session(self._certificates) as session, self._open(session, url) as response:
                return self._receive(response)
        except (requests.RequestException, HTTPError) as error:
            reason = describe_fault(error, self._tempo.patience.timeout_s)
            if is_lasting(error, has_answered=False):
                raise OriginError(reason, may_pass=True) from error
            return TryLater(reason)

    def _open(self, session: Session, url: str) -> Response:
        """Send the request, following redirects here: the library would read their bodies, however long."""
        from requests import TooManyRedirects

        for _ in range(MAX_REDIRECTS + 1):
            response = session.get(
                url,
                headers=HEADERS,
                stream=True,
                allow_redirects=False,
                timeout=self._tempo.patience.timeout_s,
            )
            target = session.get_redirect_target(response)
            if target is None:
                return response
            response.close()
            url = urljoin(url, target)
        raise TooManyRedirects

    def _receive(self, response: Response) -> Sha256 | TryLater:
        names = {name.lower(): value for name, value in response.headers.items()}
        capped = BlobPin(Sha256.of_bytes(b""), max_bytes=MAX_ARCHIVE_BYTES)  # only its cap is looked at
        verdict = judge_answer(response.status_code, names, capped, Held(), datetime.now(UTC))
        if isinstance(verdict, TryLater):
            return verdict
        if not isinstance(verdict, Append):
            raise OriginError(verdict.reason if isinstance(verdict, Refuse) else "no whole file")
        with self._fetcher.console.task(f"fetch from {self._label}", verdict.total_bytes) as task:
            return self._store(response, task)

    def _store(self, response: Response, task: Task) -> Sha256 | TryLater:
        # a body that is shorter than its length, or than its chunks, raises here: see `attempt`
        hasher, size_bytes, start = hashlib.sha256(), 0, b""
        pace = Pace(self._tempo, 0)
        with self.path.open("wb") as file:
            while chunk := response.raw.read1(READ_BYTES, decode_content=False):
                file.write(chunk)
                hasher.update(chunk)
                start += chunk[: SNIFF_BYTES - len(start)]
                size_bytes += len(chunk)
                if size_bytes > MAX_ARCHIVE_BYTES:
                    break
                if pace.is_report_due():
                    task.position(size_bytes)
                if pace.is_too_slow(size_bytes):
                    return TryLater(
                        f"less than {LEAST_BYTES} bytes came in {self._tempo.patience.timeout_s:g} s"
                    )
        if size_bytes > MAX_ARCHIVE_BYTES:
            self._set_aside(f"more than {size_text(MAX_ARCHIVE_BYTES)}")
        if is_web_page(start):
            self._set_aside("a web page")
        return Sha256(hasher.hexdigest())

    def _set_aside(self, what: str) -> NoReturn:
        kept = self._fetcher.store.reject(self.path, f"{what}, from {self._label}")
        raise OriginError(f"it sent {what}, kept in {kept}")
