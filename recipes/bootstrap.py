"""What runs while there is nothing but some Python: it makes the private environments, and starts nox in one.

noxfile.py imports it first. It stands before all rooms: it imports the standard library alone, since it installs what
the rooms import. Python 3.6 must parse and import it, to say which Python is needed: hence the quoted annotations.
"""

import contextlib
import errno
import hashlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import typing
from difflib import get_close_matches
from pathlib import Path

PYTHON = (3, 11)
PROJECT = Path(__file__).resolve().parent.parent
NOXFILE = PROJECT / "noxfile.py"
LOCKS = PROJECT / "manifests" / "python"
OFFLINE_VARIABLE = "PINNED_LLAMA_OFFLINE"
# Exit codes as of recipes.core.errors, which older Pythons cannot parse; with the first line of the error.
USAGE_ERROR, INTERRUPTED = 2, 130
UNFIT = (16, "the sessions cannot run here")
NO_ENVIRONMENT = (16, "the private environment could not be made")
REFUSED = (32, "the operating system refused")
# What would change where the packages of an environment come from or go to, besides PYTHON*.
NOT_PASSED_ON = ("__PYVENV_LAUNCHER__", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER")
DIRECT = ("ask", "serve")
LEAST_BYTES = 20_000_000  # with less room than this left, a failure is one of the disk


def check_machine() -> None:
    """Leave where the sessions cannot run: with an older Python, or on Windows."""
    needed = "Python {}.{} or newer".format(*PYTHON)
    if sys.version_info < PYTHON:
        stop(UNFIT, sys.executable, needed, f"Python {sys.version.split()[0]}", _newer_python())
    if os.name == "nt":
        expected = "Linux or macOS; bundles for Windows are built there too"
        stop(UNFIT, "Windows", expected, sys.platform, "run it in the Windows Subsystem for Linux")


def _newer_python() -> str:
    """Name a Python on the path that is new enough, or how to get one."""
    for minor in range(PYTHON[1] + 6, PYTHON[1] - 1, -1):
        name = f"python{PYTHON[0]}.{minor}"
        path = shutil.which(name)
        # a program of that name can be another's that only says that there is none
        if path and subprocess.call([path, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            return " ".join([name, "noxfile.py", *sys.argv[1:]])
    return "install one (macOS: brew install python3; Debian, Ubuntu: apt-get install python3): python.org/downloads"


def stop(kind: "tuple[int, str]", where: object, expected: str, found: object, fix: str) -> "typing.NoReturn":
    """Print an error as recipes.core.errors does, and leave with its exit code."""
    rows = (("where", where), ("expected", expected), ("found", found), ("fix", fix))
    lines = [f"error: {kind[1]}"] + [f"  {label + ':':<10}{text}" for label, text in rows]
    _leave(kind[0], "\n".join(lines))


def _leave(code: int, text: str) -> "typing.NoReturn":
    if sys.stderr is not None:
        sys.stderr.write(text + "\n")
    sys.exit(code)


def start() -> None:
    """Run nox, and end with an exit code of ours where that is interrupted or cannot write."""
    try:
        _run_nox()
    except KeyboardInterrupt:
        _leave(INTERRUPTED, "interrupted: the same command goes on from there")
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python fails again at its end
        if isinstance(error, BrokenPipeError):  # whoever reads the answer has enough of it, as `head` does
            sys.exit(128 + signal.SIGPIPE)
        where, found = error.filename or "standard output", error.strerror or error
        fix = "direct it elsewhere, as with > /dev/null"
        stop(REFUSED, where, "a place that can be written to", found, fix)


def _run_nox() -> None:
    """Run nox: in this process where it is the environment's, else in the environment's Python."""
    if 1 in open_streams():
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "standard output")
    direct = direct_words(sys.argv[1:])
    if direct:
        python = environment_python("run")
        os.execve(python, [python, "-P", "-s", "-m", "recipes", *direct], clean_environment())  # noqa: S606 - no shell
    folder = environment_folder("run")
    if not (folder / "complete").exists() or not Path(sys.prefix).samefile(folder):
        python = environment_python("run")
        # -I: nothing that lies where the user stands is imported, and no variable of the user's adds modules
        os.execve(python, [python, "-I", str(NOXFILE), *sys.argv[1:]], clean_environment())  # noqa: S606 - no shell
    import argparse

    from nox.__main__ import main

    argparse.ArgumentParser.error = _refuse_words  # type: ignore[assignment] # nox prints its 40 options
    sys.argv[1:1] = ["-f", str(NOXFILE)]
    try:
        main()
    finally:
        sys.stdout.flush()


def direct_words(words: "list[str]") -> "list[str]":
    """Return a session and its options where nox would only hand them on: without it an answer comes sooner.

    Nothing for any other command line, which is nox's.
    """
    is_plain = words[:1] in (["-s"], ["--session"]) and words[1:2] in ([name] for name in DIRECT)
    return [words[1], *words[3:]] if is_plain and words[2:3] in ([], ["--"]) else []


def _refuse_words(_: object, message: str) -> None:
    hint = "a session is named after -s, and its options follow --: python3 noxfile.py -s build -- --help"
    _leave(USAGE_ERROR, f"error: {message.rstrip('.')}; {hint}")


def refuse_unknown_sessions(words: "list[str]", known: "list[str]") -> None:
    """Leave with the nearest name where nox is asked for a session that does not exist; nox names none."""
    words = list(itertools.takewhile(lambda word: word != "--", words))
    for index, option in enumerate(words):
        if option not in {"-s", "-e", "--session", "--sessions"}:
            continue
        for name in itertools.takewhile(lambda word: not word.startswith("-"), words[index + 1 :]):
            if name not in known:
                nearest = get_close_matches(name, known, 1)
                hint = f"did you mean {nearest[0]}?" if nearest else "python3 noxfile.py -l lists them"
                _leave(USAGE_ERROR, f"error: no session {name}; {hint}")


def open_streams() -> "list[int]":
    """Open what of standard input, output and error is closed, or a file would take its number; return which were."""
    closed = []
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            closed.append(number)
            os.open(os.devnull, os.O_RDWR)
    return closed


def environment_folder(group: str) -> Path:
    """Return where the private environment of a lock file lies.

    Its name comes from the lock and from the Python that makes it, so that a changed lock is a new environment.
    """
    key = hashlib.sha256((LOCKS / f"{group}.lock").read_bytes() + f"{sys.version} {sys.base_prefix}".encode())
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        expected = "a home folder, whose .cache has the environments"
        fix = "export HOME=/a/folder/of/yours, or XDG_CACHE_HOME"
        stop(NO_ENVIRONMENT, "the variable HOME", expected, error, fix)
    return cache / "pinned-llama" / "environments" / f"{group}-{key.hexdigest()[:16]}"


def environment_python(group: str) -> str:
    """Return the Python of a lock file's environment; made on first use, every package checked by its hash."""
    import fcntl  # Windows has none

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
        where, found = error.filename or folder, error.strerror or error
        expected = "a folder that can be made and written, with some room"
        fix = "make room or give yourself the right, or set XDG_CACHE_HOME to a folder that has both"
        stop(NO_ENVIRONMENT, where, expected, found, fix)
    return str(python)


def refuse_offline(folder: Path) -> None:
    """Leave where the network must not be used, as making an environment would."""
    if os.environ.get(OFFLINE_VARIABLE, "") not in {"", "0"}:
        where, expected = f"the variable {OFFLINE_VARIABLE}", f"the environment at {folder}, made before"
        fix = f"once, with a network, the same command with {OFFLINE_VARIABLE}=0"
        stop(NO_ENVIRONMENT, where, expected, "none, and the network is not to be used", fix)


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


def install(argv: "tuple[str, ...]") -> int:
    """Run a command that makes an environment, and return its exit status.

    In a session of its own: Ctrl-C reaches us alone, and we end it without the traceback that it would print.
    """
    interrupted = []

    def end(process: "subprocess.Popen[bytes]", number: int) -> None:
        interrupted.append(number)
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.killpg(process.pid, signal.SIGTERM)

    status = _run_to_end(argv, end, own_session=True)
    if interrupted:
        raise KeyboardInterrupt
    return status


def run(group: str, *words: str, folder: "str | None" = None) -> None:
    """Run Python in an environment; where it fails, leave with its own exit code.

    In `folder`, by default the project's. What a user names is relative to where the user stands; the project's modules
    are found all the same, and never any that lie there (`-P`) or in the user's site-packages (`-s`).
    """
    argv = (environment_python(group), "-P", "-s", *words)

    def pass_on(process: "subprocess.Popen[bytes]", number: int) -> None:
        if number != signal.SIGINT:  # the terminal interrupts the command too, which cleans up and says so
            process.send_signal(number)

    status = _run_to_end(argv, pass_on, folder=folder or PROJECT)
    if status != 0:
        sys.exit(status if status > 0 else 128 - status)  # as shells report a signal


def _run_to_end(
    argv: "tuple[str, ...]",
    on_ending: "typing.Callable[[subprocess.Popen[bytes], int], None]",
    *,
    folder: "str | Path | None" = None,
    own_session: bool = False,
) -> int:
    """Run a command to its end, and return its exit status; `on_ending` gets the signals that would end us meanwhile.

    One that comes while the command is started waits until there is a process to end.
    """
    came: list[int] = []
    started: list[subprocess.Popen[bytes]] = []

    def handle(number: int, _: object) -> None:
        came.append(number)
        for process in started:
            on_ending(process, number)

    before = {}
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is not signal.SIG_IGN:  # as nohup and a script's background have it
            before[ending] = signal.signal(ending, handle)
    try:
        with subprocess.Popen(
            argv, cwd=folder, env=clean_environment(), start_new_session=own_session
        ) as process:
            started.append(process)
            for number in came:
                on_ending(process, number)
            return process.wait()
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)


def clean_environment() -> "dict[str, str]":
    """Return the variables that our Pythons get: nothing that brings modules of the user's in, the project's alone."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON") and name not in NOT_PASSED_ON
    }
    return {**kept, "PYTHONPATH": str(PROJECT)}
