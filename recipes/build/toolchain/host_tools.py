"""What a build uses of the machine itself: asked before it begins, and recorded with it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from recipes.core.errors import ToolchainError
from recipes.core.process import Command, Completed, run

if TYPE_CHECKING:
    from recipes.manifest.schema import HostTool, Toolchain

ABSENT = "not on this machine"


def ask_host_tools(toolchain: Toolchain) -> dict[str, str]:
    """Return the version text of each tool that a toolchain uses of the machine, by the command that prints it.

    Raises ToolchainError, naming the first that is missing and that no build can do without.
    """
    return {" ".join(tool.ask): _ask(toolchain, tool) for tool in toolchain.tools}


def _ask(toolchain: Toolchain, tool: HostTool) -> str:
    folder = str(PurePosixPath(tool.ask[0]).parent)
    try:
        done = run(Command(tool.ask, Path("/"), {"LC_ALL": "C", "PATH": f"{folder}:/usr/bin:/bin"}))
    except OSError as error:
        done = Completed(1, (f"{tool.ask[0]}: {error.strerror}",))
    if done.status == 0:
        return done.text.strip()
    if tool.install is None:
        return ABSENT
    raise ToolchainError(
        where=f"manifests/toolchains/{toolchain.name}.yaml: tools",
        expected=f"{tool.what}: `{' '.join(tool.ask)}` with exit status 0",
        found=done.text or f"exit status {done.status}",
        fix=tool.install,
    )
