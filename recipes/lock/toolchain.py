"""The session `lock -- --toolchain NAME`: what the pinned wheels of a toolchain unpack to, proposed as pins.

Nothing is trusted anew: each wheel has its pinned digest, and its tree follows from its bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from recipes.build.toolchain.toolchain import unpack_toolchain
from recipes.core.digest import Sha256, hash_tree
from recipes.core.log import step
from recipes.lock.proposal import Change
from recipes.lock.request import command_again
from recipes.lock.write import layout_errors, offer_proposal, read_manifest
from recipes.manifest.edit_values import replace_pins

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from recipes.build.context import Job
    from recipes.manifest.schema import Toolchain


def propose_trees(job: Job, options: argparse.Namespace) -> int:
    """Propose the tree of each machine's wheels, and write them where the options say so.

    Raises what fetching and unpacking the wheels raises; then nothing is written.
    """
    toolchain = job.manifests.toolchain(options.toolchain)
    where = job.manifests.show(job.manifests.root / "toolchains" / f"{toolchain.name}.yaml")
    step(1, 4, "wheels", toolchain=toolchain.name, hosts=len(toolchain.hosts))
    unpinned = structs.replace(toolchain, trees={})
    trees: dict[str, Sha256] = {}
    for host in toolchain.hosts:
        with job.store.scratch(f"lock-{toolchain.name}-{host}") as work:
            (work / "tree").mkdir()
            unpack_toolchain(unpinned, host, work / "tree", job)
            trees[host] = hash_tree(work / "tree", Sha256)
    text = read_manifest(job.manifests, where)
    with layout_errors(where):
        change = Change(where, text, write_trees(text, toolchain, trees))
    step(3, 4, "check the proposal", files=1)
    unwritten = f"nothing is written; to write this: {command_again(options, '--write')}"
    offer_proposal((change,), job, write=options.write, unwritten=unwritten)
    return 0


def write_trees(text: str, toolchain: Toolchain, trees: Mapping[str, Sha256]) -> str:
    """Return a toolchain's manifest with these trees; raises ValueError where its layout does not allow it. Pure."""
    if toolchain.trees:
        return replace_pins(text, {("trees", host): tree.hex for host, tree in trees.items()})
    lines = "".join(f"  {host}: {tree.hex}\n" for host, tree in trees.items())
    return f"{text.rstrip()}\ntrees:\n{lines}" if lines else text
