"""Workers that share Debian's docker-registry, and nothing else: nothing is made twice, the dead are replaced."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from recipes.build.source_tree import ensure_patched
from recipes.cli.job import open_jobs
from recipes.cli.parser import parser
from recipes.core.digest import Sha256
from recipes.core.errors import DisagreementError, FetchError, RegistryError
from recipes.core.settings import Settings
from recipes.registry.caches import Wanted
from recipes.registry.client import Client
from recipes.registry.division import divide
from recipes.registry.names import Kind
from recipes.registry.publish import publish
from recipes.registry.reference import parse_repository
from recipes.registry.tree import BUNDLE
from recipes.registry.workers import Worker
from recipes.store.context import Context
from recipes.store.store import Store
from tests.support.docker_registry import DockerRegistry
from tests.support.fixture_project import FixtureProject, provide_source
from tests.support.oci_registry import Answer, Asked, FakeRegistry, Rule
from tests.support.pinned_bundle import PROGRAM, PinnedProject, make_pinned, put_bundle
from tests.support.registry_scene import Listening, Scene, publication

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from recipes.registry.publish import Publication


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture(params=["deletes", "keeps"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DockerRegistry]:
    """A registry that removes what it is asked to remove, and one that does not, as most do by default."""
    with DockerRegistry(tmp_path / "registry", deletes=request.param == "deletes") as started:
        yield started


def context_in(folder: Path) -> Context:
    return Context(Store.open(folder), Listening(), Settings(folder))


def run_all(acts: list[Callable[[], None]]) -> None:
    faults: list[Exception] = []

    def one(act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - raised below
            faults.append(error)

    threads = [threading.Thread(target=one, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def wanted_of(tree: Publication) -> Wanted:
    return Wanted(BUNDLE, tree.tag, Sha256(tree.facts.tree), "a test", tree.facts.platform)


def test_four_workers_make_each_of_twelve_stages_once(either: DockerRegistry, tmp_path: Path) -> None:
    trees = {
        tag: publication(tmp_path / tag, seed, tag=tag)
        for seed, tag in enumerate(f"plan-{number:02}" for number in range(12))
    }
    repository = parse_repository(either.repository("twelve"))
    made = Counter[str]()

    def act(number: int) -> None:
        context = context_in(tmp_path / f"store-{number}")
        with Worker(context, repository) as worker:

            def make(tree: Publication) -> None:
                made[tree.tag] += 1
                publish(context, repository, (tree,))

            divide(worker, trees, lambda tree: worker.find(wanted_of(tree)) is not None, make, lambda _: None)

    run_all([partial(act, number) for number in range(4)])
    assert made == dict.fromkeys(trees, 1)
    context = context_in(tmp_path / "store")
    with Worker(context, repository) as worker, Client(repository, context) as client:
        tags = worker.tags()
        assert set(trees) <= tags
        assert all(worker.is_free(tag, tags) for tag in trees)
        # docker-registry may still list a tag whose manifest it removed, where others removed theirs at that moment
        left = [
            tag
            for tag in tags
            if tag.startswith(Kind.CLAIM.value) and client.find_manifest(repository.at(tag))
        ]
        assert not (either.deletes and left)


class Passing:
    """A time that passes where somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s


def test_a_dead_workers_stage_is_taken_over_after_its_lease_and_no_other(
    either: DockerRegistry, tmp_path: Path
) -> None:
    repository, time = parse_repository(either.repository("dead")), Passing()
    dead = Worker(context_in(tmp_path / "dead"), repository, 120.0)
    assert dead._win("plan-1")  # and nothing is heard of it any more
    context = context_in(tmp_path / "store")
    with (
        Worker(context, repository, 30.0, sleep=time.sleep, clock=lambda: time.now_s) as worker,
        Worker(context_in(tmp_path / "alive"), repository, 30.0) as alive,
        alive.claim("plan-2") as held,
    ):
        assert held
        done: set[str] = set()
        assert not worker.is_free("plan-1", worker.tags())
        divide(
            worker, {"plan-0": 0, "plan-1": 1}, lambda _: False, lambda n: done.add(f"{n}"), lambda _: None
        )
        assert done == {"0", "1"}
        # the lease is the dead one's own, by the clock of who looked on
        assert 120.0 <= time.now_s < 120.0 + 10
        assert isinstance(context.console, Listening)
        (line,) = [each for each in context.console.lines if "silent" in each]
        assert f"worker {dead.name} was silent for 120 s: its claim on plan-1 has ended" in line
        assert not worker.is_free("plan-2", worker.tags())


def test_who_was_taken_for_dead_notices_and_claims_no_more(scene: Scene) -> None:
    context, repository = scene.context, scene.repository
    with Worker(context, repository, 0.06) as slow, slow.claim("plan-1") as held:
        assert held
        assert not held.is_lost
        tags = [name for name in scene.registry.manifests if name[1].startswith(Kind.CLAIM.value)]
        with scene.registry.lock:
            for name in tags:
                scene.registry.manifests.pop(name, None)
        held.ended.wait(20)  # never set here: the beat ends by itself
        assert held.is_lost
    assert not [name for name in scene.registry.tags if name.startswith(Kind.CLAIM.value)]


