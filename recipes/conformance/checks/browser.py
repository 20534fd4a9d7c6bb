"""Where the system's Chromium is, for the check of the web page."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

BROWSER_VARIABLE = "PINNED_LLAMA_BROWSER"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_BROWSERS = ("Google Chrome", "Chromium")
INSTALL = (
    "install one (Debian: apt-get install chromium; macOS: brew install --cask chromium), "
    f"or name it in {BROWSER_VARIABLE}"
)


def find_browser(environ: Mapping[str, str] = os.environ, system: str = sys.platform) -> Path | None:
    """Find a Chromium that is installed, or None; PINNED_LLAMA_BROWSER names one, and beats all others.

    A UsageError is raised where the variable names what is no program.
    """
    search = environ.get("PATH", "")
    named = environ.get(BROWSER_VARIABLE, "").strip()
    if named:
        found = shutil.which(named, path=search)
        if found:
            return Path(found)
        raise UsageError(
            where=f"the variable {BROWSER_VARIABLE}",
            expected="a program: a Chromium or Chrome",
            found=named,
            fix=f"export {BROWSER_VARIABLE}=/usr/bin/chromium",
        )
    names = list(BROWSERS)
    if system == "darwin":
        names += [
            f"{root}/Applications/{name}.app/Contents/MacOS/{name}"
            for name in MAC_BROWSERS
            for root in ("", environ.get("HOME", ""))
        ]
    places = (shutil.which(name, path=search) for name in names)
    return next((Path(place) for place in places if place), None)
