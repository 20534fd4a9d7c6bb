"""Fetches the wheels whose word our SDK is compared with: by pip, by hash, once, into the user's cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.support import paths

PROJECT = paths.PROJECT
LOCKS = tuple(sorted((PROJECT / "manifests" / "python").glob("authorities*.lock")))
PLATFORMS = ("macosx_13_0_arm64", "macosx_11_0_arm64", "macosx_10_9_universal2")


def fetch_authorities() -> Path:
    """Return a folder with each pinned wheel unpacked into a folder of its project's name and version."""
    key = hashlib.sha256(b"".join(lock.read_bytes() for lock in LOCKS)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pinned-llama"
    folder = cache / "authorities" / key
    complete = folder / "complete"
    if not complete.exists():
        wheels = folder / "wheels"
        wheels.mkdir(parents=True, exist_ok=True)
        platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
        for lock in LOCKS:
            subprocess.run(
                [
                    *(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"),
                    *("--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", str(lock)),
                    *(
                        "--implementation",
                        "cp",
                        "--python-version",
                        "3.11",
                        "--abi",
                        "cp311",
                        "--abi",
                        "abi3",
                    ),
                    *(*platforms, "--dest", str(wheels)),
                ],
                check=True,
            )
        for wheel in sorted(wheels.glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder / "-".join(wheel.name.split("-")[:2]))
        complete.touch()
    return folder
