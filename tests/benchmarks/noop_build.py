"""`nox -s build` with everything present, minus an empty nox session; beside it a no-op nix-build."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from recipes.manifest.load import PROJECT
from tests.benchmarks.comparison import Comparison, Kind, Target
from tests.benchmarks.project import built_bundle, open_job
from tests.benchmarks.report import Measured
from tests.benchmarks.sample_files import room
from tests.benchmarks.turns import Options, Say, UnmeasurableError, run_program, take_turns, time_call

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TITLE = "a build with nothing to do against an empty nox session"
TURNS = 10
ROOM_BYTES = 200 << 20

NOXFILE = """\
import nox


@nox.session(venv_backend="none")
def without_environment(session: nox.Session) -> None:
    pass


@nox.session(venv_backend="virtualenv", reuse_venv=True)
def with_environment(session: nox.Session) -> None:
    pass
"""
DERIVATION = """\
derivation {
  name = "trivial";
  system = builtins.currentSystem;
  builder = "/bin/sh";
  args = [ (builtins.toFile "builder.sh" "echo done > $out") ];
}
"""
BUILD = "nox -s build"
BOOTSTRAPPED = "python3 noxfile.py -s build"
WITHOUT = "empty nox session, no environment"
WITH = "empty nox session, its virtualenv reused"
NIX = "no-op nix-build of one trivial derivation"


def measure(options: Options, say: Say) -> Measured:
    job = open_job(options.recipe)
    plan = job.plan()
    built_bundle(job)
    chosen = ("-s", "build", "--", "--recipe", job.recipe.name)
    nox = (sys.executable, "-m", "nox", "-f")
    with room(options.folder, ROOM_BYTES) as folder:
        (folder / "noxfile.py").write_text(NOXFILE, encoding="utf-8")
        empty = (*nox, str(folder / "noxfile.py"), "-s")

        def timed(*argv: str, cwd: Path = folder) -> Callable[[], float]:
            return lambda: time_call(lambda: run_program(argv, cwd=cwd))

        actions = {
            BUILD: timed(*nox, str(PROJECT / "noxfile.py"), *chosen, cwd=PROJECT),
            WITHOUT: timed(*empty, "without_environment"),
            WITH: timed(*empty, "with_environment"),
            BOOTSTRAPPED: timed(sys.executable, str(PROJECT / "noxfile.py"), *chosen, cwd=PROJECT),
        }
        nix = None
        try:
            nix = nix_build(folder / "nix", install=options.install_nix)
            actions[NIX] = nix
        except UnmeasurableError as error:
            missing = str(error)
            say(f"  {NIX}: not measured: {missing}")
        for action in actions.values():
            action()  # environments are made, and all is read into the page cache
        turns = take_turns(options.turns(TURNS), actions, say)
    limit = Target(Kind.DIFFERENCE_AT_MOST, 0.3)
    rows = (
        Comparison(BUILD, WITHOUT, "s", turns[BUILD], turns[WITHOUT], limit),
        Comparison(BUILD, WITH, "s", turns[BUILD], turns[WITH], limit),
        Comparison(BOOTSTRAPPED, WITHOUT, "s", turns[BOOTSTRAPPED], turns[WITHOUT]),
        Comparison(BUILD, NIX, "s", turns[BUILD], turns[NIX])
        if nix
        else Comparison(BUILD, NIX, "s", turns[BUILD], missing=missing),
    )
    notes = (
        (
            f"the bundle is {plan.name}; every byte of it is hashed again each time, and its tree digest is"
            " compared with the one recorded when it was built and with the one pinned in the manifest"
        ),
        "nix-build compares no bytes: it finds the path of the output in its database",
    )
    return Measured(rows, notes)


def nix_build(folder: Path, *, install: bool) -> Callable[[], float]:
    """Return what times a no-op build of a trivial derivation, in a nix store of our own, without network.

    Raises
    ------
    UnmeasurableError
        Where nix is not installed and may not be, or does not work here.
    """
    if shutil.which("nix-build") is None:
        if not (install and os.geteuid() == 0 and shutil.which("apt-get")):
            raise UnmeasurableError("nix-build is not installed (as root on Debian: --install-nix)")
        run_program(("apt-get", "install", "-y", "--no-install-recommends", "nix-bin"))
    folder.mkdir()
    (folder / "trivial.nix").write_text(DERIVATION, encoding="utf-8")
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder / "home"),
        "NIX_STORE_DIR": str(folder / "store"),
        "NIX_STATE_DIR": str(folder / "state"),
        "NIX_LOG_DIR": str(folder / "log"),
        "NIX_CONF_DIR": str(folder / "etc"),
        "NIX_REMOTE": "local",
        "NIX_CONFIG": "build-users-group =\nsandbox = false\nsubstitute = false",
    }
    argv = ("nix-build", "--no-out-link", str(folder / "trivial.nix"))
    return lambda: time_call(lambda: run_program(argv, cwd=folder, env=environment))
