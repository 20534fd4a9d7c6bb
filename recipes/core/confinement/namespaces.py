"""A program in namespaces of its own: a root folder that has only what it may see, no network, no other process.

The way of Bubblewrap and of Nix's builders (user_namespaces(7), pivot_root(2)): a new root is put together on a
memory file system, the old one is taken away, and the program gets no privilege with which it could undo that.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from recipes.core.confinement.linux_calls import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MS_BIND,
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_RELATIME,
    MS_REMOUNT,
    die_with_parent,
    give_up_privileges,
    mount,
    pivot_root,
    set_host_name,
    unmount,
    unshare,
)
from recipes.core.confinement.request import DEVICES

if TYPE_CHECKING:
    from recipes.core.confinement.request import Request

NAMESPACES = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
USER = "builder"  # what the program is told that it runs as
MEMORY_FOLDERS = ("/tmp", "/dev/shm")  # noqa: S108 - made for the program alone, and gone with it
# what statvfs says of a mount, and how mount is told to leave it so: a namespace may not loosen what it inherited
KEPT_FLAGS = (
    (os.ST_NOSUID, MS_NOSUID),
    (os.ST_NODEV, MS_NODEV),
    (os.ST_NOEXEC, MS_NOEXEC),
    (os.ST_NOATIME, MS_NOATIME),
    (os.ST_NODIRATIME, MS_NODIRATIME),
    (os.ST_RELATIME, MS_RELATIME),
    (os.ST_RDONLY, MS_RDONLY),
)
NEW, OLD = "/newroot", "/oldroot"
ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
FAILED = 125  # the exit status where nothing could be started


def run_confined(request: Request, *, maps_user: bool) -> NoReturn:
    """Run a program in namespaces of its own, and end as it ends: by its exit status, or its signal.

    When this process is asked to end, or its parent ends, all that the program started ends too. `maps_user` is for who
    has no privilege; without it the caller is root. Raises OSError where the kernel refuses.
    """
    die_with_parent(signal.SIGTERM)
    user, group = os.geteuid(), os.getegid()
    unshare(NAMESPACES | (CLONE_NEWUSER if maps_user else 0))
    if maps_user:
        # as the same user: what is written belongs to who asked for it
        Path("/proc/self/setgroups").write_bytes(b"deny")
        Path("/proc/self/uid_map").write_bytes(f"{user} {user} 1".encode())
        with suppress(PermissionError):  # a group that an outer namespace does not know stays nobody's
            Path("/proc/self/gid_map").write_bytes(f"{group} {group} 1".encode())
    told, tell = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
    first = os.fork()
    if not first:
        os.close(told)
        _be_first(request, tell)
    os.close(tell)
    for number in ENDINGS:
        signal.signal(number, lambda *_: os.kill(first, signal.SIGKILL))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
    with os.fdopen(told, "rb") as pipe:
        text = pipe.read()
    os.waitpid(first, 0)  # returns once all processes of the namespace are gone
    if not text:
        sys.exit(FAILED)
    _end_as(int(text))


def _end_as(status: int) -> NoReturn:
    """End by the same signal, or with the same exit status."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) % 256)


