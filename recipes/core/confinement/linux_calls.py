"""Calls of Linux that Python has no function for. Each raises OSError, with what was tried, where it is refused."""

from __future__ import annotations

import ctypes
import os
import platform
from contextlib import suppress
from typing import Final

# linux/sched.h
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000
# linux/mount.h
MS_RDONLY: Final = 0x1
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_REMOUNT: Final = 0x20
MS_NOATIME: Final = 0x400
MS_NODIRATIME: Final = 0x800
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 0x40000
MS_RELATIME: Final = 0x200000
MNT_DETACH: Final = 0x2
# linux/prctl.h
PR_SET_PDEATHSIG: Final = 1
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
CAPABILITY_VERSION: Final = 0x20080522  # linux/capability.h, version 3
MOST_CAPABILITIES: Final = 64

# By machine, where the number is not the same on all: asm/unistd.h
_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "loongarch64": 41}
_KEYCTL: Final = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "loongarch64": 219}
_JOIN_SESSION_KEYRING: Final = 1  # linux/keyctl.h

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _check(result: int, tried: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{tried}: {os.strerror(number)}")
    return result


def call(number: int, tried: str, *arguments: object) -> int:
    """Make a system call by its number."""
    return _check(int(_libc.syscall(ctypes.c_long(number), *arguments)), tried)


def unshare(flags: int) -> None:
    """Leave the namespaces of the parent."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """Mount something, or change how it is mounted."""
    names = (os.fsencode(source), os.fsencode(target), kind.encode() if kind else None)
    options = data.encode() if data else None
    _check(_libc.mount(*names, ctypes.c_ulong(flags), options), f"mount {kind or 'bind'} on {target}")


def unmount(target: str) -> None:
    """Take a mount and all below it out of this namespace."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"unmount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make a mounted folder the root, and mount the former root at `old`."""
    number = _PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise OSError(f"pivot_root: its number is not known for {platform.machine()}")
    call(number, "pivot_root", os.fsencode(new), os.fsencode(old))


def prctl(option: int, value: int, tried: str, more: int = 0) -> None:
    """Change something of this process."""
    numbers = (ctypes.c_ulong(number) for number in (value, more, 0, 0))
    _check(_libc.prctl(option, *numbers), tried)


def set_host_name(name: bytes) -> None:
    """Name the machine, in a namespace of its own."""
    _check(_libc.sethostname(name, ctypes.c_size_t(len(name))), "sethostname")


def die_with_parent(number: int) -> None:
    """Be sent a signal when the parent ends, however it ends."""
    prctl(PR_SET_PDEATHSIG, number, "PR_SET_PDEATHSIG")


def give_up_privileges() -> None:
    """Keep no privilege, and never get one: no capability, no set-user-id program, no key of the session."""
    prctl(PR_SET_NO_NEW_PRIVS, 1, "PR_SET_NO_NEW_PRIVS")
    keyctl = _KEYCTL.get(platform.machine())
    if keyctl is not None:
        with suppress(OSError):  # a kernel or container without keys has none to hide
            call(keyctl, "keyctl", ctypes.c_long(_JOIN_SESSION_KEYRING), None)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)()
    _check(_libc.capget(header, data), "capget")
    if data[0] or data[3]:  # effective: a process without any may not shrink what it could never have
        for number in range(MOST_CAPABILITIES):
            try:
                prctl(PR_CAPBSET_DROP, number, "PR_CAPBSET_DROP")
            except OSError:
                break  # the kernel knows no more
    with suppress(OSError):  # before Linux 4.3 there are none
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, "PR_CAP_AMBIENT")
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
