"""Asks the model hub what a repository has: its newest commit, and size and digest of each file.

The hub's own client library is asked, through its public interface; it is needed for nothing else than new pins.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipes.core.digest import Sha1, Sha256
from recipes.core.errors import FetchError, ToolchainError
from recipes.core.settings import HUB_TOKEN_VARIABLE, HUB_VARIABLE, OFFLINE_VARIABLE, Settings
from recipes.fetch.http.environment import check_environment
from recipes.fetch.http.network_errors import (
    INSECURE,
    InsecureRedirectError,
    describe_fault,
    refuse_insecure,
    shown_url,
)
from recipes.fetch.http.response_rules import own_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recipes.fetch.http.hub_token import Credential

CLIENT = "huggingface_hub"
MOST_READ = 1 << 16  # bytes of a refusal


@dataclass(frozen=True)
class HubFile:
    """One file of a repository; `sha256` is None of a small file, which the hub keeps in git."""

    size_bytes: int
    sha256: Sha256 | None


@dataclass(frozen=True)
class HubRepository:
    """A repository at one commit."""

    revision: Sha1
    files: Mapping[str, HubFile]


def read_repository(
    repository: str, credential: Credential, settings: Settings, again: str, revision: str | None = None
) -> HubRepository:
    """Ask the hub for a commit of a repository, by default the newest one, and what it has.

    Raises FetchError where the hub gives no valid answer or does not have it, ToolchainError where its client is not
    installed, and UsageError where the user's proxy or certificates cannot be used.
    """
    where = f"{shown_url(credential.hub)}/{repository}"
    if settings.offline:
        raise FetchError(
            where=where,
            expected="what the hub has now",
            found=f"{OFFLINE_VARIABLE}=1 forbids the network",
            fix=f"{OFFLINE_VARIABLE}=0 {again}",
        )
    try:
        from huggingface_hub import HfApi, errors, get_session
    except ImportError as error:
        raise ToolchainError(
            where=f"the Python package {CLIENT}",
            expected="the hub's client, from manifests/python/hub.lock",
            found="none in this environment",
            fix=again,
        ) from error
    # False: never a token that the library finds by itself, in a file of the user's
    api = HfApi(credential.hub, token=credential.usable_token or False, library_name="pinned-llama")
    try:
        session = get_session()  # it reads the user's proxies, once in a process
        with _keep_redirects_secure(session, credential.hub):
            info = api.model_info(
                repository, revision=revision, files_metadata=True, timeout=settings.timeout_s
            )
        return HubRepository(
            Sha1(str(info.sha)), {item.rfilename: _file_of(item) for item in info.siblings or ()}
        )
    except errors.HfHubHTTPError as error:
        said = own_words({"x-error-message": error.server_message or ""}, error.response.content[:MOST_READ])
        if credential.token:
            said = said.replace(credential.token, "***")
        status, has_token = error.response.status_code, bool(credential.usable_token)
        raise _refusal(where, status, said, again, has_token=has_token) from error
    except InsecureRedirectError as error:
        raise FetchError(
            where=where,
            expected="an answer of the hub, by https",
            found=INSECURE,
            fix=f"{HUB_VARIABLE}=https://... {again}",
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        check_environment(error, credential.hub, None)
        raise FetchError(
            where=where,
            expected="the commit of the repository, and each file's size and digest",
            found="an answer that cannot be understood: is this a model hub?",
            fix=f"{again}  # once you have logged in to this network in a browser, if it has a login page\n"
            f"or {HUB_VARIABLE}=https://... {again}",
        ) from error
    except Exception as error:  # whatever the client's HTTP library calls it: it is the network's fault
        check_environment(error, credential.hub, None)
        raise FetchError(
            where=where,
            expected="an answer of the hub",
            found=describe_fault(error, settings.timeout_s),
            fix=f"{again}  # once the network is back",
        ) from error


@contextmanager
def _keep_redirects_secure(session: Any, hub: str) -> Iterator[None]:  # noqa: ANN401 - the library names no type
    """Refuse redirects that leave https: the client follows them by itself, each by a request of its own."""
    hooks = session.event_hooks
    session.event_hooks = {
        **hooks,
        "request": [*hooks["request"], lambda request: refuse_insecure(hub, str(request.url))],
    }
    try:
        yield
    finally:
        session.event_hooks = hooks


def _file_of(item: object) -> HubFile:
    lfs = getattr(item, "lfs", None)
    size_bytes = getattr(item, "size", None)
    if not isinstance(size_bytes, int):
        raise TypeError("a file without a size")
    return HubFile(size_bytes, Sha256(lfs.sha256) if lfs is not None else None)


def _refusal(where: str, status: int, said: str, again: str, *, has_token: bool) -> FetchError:
    words = f"; it says: {said}" if said else ""
    if status in {401, 403, 404}:
        found = f"HTTP {status}: it does not exist, or it is not public"
        fix = f"compare OWNER/NAME with the hub's page; for a gated model: {HUB_TOKEN_VARIABLE}=... {again}"
        if has_token:
            found += ", nor for this token"
            fix = f"compare OWNER/NAME with the hub's page, and ask there for access; then {again}"
        return FetchError(where=where, expected="a repository that can be read", found=found + words, fix=fix)
    return FetchError(
        where=where, expected="an answer of the hub", found=f"HTTP {status}{words}", fix=f"{again}  # later"
    )
