"""What the user's environment asks for: the store's place, the package index, mirrors, offline, policy.

Every variable is optional. An invalid value is rejected; the error names the variable.
"""

from __future__ import annotations

import math
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from recipes.core.errors import UsageError
from recipes.core.filesystem import STORE_VARIABLE
from recipes.core.pip_config import INDEX_VARIABLE, pip_config_files, pip_value

if TYPE_CHECKING:
    from collections.abc import Mapping

MIRROR_VARIABLE = "PINNED_LLAMA_MIRROR"
OFFLINE_VARIABLE = "PINNED_LLAMA_OFFLINE"
POLICY_VARIABLE = "PINNED_LLAMA_POLICY"
PERMIT_VARIABLE = "PINNED_LLAMA_PERMIT"
CACHES_VARIABLE = "PINNED_LLAMA_CACHES"
CACHE_POLICY_VARIABLE = "PINNED_LLAMA_CACHE_POLICY"
TIMEOUT_VARIABLE = "PINNED_LLAMA_TIMEOUT_S"
HUB_VARIABLE = "PINNED_LLAMA_HUB_URL"
DEBIAN_VARIABLE = "PINNED_LLAMA_DEBIAN_URL"
HUB_ENDPOINT_VARIABLE = "HF_ENDPOINT"  # the hub's own client's
HUB_TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105 - its name, not its value; as above
PIP_INDEX_VARIABLE = "PIP_INDEX_URL"
PIP_CERT_VARIABLE = "PIP_CERT"

REFUSE_KNOWN_ISSUES = "refuse-known-issues"
REQUIRE_ISOLATION = "require-isolation"
POLICIES = (REFUSE_KNOWN_ISSUES, REQUIRE_ISOLATION)
TIMEOUT_S = 30.0
# what a program that reaches the network on its own (git) must inherit to find its way through a proxy
NETWORK_VARIABLES = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"),
)


@dataclass(frozen=True)
class Settings:
    """What holds for one command.

    Parameters
    ----------
    index_url
        The package index's simple endpoint; None is the client library's own default.
    mirrors
        Base addresses without a slash at the end: a blob lies at `<base>/<digits of its SHA-256>`, so that
        any static server of a store's `blobs/sha256` is a mirror.
    permit
        Findings of manifests/advisories that a recipe may have though they are grave.
    caches
        Repositories of registries that are asked for what would be built, in order; None is those of the defaults.
    cache_policy
        The file of the policy by which a bundle that nothing pins is taken from a cache; None is that of the defaults.
    timeout_s
        How long a server may be silent.
    network
        The variables of NETWORK_VARIABLES that are set.
    certificates
        A file or folder of certificates that the user trusts besides those of the operating system.
    hub_url
        The model hub, or a mirror that answers like it, without a slash at the end; None is each model's own.
    hub_token
        What the hub knows the user by. Never shown; `recipes.fetch.http.hub_token` decides who gets it.
    hub_cache
        Where the hub's own client keeps its downloads, which need not exist.
    debian_url
        The archive of Debian's packages that container images take from; None is what apt is configured with.
    """

    store: Path
    index_url: str | None = None
    mirrors: tuple[str, ...] = ()
    offline: bool = False
    caches: tuple[str, ...] | None = None
    cache_policy: Path | None = None
    policy: frozenset[str] = frozenset()
    permit: frozenset[str] = frozenset()
    timeout_s: float = TIMEOUT_S
    network: tuple[tuple[str, str], ...] = ()
    certificates: str | None = None
    hub_url: str | None = None
    hub_token: str | None = field(default=None, repr=False)
    hub_cache: Path | None = None
    debian_url: str | None = None


def read_settings() -> Settings:
    """Read the environment, and pip's configuration for the package index that this machine uses.

    Raises UsageError that names the variable, or the value in a file of pip's, that is not valid.
    """
    import platformdirs

    named = any(os.environ.get(name, "").strip() for name in (INDEX_VARIABLE, PIP_INDEX_VARIABLE))
    files = () if named else pip_config_files(os.environ, sys.platform, Path(sys.prefix))
    return parse_settings(
        os.environ,
        default_store=platformdirs.user_cache_path("pinned-llama", appauthor=False),
        pip_index_url=pip_value(files, "index-url"),
        pip_certificates=pip_value(files, "cert"),
    )


def parse_settings(
    environ: Mapping[str, str],
    *,
    default_store: Path,
    pip_index_url: tuple[str, str] | None = None,
    pip_certificates: tuple[str, str] | None = None,
) -> Settings:
    """Make settings of an environment; where no variable says otherwise, of the default store and of pip's files.

    Raises UsageError, naming the variable and what it may hold.
    """
    index_url = _first(environ, INDEX_VARIABLE, PIP_INDEX_VARIABLE) or pip_index_url
    certificates = _first(environ, PIP_CERT_VARIABLE) or pip_certificates
    hub_url = _first(environ, HUB_VARIABLE, HUB_ENDPOINT_VARIABLE)
    debian_url = _first(environ, DEBIAN_VARIABLE)
    return Settings(
        store=_store(environ, default_store),
        index_url=_address(*index_url) if index_url else None,
        mirrors=tuple(
            _address(f"the variable {MIRROR_VARIABLE}", word).rstrip("/")
            for word in environ.get(MIRROR_VARIABLE, "").split()
        ),
        offline=_switch(OFFLINE_VARIABLE, environ.get(OFFLINE_VARIABLE, "")),
        caches=tuple(environ[CACHES_VARIABLE].split()) if CACHES_VARIABLE in environ else None,
        cache_policy=_policy_file(environ),
        policy=_policy(environ.get(POLICY_VARIABLE, "")),
        permit=frozenset(split_names(environ.get(PERMIT_VARIABLE, ""))),
        timeout_s=_seconds(TIMEOUT_VARIABLE, environ.get(TIMEOUT_VARIABLE, "")),
        network=tuple((name, environ[name]) for name in NETWORK_VARIABLES if name in environ),
        certificates=_certificates(*certificates) if certificates else None,
        hub_url=_address(*hub_url).rstrip("/") if hub_url else None,
        hub_token=_token(environ.get(HUB_TOKEN_VARIABLE, "")),
        hub_cache=_hub_cache(environ),
        debian_url=_address(*debian_url).rstrip("/") if debian_url else None,
    )


