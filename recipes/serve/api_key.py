"""The key that a client of the server must show: where it comes from, and what is wrong with it.

It never stands on a command line, where every user of the machine can read it, and in no message.
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
OTHERS = 0o077  # rights of everybody but the owner


def read_api_key(path: Path | None, environ: Mapping[str, str] = os.environ) -> str | None:
    """Give the key: of a file where one is named, else of the environment; None where there is none.

    Raises
    ------
    ApiKeyError
        Where it cannot be read, is open to others, or is no key.
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
            expected="a file with a key in it",
            found=getattr(error, "strerror", None) or "no text",
            fix=f"(umask 077; {MAKE} > {path})",
        ) from error
    if others:
        raise ApiKeyError(
            where=where,
            expected="a file that is its owner's alone",
            found="others have rights to it",
            fix=f"chmod 600 {path}",
        )
    return parse_api_key(text.removesuffix("\n").removesuffix("\r"), where)


def parse_api_key(text: str, where: str) -> str:
    """Demand that a text is a key. Pure.

    Raises
    ------
    ApiKeyError
        Where it is not; the text is not shown.
    """
    if KEY.fullmatch(text):
        return text
    raise ApiKeyError(
        where=where,
        expected=f"one line of {SHORTEST} to 512 letters, digits and signs of ASCII; no space, no comma",
        found=f"{len(text)} characters"
        + ("" if len(text) < SHORTEST else ", of which some cannot be in a key"),
        fix=f"make one: {MAKE}",
    )


def demand_api_key(host: str) -> ApiKeyError:
    """Give the refusal to listen where others reach the server, and anybody may ask."""
    return ApiKeyError(
        where=f"--host {host}",
        expected=f"a key, since other machines reach that address: in {KEY_VARIABLE}, or --api-key-file FILE",
        found="none",
        fix=f"export {KEY_VARIABLE}=$({MAKE})",
    )
