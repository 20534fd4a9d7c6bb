# /// script
# requires-python = ">=3.11"
# dependencies = ["nox>=2025.2.9"]
# ///
"""The sessions of pinned-llama: wiring only, the work is in recipes/.

`python3 noxfile.py -s build` needs nothing but Python: where nox is missing it makes a private environment
from the hash-pinned lock file, with the standard library's venv. With nox installed, `nox -s build` is the same.
"""

import os
import sys
import typing

PYTHON: "tuple[int, int]" = (3, 11)  # Python 2 and 3.5 stop at this line: run it with Python 3.11 or newer
# Kinds of failure: exit codes as of recipes.core.errors, of which nothing can be imported here, and first lines.
USAGE_ERROR, INTERRUPTED = 2, 130
UNFIT = (16, "the sessions cannot run here")
NO_ENVIRONMENT = (16, "the private environment could not be made")
REFUSED = (32, "the operating system refused")


# Up to the two checks below everything runs on Python 3.6, to say what is wrong; what follows must parse there.
def stop(kind: "tuple[int, str]", where: object, expected: str, found: object, fix: str) -> "typing.NoReturn":
    """Print an error as recipes.core.errors does, and leave with its exit code."""
    rows = (("where", where), ("expected", expected), ("found", found), ("fix", fix))
    lines = [f"error: {kind[1]}"] + [f"  {label + ':':<10}{text}" for label, text in rows]
    if sys.stderr is not None:
        sys.stderr.write("\n".join(lines) + "\n")
    sys.exit(kind[0])


