"""A project whose bundle is pinned and in the store, made by hand: what sharing it needs, without a compiler."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.bundle.layout import write_record
from recipes.build.plan.plan import Plan, make_plan
from recipes.core.console import Silent
from recipes.manifest.load import Manifests
from recipes.store.store import Entry, Store
from tests.support.fixture_project import FixtureProject, make_project

if TYPE_CHECKING:
    from pathlib import Path

PLATFORM = "linux-x86_64-cpu"
PROGRAM = b"\x7fELF of a test" + bytes(range(256)) * 2000  # half a megabyte that packs well


@dataclass(frozen=True)
class PinnedProject:
    """A project, and its bundle in the project's store."""

    project: FixtureProject
    plan: Plan
    entry: Entry

    def elsewhere(self, folder: Path) -> FixtureProject:
        """Return the same project as another user has it: with an empty store of their own."""
        root = folder / "project"
        shutil.copytree(self.project.root, root)
        return FixtureProject(root, self.project.archive, folder / "store")


def put_bundle(
    project: FixtureProject, platform: str = PLATFORM, content: bytes = PROGRAM
) -> tuple[Plan, Entry]:
    """Put a bundle into a project's store under the plan's own key."""
    manifests = Manifests(project.root)
    recipe = manifests.recipe("fixture")
    plan = make_plan(recipe, platform, manifests.toolchain(recipe.platforms[platform].toolchain))
    store = Store.open(project.store)

    def make(folder: Path) -> None:
        (folder / "bin").mkdir()
        (folder / "bin" / "fixture").write_bytes(content)
        (folder / "bin" / "fixture").chmod(0o755)
        write_record(folder, plan.record())

    entry, _ = store.ensure(plan.bundle_key, "bundle", plan.named_inputs(), make, console=Silent())
    return plan, entry


def make_pinned(folder: Path, content: bytes = PROGRAM) -> PinnedProject:
    """Make a project, its bundle, and the pin of it."""
    project = make_project(folder, folder / "store")
    plan, entry = put_bundle(project, content=content)
    project.edit(
        "output_unpinned: a test pins it\n  linux-aarch64", f"output: {entry.tree.hex}\n  linux-aarch64"
    )
    return PinnedProject(project, plan, entry)
