"""What the user's environment asks for: the store's place, the package index, mirrors, offline, policy.

Every variable is optional. A value that cannot be meant is refused by name, never guessed at.
"""

from __future__ import annotations

import math
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.errors import UsageError
from recipes.core.filesystem import STORE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

INDEX_VARIABLE = "PINNED_LLAMA_INDEX_URL"
MIRROR_VARIABLE = "PINNED_LLAMA_MIRROR"
OFFLINE_VARIABLE = "PINNED_LLAMA_OFFLINE"
POLICY_VARIABLE = "PINNED_LLAMA_POLICY"
TIMEOUT_VARIABLE = "PINNED_LLAMA_TIMEOUT_S"
HUB_VARIABLE = "PINNED_LLAMA_HUB_URL"
HUB_ENDPOINT_VARIABLE = "HF_ENDPOINT"  # the hub's own client's
HUB_TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105 - its name, not its value; as above
PIP_INDEX_VARIABLE = "PIP_INDEX_URL"
PIP_CONFIG_VARIABLE = "PIP_CONFIG_FILE"
PIP_CERT_VARIABLE = "PIP_CERT"

REFUSE_KNOWN_ISSUES = "refuse-known-issues"
POLICIES = (REFUSE_KNOWN_ISSUES,)
TIMEOUT_S = 30.0
# later beats earlier, as pip lets the section of a command beat the one of all commands
PIP_SECTIONS = ("global", "install")
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
    store
        The store's folder; absolute.
    index_url
        The package index's simple endpoint; None is the client library's own default.
    mirrors
        Base addresses without a slash at the end: a blob lies at `<base>/<digits of its SHA-256>`, so that
        any static server of a store's `blobs/sha256` is a mirror.
    offline
        Never use the network.
    policy
        Which of POLICIES hold.
    timeout_s
        How long a server may be silent, in seconds.
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
    """

    store: Path
    index_url: str | None = None
    mirrors: tuple[str, ...] = ()
    offline: bool = False
    policy: frozenset[str] = frozenset()
    timeout_s: float = TIMEOUT_S
    network: tuple[tuple[str, str], ...] = ()
    certificates: str | None = None
    hub_url: str | None = None
    hub_token: str | None = field(default=None, repr=False)
    hub_cache: Path | None = None


def read_settings() -> Settings:
    """Read the environment, and pip's configuration for the package index that this machine uses.

    Raises
    ------
    UsageError
        Where a variable or a file of pip's cannot be meant so.
    """
    import platformdirs

    named = any(os.environ.get(name, "").strip() for name in (INDEX_VARIABLE, PIP_INDEX_VARIABLE))
    files = () if named else pip_config_files(os.environ, sys.platform, Path(sys.prefix))
    return parse_settings(
        os.environ,
        default_store=platformdirs.user_cache_path("pinned-llama", appauthor=False),
        pip_index_url=pip_index_url(files),
        pip_certificates=pip_certificates(files),
    )


def parse_settings(
    environ: Mapping[str, str],
    *,
    default_store: Path,
    pip_index_url: str | None = None,
    pip_certificates: str | None = None,
) -> Settings:
    """Make settings of an environment. Pure.

    Parameters
    ----------
    environ
        Variables by name.
    default_store
        Where the store is if no variable moves it.
    pip_index_url
        The index that pip's configuration files name, for where no variable does.
    pip_certificates
        The certificates that they name, likewise.

    Raises
    ------
    UsageError
        Naming the variable, and what it may hold.
    """
    return Settings(
        store=_store(environ.get(STORE_VARIABLE, ""), default_store),
        index_url=_index_url(environ) or pip_index_url,
        mirrors=tuple(
            _address(f"the variable {MIRROR_VARIABLE}", word).rstrip("/")
            for word in environ.get(MIRROR_VARIABLE, "").split()
        ),
        offline=_switch(OFFLINE_VARIABLE, environ.get(OFFLINE_VARIABLE, "")),
        policy=_policy(environ.get(POLICY_VARIABLE, "")),
        timeout_s=_seconds(TIMEOUT_VARIABLE, environ.get(TIMEOUT_VARIABLE, "")),
        network=tuple((name, environ[name]) for name in NETWORK_VARIABLES if name in environ),
        certificates=_certificates(f"the variable {PIP_CERT_VARIABLE}", environ.get(PIP_CERT_VARIABLE, ""))
        or pip_certificates,
        hub_url=_hub_url(environ),
        hub_token=_token(environ.get(HUB_TOKEN_VARIABLE, "")),
        hub_cache=_hub_cache(environ),
    )


def pip_config_files(environ: Mapping[str, str], system: str, prefix: Path) -> tuple[Path, ...]:
    """Where pip looks for its configuration, the weakest file first (pip's documentation, "Configuration").

    Parameters
    ----------
    environ
        Variables by name.
    system
        As `sys.platform` says it.
    prefix
        The Python environment's folder, as `sys.prefix` says it.
    """
    named = environ.get(PIP_CONFIG_VARIABLE, "")
    if named == os.devnull:
        return ()
    home = Path(environ.get("HOME") or Path.home())
    user_config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    if system == "darwin":
        library = Path("Library/Application Support/pip/pip.conf")
        machine = [Path("/") / library]
        own = home / library if (home / library).parent.is_dir() else home / ".config/pip/pip.conf"
    else:
        machine = [Path(folder, "pip/pip.conf") for folder in _folders(environ.get("XDG_CONFIG_DIRS"))]
        machine.append(Path("/etc/pip.conf"))
        own = user_config / "pip/pip.conf"
    user = () if named and Path(named).exists() else (home / ".pip/pip.conf", own)
    return (*machine, *user, prefix / "pip.conf", *((Path(named),) if named else ()))


def pip_index_url(files: Iterable[Path]) -> str | None:
    """Give the `index-url` of pip's configuration files.

    Parameters
    ----------
    files
        The weakest first; those that do not exist count for nothing.

    Raises
    ------
    UsageError
        Where a file cannot be read as pip reads it, or its value is no address.
    """
    found = _pip_value(files, "index-url")
    return _address(*found) if found else None


def pip_certificates(files: Iterable[Path]) -> str | None:
    """Give the `cert` of pip's configuration files: what a company's proxy is believed by.

    Parameters
    ----------
    files
        The weakest first; those that do not exist count for nothing.

    Raises
    ------
    UsageError
        Where a file cannot be read as pip reads it, or names what does not exist.
    """
    found = _pip_value(files, "cert")
    return _certificates(*found) if found else None


def _folders(value: str | None) -> list[str]:
    return [folder for folder in (value or "/etc/xdg").split(os.pathsep) if folder]


def _index_url(environ: Mapping[str, str]) -> str | None:
    for name in (INDEX_VARIABLE, PIP_INDEX_VARIABLE):
        if value := environ.get(name, "").strip():
            return _address(f"the variable {name}", value)
    return None


def _hub_url(environ: Mapping[str, str]) -> str | None:
    for name in (HUB_VARIABLE, HUB_ENDPOINT_VARIABLE):
        if value := environ.get(name, "").strip():
            return _address(f"the variable {name}", value).rstrip("/")
    return None


def _hub_cache(environ: Mapping[str, str]) -> Path | None:
    """Say where the hub's client keeps its downloads (its documentation, "Environment variables")."""
    if value := environ.get("HF_HUB_CACHE"):
        return Path(value).expanduser()
    if value := environ.get("HF_HOME"):
        return Path(value).expanduser() / "hub"
    if value := environ.get("XDG_CACHE_HOME"):
        return Path(value) / "huggingface" / "hub"
    return Path(environ["HOME"]) / ".cache" / "huggingface" / "hub" if environ.get("HOME") else None


def _token(value: str) -> str | None:
    token = value.strip()
    # what a header can carry, so that no library complains of it by its value
    if re.fullmatch(r"[!-~]*", token):
        return token or None
    raise UsageError(
        where=f"the variable {HUB_TOKEN_VARIABLE}",
        expected="a token of the hub: letters, digits and signs, without a space",
        found="something else, which is not shown",
        fix="copy the token again, or unset the variable",
    )


def _pip_value(files: Iterable[Path], key: str) -> tuple[str, str] | None:
    """Give where pip's files say something of a key, and what; the strongest of them."""
    found: dict[str, tuple[Path, str]] = {}
    for path in files:
        for section, value in _pip_values(path, key).items():
            found[section] = (path, value)
    for section in reversed(PIP_SECTIONS):
        if section in found:
            path, value = found[section]
            return f"{path}, {key} in [{section}]", value
    return None


def _certificates(where: str, value: str) -> str | None:
    if not value or Path(value).expanduser().exists():
        return str(Path(value).expanduser()) if value else None
    raise UsageError(
        where=where,
        expected="a file or folder of certificates",
        found=f"{value!r}, which does not exist",
        fix="write the path of the file that your network's administrator names, or unset it",
    )


def _pip_values(path: Path, key: str) -> dict[str, str]:
    """Give what one of pip's files says of a key, by section; nothing where there is no file."""
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise UsageError(
            where=str(path),
            expected="a configuration file of pip that can be read, to know which package index to use",
            found=str(error),
            fix=f"mend the file, or set {INDEX_VARIABLE} to the index's address: then it is not read",
        ) from error
    values = {section: parser.get(section, key, fallback="").strip() for section in PIP_SECTIONS}
    return {section: value for section, value in values.items() if value}


def _store(value: str, default: Path) -> Path:
    if not value:
        return default
    path = Path(value).expanduser()
    if not path.is_absolute():
        raise UsageError(
            where=f"the variable {STORE_VARIABLE}",
            expected="an absolute path",
            found=repr(value),
            fix=f"set {STORE_VARIABLE}={Path.cwd() / value}",
        )
    return path


def _address(where: str, value: str) -> str:
    if re.fullmatch(r"https?://[^\s/]\S*", value):
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
    raise UsageError(
        where=f"the variable {name}",
        expected="1 for yes; 0 or nothing for no",
        found=repr(value),
        fix=f"set {name}=1, or unset it",
    )


def _policy(value: str) -> frozenset[str]:
    names = [name.strip() for name in value.split(",") if name.strip()]
    for name in names:
        if name not in POLICIES:
            raise UsageError(
                where=f"the variable {POLICY_VARIABLE}",
                expected=f"names out of: {', '.join(POLICIES)}",
                found=repr(name),
                fix=f"set {POLICY_VARIABLE}={POLICIES[0]}, or unset it",
            )
    return frozenset(names)


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value) if value else TIMEOUT_S
    except ValueError:
        seconds = math.nan
    if seconds > 0 and math.isfinite(seconds):
        return seconds
    raise UsageError(
        where=f"the variable {name}",
        expected="seconds, more than 0",
        found=repr(value),
        fix=f"set {name}={TIMEOUT_S:g}, or unset it",
    )
