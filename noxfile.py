# /// script
# requires-python = ">=3.11"
# dependencies = ["nox>=2025.2.9"]
# ///
"""The sessions of pinned-llama: wiring only, the work is in recipes/.

`python3 noxfile.py -s build` needs nothing but Python: where nox is missing it makes a private environment
from the hash-pinned lock file, with the standard library's venv. With nox installed, `nox -s build` is the same.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent
LOCKS = PROJECT / "manifests" / "python"
TOOLCHAIN_ERROR = 16  # as recipes.core.errors.ToolchainError; nothing of recipes can be imported before this


def environment_python(group: str) -> str:
    """Python of the private environment of a lock file; made on first use, every package checked by its hash.

    The folder is named by the lock and by the Python that makes it, so that a changed lock is a new environment.
    """
    lock = LOCKS / f"{group}.lock"
    key = hashlib.sha256(lock.read_bytes() + f"{sys.version} {sys.base_prefix}".encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pinned-llama"
    folder = cache / "environments" / f"{group}-{key}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{folder.name}.lock").open("w") as waiting:
            fcntl.flock(waiting, fcntl.LOCK_EX)  # a second process waits, then finds it made
            if not complete.exists():
                make_environment(folder, python, lock)
                complete.touch()
    return str(python)


def make_environment(folder: Path, python: Path, lock: Path) -> None:
    """Make a venv and install a lock file into it, or leave with a message."""
    print(f"making an environment from {lock.relative_to(PROJECT)} (once)", file=sys.stderr, flush=True)
    options = ("--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(lock))
    steps = (
        (
            (sys.executable, "-m", "venv", "--clear", str(folder)),
            "the standard library's venv, with ensurepip",
            "install it (Debian, Ubuntu: apt-get install python3-venv), then run the same command again",
        ),
        (
            (str(python), "-m", "pip", "--disable-pip-version-check", "install", *options),
            "every package of the lock file, with its pinned hash",
            "with a network, or with pip's index-url set to a mirror, run the same command again",
        ),
    )
    for argv, expected, fix in steps:
        status = subprocess.run(argv, check=False).returncode
        if status != 0:
            print(
                "error: the private environment could not be made\n"
                f"  where:    {' '.join(argv[:4])}\n"
                f"  expected: {expected}\n"
                f"  found:    exit status {status}, for the reason above\n"
                f"  fix:      {fix}",
                file=sys.stderr,
            )
            sys.exit(TOOLCHAIN_ERROR)


def run(*argv: str, folder: str | None = None) -> None:
    """Run a command to its end; where it fails, leave with its own exit code. A signal that ends us ends it too.

    In `folder`, by default the project's. What a user names is relative to where the user stands; the project's modules
    are found all the same, and never any that lie there (`-P`).
    """
    paths = filter(None, (str(PROJECT), os.environ.get("PYTHONPATH")))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)} if folder else None
    with subprocess.Popen(argv, cwd=folder or PROJECT, env=environment) as process:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                signal.signal(number, lambda number, _: process.send_signal(number))
        while True:
            try:
                status = process.wait()
                break
            except KeyboardInterrupt:
                continue  # the terminal interrupts the command too, which cleans up and says so
    if status != 0:
        sys.exit(status if status > 0 else 128 - status)


if __name__ == "__main__":
    interpreter = environment_python("run")
    # -P: nothing that lies where the user stands is imported
    os.execv(interpreter, [interpreter, "-P", "-m", "nox", "-f", str(PROJECT / "noxfile.py"), *sys.argv[1:]])  # noqa: S606 - no shell is wanted

import nox

nox.options.sessions = ["build"]
nox.options.default_venv_backend = "none"  # the environments are ours: pinned by hash, made once


def recipes(session: nox.Session, group: str = "run") -> None:
    """Hand the session to `python -m recipes`, with everything that follows `--`."""
    words = ("-P", "-m", "recipes", session.name, *session.posargs)
    run(environment_python(group), *words, folder=session.invoked_from)


@nox.session
def fetch(session: nox.Session) -> None:
    """Download the pinned source and toolchain into the store, checking every byte."""
    recipes(session)


@nox.session
def verify(session: nox.Session) -> None:
    """Hash again everything that is pinned and present: source, patches, toolchain, bundle."""
    recipes(session)


@nox.session
def patch(session: nox.Session) -> None:
    """Unpack the source and apply the pinned patches, exactly."""
    recipes(session)


@nox.session
def build(session: nox.Session) -> None:
    """Do it all: fetch, verify, patch, build, bundle, and compare with the pinned digest."""
    recipes(session)


@nox.session
def reproduce(session: nox.Session) -> None:
    """Build again in surroundings that differ in every way, and compare byte by byte."""
    recipes(session)


@nox.session
def conformance(session: nox.Session) -> None:
    """Judge a llama.cpp, ours or another, with the pocket model: text, images, numerics, server, web page."""
    recipes(session, "conformance")


@nox.session(name="mac-check")
def mac_check(session: nox.Session) -> None:
    """On a Mac: try a bundle on the GPU and without it, and write what was seen as one JSON (minutes)."""
    recipes(session, "conformance")


@nox.session
def payload(session: nox.Session) -> None:
    """Hash a bundle's files as if they had never been signed, and compare two."""
    recipes(session)


