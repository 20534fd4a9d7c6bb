"""An installed llama.cpp: a bundle of this project, or a folder with the programs of another llama.cpp."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from recipes.build.bundle.layout import RECORD
from recipes.core.digest import Sha256, hash_file, hash_tree
from recipes.core.errors import UsageError
from recipes.core.process import Captured, Command, capture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SERVER = "llama-server"
PROGRAMS = (SERVER, "llama-mtmd-cli", "llama-completion", "llama-cli", "llama-quantize")
HELP_S = 60.0
BUNDLE_OR_OTHER = "name the folder that `build` prints after `bundle:`, or that of another llama.cpp"
IN_WINE = (
    "write launchers that start its programs in Wine (docs/explanation/windows.md), and name their folder"
)


@dataclass(frozen=True)
class Installation:
    """An installed llama.cpp."""

    folder: Path  # the one that the user named
    programs: Path  # the folder of its programs
    digest: Sha256  # of a bundle, the tree digest; otherwise the digest of the server
    title: str  # from its build record or its `--version`
    is_bundle: bool  # whether it has a build record of this project
    model_options: tuple[str, ...] = ()  # of programs that load a model, as how many layers go to the GPU

    @property
    def is_offloaded(self) -> bool:
        """Whether its programs put the model, and with it the projector, into a GPU's memory."""
        words = self.model_options
        return "-ngl" in words and words[words.index("-ngl") + 1] != "0"

    def path(self, program: str) -> Path | None:
        """Return the path of a program; None if it is not there or not executable."""
        path = self.programs / program
        return path if path.is_file() and os.access(path, os.X_OK) else None

    def run(self, program: str, arguments: Sequence[str], cwd: Path, timeout_s: float = 120.0) -> Captured:
        """Run one of its programs to its end, without the caller's environment.

        A FileNotFoundError is raised if there is no such program, a TimeoutError if it takes longer.
        """
        path = self.path(program)
        if path is None:
            raise FileNotFoundError(program)
        environment = {"HOME": str(cwd), "TMPDIR": str(cwd), "LC_ALL": "C"}
        return capture(Command((str(path), *arguments), cwd, environment), timeout_s)

    @cached_property
    def server_options(self) -> frozenset[str]:
        """The options in the server's help."""
        return frozenset(re.findall(r"(?<![\w-])--?[a-z][\w-]*", self._server_help))

    @property
    def takes_sockets(self) -> bool:
        """Whether the server listens on a unix socket where its address ends with .sock."""
        return ".sock" in self._server_help

    @cached_property
    def _server_help(self) -> str:
        done = self.run(SERVER, ("--help",), self.folder, HELP_S)
        return done.out + done.err


def find_installation(folder: Path) -> Installation:
    """Identify a folder: a bundle, an installation with `bin/`, or a folder of programs.

    A UsageError is raised if it has no llama-server that runs here.
    """
    whole = folder.absolute()  # the programs run in other folders
    for programs in (whole / "bin", whole):
        server = programs / SERVER
        if server.is_file():
            break
    else:
        if any((programs / f"{SERVER}.exe").is_file() for programs in (whole / "bin", whole)):
            raise _refusal(folder, "programs for Windows", IN_WINE)
        raise _refusal(folder, "no such program" if folder.is_dir() else "no such folder")
    title = title_of_bundle(folder / RECORD) if programs != whole else None
    if title is not None:
        return Installation(folder, programs, hash_tree(folder, Sha256), title, is_bundle=True)
    other = Installation(folder, programs, hash_file(server), "", is_bundle=False)
    try:
        said = other.run(SERVER, ("--version",), folder, HELP_S)
    except OSError as error:
        raise _refusal(folder, f"it does not run here: {error}") from error
    version = re.search(r"version: .*", said.out + said.err)
    return replace(other, title=f"not built by this project, {version[0] if version else 'version unknown'}")


def title_of_bundle(record: Path) -> str | None:
    """Return recipe, platform and version of a build record; None if there is none, or another project's."""
    try:
        data = json.loads(record.read_text(encoding="utf-8"))
        return f"{data['recipe']}@{data['platform']}, version {data['plan']['version']}"
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _refusal(folder: Path, found: str, fix: str = BUNDLE_OR_OTHER) -> UsageError:
    return UsageError(
        where=f"--bundle {folder}",
        expected=f"a folder with {SERVER}, or with bin/{SERVER}",
        found=found,
        fix=fix,
    )
