"""The story of one release: built, attested and packed by one; verified, challenged and doubted by another.

The project is the fixture's, with the real compiler, sandbox and store. It is no llama.cpp, so what conformance would
say of it is written here; all else is what the commands write.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recipes.build.evidence_files import CONFORMANCE, PROVENANCE, evidence_of_archive
from recipes.conformance.report.json_record import to_json
from recipes.core.digest import Sha256
from recipes.core.errors import EvidenceError, OutputError
from recipes.core.sandbox import SYSTEM_PATH, works_behind
from recipes.fetch.archives.pack import pack
from recipes.fetch.archives.unpack import unpack
from tests.support.fixture_project import Answer, FixtureProject, make_project, provide_source
from tests.support.release import POLICY, conformance, key_digits, write_checksum

if TYPE_CHECKING:
    from collections.abc import Sequence

DIGEST = re.compile(r"^digest: +sha256:([0-9a-f]{64})", re.MULTILINE)
OTHER_UID = "4242"


@dataclass(frozen=True)
class Person:
    """Somebody with a checkout, a store and a home of their own; with another user id where that is possible."""

    project: FixtureProject
    home: Path
    prefix: tuple[str, ...] = ()

    def runs(self, session: str, *words: str) -> Answer:
        command = [*self.prefix, *self.project.command(session, *words)]
        environment = self.project.environment(HOME=str(self.home))
        done = subprocess.run(
            command,
            cwd=self.home,
            env=environment | {"PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
        )
        # `pytest -s` shows the story as it is printed
        print(f"{self.home.parent.name}$ {session} {' '.join(words)}", done.stdout, done.stderr, sep="\n")
        return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def maintainer(tmp_path_factory: pytest.TempPathFactory, shared_store: Path) -> Person:
    folder = tmp_path_factory.mktemp("maintainer")
    project = make_project(folder, shared_store)
    project.number(16)
    provide_source(project)
    (folder / "home").mkdir()
    return Person(project, folder / "home")


@pytest.fixture(scope="module")
def published(maintainer: Person, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that the maintainer publishes, with its documents, signed."""
    out = tmp_path_factory.mktemp("published")
    built = maintainer.runs("build")
    assert built.status == 0, built.err
    digest = DIGEST.search(built.out)
    assert digest
    maintainer.project.edit(
        "output_unpinned: a test pins it\n  linux-aarch64", f"output: {digest[1]}\n  linux-aarch64"
    )
    packed = maintainer.runs("build", "--archive", str(out))
    assert packed.status == 0, packed.err
    (archive,) = out.glob("*.tar.zst")
    (evidence_of_archive(archive) / CONFORMANCE).write_text(to_json(conformance(Sha256(digest[1]))))
    key = maintainer.home / "release.key"
    assert maintainer.runs("attest", "--new-key", str(key)).status == 0
    signed = maintainer.runs("attest", str(archive), "--key", str(key))
    assert signed.status == 0, signed.err
    assert "missing" not in signed.out
    return archive


@pytest.fixture
def stranger(maintainer: Person, tmp_path: Path) -> Person:
    """Somebody else, with the downloads alone."""
    shutil.copytree(maintainer.project.root, tmp_path / "project")
    blobs = Path("v1") / "blobs" / "sha256"
    (tmp_path / "store" / blobs).mkdir(parents=True, mode=0o700)
    for blob in (maintainer.project.store / blobs).iterdir():
        os.link(blob, tmp_path / "store" / blobs / blob.name)
    (tmp_path / "home").mkdir()
    unshare = shutil.which("unshare", path=SYSTEM_PATH)
    prefix = (unshare or "", "--user", f"--map-user={OTHER_UID}", f"--map-group={OTHER_UID}", "--")
    project = replace(maintainer.project, root=tmp_path / "project", store=tmp_path / "store")
    return Person(project, tmp_path / "home", prefix if unshare and works_behind(prefix) else ())


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


def words_of(answer: Answer) -> Sequence[str]:
    return [line.split("  ")[0] for line in answer.out.splitlines()]


def test_a_stranger_verifies_and_challenges_a_release(
    maintainer: Person, stranger: Person, downloaded: Path
) -> None:
    key = maintainer.home / "release.key"
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
        str(policy(stranger.home, maintainer.home / "release.key", mine)),
    )
    assert judged.status == EvidenceError.exit_code
    assert "differs" in judged.err
    assert f"{PROVENANCE} fails" in judged.err
    statement = next(evidence_of_archive(downloaded).glob("rebuild-*.dsse.json"))
    assert json.loads(statement.read_text())["payloadType"] == "application/vnd.in-toto+json"