@nox.session
def lock(session: nox.Session) -> None:
    """Propose new pins for a newer source, as a diff, and say which patches still apply; or for a model."""
    asks_the_hub = any(word.startswith("--model") for word in session.posargs)
    recipes(session, "hub" if asks_the_hub else "run")


@nox.session
def models(session: nox.Session) -> None:
    """Fetch, verify, inspect and list pinned models, resumable and checked to the last byte."""
    recipes(session)


@nox.session
def serve(session: nox.Session) -> None:
    """Serve a pinned model on this machine: a page to click in and an API, for text and pictures."""
    recipes(session)


@nox.session
def ask(session: nox.Session) -> None:
    """Answer a question about pictures in the terminal."""
    recipes(session)


@nox.session
def gc(session: nox.Session) -> None:
    """Remove from the store what no manifest needs any more."""
    recipes(session)


@nox.session
def tests(session: nox.Session) -> None:
    """Run all unit, property and integration tests (minutes)."""
    run(environment_python("dev"), "-m", "pytest", "-n", "2", "--dist", "loadfile", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Plant known faults in the model's files and the web page: conformance must catch each and name the part."""
    run(environment_python("conformance"), "-m", "pytest", "tests/conformance", *session.posargs)


@nox.session
def pocket(session: nox.Session) -> None:
    """Test the pocket model's training, export and reference against transformers (torch; minutes)."""
    run(environment_python("reference"), "-m", "pytest", "tests/pocket", *session.posargs)


@nox.session
def reference(session: nox.Session) -> None:
    """Ask transformers what conformance compares with (torch; minutes); never needed to build."""
    run(environment_python("reference"), "-m", "recipes.pocket.reference.recompute", *session.posargs)


@nox.session
def fidelity(session: nox.Session) -> None:
    """Measure how far llama.cpps are from transformers in fp32, on models of many shapes (torch; minutes each)."""
    run(environment_python("reference"), "-m", "recipes.pocket.fidelity.command", *session.posargs)


@nox.session
def apple(session: nox.Session) -> None:
    """Compare the SDK of our own, and what is built with it, with those who had Apple's (seconds, once fetched)."""
    run(environment_python("apple"), "-m", "pytest", "tests/apple", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    python = environment_python("dev")
    run(python, "-m", "ruff", "check", *session.posargs)
    run(python, "-m", "ruff", "format", "--check", *session.posargs)


@nox.session
def typecheck(session: nox.Session) -> None:
    """Check types with mypy, strictly."""
    run(environment_python("dev"), "-m", "mypy", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against the physical limit or a peer in the same run, and write docs/ (long)."""
    run(environment_python("bench"), "-m", "tests.benchmarks", *session.posargs)


@nox.session
def fullsize(session: nox.Session) -> None:
    """Take a pair of the 30B model's size all the way from a bad server to an answer (minutes; 39 GB of disk)."""
    run(environment_python("bench"), "-m", "tests.fullsize", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Generate the reference pages and build the documentation site into site/."""
    run(environment_python("run"), "-m", "recipes", "docs")
    run(environment_python("docs"), "-m", "zensical", "build", *session.posargs)
