"""Logins that the user has already: docker's config.json, and the helpers that it names.

The format is that of docker's documentation, "docker login": `auths`, `credHelpers` and `credsStore`; a helper is the
program docker-credential-NAME, asked by `get` with the registry's host on its standard input.
"""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.core.errors import UsageError
from recipes.core.process import Command, capture
from recipes.registry.untrusted import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_VARIABLE = "DOCKER_CONFIG"
HELPER_TIMEOUT_S = 60.0  # it may ask a person to unlock a keychain
TOKEN_USER = "<token>"  # noqa: S105 - how helpers say that the secret is an identity token
NOT_FOUND = "credentials not found"


@dataclass(frozen=True)
class StoredLogin:
    """A login for one host: name and password, or an identity token; `source` is where it was found."""

    source: str
    user: str = ""
    secret: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of a header for it."""
        return f"Basic {base64.b64encode(f'{self.user}:{self.secret}'.encode()).decode()}"


def config_path(environ: Mapping[str, str]) -> Path:
    """Return where docker's configuration lies, or would."""
    folder = environ.get(CONFIG_VARIABLE)
    return (Path(folder) if folder else Path(environ.get("HOME") or "/") / ".docker") / "config.json"


def find_login(host: str, environ: Mapping[str, str] = os.environ) -> StoredLogin | None:
    """Return the user's login for a registry's host, or None where there is none.

    Raises UsageError, naming the file or the helper, where one cannot be read or fails.
    """
    path = config_path(environ)
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _wrong(path, os.strerror(error.errno or 0).lower()) from error
    try:
        config = decode(data, dict[str, Any])
    except ValueError as error:
        raise _wrong(path, f"no JSON of an object: {error}") from error
    helper = _text(_table(config, "credHelpers", path).get(host)) or _text(config.get("credsStore"))
    if helper and (login := _ask_helper(helper, host, path, environ)):
        return login
    return _login_of_file(_table(config, "auths", path), host, path)


def _login_of_file(auths: Mapping[str, Any], host: str, path: Path) -> StoredLogin | None:
    # docker also writes addresses; https://HOST/v1/ is an old one
    for name in (host, f"https://{host}", f"https://{host}/v2/", f"https://{host}/v1/", f"http://{host}"):
        entry = auths.get(name)
        if not isinstance(entry, dict) or not entry:
            continue
        source = f"{path}, auths: {name}"
        user, secret = _text(entry.get("username")), _text(entry.get("password"))
        if auth := _text(entry.get("auth")):
            try:
                user, separator, secret = base64.b64decode(auth, validate=True).decode().partition(":")
            except ValueError as error:
                raise _wrong(path, f"auths: {name}: `auth` is not base64 of NAME:PASSWORD") from error
            if not separator:
                raise _wrong(path, f"auths: {name}: `auth` is not base64 of NAME:PASSWORD")
        token = _text(entry.get("identitytoken"))
        if user or token:
            return StoredLogin(source, user, secret.rstrip("\0"), token)
    return None


def _ask_helper(name: str, host: str, path: Path, environ: Mapping[str, str]) -> StoredLogin | None:
    program = f"docker-credential-{name}"
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise _wrong(path, f"{name!r}, which is no name of a helper")
    fix = f"install {program}, or take its name out of {path}"
    try:
        done = capture(Command((program, "get"), Path.cwd(), environ), HELPER_TIMEOUT_S, host)
    except (OSError, TimeoutError) as error:
        found = str(error) if isinstance(error, TimeoutError) else os.strerror(error.errno or 0).lower()
        raise UsageError(where=program, expected="a helper that answers", found=found, fix=fix) from error
    if done.status != 0:
        if NOT_FOUND in done.out + done.err:
            return None
        # what it printed may hold a secret
        found = f"exit status {done.status}"
        raise UsageError(where=f"{program} get", expected=f"a login for {host}", found=found, fix=fix)
    try:
        answer = decode(done.out.encode(), dict[str, Any])
        user, secret = _text(answer["Username"]), _text(answer["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        found = "an answer that is no JSON with Username and Secret"
        raise UsageError(
            where=f"{program} get", expected=f"a login for {host}", found=found, fix=fix
        ) from error
    if user == TOKEN_USER:
        return StoredLogin(program, identity_token=secret)
    return StoredLogin(program, user, secret)


def _table(config: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    table = config.get(name, {})
    if not isinstance(table, dict):
        raise _wrong(path, f"`{name}` is no object")
    return table


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _wrong(path: Path, found: str) -> UsageError:
    return UsageError(
        where=str(path),
        expected="docker's configuration, as `docker login` writes it",
        found=found,
        fix=f"correct the file, or set {CONFIG_VARIABLE} to another folder",
    )
