"""The story of a release through a registry: one person signs and publishes it; another, with nothing, takes it.

The registry is Debian's docker-registry, with TLS and a login. All that the two share is the repository and a public
key. `pytest -s` shows the story as the commands print it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from recipes.build.evidence_files import evidence_folder, evidence_of_archive, signed_name
from recipes.build.toolchain.toolchain import host_name, wheels_of_host
from recipes.core.digest import Sha256
from recipes.core.errors import EvidenceError, VerifyError
from recipes.evidence.material import DOCUMENTS
from recipes.manifest.load import Manifests
from recipes.store.store import Store
from tests.support.docker_registry import DockerRegistry
from tests.support.http_server import Server
from tests.support.people import NO_PIN, Person, as_another_user, make_maintainer, make_release, release_key
from tests.support.pinned_bundle import PLATFORM
from tests.support.release import POLICY, key_digits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Story:
    """Who publishes what, and where."""

    maintainer: Person
    archive: Path
    registry: DockerRegistry
    folder: Path

    @property
    def to(self) -> str:
        return self.registry.repository("team/llama")

    @property
    def entry(self) -> str:
        """The bundle's name in every store."""
        return self.maintainer.project.plan().bundle_key

    def publish(self, archive: Path) -> None:
        done = self.logged_in(self.maintainer).runs("publish", str(archive), "--to", self.to)
        assert done.status == 0, done.err

    def newcomer(self, name: str) -> Person:
        """Return somebody with a login, a checkout and the maintainer's public key, and nothing else."""
        person = self.logged_in(self.maintainer.elsewhere(self.folder / name))
        shutil.copy(f"{release_key(self.maintainer)}.pub", person.home / "their.pub")
        return person

    def logged_in(self, person: Person) -> Person:
        known = self.registry.log_in(person.home / ".docker")  # where docker has it when nothing else is said
        return replace(person, environ={"PIP_CERT": known["PIP_CERT"]})

    def policy(self, person: Person, pin: str = "required") -> str:
        """Write what a person demands: everything said and signed by the maintainer."""
        signer = f"signers: [{{name: maintainer, key: {key_digits(release_key(self.maintainer))}}}]"
        text = POLICY.replace("pin: required", f"pin: {pin}").replace("signers: []", signer)
        path = person.home / "policy.yaml"
        path.write_text(text.replace("signatures: 0", "signatures: 1"))
        return str(path)


@pytest.fixture(scope="module")
def maintainer(tmp_path_factory: pytest.TempPathFactory, shared_store: Path) -> Person:
    made = make_maintainer(tmp_path_factory.mktemp("maintainer"), shared_store, 17)
    made.project.advise("low", "request")  # so that there is something for VEX to say
    return made