@pytest.mark.parametrize("moment", ["before it says which", "before it looks again", "after it has looked"])
def test_two_that_publish_another_tree_of_one_plan_at_once_are_an_alarm(
    scene: Scene, tree: Publication, tmp_path: Path, moment: str
) -> None:
    ours = replace(tree, pinned=False)
    theirs = replace(publication(tmp_path / "theirs", seed=2), pinned=False)
    alarms: list[DisagreementError] = []

    def meanwhile(_registry: FakeRegistry, _asked: Asked, _data: bytes) -> Answer | None:
        try:
            publish(context_in(tmp_path / "their-store"), scene.repository, (theirs,))
        except DisagreementError as error:
            alarms.append(error)
        return None

    rules = {
        "before it says which": Rule("PUT", "/manifests/tree-", meanwhile, times=1),
        "before it looks again": Rule("GET", f"/manifests/{tree.tag}$", meanwhile, times=1, skip=1),
        "after it has looked": Rule("PUT", f"/manifests/{tree.tag}$", meanwhile, times=1),
    }
    scene.registry.rules.append(rules[moment])
    try:
        scene.send(ours)
    except DisagreementError as error:
        alarms.append(error)
    assert alarms
    assert {alarm.exit_code for alarm in alarms} == {DisagreementError.exit_code}
    assert all(str(ours.facts.tree) in alarm.found and theirs.facts.tree in alarm.found for alarm in alarms)
    # both are there to be compared, and one at most has the plan's name
    assert len([tag for tag in scene.registry.tags if tag.startswith("tree-")]) == 2


def test_a_registry_that_is_gone_is_named(tmp_path: Path) -> None:
    with (
        Worker(context_in(tmp_path), parse_repository("http://127.0.0.1:9/r")) as worker,
        pytest.raises(RegistryError) as caught,
        worker.claim("plan-1"),
    ):
        pass
    assert caught.value.where == "http://127.0.0.1:9/r"


@pytest.fixture
def pinned(tmp_path: Path) -> PinnedProject:
    return make_pinned(tmp_path / "builder")


def test_two_workers_patch_a_source_once(
    registry: DockerRegistry, pinned: PinnedProject, tmp_path: Path
) -> None:
    provide_source(pinned.project)
    repository = parse_repository(registry.repository("sources"))
    stores = []
    for number in range(3):
        other = pinned.elsewhere(tmp_path / f"worker-{number}")
        provide_source(other)
        stores.append(other)
    made: list[str] = []

    def act(project: FixtureProject) -> None:
        context = context_in(project.store)
        options = parser("build").parse_args(["build", "--project", str(project.root)])
        with Worker(context, repository) as worker:
            (job,) = open_jobs(options, [None])
            job = replace(job, store=context.store, console=context.console, worker=worker)
            tree = ensure_patched(job).tree
            assert tree == job.recipe.patches[-1].tree_sha256
            assert isinstance(context.console, Listening)
            made.extend(
                line for line in context.console.lines if "which proves" in line or "does not prove" in line
            )

    run_all([partial(act, project) for project in stores])
    assert len(made) == 1


def test_what_one_worker_has_built_another_finds_there(
    registry: DockerRegistry, pinned: PinnedProject, tmp_path: Path
) -> None:
    to = registry.repository("found")
    built = pinned.project.recipes("build", "--share", to)
    assert built.status == 0, built.err
    assert f"shared:   {to}:plan-{pinned.plan.digest.hex}\n" in built.out
    other = pinned.elsewhere(tmp_path / "other")
    found = other.recipes("build", "--recipe", "fixture", "--share", to, "--lease", "5")
    assert found.status == 0, found.err
    assert "there already" in found.out
    assert f"digest:   {pinned.entry.tree} (the pinned one)" in found.out
    assert f"together: 1 bundles are in {to}; 0 of them built here" in found.out
    assert not list((other.store / "v1" / "entries").iterdir())  # not even downloaded


def test_two_workers_that_built_another_tree_of_what_nothing_pins_exit_with_an_alarm(
    registry: DockerRegistry, tmp_path: Path
) -> None:
    to = registry.repository("alarm")
    codes = []
    for number, content in enumerate((PROGRAM, PROGRAM + b"!")):
        pinned = make_pinned(tmp_path / f"builder-{number}", content)
        pinned.project.edit(f"output: {pinned.entry.tree.hex}", "output_unpinned: a test pins it")
        shutil.rmtree(pinned.project.store)
        put_bundle(pinned.project, content=content)
        codes.append(pinned.project.recipes("publish", "--to", to))
    assert codes[0].status == 0, codes[0].err
    assert codes[1].status == DisagreementError.exit_code
    assert "two builders disagree" in codes[1].err
    assert "-s reproduce -- --recipe fixture --platform linux-x86_64-cpu" in codes[1].err


@pytest.mark.parametrize(
    ("words", "environ", "status", "word"),
    [
        (("--lease", "5"), {}, 2, "--share"),
        (("--share", "h.example/r", "--lease", "0.1"), {}, 2, "seconds are expected"),
        (("--share", "h.example/r", "--archive", "out"), {}, 2, "--archive"),
        (("--share", "h.example/r", "--target", "x"), {}, 2, "--target"),
        (("--share", "h.example/r", "--no-cache"), {}, 2, "--no-cache"),
        (("--share", "h.example"), {}, 2, "HOST"),
        (("--share", "h.example/r"), {"PINNED_LLAMA_OFFLINE": "1"}, FetchError.exit_code, "OFFLINE=1"),
    ],
)
def test_what_cannot_be_shared_is_refused_at_once(
    pinned: PinnedProject, words: tuple[str, ...], environ: dict[str, str], status: int, word: str
) -> None:
    answer = pinned.project.recipes("build", *words, **environ)
    assert answer.status == status, answer.err
    assert word in answer.err
    assert "Traceback" not in answer.err
