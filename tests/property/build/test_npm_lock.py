"""Whatever a lock holds: each package comes out with its digest, or the lock is refused by name."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.build.webpage.npm_lock import Package, parse_npm_lock
from recipes.core.errors import VerifyError

NAMES = st.text("abcdefghij-@/.", min_size=1, max_size=20).map(lambda name: f"node_modules/{name}")
DIGESTS = st.binary(min_size=64, max_size=64)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def lock_of(packages: dict[str, Any], version: object = 3) -> bytes:
    return json.dumps({"lockfileVersion": version, "packages": {"": {"name": "top"}, **packages}}).encode()


def integrity(digest: bytes) -> str:
    return "sha512-" + base64.b64encode(digest).decode()


@given(st.dictionaries(NAMES, DIGESTS, max_size=5))
def test_every_package_comes_out_with_its_digest(wanted: dict[str, bytes]) -> None:
    data = lock_of(
        {name: {"version": "1", "integrity": integrity(digest)} for name, digest in wanted.items()}
    )
    assert parse_npm_lock(data, "here") == tuple(Package(n, "1", d.hex()) for n, d in wanted.items())


@given(st.dictionaries(NAMES, DIGESTS, min_size=1, max_size=4), st.data())
def test_one_package_without_a_whole_digest_refuses_the_lock(
    wanted: dict[str, bytes], data: st.DataObject
) -> None:
    bad = data.draw(st.sampled_from(sorted(wanted)))
    broken = data.draw(
        st.none()
        | st.sampled_from(["sha1-AAAA", "sha512-", "sha512-!!!!", integrity(bytes(63)), integrity(bytes(65))])
        | st.integers()
    )
    packages = {name: {"version": "1", "integrity": integrity(digest)} for name, digest in wanted.items()}
    packages[bad] = {"version": "1"} if broken is None else {"version": "1", "integrity": broken}  # type: ignore[dict-item]
    with pytest.raises(VerifyError) as caught:
        parse_npm_lock(lock_of(packages), "here")
    assert caught.value.where == f"here: {bad}"


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_anything_else_is_refused_and_never_a_crash(data: bytes) -> None:
    with pytest.raises(VerifyError):
        parse_npm_lock(data, "here")


@given(JSON)
def test_odd_packages_are_refused_and_never_a_crash(value: object) -> None:
    data = json.dumps({"lockfileVersion": 3, "packages": value}).encode()
    try:
        parse_npm_lock(data, "here")
    except VerifyError:
        return
    assert value in ({}, {"": value[""]} if isinstance(value, dict) and "" in value else {})


@pytest.mark.parametrize("version", [1, 2, 4, "3", None])
def test_another_version_of_the_format_is_refused(version: object) -> None:
    with pytest.raises(VerifyError, match="lockfileVersion"):
        parse_npm_lock(lock_of({}, version), "here")
