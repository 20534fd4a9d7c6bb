"""What npm's cache holds is believed by its digest alone, and npm sees of the user what it needs and no more."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from recipes.build.webpage.npm_lock import Package
from recipes.build.webpage.npm_packages import CONTENT, _take, link_cache, npm_environment, packages_key
from recipes.core.digest import Sha256
from recipes.core.errors import VerifyError
from recipes.core.settings import read_settings


def place_of(data: bytes) -> Path:
    digest = hashlib.sha512(data).hexdigest()
    return CONTENT / digest[:2] / digest[2:4] / digest[4:]


def package(name: str, data: bytes) -> Package:
    return Package(f"node_modules/{name}", "1.0.0", hashlib.sha512(data).hexdigest())


def put(root: Path, place: Path, data: bytes) -> None:
    (root / place).parent.mkdir(parents=True)
    (root / place).write_bytes(data)


def test_only_what_the_lock_names_is_taken_and_what_is_for_other_machines_may_lack(tmp_path: Path) -> None:
    put(tmp_path / "npm", place_of(b"one"), b"one")
    put(tmp_path / "npm", place_of(b"stranger"), b"stranger")
    _take((package("one", b"one"), package("of-a-mac", b"two")), tmp_path / "npm", tmp_path / "entry", "here")
    files = [path for path in (tmp_path / "entry").rglob("*") if path.is_file()]
    assert files == [tmp_path / "entry" / place_of(b"one")]


def test_other_bytes_under_a_packages_digest_are_refused_and_not_met_again(tmp_path: Path) -> None:
    put(tmp_path / "npm", place_of(b"one"), b"evil")
    with pytest.raises(VerifyError) as caught:
        _take((package("one", b"one"),), tmp_path / "npm", tmp_path / "entry", "here")
    error = caught.value
    assert (error.where, error.expected, error.found) == (
        "here: node_modules/one",
        f"sha512:{hashlib.sha512(b'one').hexdigest()}",
        f"sha512:{hashlib.sha512(b'evil').hexdigest()} in npm's cache",
    )
    assert not (tmp_path / "npm" / place_of(b"one")).exists()
    assert not (tmp_path / "entry").exists()


def test_a_cache_for_npm_holds_the_packages_and_writes_beside_them_alone(tmp_path: Path) -> None:
    put(tmp_path / "entry", place_of(b"one"), b"one")
    link_cache(tmp_path / "entry", tmp_path / "cache")
    linked = tmp_path / "cache" / "_cacache" / place_of(b"one")
    assert linked.resolve() == tmp_path / "entry" / place_of(b"one")
    (linked.parent / "another").write_bytes(b"two")
    assert [path.name for path in (tmp_path / "entry" / place_of(b"one")).parent.iterdir()] == [linked.name]


def test_npm_sees_its_own_configuration_and_ours_and_nothing_else_of_the_user() -> None:
    proxy = {"https_proxy": "http://proxy.invalid"}
    settings = replace(read_settings(), network=tuple(proxy.items()), certificates="ca.pem")
    kept = {
        "HOME": "/home/u",
        "NPM_CONFIG_REGISTRY": "http://mirror.invalid",
        "npm_config_strict_ssl": "true",
    }
    hidden = {"NODE_OPTIONS": "--require evil", "SECRET": "x"}
    ours = {"PATH": "/node/bin:/usr/bin", "NODE_EXTRA_CA_CERTS": "ca.pem"}
    seen = npm_environment({**kept, **hidden, "PATH": "/usr/bin"}, Path("/node"), settings)
    assert seen == kept | proxy | ours


def test_packages_are_named_by_the_source_the_folder_and_node() -> None:
    source = Sha256("0" * 64)
    keys = {
        packages_key(source, "ui", "node-a"),
        packages_key(source, "ui", "node-b"),
        packages_key(source, "web", "node-a"),
        packages_key(Sha256("1" * 64), "ui", "node-a"),
    }
    assert len(keys) == 4
