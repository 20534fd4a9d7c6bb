"""Starts a confined program: `python -m recipes.core.confinement.start WAY REQUEST`. Run by recipes/core/sandbox.py."""

from __future__ import annotations

import sys

from recipes.core.confinement.landlock import become_confined
from recipes.core.confinement.namespaces import FAILED, run_confined, say
from recipes.core.confinement.request import decode


def main(way: str, text: str) -> int:
    """Run what a request names, in one of the ways; return FAILED where the kernel refuses that way."""
    try:
        if way == "landlock":
            become_confined(decode(text))
        run_confined(decode(text), maps_user=way == "user-namespaces")
    except OSError as error:
        say(error)
    return FAILED


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
