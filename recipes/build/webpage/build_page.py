"""Builds a server's web page where the source does not carry it: from pinned packages, offline, to pinned bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.plan.plan import ToolchainPin, canonical_json, final_tree
from recipes.build.sharing.stage_job import StageJob
from recipes.build.sharing.stages import take_or_make
from recipes.build.webpage.npm_packages import INSTALL, ensure_packages, link_cache, npm_command, packages_key
from recipes.core.digest import Sha256, hash_tree
from recipes.core.errors import BuildError, VerifyError
from recipes.core.filesystem import copy_writable
from recipes.core.process import Command
from recipes.core.sandbox import Reach, Surroundings, run_isolated
from recipes.registry.tree import PAGE

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.manifest.schema import Page, Recipe, Toolchain
    from recipes.store.store import Entry, Store

SHELL = "/usr/bin:/bin"  # npm runs scripts with sh; all other programs are packages of the lock


@dataclass(frozen=True, kw_only=True)
class PageJob(StageJob):
    """What a page is made with: the manifest of node, and the patched source in the store."""

    page: Page
    toolchain: Toolchain
    source: Path
    node: Entry
    surroundings: Surroundings

    @property
    def where(self) -> str:
        """The pin, for errors."""
        return f"manifests/recipes/{self.recipe.name}.yaml: page"

    @property
    def key(self) -> str:
        """Name the store entry."""
        return page_key(self.recipe, self.page, self.toolchain)

    @property
    def packages_key(self) -> str:
        """Name the store entry of the packages that it is built from."""
        return packages_key(final_tree(self.recipe), self.page.folder, self.node.key)

    @property
    def log(self) -> Path:
        """Where every line that its last build printed is kept."""
        return self.store.root / "logs" / f"{self.key}.log"


def page_key(recipe: Recipe, page: Page, toolchain: Toolchain) -> str:
    """Name the store entry of a page by all that it is made of."""
    made_of = {
        "source": final_tree(recipe).hex,
        "folder": page.folder,
        "toolchain": ToolchainPin.of(toolchain).wheels_digest.hex,
        "command": list(page.command),
        "environment": page.environment,
        "epoch": recipe.source.epoch,
    }
    return f"page-{recipe.name}-{Sha256.of_bytes(canonical_json(made_of)).hex[:32]}"


def fetch_packages(job: PageJob) -> Entry:
    """Return the packages that the page is built from, verified."""
    folder = job.source / job.page.folder
    return ensure_packages(job.packages_key, folder, job.node, job.where, job)


def find_page(store: Store, key: str, page: Page, where: str) -> Entry | None:
    """Return the page that is built already, every byte of it hashed again and compared with the pin, if it has one.

    Raises StoreError where it was changed after it was built, and VerifyError where it is whole, and not the pinned
    one.
    """
    return store.find_verified(key, lambda entry: _check_page(entry, page, where))


def _check_page(entry: Entry, page: Page, where: str) -> None:
    if page.tree_sha256 not in {None, entry.tree}:
        raise _mismatch(where, page, entry.path, entry.tree)


def ensure_page(job: PageJob) -> Entry:
    """Return the page, built where it is not there yet; verified either way. One that is not pinned can be any.

    Raises what fetching the packages raises, BuildError where npm fails (the log is named and kept), and VerifyError
    where another page comes out, which is kept for comparison.
    """

    def make(folder: Path) -> None:
        if job.page.tree_sha256 is None:
            build(folder)
        else:
            take_or_make(job, PAGE, job.page.tree_sha256, folder, build)

    def build(folder: Path) -> None:
        packages = fetch_packages(job)
        with job.console.task(f"build the page of {job.recipe.name}", None):
            _build(job, packages, folder)
        found = hash_tree(folder, Sha256)
        if job.page.tree_sha256 not in {None, found}:
            kept = job.store.reject(folder, f"{job.recipe.name}: not the pinned page")
            raise _mismatch(job.where, job.page, kept, found)

    return job.store.ensure(
        job.key,
        "page",
        {"source": str(job.recipe.source.tree), "packages": job.packages_key, "node": job.node.key},
        make,
        console=job.console,
        check=lambda entry: _check_page(entry, job.page, job.where),
    ).entry


def _build(job: PageJob, packages: Entry, into: Path) -> None:
    with job.store.scratch(f"{job.key}-build") as work:
        folder, cache, made = work / "page", work / "npm", work / "made"
        folder.mkdir()
        made.mkdir()
        copy_writable(job.source / job.page.folder, folder)
        link_cache(packages.path, cache)
        for name in ("home", "tmp"):
            (work / name).mkdir()
        environment = {
            "HOME": str(work / "home"),
            "LC_ALL": "C",
            "PATH": f"{job.node.path / 'bin'}:{SHELL}",
            "SOURCE_DATE_EPOCH": str(job.recipe.source.epoch),
            "TMPDIR": str(work / "tmp"),
            "TZ": "UTC",
            "npm_config_cache": str(cache),
            "npm_config_offline": "true",
            "npm_config_update_notifier": "false",
            **{name: value.replace("{page}", str(made)) for name, value in job.page.environment.items()},
        }
        job.log.parent.mkdir(parents=True, exist_ok=True)
        job.log.unlink(missing_ok=True)
        # the cache in `work` is links to the packages; the page is made in `work` too, since builders of pages remove
        # its folder and make it again, which is not possible for a folder that is shown by itself
        reach = Reach((packages.path, job.node.path), (work,))
        for words in ((*INSTALL, "--offline"), job.page.command):
            command = Command(npm_command(job.node.path, *words), folder, environment)
            done = run_isolated(command, reach, job.surroundings, log=job.log)
            if done.status != 0:
                raise BuildError(
                    where=f"{job.where}: npm {' '.join(words)}",
                    expected="exit status 0",
                    found=f"exit status {done.status}, after\n{done.text}",
                    fix=f"read the whole log, kept at {job.log}",
                )
        copy_writable(made, into)


def _mismatch(where: str, page: Page, path: Path, found: Sha256) -> VerifyError:
    return VerifyError(
        where=f"{where}.tree_sha256",
        expected=str(page.tree_sha256),
        found=f"{found}, at {path}",
        fix=(
            "if the source, node or the command was changed on purpose, build it twice on two machines,\n"
            f"compare, and write `tree_sha256: {found.hex}`"
        ),
    )
