"""Runtime libraries through a registry: nothing pins them, so that only a signature which the policy accepts counts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest

from recipes.build.sharing.stages import signed_publication, take_or_make_signed
from recipes.build.toolchain.toolchain import RUNTIME_FLAGS, RUNTIME_SOURCE, runtime_key
from recipes.cli.job import open_jobs
from recipes.cli.main import main
from recipes.cli.parser import parser
from recipes.core.digest import Sha256, hash_tree
from recipes.core.sandbox import find_isolation
from recipes.registry import caches
from recipes.registry.publish import publish
from recipes.registry.reference import parse_repository
from recipes.registry.workers import Worker
from tests.integration.registry.test_workers import context_in, run_all
from tests.support.fixture_project import make_project
from tests.support.forbidden import LinuxCompiler
from tests.support.oci_registry import FakeRegistry
from tests.support.registry_scene import Listening
from tests.support.release import POLICY, key_digits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recipes.build.context import Job

TARGET = "x86_64-linux-gnu.2.28"
KEY = "runtime-x86_64-0123456789abcdef0123456789abcdef"


@dataclass
class Team:
    """A project, a registry, and keys."""

    folder: Path
    project: Path
    registry: FakeRegistry
    monkeypatch: pytest.MonkeyPatch

    def key(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            assert main(["attest", "--new-key", str(path)]) == 0
        return path

    def policy(self, *names: str, signatures: int = 1) -> Path:
        signers = ", ".join(f"{{name: {name}, key: {key_digits(self.key(name))}}}" for name in names)
        text = POLICY.replace("pin: required", "pin: any").replace("signers: []", f"signers: [{signers}]")
        path = self.folder / "policy.yaml"
        path.write_text(text.replace("signatures: 0", f"signatures: {signatures}"))
        return path

    def job(self, store: str, sign: str = "", policy: Path | None = None) -> Job:
        """Return a job in a store of its own, which signs as somebody and takes what a policy accepts."""
        if policy:
            self.monkeypatch.setenv("PINNED_LLAMA_CACHE_POLICY", str(policy))
        else:
            self.monkeypatch.delenv("PINNED_LLAMA_CACHE_POLICY", raising=False)
        words = ["build", "--project", str(self.project), "--share", self.registry.repository()]
        options = parser("build").parse_args([*words, *(["--sign-key", str(self.key(sign))] if sign else [])])
        (job,) = open_jobs(options, [None])
        context = context_in(self.folder / store)
        settings = replace(context.settings, caches=(self.registry.repository(),))
        return replace(job, store=context.store, console=context.console, settings=settings)

    def fill(self, job: Job) -> tuple[Path, list[str]]:
        """Have the libraries in a folder; return it, and what was made."""
        folder, made = job.store.root / "filled", list[str]()
        folder.mkdir()

        def make(into: Path) -> None:
            (into / "o").mkdir()
            (into / "o" / "libc++.a").write_text(f"of {job.store.root}")  # no two are alike
            made.append(job.store.root.name)

        with Worker(job, parse_repository(self.registry.repository())) as worker:
            take_or_make_signed(replace(job, worker=worker), TARGET, KEY, folder, make)
        return folder, made


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    monkeypatch.setenv("PINNED_LLAMA_STORE", str(tmp_path / "store"))
    with FakeRegistry() as registry:
        yield Team(tmp_path, make_project(tmp_path, tmp_path / "store").root, registry, monkeypatch)


def test_three_workers_that_sign_make_them_once(team: Team) -> None:
    policy = team.policy("one", "two")
    jobs = [team.job(f"store-{number}", sign, policy) for number, sign in enumerate(("one", "two", "one"))]
    made: list[str] = []
    folders: list[Path] = []

    def act(job: Job) -> None:
        folder, names = team.fill(job)
        folders.append(folder)
        made.extend(names)

    run_all([partial(act, job) for job in jobs])
    assert len(made) == 1
    assert len({hash_tree(folder, Sha256) for folder in folders}) == 1


@pytest.mark.parametrize("case", ["another key", "no policy", "two are needed", "another stage", "changed"])
def test_what_nobody_of_the_policy_signed_is_made_and_not_taken(team: Team, case: str) -> None:
    there, made = team.fill(team.job("first", "one"))
    assert made
    policy = team.policy("one", "two")
    if case == "another key":
        policy = team.policy("two")
    if case == "two are needed":
        policy = team.policy("one", "two", signatures=2)
    job = team.job("second", policy=None if case == "no policy" else policy)
    if case in {"another stage", "changed"}:  # the signature of another stage, or of another tree
        team.registry.manifests.clear()
        signer = team.job("first", "one")
        assert signer.sign_stage
        forged = signed_publication(signer.recipe, signer.sign_stage, TARGET, KEY, there)
        name, document = next(iter(forged.documents.items()))
        if case == "another stage":
            document = signer.sign_stage("runtime-aarch64-" + "0" * 32, Sha256(forged.facts.tree))
        else:
            (there / "o" / "libc++.a").write_text("evil")
            changed = msgspec.structs.replace(forged.facts, tree=hash_tree(there, Sha256).hex)
            forged = replace(forged, facts=changed)
        publish(
            signer,
            parse_repository(team.registry.repository()),
            [replace(forged, documents={name: document})],
        )
    taken, made = team.fill(job)
    assert len(made) == 1
    assert "evil" not in (taken / "o" / "libc++.a").read_text()
    assert isinstance(job.console, Listening)
    said = [line for line in job.console.lines if "cache skipped" in line]
    assert bool(said) == (case != "no policy")
    assert all("signatures that the policy demands" in line for line in said)


def test_what_was_signed_is_taken_by_whoever_trusts_the_signer(team: Team) -> None:
    there, _ = team.fill(team.job("first", "one"))
    taken, made = team.fill(team.job("second", policy=team.policy("one")))
    assert made == []
    assert hash_tree(taken, Sha256) == hash_tree(there, Sha256)


def test_a_key_without_something_to_sign_is_refused(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    key = str(team.key("one"))
    assert main(["build", "--project", str(team.project), "--sign-key", key]) == 2
    assert "--share" in capsys.readouterr().err


@pytest.mark.usefixtures("shared_store")
def test_zig_compiles_nothing_again_that_came_through_a_registry(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not find_isolation().can_place:
        pytest.skip(f"no folder can be shown at another path: {find_isolation().description}")
    monkeypatch.delenv("PINNED_LLAMA_STORE")
    here = LinuxCompiler(tmp_path)
    key = runtime_key(here.plan, here.unpacked.name, here.place)
    entry = here.context.store.find(key)
    assert entry
    signer = team.job("first", "one")
    assert signer.sign_stage
    publish(
        signer,
        parse_repository(team.registry.repository()),
        [signed_publication(signer.recipe, signer.sign_stage, TARGET, key, entry.path)],
    )
    cache = tmp_path / "taken"
    cache.mkdir()
    monkeypatch.setattr(caches, "_left_alone", set())

    def make(_into: Path) -> None:
        raise AssertionError("it was to be taken")

    take_or_make_signed(team.job("second", policy=team.policy("one")), TARGET, key, cache, make)
    shutil.rmtree(tmp_path / "first")
    before = set(cache.rglob("*.a"))
    here.command()
    (tmp_path / "first.cpp").write_text(RUNTIME_SOURCE)
    words = (str(tmp_path / "wrappers" / "c++"), *RUNTIME_FLAGS, "first.cpp", "-o", "first")
    here.run(*words, into=tmp_path, cache=cache)
    assert (tmp_path / "first").stat().st_size > 0
    assert set(cache.rglob("*.a")) == before != set()
