"""Reads what `--version` of a llama.cpp program prints. Pure."""

from __future__ import annotations

import re

# `version: 7827 (16639ba2)`, and since 2026 `version: 0.1.0-dev (build 10454, commit 4df29be4)`:
# llama_print_build_info in common/build-info.cpp.in
VERSION_LINE = re.compile(
    r"^version: (?:(?P<old>\d+ \([0-9a-f]+\))|\S+ \(build (?P<build>\d+), commit (?P<commit>[0-9a-f]+)\))$",
    re.MULTILINE,
)


def read_version(text: str) -> str | None:
    """Return build number and commit as `BUILD (COMMIT)`, or None where no line says them."""
    found = VERSION_LINE.search(text)
    if found is None:
        return None
    return found["old"] or f"{found['build']} ({found['commit']})"