def _first(environ: Mapping[str, str], *names: str) -> tuple[str, str] | None:
    """Return the first of some variables that is set: what errors call it, and its value."""
    found = ((name, environ.get(name, "").strip()) for name in names)
    return next(((f"the variable {name}", value) for name, value in found if value), None)


def _hub_cache(environ: Mapping[str, str]) -> Path | None:
    """Return where the hub's client keeps its downloads (its documentation, "Environment variables")."""
    for name, below in (("HF_HUB_CACHE", ""), ("HF_HOME", "hub"), ("XDG_CACHE_HOME", "huggingface/hub")):
        if value := environ.get(name):
            return _expanded(f"the variable {name}", value) / below
    return Path(environ["HOME"]) / ".cache" / "huggingface" / "hub" if environ.get("HOME") else None


def _policy_file(environ: Mapping[str, str]) -> Path | None:
    value = environ.get(CACHE_POLICY_VARIABLE, "")
    return _expanded(f"the variable {CACHE_POLICY_VARIABLE}", value) if value else None


def _token(value: str) -> str | None:
    token = value.strip()
    # what a header can carry, so that no library complains of it by its value
    if re.fullmatch(r"[!-~]*", token):
        return token or None
    expected = "a token of the hub: letters, digits and signs, without a space"
    found, fix = "something else, which is not shown", "copy the token again, or unset the variable"
    raise _wrong(HUB_TOKEN_VARIABLE, expected, found, fix)


def _certificates(where: str, value: str) -> str:
    path = _expanded(where, value)
    if os.path.exists(path):  # noqa: PTH110 - Path.exists raises where a name is too long or a folder closed
        return str(path)
    raise UsageError(
        where=where,
        expected="a file or folder of certificates",
        found=f"{value!r}, which does not exist",
        fix="write the path of the file that your network's administrator names, or unset it",
    )


def _store(environ: Mapping[str, str], default: Path) -> Path:
    if value := environ.get(STORE_VARIABLE, ""):
        return _absolute(STORE_VARIABLE, value, _expanded(f"the variable {STORE_VARIABLE}", value))
    # what the default is made of; without either the system may not know the user
    name = next((each for each in ("XDG_CACHE_HOME", "HOME") if environ.get(each)), "HOME")
    value = environ.get(name, "")
    if value:
        _absolute(name, value, Path(value))
    return _absolute(name, value, default)


def _absolute(name: str, value: str, path: Path) -> Path:
    if path.is_absolute():
        return path
    fix = f"set {name}={Path.cwd() / value}" if value else f"set {STORE_VARIABLE} to an absolute path"
    raise _wrong(name, "an absolute path", repr(value), fix)


def _expanded(where: str, value: str) -> Path:
    """Return a path with its `~` replaced."""
    try:
        return Path(value).expanduser()
    except RuntimeError as error:  # a user that does not exist
        raise UsageError(
            where=where, expected="a path", found=f"{value!r}: {error}", fix="write the path in full"
        ) from error


def _address(where: str, value: str) -> str:
    with suppress(ValueError):  # of a host in brackets or a port that is none
        if re.fullmatch(r"https?://[^\s/]\S*", value) and (urlsplit(value).port or 1):
            return value
    raise UsageError(
        where=where,
        expected="a full http or https address",
        found=repr(re.sub(r"//[^/@\s]*@", "//***@", value)),  # an address can carry a password
        fix="write it as https://host/path, or unset it",
    )


def _switch(name: str, value: str) -> bool:
    if value in {"", "0", "1"}:
        return value == "1"
    raise _wrong(name, "1 for yes; 0 or nothing for no", repr(value), f"set {name}=1, or unset it")


def split_names(text: str) -> tuple[str, ...]:
    """Return the names of a list with commas, spaces or both between them."""
    return tuple(text.replace(",", " ").split())


def _policy(value: str) -> frozenset[str]:
    names = [name.strip() for name in value.split(",") if name.strip()]
    for name in names:
        if name not in POLICIES:
            expected = f"names out of: {', '.join(POLICIES)}"
            fix = f"set {POLICY_VARIABLE}={POLICIES[0]}, or unset it"
            raise _wrong(POLICY_VARIABLE, expected, repr(name), fix)
    return frozenset(names)


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value) if value else TIMEOUT_S
    except ValueError:
        seconds = math.nan
    if seconds > 0 and math.isfinite(seconds):
        return seconds
    raise _wrong(name, "seconds, more than 0", repr(value), f"set {name}={TIMEOUT_S:g}, or unset it")


def _wrong(name: str, expected: str, found: str, fix: str) -> UsageError:
    return UsageError(where=f"the variable {name}", expected=expected, found=found, fix=fix)
