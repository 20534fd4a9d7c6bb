"""Bundles that nothing pins, through a registry: taken with the signatures that a policy accepts, and never without."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from recipes.build.evidence_files import PROVENANCE, SBOM, evidence_folder, signed_name
from recipes.cli.main import main
from recipes.core.digest import Sha256
from recipes.core.errors import EvidenceError, ManifestError, PinMissingError
from recipes.store.store import Store
from tests.support.oci_registry import FakeRegistry
from tests.support.release import POLICY, Release, key_digits, make_release, write_documents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Team:
    """A publisher with a key and a release that nothing pins, a registry, and somebody else's checkout and store."""

    release: Release
    key: Path
    registry: FakeRegistry
    checkout: Path
    store: Path

    def publish(self) -> int:
        return main(
            ["publish", str(self.release.archive), "--to", self.to, "--project", str(self.release.project)]
        )

    @property
    def to(self) -> str:
        return self.registry.repository()

    def pull(self, *words: str) -> int:
        return main(["pull", "--project", str(self.checkout), "--from", self.to, *words])

    def policy(self, *changes: tuple[str, str], key: Path | None = None) -> str:
        signers = f"signers: [{{name: publisher, key: {key_digits(key or self.key)}}}]"
        return str(
            self.release.write_policy(
                ("pin: required", "pin: any"),
                ("signers: []", signers),
                ("signatures: 0", "signatures: 1"),
                *changes,
            )
        )

    @property
    def has_it(self) -> bool:
        return Store.open(self.store).find(self.release.plan.bundle_key) is not None


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    release = make_release(tmp_path / "publisher")
    manifest = release.project / "manifests" / "recipes" / "fixture.yaml"
    text = manifest.read_text()
    manifest.write_text(text.replace(f"output: {release.tree.hex}", "output_unpinned: a test pins it"))
    shutil.copytree(release.project, tmp_path / "checkout")
    monkeypatch.setenv("PINNED_LLAMA_STORE", str(tmp_path / "store"))
    key = release.new_key("publisher")
    assert release.attest(key) == 0
    with FakeRegistry() as registry:
        yield Team(release, key, registry, tmp_path / "checkout", tmp_path / "store")