@pytest.fixture(scope="module")
def archive(maintainer: Person, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_release(maintainer, tmp_path_factory.mktemp("out"))


@pytest.fixture
def story(maintainer: Person, archive: Path, tmp_path: Path) -> Iterator[Story]:
    with DockerRegistry(tmp_path / "registry", is_secure=True, has_login=True) as registry:
        yield Story(maintainer, archive, registry, tmp_path)


@pytest.fixture
def downloads(maintainer: Person) -> Iterator[str]:
    """The address of a mirror that has what the build starts from."""
    manifests = Manifests(maintainer.project.root)
    toolchain = manifests.toolchain(manifests.recipe("fixture").platforms[PLATFORM].toolchain)
    blobs = Store.open(maintainer.project.store).blobs
    wheels = [blobs / wheel.sha256.hex for wheel in wheels_of_host(toolchain, host_name())]
    with Server() as mirror:
        for path in (*wheels, maintainer.project.archive):
            data = path.read_bytes()
            mirror.serve(f"/{Sha256.of_bytes(data).hex}", data)
        yield mirror.url("/").rstrip("/")


def files_of(person: Person) -> list[str]:
    """Name all that a person's store has, but its locks, which are empty, and the log of commands."""
    root = Store.open(person.project.store).root
    names = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    return sorted(name for name in names if not name.startswith(("locks/", "logs/")))


def test_what_is_published_and_signed_is_pulled_verified_offline_and_built_from(story: Story) -> None:
    story.publish(story.archive)
    other = story.newcomer("other")
    pulled = other.runs("pull", "--from", story.to)
    assert pulled.status == 0, pulled.err
    assert "(the pinned one)" in pulled.out
    # all that was said came with it, bit for bit
    store = Store.open(other.project.store)
    came = {path.name: path.read_bytes() for path in evidence_folder(store, story.entry).iterdir()}
    assert came == {path.name: path.read_bytes() for path in evidence_of_archive(story.archive).iterdir()}
    assert {signed_name(kind.file) for kind in DOCUMENTS} <= came.keys()
    # and holds, without a network and a login
    alone = replace(other, prefix=as_another_user("--net"), environ={"PINNED_LLAMA_OFFLINE": "1"})
    bundle = str(store.entry_path(story.entry))
    verified = alone.runs("verify", bundle, "--policy", story.policy(other))
    assert verified.status == 0, verified.err
    assert alone.runs("verify", bundle, "--key", str(other.home / "their.pub")).status == 0
    # who builds takes it too, by its pinned digest
    third = story.newcomer("third")
    built = third.runs("build", PINNED_LLAMA_CACHES=story.to)
    assert built.status == 0, built.err
    assert f"taken from {story.to}@sha256:" in built.out
    assert not [name for name in files_of(third) if "toolchain" in name]


def test_what_was_pulled_into_an_empty_store_is_built_again_and_is_the_same(
    story: Story, downloads: str
) -> None:
    story.publish(story.archive)
    other = story.newcomer("other")
    again = other.runs("reproduce", PINNED_LLAMA_CACHES=story.to, PINNED_LLAMA_MIRROR=downloads)
    assert again.status == 0, again.err
    assert f"taken from the cache {story.to}" in again.err
    assert f"identical: fixture@{PLATFORM} is sha256:" in again.out


def say_nothing(evidence: Path, _story: Story) -> None:
    shutil.rmtree(evidence)


def leave_out_the_bill(evidence: Path, _story: Story) -> None:
    for path in evidence.glob("sbom.*"):
        path.unlink()


def sign_nothing(evidence: Path, _story: Story) -> None:
    for path in evidence.glob("*.dsse.json"):
        path.unlink()


def sign_as_somebody_else(evidence: Path, story: Story) -> None:
    sign_nothing(evidence, story)
    archive = str(evidence.with_name(story.archive.name))
    key = str(story.folder / "somebody.key")
    assert story.maintainer.runs("attest", "--new-key", key).status == 0
    assert story.maintainer.runs("attest", archive, "--key", key).status == 0


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (say_nothing, "provenance.json missing"),
        (leave_out_the_bill, "sbom.cdx.json missing"),
        (sign_nothing, "provenance.json: signatures missing"),
        (sign_as_somebody_else, "provenance.json: signatures fails"),
    ],
)
def test_what_is_not_said_as_demanded_is_refused_and_only_what_a_pin_names_is_kept(
    story: Story, spoil: Callable[[Path, Story], None], word: str
) -> None:
    shutil.copytree(story.archive.parent, story.folder / "out")
    archive = story.folder / "out" / story.archive.name
    spoil(evidence_of_archive(archive), story)
    story.publish(archive)
    # where nothing pins the bundle, the policy decides, and nothing of it is kept
    other = story.newcomer("other")
    unpin(other)
    refused = other.runs("pull", "--from", story.to, "--policy", story.policy(other, "any"))
    assert refused.status == EvidenceError.exit_code, refused.err
    assert word in refused.err
    assert files_of(other) == []
    # where its digest is pinned it is that bundle, whoever says what of it; what is said is refused
    third = story.newcomer("third")
    assert third.runs("pull", "--from", story.to).status == 0
    bundle = str(Store.open(third.project.store).entry_path(story.entry))
    verified = third.runs("verify", bundle, "--policy", story.policy(third))
    assert verified.status == EvidenceError.exit_code
    assert word in verified.err


@pytest.mark.parametrize("is_pinned", [True, False])
def test_an_altered_blob_is_refused_and_kept_apart(story: Story, *, is_pinned: bool) -> None:
    story.publish(story.archive)
    blobs = story.registry.data / "docker/registry/v2/blobs/sha256"
    layer = max(blobs.glob("*/*/data"), key=lambda path: path.stat().st_size)
    altered = bytearray(layer.read_bytes())
    altered[len(altered) // 2] ^= 1
    layer.write_bytes(altered)
    other = story.newcomer("other")
    if not is_pinned:
        unpin(other)
    refused = other.runs("pull", "--from", story.to, "--policy", story.policy(other, "any"))
    assert refused.status == VerifyError.exit_code, refused.err
    assert "other bytes" in refused.err
    kept = [name.rpartition("/") for name in files_of(other)]
    assert {folder.split("/")[0] for folder, _, _ in kept} == {"rejected"}, kept
    assert "why.txt" in {name for _, _, name in kept}


def unpin(person: Person) -> None:
    """Take the pin out of a person's checkout."""
    output = Manifests(person.project.root).recipe("fixture").platforms[PLATFORM].output
    assert output
    person.project.edit(f"output: {output.hex}", NO_PIN)