def _be_first(request: Request, tell: int) -> NoReturn:
    """Be process 1 of the namespace: with its end the kernel ends all others in it."""
    try:
        die_with_parent(signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
        _make_root(request)
        os.chdir(request.cwd)
        give_up_privileges()
        program = os.fork()
        if not program:
            os.close(tell)
            _become(request)
        while True:
            pid, status = os.wait()
            if pid == program:
                os.write(tell, str(status).encode())
                os._exit(0)
    except OSError as error:
        say(error)
        os._exit(FAILED)


def _become(request: Request) -> NoReturn:
    try:
        os.execve(request.argv[0], request.argv, dict(request.env))  # noqa: S606 - no shell
    except OSError as error:
        say(error)
        os._exit(FAILED)


def say(error: OSError) -> None:
    """Print why nothing was started."""
    print(f"cannot isolate: {error.strerror or error}", file=sys.stderr, flush=True)  # noqa: T201 - no console here


def _make_root(request: Request) -> None:
    """Make a root folder that has only what the request names, and leave the old one for good."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    # any folder will do to mount on: it is seen again once this is the root
    base = os.path.realpath(request.cwd)
    mount("tmpfs", base, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    for name in (NEW, OLD):
        os.mkdir(base + name)  # noqa: PTH102 - text, as mount takes it
    mount(base + NEW, base + NEW, None, MS_BIND)
    pivot_root(base, base + OLD)
    os.chdir("/")
    _make_devices()
    for path in MEMORY_FOLDERS:
        os.makedirs(NEW + path)  # noqa: PTH103 - as above
        mount("tmpfs", NEW + path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    shown: list[str] = []
    for path in request.reads:
        real = _copy_links(path)
        if not any(real == each or real.startswith(f"{each}/") for each in shown):  # as /bin is in /usr
            _show(real, real, is_writable=False)
            shown.append(real)
    for path in request.writes:
        real = _copy_links(path)
        _show(real, real, is_writable=True)
    for path, place in request.placed:
        _show(_copy_links(path), place, is_writable=False)
    _write_names()
    set_host_name(b"localhost")
    os.mkdir(f"{NEW}/proc")  # noqa: PTH102 - as above
    mount("proc", f"{NEW}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY)
    unmount(OLD)
    mount("none", NEW, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    os.chdir(NEW)
    pivot_root(".", ".")
    unmount(".")
    os.chdir("/")


def _make_devices() -> None:
    os.mkdir(f"{NEW}/dev")  # noqa: PTH102 - as above
    for name in DEVICES:
        Path(f"{NEW}/dev/{name}").touch()
        mount(f"{OLD}/dev/{name}", f"{NEW}/dev/{name}", None, MS_BIND)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{NEW}/dev/{name}")  # noqa: PTH211 - as above


def _write_names() -> None:
    """Give the user and the group a name: programs ask for it, and it is not the machine's."""
    user, group = os.geteuid(), os.getegid()
    os.makedirs(f"{NEW}/etc", exist_ok=True)  # noqa: PTH103 - as above
    lines = {
        "passwd": f"{USER}:x:{user}:{group}:{USER}:/nonexistent:/bin/sh\n",
        "group": f"{USER}:x:{group}:\n",
    }
    for name, line in lines.items():
        Path(f"{NEW}/etc/{name}").write_bytes(line.encode())


def _show(real: str, place: str, *, is_writable: bool) -> None:
    """Put a file or a folder of the old root into the new one, at a path in which there is no link."""
    target = NEW + place
    if os.path.isdir(OLD + real):  # noqa: PTH112 - as above
        os.makedirs(target, exist_ok=True)  # noqa: PTH103 - as above
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120 - as above
        Path(target).touch()
    mount(OLD + real, target, None, MS_BIND | MS_REC)
    for point in _mounts_below(target):
        status = os.statvfs(point).f_flag
        flags = sum(flag for found, flag in KEPT_FLAGS if status & found)
        mount(
            "none",
            point,
            None,
            flags | MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | (0 if is_writable else MS_RDONLY),
        )


def _copy_links(path: str) -> str:
    """Make the links on the way to a path in the new root too, and return where the path leads without them."""
    done, rest = "", [part for part in path.split("/") if part not in {"", "."}]
    for _ in range(10_000):
        if not rest:
            return done or "/"
        part = rest.pop(0)
        if part == "..":
            done = done.rpartition("/")[0]
            continue
        here = f"{done}/{part}"
        if not os.path.islink(OLD + here):  # noqa: PTH114 - as above
            done = here
            continue
        target = os.readlink(OLD + here)  # noqa: PTH115 - as above
        os.makedirs(NEW + done, exist_ok=True)  # noqa: PTH103 - as above
        if not os.path.lexists(NEW + here):
            os.symlink(target, NEW + here)  # noqa: PTH211 - as above
        if target.startswith("/"):
            done = ""
        rest = [part for part in target.split("/") if part not in {"", "."}] + rest
    raise OSError(f"{path}: too many links")


def _mounts_below(folder: str) -> list[str]:
    """Return a mounted folder and all that is mounted below it (proc_pid_mountinfo(5))."""
    table = Path(f"{OLD}/proc/self/mountinfo").read_bytes()
    fields = [line.split(b" ")[4] for line in table.split(b"\n") if line]  # a name can hold a carriage return
    points = [
        os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field))
        for field in fields
    ]
    return sorted({point for point in points if point == folder or point.startswith(f"{folder}/")})