def test_what_is_signed_as_the_policy_demands_is_taken_with_its_evidence(
    team: Team, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert team.publish() == 0
    assert "not pinned: taken with a signature only" in capsys.readouterr().out
    monkeypatch.setenv("PINNED_LLAMA_CACHES", team.to)
    monkeypatch.setenv("PINNED_LLAMA_CACHE_POLICY", team.policy())
    assert main(["build", "--project", str(team.checkout)]) == 0
    assert f"taken from {team.to}@sha256:" in capsys.readouterr().out
    store, key = Store.open(team.store), team.release.plan.bundle_key
    entry = store.find(key)
    assert entry
    assert entry.tree == team.release.tree
    there = {path.name: path.read_bytes() for path in evidence_folder(store, key).iterdir()}
    assert there == {path.name: path.read_bytes() for path in team.release.evidence.iterdir()}
    # it is bound to the provenance that came with it, and can be judged like any other
    options = ("--policy", team.policy(), "--project", str(team.checkout))
    assert main(["verify", str(entry.path), *options]) == 0
    (evidence_folder(store, key) / PROVENANCE).write_bytes(b"{}")
    assert main(["build", "--project", str(team.checkout)]) == 0
    assert "no provenance for fixture@linux-x86_64-cpu" in capsys.readouterr().err


def test_a_key_of_the_command_line_is_enough_beside_a_policy(team: Team) -> None:
    assert team.publish() == 0
    policy = team.release.write_policy(("pin: required", "pin: any"))
    assert team.pull("--policy", str(policy), "--key", f"{team.key}.pub") == 0


def test_what_nobody_of_the_policy_signed_is_refused_before_it_is_downloaded(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    assert team.publish() == 0
    team.registry.log.clear()
    assert team.pull("--policy", team.policy(key=team.release.new_key("other"))) == EvidenceError.exit_code
    assert "signatures" in capsys.readouterr().err
    layers = [each for each in team.registry.log if each.path.endswith(str(team.release.tree))]
    assert not team.has_it
    assert layers == []
    team.registry.manifests.clear()
    for path in team.release.evidence.glob("*.dsse.json"):
        path.unlink()
    assert team.publish() == 0
    assert team.pull("--policy", team.policy()) == EvidenceError.exit_code
    assert "signatures missing" in capsys.readouterr().err
    assert not team.has_it


def test_a_signed_bundle_of_another_plan_is_refused(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    assert team.publish() == 0
    manifest = team.checkout / "manifests" / "recipes" / "fixture.yaml"
    manifest.write_text(manifest.read_text().replace("FIXTURE_NATIVE: OFF", "FIXTURE_NATIVE: ON"))
    # whoever may write to the registry gives the signed bundle the other plan's name
    name = f"{team.to}:plan-{team.release.plan.digest.hex}"
    assert team.pull("--from", name, "--policy", team.policy()) == EvidenceError.exit_code
    assert "of another plan" in capsys.readouterr().err
    assert not team.has_it


def test_a_policy_that_trusts_without_signatures_is_refused(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    team.registry.log.clear()
    unsigned = POLICY.replace("pin: required", "pin: any")
    for text, word in ((unsigned, "signatures: 0"), (POLICY, "pin: required")):
        policy = team.release.write_policy(text=text)
        assert team.pull("--policy", str(policy)) == ManifestError.exit_code
        assert word in capsys.readouterr().err
    assert team.pull() == PinMissingError.exit_code
    assert team.registry.log == []


def test_what_is_said_of_another_bundle_is_not_published(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_release(team.release.folder.parent / "other", program=b"\x7fELF another\n")
    shutil.copy(other.document(PROVENANCE), team.release.document(PROVENANCE))
    assert team.publish() == EvidenceError.exit_code
    assert "another bundle" in capsys.readouterr().err
    assert team.registry.log == []
    write_documents(team.release)
    (team.release.evidence / "notes.json").write_text("{}")
    assert team.publish() == EvidenceError.exit_code
    assert "notes.json" in capsys.readouterr().err
    assert team.registry.log == []


@pytest.mark.parametrize("has_referrers", [False, True])
def test_an_unsigned_document_does_not_take_the_place_of_a_signed_one_and_a_newer_one_does(
    team: Team, *, has_referrers: bool
) -> None:
    team.registry.has_referrers = has_referrers
    assert team.publish() == 0
    first = team.release.document(PROVENANCE).read_bytes()
    for path in team.release.evidence.glob("*.dsse.json"):
        path.unlink()
    team.release.edit(PROVENANCE, "07:59:00Z", "07:58:00Z")
    assert team.publish() == 0
    policy = team.policy()
    assert team.pull("--policy", policy) == 0
    kept = evidence_folder(Store.open(team.store), team.release.plan.bundle_key)
    assert (kept / PROVENANCE).read_bytes() == first
    # signed again, both of its forms are the new ones, and the others are still there
    assert team.release.attest(team.key) == 0
    assert team.publish() == 0
    shutil.rmtree(team.store)
    assert team.pull("--policy", policy) == 0
    assert {path.name for path in kept.iterdir()} == {path.name for path in team.release.evidence.iterdir()}
    assert (kept / PROVENANCE).read_bytes() == team.release.document(PROVENANCE).read_bytes() != first
    assert (kept / signed_name(SBOM)).exists()


def test_evidence_of_another_bundle_is_left_out_of_a_pinned_one(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    assert team.publish() == 0
    manifest = team.checkout / "manifests" / "recipes" / "fixture.yaml"
    text = manifest.read_text()
    place = text.index("output_unpinned: a test pins it")
    rest = text[place:].replace("output_unpinned: a test pins it", f"output: {team.release.tree.hex}", 1)
    manifest.write_text(text[:place] + rest)
    other = team.release.document(PROVENANCE).read_bytes().replace(team.release.tree.hex.encode(), b"0" * 64)
    digest = str(Sha256.of_bytes(team.release.document(PROVENANCE).read_bytes()))
    (name,) = (name for name in team.registry.blobs if name[1] == digest)
    team.registry.blobs[name] = other
    assert team.pull() == 0
    assert "no evidence came with" in capsys.readouterr().err
    assert team.has_it