def newer_python() -> str:
    """Name a Python on the path that is new enough, or how to get one."""
    import subprocess
    from shutil import which

    for minor in range(PYTHON[1] + 6, PYTHON[1] - 1, -1):
        name = f"python{PYTHON[0]}.{minor}"
        path = which(name)
        # a program of that name can be another's that only says that there is none
        if path and subprocess.call([path, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            return " ".join([name, "noxfile.py", *sys.argv[1:]])
    return "install one (macOS: brew install python; Debian, Ubuntu: apt-get install python3): python.org/downloads"


if sys.version_info < PYTHON:
    stop(
        UNFIT,
        sys.executable,
        f"Python {PYTHON[0]}.{PYTHON[1]} or newer",
        f"Python {sys.version.split()[0]}",
        newer_python(),
    )
if os.name == "nt":
    stop(
        UNFIT,
        "Windows",
        "Linux or macOS; bundles for Windows are built there too",
        sys.platform,
        "run it in the Windows Subsystem for Linux",
    )

import errno
import fcntl
import hashlib
import itertools
import logging
import shutil
import signal
import subprocess
from difflib import get_close_matches
from pathlib import Path

PROJECT = Path(__file__).resolve().parent
LOCKS = PROJECT / "manifests" / "python"
OFFLINE_VARIABLE = "PINNED_LLAMA_OFFLINE"
# What would change where the packages of an environment come from or go to, besides PYTHON*.
NOT_PASSED_ON = ("__PYVENV_LAUNCHER__", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER")
LEAST_BYTES = 20_000_000  # with less room than this left, a failure is one of the disk


def environment_folder(group: str) -> Path:
    """Where the private environment of a lock file lies.

    The folder is named by the lock and by the Python that makes it, so that a changed lock is a new environment.
    """
    key = hashlib.sha256((LOCKS / f"{group}.lock").read_bytes() + f"{sys.version} {sys.base_prefix}".encode())
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        stop(
            NO_ENVIRONMENT,
            "the variable HOME",
            "a home folder, whose .cache has the environments",
            error,
            "export HOME=/a/folder/of/yours, or XDG_CACHE_HOME",
        )
    return cache / "pinned-llama" / "environments" / f"{group}-{key.hexdigest()[:16]}"


def environment_python(group: str) -> str:
    """Python of the private environment of a lock file; made on first use, every package checked by its hash."""
    folder = environment_folder(group)
    python, complete = folder / "bin" / "python", folder / "complete"
    try:
        if not (complete.exists() and python.exists()):
            refuse_offline(folder)
            folder.mkdir(parents=True, exist_ok=True)
            with (folder.parent / f"{folder.name}.lock").open("w") as waiting:
                fcntl.flock(waiting, fcntl.LOCK_EX)  # a second process waits, then finds it made
                if not (complete.exists() and python.exists()):
                    make_environment(folder, python, LOCKS / f"{group}.lock")
                    complete.touch()
    except OSError as error:
        stop(
            NO_ENVIRONMENT,
            error.filename or folder,
            "a folder that can be made and written, with some room",
            error.strerror or error,
            "make room or give yourself the right, or set XDG_CACHE_HOME to a folder that has both",
        )
    return str(python)


def refuse_offline(folder: Path) -> None:
    """Leave where the network must not be used, as making an environment would."""
    if os.environ.get(OFFLINE_VARIABLE, "") not in {"", "0"}:
        stop(
            NO_ENVIRONMENT,
            f"the variable {OFFLINE_VARIABLE}",
            f"the environment at {folder}, made before",
            "none, and the network is not to be used",
            f"once, with a network, the same command with {OFFLINE_VARIABLE}=0",
        )


def make_environment(folder: Path, python: Path, lock: Path) -> None:
    """Make a venv and install a lock file into it, or leave with a message."""
    if sys.stderr is not None:
        print(f"making an environment from {lock.relative_to(PROJECT)} (once)", file=sys.stderr, flush=True)
    options = ("--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(lock))
    steps = (
        (
            (sys.executable, "-I", "-m", "venv", "--clear", str(folder)),
            "the standard library's venv, with ensurepip",
            "install it (Debian, Ubuntu: apt-get install python3-venv), then run the same command again",
        ),
        (
            (str(python), "-I", "-m", "pip", "--disable-pip-version-check", "install", *options),
            "every package of the lock file, with its pinned hash",
            "with a network, or with pip's index-url set to a mirror, run the same command again",
        ),
    )
    for argv, expected, fix in steps:
        status = install(argv)
        if status == 0:
            continue
        if shutil.disk_usage(folder.parent).free < LEAST_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        found = f"exit status {status}, for the reason above"
        stop(NO_ENVIRONMENT, " ".join(argv[:5]), expected, found, fix)


def install(argv: tuple[str, ...]) -> int:
    """Run a command that makes an environment, and return its exit status.

    In a session of its own: Ctrl-C reaches us alone, and we end it without the traceback that it would print.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, signal.default_int_handler)
    with subprocess.Popen(argv, env=clean_environment(), start_new_session=True) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise


def clean_environment() -> dict[str, str]:
    """Return the variables that our Pythons get: nothing that brings modules of the user's in, the project's alone."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON") and name not in NOT_PASSED_ON
    }
    return {**kept, "PYTHONPATH": str(PROJECT)}


def run_to_end(argv: tuple[str, ...], folder: str | Path = PROJECT) -> int:
    """Run a command and return its exit status, 128 and the signal's number after a signal.

    A signal that ends us ends it too.
    """
    with subprocess.Popen(argv, cwd=folder, env=clean_environment()) as process:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                signal.signal(number, lambda number, _: process.send_signal(number))
        while True:
            try:
                status = process.wait()
                break
            except KeyboardInterrupt:
                continue  # the terminal interrupts the command too, which cleans up and says so
    return status if status >= 0 else 128 - status


def run(group: str, *words: str, folder: str | None = None) -> None:
    """Run Python in an environment; where it fails, leave with its own exit code.

    In `folder`, by default the project's. What a user names is relative to where the user stands; the project's modules
    are found all the same, and never any that lie there (`-P`) or in the user's site-packages (`-s`).
    """
    status = run_to_end((environment_python(group), "-P", "-s", *words), folder or PROJECT)
    if status != 0:
        sys.exit(status)


def start() -> None:
    """Run nox: in this process where it is the environment's, else in the environment's Python."""
    if 1 in open_streams():
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "standard output")
    folder = environment_folder("run")
    if not (folder / "complete").exists() or not Path(sys.prefix).samefile(folder):
        python = environment_python("run")
        # -I: nothing that lies where the user stands is imported, and no variable of the user's adds modules
        os.execve(python, [python, "-I", __file__, *sys.argv[1:]], clean_environment())  # noqa: S606 - no shell
    import argparse

    from nox.__main__ import main

    argparse.ArgumentParser.error = refuse_words  # type: ignore[assignment] # nox prints its 40 options
    sys.argv[1:1] = ["-f", str(PROJECT / "noxfile.py")]
    try:
        main()
    finally:
        sys.stdout.flush()


def open_streams() -> list[int]:
    """Open what of standard input, output and error is closed, or a file would take its number; return which were."""
    closed = []
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            closed.append(number)
            os.open(os.devnull, os.O_RDWR)
    return closed


def refuse_words(_: object, message: str) -> None:
    """Print a mistake in nox's own words in one line, and how a session gets options."""
    print(
        f"error: {message.rstrip('.')}; a session is named after -s, and its options follow --:"
        " python3 noxfile.py -s build -- --help",
        file=sys.stderr,
    )
    sys.exit(USAGE_ERROR)


if __name__ == "__main__":
    try:
        start()
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from there", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever reads the answer has enough of it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python fails again at its end
        stop(
            REFUSED,
            error.filename or "standard output",
            "a place that can be written to",
            error.strerror or error,
            "direct it elsewhere, as with > /dev/null",
        )

import nox
import nox.registry

nox.options.sessions = ["build"]
nox.options.default_venv_backend = "none"  # the environments are ours: pinned by hash, made once
# nox looks for uv whatever the backend, and says so at the start of every session
logging.getLogger("nox").addFilter(lambda record: not record.getMessage().startswith("uv binary"))


PYTEST = ("-m", "pytest", "-n", "auto", "--dist", "loadfile")


def recipes(session: nox.Session, group: str = "run") -> None:
    """Hand the session to `python -m recipes`, with everything that follows `--`."""
    run(group, "-m", "recipes", session.name, *session.posargs, folder=session.invoked_from)


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


@nox.session(default=False)
def reproduce(session: nox.Session) -> None:
    """Rebuild in a deliberately different environment (path, user, locale, clock), and compare byte by byte."""
    recipes(session)


@nox.session
def conformance(session: nox.Session) -> None:
    """Check a llama.cpp, ours or another, with the pocket model: text, images, numerics, server, web page."""
    recipes(session, "conformance")


@nox.session(name="mac-check", default=False)
def mac_check(session: nox.Session) -> None:
    """On a Mac: check a bundle with the GPU and without it, and write one JSON file of the results (minutes)."""
    recipes(session, "conformance")


@nox.session
def payload(session: nox.Session) -> None:
    """Hash a bundle's files without their signatures, or compare two bundles."""
    recipes(session)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Propose new pins for a newer source or a model, as a diff, and say which patches still apply."""
    asks_the_hub = any(word.startswith("--model") for word in session.posargs)
    recipes(session, "hub" if asks_the_hub else "run")


@nox.session
def models(session: nox.Session) -> None:
    """Fetch (resumable), verify, inspect and list pinned models."""
    recipes(session)


@nox.session(default=False)
def serve(session: nox.Session) -> None:
    """Serve a pinned model on this machine: a web page and an API, for text and images."""
    recipes(session)


@nox.session(default=False)
def ask(session: nox.Session) -> None:
    """Answer a question about images in the terminal."""
    recipes(session)


@nox.session(default=False)
def gc(session: nox.Session) -> None:
    """Remove from the store what no manifest needs."""
    recipes(session)


@nox.session
def tests(session: nox.Session) -> None:
    """Run all unit, property and integration tests on all cores (minutes)."""
    run("dev", *PYTEST, *session.posargs)


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Plant known faults in the model's files and the web page: conformance must find each and name the part."""
    run("conformance", "-m", "pytest", "tests/conformance", *session.posargs)


@nox.session(default=False)
def pocket(session: nox.Session) -> None:
    """Test the pocket model's training, export and reference against transformers (torch; minutes)."""
    run("reference", "-m", "pytest", "tests/pocket", *session.posargs)


@nox.session(default=False)
def reference(session: nox.Session) -> None:
    """Compute with transformers what conformance compares with (torch; minutes); never needed to build."""
    run("reference", "-m", "recipes.pocket.reference.recompute", *session.posargs)


@nox.session(default=False)
def fidelity(session: nox.Session) -> None:
    """Measure how far llama.cpps are from transformers in fp32, on models of many shapes (torch; minutes each)."""
    run("reference", "-m", "recipes.pocket.fidelity.command", *session.posargs)


@nox.session(default=False)
def apple(session: nox.Session) -> None:
    """Compare our own macOS SDK, and what is built with it, with what Apple's gave others (seconds, once fetched)."""
    run("apple", "-m", "pytest", "tests/apple", *session.posargs)


@nox.session(tags=["check"])
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    run("dev", "-m", "ruff", "check", *session.posargs)
    run("dev", "-m", "ruff", "format", "--check", *session.posargs)


@nox.session(tags=["check"])
def typecheck(session: nox.Session) -> None:
    """Check types with mypy, strictly."""
    run("dev", "-m", "mypy", *session.posargs)


@nox.session(tags=["check"])
def fast(session: nox.Session) -> None:
    """Run the tests that take seconds: unit and property tests without those marked slow."""
    run("dev", *PYTEST, "-m", "fast", "tests/unit", "tests/property", *session.posargs)


@nox.session(default=False)
def check(session: nox.Session) -> None:
    """Check style, types and fast tests, as `-t check` does; with `-- --fix`, correct style and formatting first."""
    if session.posargs not in ([], ["--fix"]):
        print(f"error: check takes --fix or nothing, not {' '.join(session.posargs)}", file=sys.stderr)
        sys.exit(USAGE_ERROR)
    if session.posargs:
        run("dev", "-m", "ruff", "check", "--fix")
        run("dev", "-m", "ruff", "format")
    else:
        run("dev", "-m", "ruff", "check")
        run("dev", "-m", "ruff", "format", "--check")
    run("dev", "-m", "mypy")
    run("dev", *PYTEST, "-m", "fast", "tests/unit", "tests/property")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure against the physical limit or a peer in the same run, and write docs/ (long)."""
    run("bench", "-m", "tests.benchmarks", *session.posargs)


@nox.session(default=False)
def fullsize(session: nox.Session) -> None:
    """Download, verify and serve files of the 30B model's size, from a server that fails (minutes; 39 GB of disk)."""
    run("bench", "-m", "tests.fullsize", *session.posargs)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Generate the reference pages and build the documentation site into site/."""
    run("run", "-m", "recipes", "docs")
    run("docs", "-m", "zensical", "build", *session.posargs)


def refuse_unknown_sessions(words: list[str], known: list[str]) -> None:
    """Leave with the nearest name where nox is asked for a session that does not exist; nox names none."""
    named: list[str] = []
    for index, word in enumerate(words):
        if word in {"-s", "-e", "--session", "--sessions"}:
            named += itertools.takewhile(lambda each: not each.startswith("-"), words[index + 1 :])
        if word == "--":
            break
    for name in named:
        if name not in known:
            nearest = get_close_matches(name, known, 1)
            hint = f"did you mean {nearest[0]}?" if nearest else "python3 noxfile.py -l lists them"
            print(f"error: no session {name}; {hint}", file=sys.stderr)
            sys.exit(USAGE_ERROR)


refuse_unknown_sessions(sys.argv[1:], list(nox.registry.get()))
