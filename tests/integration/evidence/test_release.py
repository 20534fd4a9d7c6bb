"""The story of one release: built, attested and packed by one; verified, challenged and doubted by another.

Through a registry: tests/integration/registry/test_release_story.py.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from recipes.build.evidence_files import PROVENANCE, evidence_of_archive
from recipes.core.errors import EvidenceError, OutputError
from recipes.fetch.archives.pack import pack
from recipes.fetch.archives.unpack import unpack
from tests.support.people import Person, make_maintainer, make_release, release_key
from tests.support.release import POLICY, key_digits, write_checksum


@pytest.fixture(scope="module")
def maintainer(tmp_path_factory: pytest.TempPathFactory, shared_store: Path) -> Person:
    return make_maintainer(tmp_path_factory.mktemp("maintainer"), shared_store, 16)


@pytest.fixture(scope="module")
def published(maintainer: Person, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that the maintainer publishes, with its documents, signed."""
    return make_release(maintainer, tmp_path_factory.mktemp("published"))


@pytest.fixture
def stranger(maintainer: Person, tmp_path: Path) -> Person:
    """Somebody else, with the downloads alone."""
    made = maintainer.elsewhere(tmp_path)
    blobs = Path("v1") / "blobs" / "sha256"
    (made.project.store / blobs).mkdir(parents=True, mode=0o700)
    for blob in (maintainer.project.store / blobs).iterdir():
        os.link(blob, made.project.store / blobs / blob.name)
    return made


@pytest.fixture
def downloaded(published: Path, tmp_path: Path) -> Path:
    """The stranger's copy of what was published."""
    shutil.copytree(published.parent, tmp_path / "downloads")
    return tmp_path / "downloads" / published.name


def policy(folder: Path, key: Path, rebuilder: Path) -> Path:
    path = folder / "policy.yaml"
    signer = f"[{{name: maintainer, key: {key_digits(key)}}}]"
    text = POLICY.replace("signers: []", f"signers: {signer}").replace("signatures: 0", "signatures: 1")
    rebuilders = f"[{{name: stranger, key: {key_digits(rebuilder)}}}]"
    path.write_text(f"{text}rebuilders: {{at_least: 1, of: {rebuilders}}}\n")
    return path


def test_a_stranger_verifies_and_challenges_a_release(
    maintainer: Person, stranger: Person, downloaded: Path
) -> None:
    key = release_key(maintainer)
    # verify: with nothing but the checkout, and with the maintainer's key
    alone = stranger.runs("verify", str(downloaded))
    assert alone.status == 0, alone.err
    known = stranger.runs("verify", str(downloaded), "--key", f"{key}.pub")
    assert known.status == 0, known.err
    # a policy that wants a second builder: nobody has built it again yet
    mine = stranger.home / "rebuilder.key"
    assert stranger.runs("attest", "--new-key", str(mine)).status == 0
    demand = str(policy(stranger.home, key, mine))
    early = stranger.runs("verify", str(downloaded), "--policy", demand)
    assert early.status == EvidenceError.exit_code
    assert "policy: rebuilders missing" in early.err
    # challenge: built again from the downloads, in a store of its own, and signed for
    challenged = stranger.runs("reproduce", "--against", str(downloaded), "--key", str(mine))
    assert challenged.status == 0, challenged.err
    assert "identical: fixture@linux-x86_64-cpu" in challenged.out
    late = stranger.runs("verify", str(downloaded), "--policy", demand)
    assert late.status == 0, late.err


def test_a_stranger_disagrees_with_a_release_that_holds_a_path(
    maintainer: Person, stranger: Person, downloaded: Path
) -> None:
    # the maintainer's machine put its own path into a program: what is published is signed, and pinned by nobody
    name = downloaded.name.removesuffix(".tar.zst")
    unpack(downloaded, stranger.home / "bundle", subdirectory=name, drop=(), where="a test")
    program = stranger.home / "bundle" / "lib" / "libshapes.so.0"
    data = program.read_bytes()
    assert data.count(b"/source/src/shapes.cpp") == 1
    program.write_bytes(data.replace(b"/source/src/shapes.cpp", b"/home/me/a/shapes.cpp\0"))
    pack(stranger.home / "bundle", downloaded, mtime=0, prefix=name)
    write_checksum(downloaded)
    mine = stranger.home / "rebuilder.key"
    assert stranger.runs("attest", "--new-key", str(mine)).status == 0
    differs = stranger.runs("reproduce", "--against", str(downloaded), "--key", str(mine))
    assert differs.status == OutputError.exit_code
    assert "differs: fixture@linux-x86_64-cpu" in differs.out
    assert "lib/libshapes.so.0" in differs.err
    assert "likely path" in differs.err
    judged = stranger.runs(
        "verify",
        str(downloaded),
        "--policy",
        str(policy(stranger.home, release_key(maintainer), mine)),
    )
    assert judged.status == EvidenceError.exit_code
    assert "differs" in judged.err
    assert f"{PROVENANCE} fails" in judged.err
    statement = next(evidence_of_archive(downloaded).glob("rebuild-*.dsse.json"))
    assert json.loads(statement.read_text())["payloadType"] == "application/vnd.in-toto+json"
