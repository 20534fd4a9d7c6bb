"""A file that nothing pins yet, brought into the store because a person asked for it, this once, to pin it.

Where the package index states a digest, that is the pin of the download, and all of `recipes.fetch.fetcher` holds.
Elsewhere the bytes are what the server sends: capped, refused where they are a web page, and reported as not pinned.
A download that ends early is begun again: without a digest, nothing would tell whether two parts fit together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from packaging.version import InvalidVersion, Version

from recipes.core.digest import Sha256, hash_file
from recipes.core.errors import FetchError
from recipes.core.filesystem import size_text, storage_errors
from recipes.core.settings import OFFLINE_VARIABLE
from recipes.fetch.download.downloader import Downloader
from recipes.fetch.fetcher import Candidate, Failure, Fetcher
from recipes.fetch.http.network_errors import OriginError, shown_url
from recipes.fetch.http.redirects import Route
from recipes.fetch.http.response_rules import BlobPin, Unpinned

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pypi_simple import DistributionPackage

SHOWN_VERSIONS = 5
MAX_ARCHIVE_BYTES = 256 << 20  # seven times the largest source archive that the package index has today


@dataclass(frozen=True)
class SeenFile:
    """A file of the store that nothing pins.

    `url` can be shown; `is_stated` says whether the package index had stated its digest before; `time_s` is when it was
    published, in seconds since 1970, where the index says so.
    """

    name: str
    url: str
    blob: Path
    sha256: Sha256
    size_bytes: int
    is_stated: bool = False
    time_s: float | None = None


@dataclass(frozen=True)
class Asker:
    """Who asks for a file that nothing pins.

    `where` is what was asked for and `again` the command that asks again, for errors.
    """

    fetcher: Fetcher
    where: str
    again: str

    def fetch_sdist(self, project: str, version: str) -> SeenFile:
        """Bring the source distribution of a project's version into the store.

        Raises FetchError where the index does not have it, or does not deliver what it states.
        """
        label = f"pypi {project} {version}"
        fetcher = self.fetcher
        self._refuse_offline(label)
        try:
            page = fetcher.pace.persist(label, lambda: fetcher.index.ask_page(project), fetcher.console)
            sdist = choose_sdist(page.packages, project, version)
            stated = _stated_digest(sdist)
        except OriginError as error:
            self._refuse(Failure(label, str(error), error.may_pass))
        url = fetcher.index.address_of(sdist)
        published_s = sdist.upload_time.timestamp() if sdist.upload_time else None
        if sdist.is_yanked:
            fetcher.console.warn(
                f"{sdist.filename} was yanked from the index: {sdist.yanked_reason or 'no reason given'}"
            )
        if stated is None:
            # nothing would tell what came from what the index has
            if url.startswith("http:") and not (fetcher.index.url or "https:").startswith("http:"):
                self._refuse(Failure(label, "the index leads from https to http, and states no digest"))
            blob, sha256 = self._fetch_any(label, url)
            return SeenFile(
                sdist.filename, shown_url(url), blob, sha256, blob.stat().st_size, time_s=published_s
            )
        pin = BlobPin(stated, sdist.size, MAX_ARCHIVE_BYTES)
        delivery = fetcher.try_blob(pin, (Candidate(label, url),), self.where)
        if delivery.blob is None:
            self._raise(str(stated), delivery.failures)
        size_bytes = delivery.blob.stat().st_size
        return SeenFile(
            sdist.filename,
            shown_url(url),
            delivery.blob,
            stated,
            size_bytes,
            is_stated=True,
            time_s=published_s,
        )

    def fetch_archive(self, url: str) -> SeenFile:
        """Bring what lies at an address into the store, whatever it is.

        Raises FetchError where nothing lies there, or a web page, or more than MAX_ARCHIVE_BYTES.
        """
        self._refuse_offline(shown_url(url))
        blob, sha256 = self._fetch_any(f"archive {shown_url(url)}", url)
        name = shown_url(url).rstrip("/").rpartition("/")[2]
        return SeenFile(name, shown_url(url), blob, sha256, blob.stat().st_size)

    def _fetch_any(self, label: str, url: str) -> tuple[Path, Sha256]:
        fetcher = self.fetcher
        with fetcher.store.scratch("lock-download") as folder, storage_errors(folder):
            path = folder / "archive"
            downloader = Downloader(label, Unpinned(MAX_ARCHIVE_BYTES), path, fetcher, fetcher.pace)
            try:
                downloader.fetch(Route(url), hashes=False)
            except OriginError as error:
                self._refuse(fetcher.failure_of(downloader, error))
            sha256 = hash_file(path)
            with fetcher.store.lock(sha256.hex, fetcher.console):
                present = fetcher.store.verified_blob(sha256)
                return present or fetcher.store.adopt_blob(path, sha256), sha256

    def _refuse_offline(self, label: str) -> None:
        if self.fetcher.settings.offline:
            self._refuse(Failure(label, f"{OFFLINE_VARIABLE}=1 forbids the network"))

    def _refuse(self, failure: Failure) -> NoReturn:
        self._raise(f"a file to pin, of at most {size_text(MAX_ARCHIVE_BYTES)}", (failure,))

    def _raise(self, expected: str, failures: Sequence[Failure]) -> NoReturn:
        offline = self.fetcher.settings.offline
        passing = any(failure.may_pass for failure in failures)
        fix = (
            f"{self.again}  # once the network is back" if passing else f"{self.again}  # with another source"
        )
        raise FetchError(
            where=self.where,
            expected=expected,
            found="\n".join(map(str, failures)),
            fix=f"{OFFLINE_VARIABLE}=0 {self.again}" if offline else fix,
        )


def choose_sdist(packages: Sequence[DistributionPackage], project: str, version: str) -> DistributionPackage:
    """Return the source distribution of a version (PEP 440 decides which spellings are one), .tar.gz first.

    Raises OriginError where there is none, with the newest versions that have one.
    """
    sdists = [package for package in packages if package.package_type == "sdist"]
    wanted = _version(version)
    found = [package for package in sdists if wanted is not None and _version(package.version) == wanted]
    if found:
        return min(found, key=lambda package: not package.filename.endswith(".tar.gz"))
    known = sorted({known for package in sdists if (known := _version(package.version))}, reverse=True)
    newest = ", ".join(map(str, known[:SHOWN_VERSIONS])) or "none"
    raise OriginError(f"the index has no source distribution of {project} {version}; newest of all: {newest}")


def _version(text: str | None) -> Version | None:
    try:
        return Version(text or "")
    except InvalidVersion:
        return None


def _stated_digest(package: DistributionPackage) -> Sha256 | None:
    digits = package.digests.get("sha256")
    try:
        return Sha256(digits.lower()) if digits else None
    except ValueError as error:
        raise OriginError(
            f"the index states a digest of {package.filename} that is invalid: {error}"
        ) from error
