"""Private keys: where one may lie, and what signs with one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.errors import UsageError
from recipes.core.filesystem import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from recipes.core.digest import Sha256


def refuse_checkout(path: Path) -> None:
    """Demand that a private key lies in no git work tree, or it is published one day; raises UsageError."""
    folder = Path(os.path.realpath(path.parent))
    for each in (folder, *folder.parents):
        if os.path.lexists(each / ".git"):
            raise UsageError(
                where=shown(str(path)),
                expected="a private key outside of every git work tree",
                found=f"the work tree {shown(str(each))}",
                fix="name a folder that only you can read, such as ~/.config",
            )


def find_signer(path: Path | None) -> Callable[[str, Sha256], bytes] | None:
    """Return what signs that a stage has a tree, with a private key's file; raises UsageError where it is none."""
    if path is None:
        return None
    from recipes.cli.evidence_input import read_private_key
    from recipes.evidence.acceptance import stage_statement
    from recipes.evidence.envelope import sign

    refuse_checkout(path)
    signer = read_private_key(path)
    return lambda stage, tree: sign(stage_statement(stage, tree), signer)
