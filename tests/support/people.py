"""People with a checkout, a store and a home each, and the small release that one of them makes with the real compiler.

The project is the fixture's. It is no llama.cpp, so what conformance would say of it is written here; all else is what
the commands write.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.evidence_files import CONFORMANCE, evidence_of_archive
from recipes.conformance.report.json_record import to_json
from recipes.core.digest import Sha256
from recipes.core.sandbox import SYSTEM_PATH, works_behind
from tests.support.fixture_project import Answer, FixtureProject, make_project, provide_source
from tests.support.release import conformance

if TYPE_CHECKING:
    from collections.abc import Mapping

DIGEST = re.compile(r"^digest: +sha256:([0-9a-f]{64})", re.MULTILINE)
OTHER_UID = "4242"
NO_PIN, NEXT_PLATFORM = "output_unpinned: a test pins it", "\n  linux-aarch64"


@dataclass(frozen=True)
class Person:
    """Somebody with a checkout, a store, a home and variables of their own; `prefix` changes the user id."""

    project: FixtureProject
    home: Path
    prefix: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)

    def runs(self, session: str, *words: str, **environ: str) -> Answer:
        command = [*self.prefix, *self.project.command(session, *words)]
        environment = self.project.environment(HOME=str(self.home), **self.environ, **environ)
        done = subprocess.run(
            command,
            cwd=self.home,
            env=environment | {"PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
            check=False,
        )
        # `pytest -s` shows the story as it is printed
        print(f"{self.home.parent.name}$ {session} {' '.join(words)}", done.stdout, done.stderr, sep="\n")
        return Answer(done.returncode, done.stdout, done.stderr)

    def elsewhere(self, folder: Path) -> Person:
        """Return somebody else with the same checkout and nothing more: another home, with an empty store in it."""
        home = folder / "home"
        home.mkdir(parents=True)
        shutil.copytree(self.project.root, folder / "project")
        project = FixtureProject(folder / "project", self.project.archive, home / ".cache" / "pinned-llama")
        return Person(project, home, as_another_user())


def as_another_user(*options: str) -> tuple[str, ...]:
    """Return what runs a command under another user id, with more options of unshare; nothing where that cannot be."""
    unshare = shutil.which("unshare", path=SYSTEM_PATH)
    ids = (f"--map-user={OTHER_UID}", f"--map-group={OTHER_UID}")
    prefix = (unshare or "", "--user", *ids, *options, "--")
    return prefix if unshare and works_behind(prefix) else ()


def make_maintainer(folder: Path, store: Path, build_number: int) -> Person:
    """Return who makes a release of that number; the store has the toolchain, which takes minutes to make ready."""
    project = make_project(folder, store)
    project.number(build_number)
    provide_source(project)
    (folder / "home").mkdir()
    return Person(project, folder / "home")


def release_key(maintainer: Person) -> Path:
    """Return the private key that the maintainer signs with; FILE.pub is the public one."""
    return maintainer.home / "release.key"


def make_release(maintainer: Person, out: Path) -> Path:
    """Build, pin, pack, and sign with a new key; return the archive, which has its documents beside it."""
    built = maintainer.runs("build")
    assert built.status == 0, built.err
    digest = DIGEST.search(built.out)
    assert digest
    maintainer.project.edit(NO_PIN + NEXT_PLATFORM, f"output: {digest[1]}{NEXT_PLATFORM}")
    packed = maintainer.runs("build", "--archive", str(out))
    assert packed.status == 0, packed.err
    (archive,) = out.glob("*.tar.zst")
    (evidence_of_archive(archive) / CONFORMANCE).write_text(to_json(conformance(Sha256(digest[1]))))
    key = release_key(maintainer)
    assert maintainer.runs("attest", "--new-key", str(key)).status == 0
    signed = maintainer.runs("attest", str(archive), "--key", str(key))
    assert signed.status == 0, signed.err
    assert "missing" not in signed.out
    return archive
