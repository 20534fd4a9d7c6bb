from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.core.settings import DEBIAN_VARIABLE, parse_settings
from recipes.fetch.debian_archives import archives, candidates
from recipes.fetch.http.network_errors import OriginError

if TYPE_CHECKING:
    from pathlib import Path

POOL = "pool/main/g/glibc/libc6_2.36-9+deb12u14_amd64.deb"
TAIL = "pool/main/g/glibc/libc6_2.36-9%2Bdeb12u14_amd64.deb"


def places(store: Path, **environ: str) -> list[object]:
    return [each.address for each in candidates(POOL, archives(parse_settings(environ, default_store=store)))]


def apt(folder: Path, script: str) -> None:
    program = folder / "apt-get"
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)


def test_the_archive_that_the_user_names_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    apt(tmp_path, "echo http://apt.example/debian/")
    named = places(tmp_path, **{DEBIAN_VARIABLE: "https://archive.example/debian/"})
    assert named == [f"https://archive.example/debian/{TAIL}"]


def test_else_it_is_each_archive_of_apt_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    uris = (
        "http://a.example/debian/",
        "http://a.example/debian/",
        "cdrom://disc/",
        "https://b.example/debian",
    )
    apt(tmp_path, "\n".join(f"echo {uri}" for uri in uris))
    assert places(tmp_path) == [f"http://a.example/debian/{TAIL}", f"https://b.example/debian/{TAIL}"]


@pytest.mark.parametrize("script", [None, "exit 100", "echo file:/srv/debian"])
def test_where_none_is_known_the_variable_is_named(
    script: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if script:
        apt(tmp_path, script)
    (only,) = candidates(POOL, archives(parse_settings({}, default_store=tmp_path)))
    with pytest.raises(OriginError) as caught:
        only.route()
    assert DEBIAN_VARIABLE in str(caught.value.advice)
