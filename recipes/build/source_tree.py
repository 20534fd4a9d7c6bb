"""The stages before a build: fetch -> verify -> patch -> page, each a store entry named by its digest.

Every stage verifies what it reads; nothing depends on another command having run before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from recipes.build.plan.plan import final_tree
from recipes.build.sharing.stages import take_or_make
from recipes.build.toolchain.toolchain import ensure_toolchain, host_name, wheels_of_host
from recipes.build.webpage.build_page import PageJob, ensure_page, fetch_packages
from recipes.core.digest import Sha1, Sha256, blob_entries, hash_tree, tree_of_entries
from recipes.core.errors import StoreError, VerifyError
from recipes.core.filesystem import copy_writable
from recipes.core.log import step
from recipes.fetch.origins import fetch_source, fetch_wheel
from recipes.patches.apply import apply_patch
from recipes.patches.parse import parse_patch
from recipes.registry.tree import SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.manifest.schema import Recipe
    from recipes.store.store import Entry, Store


def fetch_all(job: Job) -> None:
    """Bring what a build reads into the store, verified: the source, the toolchain's wheels and the page's packages."""
    # 1. The source.
    step(1, 3, "source", commit=job.recipe.source.commit)
    ensure_unpatched(job)
    # 2. The toolchain.
    step(2, 3, "toolchain", name=job.toolchain.name, host=host_name())
    for wheel in wheels_of_host(job.toolchain, host_name()):
        where = f"manifests/toolchains/{job.toolchain.name}.yaml: hosts.{host_name()}"
        fetch_wheel(wheel, where, job)
    # 3. The page.
    step(3, 3, "packages of the page", builds=job.recipe.page is not None)
    if job.recipe.page is not None:
        fetch_packages(page_job(job, ensure_patched(job)))


def ensure_source(job: Job) -> Entry:
    """Return the source that is compiled: patched, and with the page in it where the recipe builds one."""
    patched = ensure_patched(job)
    if job.recipe.page is None:
        return patched
    page, into = ensure_page(page_job(job, patched)), job.recipe.page.into

    def make(folder: Path) -> None:
        copy_writable(patched.path, folder)
        (folder / into).mkdir(parents=True)
        copy_writable(page.path, folder / into)

    tree = _tree_of_both(patched, page, into)
    inputs = {"source": patched.key, "page": page.key}
    return job.store.ensure(
        paged_source_key(job.recipe),
        "source",
        inputs,
        make,
        console=job.console,
        check=lambda entry: _check_tree(job.store, entry, tree),
    ).entry


def find_paged_source(store: Store, recipe: Recipe, patched: Entry, page: Entry) -> Entry | None:
    """Return a patched source with its page in it, hashed again and compared with both, which the caller verified.

    Raises StoreError where it is another tree.
    """
    assert recipe.page is not None  # noqa: S101 - asked for only where there is one
    tree = _tree_of_both(patched, page, recipe.page.into)
    return store.find_verified(paged_source_key(recipe), lambda entry: _check_tree(store, entry, tree))


def _tree_of_both(patched: Entry, page: Entry, into: str) -> Sha256:
    """Return the tree of a source with a page in it: each is compared with its pin, and so is what they make."""
    files = blob_entries(patched.path, Sha256)
    files |= {f"{into}/{name}": entry for name, entry in blob_entries(page.path, Sha256).items()}
    return tree_of_entries(files, Sha256)


def ensure_unpatched(job: Job) -> Entry:
    """Return the source as upstream's commit has it, from the first origin that delivers that very tree."""
    source = job.recipe.source
    # what is patched is no stage that workers share: who patches it fetches it
    alone = replace(job, worker=None) if job.recipe.patches else job

    def make(folder: Path) -> None:
        take_or_make(alone, SOURCE, source.tree_sha256, folder, fetch)

    def fetch(folder: Path) -> None:
        where = f"{job.where}: source.origins"
        fetched = fetch_source(job.recipe.name, source, where, job, into=folder)
        for failure in fetched.failures:
            job.console.warn(f"origin skipped: {failure}")
        proof = "proves" if fetched.proves_commit else "does not prove"
        job.console.say(
            f"source of {job.recipe.name}: commit {source.commit.hex},"
            f" from {fetched.origin_label}, which {proof} that it is this commit"
        )

    inputs = {"commit": str(source.commit), "tree": str(source.tree)}
    return _ensure_tree(job, source.tree_sha256, inputs, make)


