"""Where a pinned file of the package index lies: its address, by the simple API (PEP 503, PEP 691).

The index is asked for an address only. What lies there is checked against the pin, and an index that says something
else of the file than the pin does is refused before anything is downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from recipes.fetch.http.environment import check_environment
from recipes.fetch.http.network_errors import (
    INSECURE,
    InsecureRedirectError,
    OriginError,
    describe_fault,
    is_lasting,
)
from recipes.fetch.http.response_rules import TRY_LATER, TryLater, parse_retry_after, status_text

if TYPE_CHECKING:
    from pypi_simple import DistributionPackage, ProjectPage
    from requests import Response

    from recipes.core.digest import Sha256


@dataclass(frozen=True)
class IndexFile:
    """One file of one project, as it is pinned."""

    project: str
    file: str
    sha256: Sha256
    size_bytes: int


@dataclass(frozen=True)
class PackageIndex:
    """A package index, as this user reaches it."""

    url: str | None  # None: the client library's own default
    timeout_s: float  # how long it may be silent
    certificates: str | None = None

    def find_address(self, wanted: IndexFile) -> str | TryLater:
        """Return a pinned file's address, yanked or not; raise an OriginError if the index lacks or contradicts it."""
        page = self.ask_page(wanted.project)
        if isinstance(page, TryLater):
            return page
        found = next((package for package in page.packages if package.filename == wanted.file), None)
        if found is None:
            raise OriginError(f"the index has no file {wanted.file} of {wanted.project}")
        _check(found, wanted)
        return self.address_of(found)

    def ask_page(self, project: str) -> ProjectPage | TryLater:
        """Return the index's page of a project; an OriginError if there is none, a UsageError for bad user settings."""
        # costly, and not needed where all files are in the store
        from pypi_simple import (
            PYPI_SIMPLE_ENDPOINT,
            NoSuchProjectError,
            PyPISimple,
            UnsupportedRepoVersionError,
        )
        from requests import HTTPError, JSONDecodeError, RequestException
        from urllib3.exceptions import LocationParseError

        from recipes.fetch.http.session import open_session

        no_page = f"the index's answer is not a page of {project}"
        url = self.url or PYPI_SIMPLE_ENDPOINT
        try:
            with PyPISimple(url, session=open_session(self.certificates)) as client:
                return client.get_project_page(project, timeout=self.timeout_s)
        except NoSuchProjectError as error:
            raise OriginError(f"the index has no project {project}") from error
        except HTTPError as error:
            return _fault_of_status(error.response)
        except JSONDecodeError as error:
            raise OriginError(no_page) from error
        except InsecureRedirectError as error:
            raise OriginError(f"the index: {INSECURE}") from error
        except (RequestException, OSError, LocationParseError) as error:
            check_environment(error, url, self.certificates)
            reason = f"the index: {describe_fault(error, self.timeout_s)}"
            if is_lasting(error, has_answered=False):
                raise OriginError(reason) from error
            return TryLater(reason)
        except (ValueError, UnsupportedRepoVersionError) as error:
            check_environment(error, url, self.certificates)
            raise OriginError(no_page) from error

    def address_of(self, package: DistributionPackage) -> str:
        """Return a file's address, with the index's user and password if it lies on that server, as pip does."""
        if self.url is None:
            return package.url
        index, file = urlsplit(self.url), urlsplit(package.url)
        credentials, at, server = index.netloc.rpartition("@")
        if not at or "@" in file.netloc or (index.scheme, server) != (file.scheme, file.netloc):
            return package.url
        return urlunsplit(file._replace(netloc=f"{credentials}@{server}"))


def _fault_of_status(response: Response | None) -> TryLater:
    if response is None:  # requests allows it
        raise OriginError("the index: no answer")
    status = response.status_code
    reason = f"the index: {status_text(status)}"
    if status not in TRY_LATER:
        raise OriginError(reason)
    return TryLater(reason, parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC)))


def _check(found: DistributionPackage, wanted: IndexFile) -> None:
    digest = found.digests.get("sha256", wanted.sha256.hex).lower()
    if digest != wanted.sha256.hex:
        raise OriginError(f"the index says sha256:{digest} of {wanted.file}, pinned is {wanted.sha256}")
    if found.size is not None and found.size != wanted.size_bytes:
        raise OriginError(
            f"the index says {found.size} bytes of {wanted.file}, pinned are {wanted.size_bytes}"
        )
