"""`serve` and `ask` on a machine that has nothing: what is missing is made, offered or named, and the model fits."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from recipes.build.context import Job
from recipes.build.pipeline import Bundle
from recipes.cli.main import main
from recipes.core.console import Plain
from recipes.core.digest import Sha256
from recipes.core.errors import BundleMissingError, ModelMissingError
from recipes.core.sandbox import Surroundings
from recipes.core.settings import Settings
from recipes.serve import obtain
from recipes.serve.consent import Consent
from recipes.serve.free_memory import FreeMemory
from recipes.serve.llamacpp.listen_address import free_port
from recipes.serve.model_choice import choose_model
from recipes.serve.obtain import obtain_model
from recipes.store.entry import Entry
from recipes.store.store import Store
from tests.support.fake_llama_server import tell, write_server
from tests.support.gguf_drafts import MMPROJ, MODEL
from tests.support.http_server import Behaviour, Server
from tests.support.model_manifests import BARE, a_project, hub_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recipes.build.plan.plan import Plan

GB = 10**9
YES, NO = Consent(is_given=True), Consent()
FILES = {"model.gguf": MODEL, "mmproj.gguf": MMPROJ}
REPOSITORY = "/someone/Some-GGUF/resolve/main"


def sized(name: str, size_bytes: int) -> str:
    """The manifest of the hub's model under another name, which needs so much memory."""
    memory = f"memory:\n  size_bytes: {size_bytes}\n  context: 64\nhub: https"
    return hub_with(MODEL, MMPROJ).replace("name: hub", f"name: {name}").replace("hub: https", memory, 1)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "*")
    with Server() as hub:
        yield hub


def publish(hub: Server, *behaviours: Behaviour) -> None:
    for name, data in FILES.items():
        hub.serve(f"{REPOSITORY}/{name}", data, *behaviours)


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def job(tmp_path: Path, hub: Server, said: io.StringIO) -> Job:
    manifests = a_project(
        tmp_path / "project",
        large=sized("large", 20 * GB),
        small=sized("small", 2 * GB),
        bare=BARE,
        none=sized("none", 1000),
    )
    defaults = manifests.root / "defaults.yaml"
    text = f"{defaults.read_text()}served: [large, bare, small]\nmodel: none\n"
    defaults.write_text(text, encoding="utf-8")
    store = Store.open(tmp_path / "store")
    recipe = manifests.recipe(manifests.defaults().recipe)
    return Job(
        manifests=manifests,
        recipe=recipe,
        platform_name=next(iter(recipe.platforms)),
        store=store,
        console=Plain(said),
        settings=Settings(store.root, hub_url=hub.base, timeout_s=1.0),
        surroundings=Surroundings(jobs=1),
    )


def has(job: Job, data: bytes) -> bool:
    return job.store.blob_path(Sha256.of_bytes(data)).exists()


@pytest.mark.parametrize(
    ("free_gb", "chosen"),
    [(32, "large"), (20, "large"), (19, "small"), (2, "small"), (1, "none"), (None, "large")],
)
def test_the_best_that_fits_into_memory_is_fetched_and_one_that_is_not_pinned_never(
    job: Job, hub: Server, free_gb: int | None, chosen: str
) -> None:
    publish(hub)
    free = None if free_gb is None else FreeMemory(free_gb * GB, "a test")
    choice = choose_model(job, None, free, YES)
    assert choice.model.name == chosen
    assert has(job, MODEL) is (chosen != "none")
    if chosen == "none":
        assert "small" in choice.reason
        assert "1.0 GB" in choice.reason


def test_one_that_is_here_and_fits_is_taken_without_a_question(job: Job, hub: Server) -> None:
    publish(hub)
    obtain_model(job, job.manifests.model("small"), YES)
    assert choose_model(job, None, FreeMemory(3 * GB, "a test"), NO).model.name == "small"


def test_where_nobody_can_be_asked_nothing_is_downloaded_and_the_way_is_said(job: Job, hub: Server) -> None:
    publish(hub)
    choice = choose_model(job, None, FreeMemory(3 * GB, "a test"), NO)
    assert choice.model.name == "none"
    assert "models -- fetch small" in choice.reason
    assert "large needs more memory (20.0 GB; 3.0 GB is available)" in choice.reason
    assert hub.log == []
    with pytest.raises(ModelMissingError):
        obtain_model(job, job.manifests.model("small"), NO)


def test_a_hub_that_cannot_be_reached_leaves_the_model_that_needs_none(job: Job, said: io.StringIO) -> None:
    choice = choose_model(job, None, FreeMemory(3 * GB, "a test"), YES)
    assert choice.model.name == "none"
    assert "could not be fetched" in choice.reason
    assert "warning" in said.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "agreed"),
    [("\n", True), ("y\n", True), ("Yes\n", True), ("n\n", False), ("NO\n", False), ("", False)],
)
def test_a_person_is_asked(monkeypatch: pytest.MonkeyPatch, typed: str, *, agreed: bool) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    monkeypatch.setattr(sys, "stderr", screen)
    assert NO.to("Build it now?") is agreed
    assert screen.getvalue() == "Build it now? [Y/n] "


def test_a_pipe_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert not NO.to("Build it now?")
    monkeypatch.setattr(sys, "stdin", None)
    assert not NO.to("Build it now?")


def test_serve_fetches_and_starts_what_it_was_told_to(
    tmp_path: Path, hub: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(hub)
    a_project(tmp_path / "project", hub=hub_with(MODEL, MMPROJ), bare=BARE)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    write_server(bundle)
    tell(bundle, ends=0)
    monkeypatch.setenv("PINNED_LLAMA_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("PINNED_LLAMA_HUB_URL", hub.base)
    words = ("--project", str(tmp_path / "project"), "--bundle", str(bundle), "--port", str(free_port()))
    argv = ["serve", "--model", "hub", *words]
    assert main(argv) == 23
    assert "--yes" in capsys.readouterr().err
    assert main([*argv, "--yes"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[1] == "hub,"


def test_a_bundle_is_built_only_where_that_is_agreed_to(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Plan] = []

    def build(job: Job, plan: Plan) -> Bundle:
        built.append(plan)
        return Bundle(Entry("x", "bundle", Sha256.of_bytes(b""), {}, job.store.root), plan, None, built=True)

    monkeypatch.setattr(obtain, "ensure_bundle", build)
    with pytest.raises(BundleMissingError) as caught:
        obtain.obtain_bundle(job, NO)
    assert "--yes" in caught.value.fix
    assert not built
    cores = replace(job, surroundings=Surroundings(jobs=4))
    assert obtain.obtain_bundle(cores, YES).built
    assert [plan.digest for plan in built] == [job.plan().digest]
