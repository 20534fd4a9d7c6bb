"""Every pin lies in manifests/: no digest stands in code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.support.paths import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-f]{40}|[0-9a-f]{64})(?![0-9A-Za-z])")


def digests_in(folder: Path) -> list[str]:
    """Name each file below a folder that holds a SHA-1 or a SHA-256 in digits."""
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".pyc" and DIGEST.search(path.read_text("utf-8", "replace"))
    ]


def test_no_pin_stands_in_code() -> None:
    assert digests_in(PROJECT / "recipes") == []


def test_a_pin_in_a_sub_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "pins.py").write_text(f'COMMIT = "{"0a" * 20}"\n')
    (tmp_path / "a" / "b" / "data.txt").write_text(f"sha256:{'0a' * 32} and more")
    (tmp_path / "a" / "none.py").write_text(f'NOT = "{"0a" * 21}"\n')
    assert digests_in(tmp_path) == ["a/b/data.txt", "a/b/pins.py"]
