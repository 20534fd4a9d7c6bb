"""Where this machine gets Debian's packages: from the archive that the user names, else from those that apt asks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from recipes.core.process import Command, run
from recipes.core.settings import DEBIAN_VARIABLE
from recipes.fetch.fetcher import Candidate
from recipes.fetch.http.network_errors import OriginError, shown_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from recipes.core.settings import Settings

APT = "apt-get"
ADVICE = (
    f"set {DEBIAN_VARIABLE} to the address of a Debian archive, or of one's snapshot where the version is old"
)


def archives(settings: Settings) -> tuple[str, ...]:
    """Return the addresses of the archives to ask, in order; none where nothing says which."""
    return (settings.debian_url,) if settings.debian_url else archives_of_apt()


def candidates(pool: str, bases: Iterable[str]) -> tuple[Candidate, ...]:
    """Return the places that may have a package, of which `pool` is the path below an archive's address.

    Where there is no archive, the only place raises an OriginError when it is asked.
    """
    found = (f"{base.rstrip('/')}/{quote(pool)}" for base in bases)
    return tuple(Candidate(shown_url(address), address) for address in found) or (
        Candidate(f"Debian's {pool}", _no_archive),
    )


def archives_of_apt() -> tuple[str, ...]:
    """Return the addresses of the archives that apt is configured with, each once, in its order; none without apt."""
    program = shutil.which(APT)
    if program is None:
        return ()
    lines: list[str] = []
    ask = Command((program, "indextargets", "--format", "$(REPO_URI)"), Path("/"), {"LC_ALL": "C"})
    run(ask, on_line=lines.append)
    return tuple(dict.fromkeys(line for line in lines if line.startswith(("http://", "https://"))))


def _no_archive() -> str:
    raise OriginError("no Debian archive is known here: apt is not configured", advice=ADVICE)
