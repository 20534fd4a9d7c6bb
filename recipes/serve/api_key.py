"""The API key that clients of the server must send: read from a file or the environment, and checked.

It is never on a command line, where every user of the machine can read it, and never in a message.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from recipes.core.errors import ApiKeyError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEY_VARIABLE = "PINNED_LLAMA_API_KEY"
SERVER_VARIABLE = "LLAMA_API_KEY"  # llama-server's own; a comma would separate several keys
SHORTEST = 16  # characters
KEY = re.compile(r"[!-+\--~]{16,512}")  # printable ASCII without space and comma
MAKE = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
OTHERS = 0o077  # permissions of all users but the owner


def read_api_key(path: Path | None, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the key from the file if one is named, else from the environment; None if there is none.

    An ApiKeyError is raised if other users can read the file, it cannot be read, or it holds no valid key.
    """
    if path is None:
        value = environ.get(KEY_VARIABLE, "")
        return parse_api_key(value, f"the variable {KEY_VARIABLE}") if value else None
    where = f"--api-key-file {path}"
    try:
        with path.open(encoding="utf-8") as file:
            others = os.fstat(file.fileno()).st_mode & OTHERS
            text = file.read(10_000)
    except (OSError, UnicodeDecodeError) as error:
        raise ApiKeyError(
            where=where,
            expected="a readable file with a key",
            found=getattr(error, "strerror", None) or "not UTF-8 text",
            fix=f"(umask 077; {MAKE} > {path})",
        ) from error
    if others:
        raise ApiKeyError(
            where=where,
            expected="a file that only its owner can read",
            found="other users have permissions on it",
            fix=f"chmod 600 {path}",
        )
    return parse_api_key(text.removesuffix("\n").removesuffix("\r"), where)


def parse_api_key(text: str, where: str) -> str:
    """Return a valid key. Pure. The ApiKeyError for any other text does not show it."""
    if KEY.fullmatch(text):
        return text
    raise ApiKeyError(
        where=where,
        expected=f"one line of {SHORTEST} to 512 printable ASCII characters, no space, no comma",
        found=f"{len(text)} characters" + (", some of them not allowed" if len(text) >= SHORTEST else ""),
        fix=f"make one: {MAKE}",
    )


def demand_api_key(host: str) -> ApiKeyError:
    """Return the refusal to listen without a key on an address that other machines reach."""
    return ApiKeyError(
        where=f"--host {host}",
        expected=f"an API key, because other machines reach that address: {KEY_VARIABLE} or --api-key-file FILE",
        found="none",
        fix=f"export {KEY_VARIABLE}=$({MAKE})",
    )