def ensure_patched(job: Job) -> Entry:
    """Return the patched source: each patch checked by its hash, each resulting tree by both of its digests."""
    patches = job.recipe.patches
    if not patches:
        return ensure_unpatched(job)

    tree = patches[-1].tree_sha256

    def make(folder: Path) -> None:
        take_or_make(job, SOURCE, tree, folder, apply_all)

    def apply_all(folder: Path) -> None:
        unpatched = ensure_unpatched(job)
        with job.console.task(f"patch {job.recipe.name}", len(patches), "patches") as task:
            copy_writable(unpatched.path, folder)
            for index in range(len(patches)):
                apply_pinned(job, index, folder)
                task.advance(1)

    inputs = {
        "source": source_key(job.recipe.source.tree_sha256),
        **{patch.file: str(patch.sha256) for patch in patches},
    }
    return _ensure_tree(job, tree, inputs, make)


def _ensure_tree(job: Job, tree: Sha256, inputs: dict[str, str], make: Callable[[Path], None]) -> Entry:
    return job.store.ensure(
        source_key(tree),
        "source",
        inputs,
        make,
        console=job.console,
        check=lambda entry: _check_tree(job.store, entry, tree),
    ).entry


def apply_pinned(job: Job, index: int, tree: Path) -> None:
    """Apply one patch of the series, exactly, and check what comes out.

    Raises VerifyError where the patch, or the tree that results, is not the pinned one, and PatchError where it does
    not apply exactly.
    """
    patch = job.recipe.patches[index]
    apply_patch(parse_patch(read_patch(job, index), f"patches/{patch.file}"), tree)
    results = ((patch.tree, hash_tree(tree, Sha1)), (patch.tree_sha256, hash_tree(tree, Sha256)))
    for expected, result in results:
        if result != expected:
            raise VerifyError(
                where=f"{job.where}: patches[{index}].tree",
                expected=f"{expected} after patches/{patch.file}",
                found=str(result),
                fix=f"pin the tree that results: python3 noxfile.py -s lock -- --recipe {job.recipe.name}",
            )


def read_patch(job: Job, index: int) -> bytes:
    """Return one patch of the series; raises VerifyError where it is not the pinned one."""
    patch = job.recipe.patches[index]
    data = (job.manifests.patches / patch.file).read_bytes()
    found = Sha256.of_bytes(data)
    if found != patch.sha256:
        raise VerifyError(
            where=f"{job.where}: patches[{index}].sha256",
            expected=f"patches/{patch.file} with {patch.sha256}",
            found=str(found),
            fix=(
                f"git checkout patches/{patch.file},"
                f" or pin the change: python3 noxfile.py -s lock -- --recipe {job.recipe.name}"
            ),
        )
    return data


def find_source(store: Store, tree: Sha256) -> Entry | None:
    """Return a source tree that is in the store, every byte of it hashed again and compared with the pin itself.

    Raises StoreError where the entry is not that tree.
    """
    return store.find_verified(source_key(tree), lambda entry: _check_tree(store, entry, tree))


def _check_tree(store: Store, entry: Entry, tree: Sha256) -> None:
    if entry.tree != tree:
        raise StoreError(
            where=str(entry.path),
            expected=f"tree {tree}, as pinned",
            found=f"tree {entry.tree}, set aside in {store.set_aside(entry.key, 'not the tree of its name')}",
            fix="run the same command again: the source is unpacked again",
        )


def page_job(job: Job, source: Entry) -> PageJob:
    """Return what the recipe's page is made with, node fetched where it is not there yet."""
    page = job.recipe.page
    assert page is not None  # noqa: S101 - asked for only where there is one
    toolchain = job.manifests.toolchain(page.toolchain)
    node = ensure_toolchain(toolchain, job)
    return PageJob(
        recipe=job.recipe,
        page=page,
        toolchain=toolchain,
        source=source.path,
        node=node,
        store=job.store,
        console=job.console,
        settings=job.settings,
        surroundings=job.surroundings,
        worker=job.worker,
    )


def source_key(tree: Sha256) -> str:
    """Name the store entry of a source tree."""
    return f"source-{tree.hex[:32]}"


def paged_source_key(recipe: Recipe) -> str:
    """Name the store entry of a recipe's patched source with its page in it."""
    tree = recipe.page.tree_sha256 if recipe.page else None
    assert tree is not None  # noqa: S101 - asked for only where there is a page, and no plan is made of an unpinned one
    return f"source-{final_tree(recipe).hex[:16]}-page-{tree.hex[:16]}"
