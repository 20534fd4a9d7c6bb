from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.serve.container.debian import read_package
from tests.support.debian_packages import ar, data_tar, package

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"usr/lib/a.so": (b"library", 0o644), "bin/b": (b"program", 0o755), "usr/share/c": (b"other", 0o644)}
WANTED = ("usr/lib/a.so", "bin/b")


@pytest.mark.parametrize("compression", ["xz", ""])
def test_the_wanted_files_of_a_package_are_read(tmp_path: Path, compression: str) -> None:
    (tmp_path / "a.deb").write_bytes(package(FILES, compression))
    assert read_package(tmp_path / "a.deb", WANTED) == {
        "usr/lib/a.so": (b"library", False),
        "bin/b": (b"program", True),
    }


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "ar archive"),
        (b"!<arch>\n", "no data.tar"),
        (b"!<arch>\nodd", "damaged"),
        (package(FILES)[:-20], "cut short"),
        (ar({"data.tar.xz": data_tar(FILES)[:-30]}), "damaged"),
        (ar({"data.tar.xz": b"\xfd7zXZ\0 nothing of it"}), "damaged"),
        (package({"bin/b": FILES["bin/b"]}), "without the file usr/lib/a.so"),
    ],
)
def test_what_is_no_package_or_lacks_a_file_is_refused(tmp_path: Path, data: bytes, word: str) -> None:
    (tmp_path / "a.deb").write_bytes(data)
    with pytest.raises(ValueError, match=word):
        read_package(tmp_path / "a.deb", WANTED)
