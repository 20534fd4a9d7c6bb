"""A program that Landlock confines: where no namespace can be made, as in most containers.

Landlock (landlock(7)) refuses to open what is not named; a filter of system calls (seccomp(2)) refuses sockets, which
Landlock does not. Less than namespaces give: names and sizes of other files can still be asked for, and the mode and
the times of the user's own files changed; a kernel before Linux 6.12 lets it send signals to the user's processes.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from recipes.core.confinement.linux_calls import call, give_up_privileges, prctl
from recipes.core.confinement.request import DEVICES

if TYPE_CHECKING:
    from recipes.core.confinement.request import Request

# linux/landlock.h; these numbers are the same on all machines
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ASK_VERSION: Final = 1
PATH_BENEATH: Final = 1
LEAST_VERSION = 3  # Linux 6.2: an older one lets any file be cut short
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
ACCESS_OF_VERSION = {3: (1 << 15) - 1, 5: (1 << 16) - 1}  # all that files and folders can be asked for
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
TO_READ = EXECUTE | READ_FILE | READ_DIR
NET_VERSION, BIND_AND_CONNECT = 4, 3
SCOPE_VERSION, SOCKETS_AND_SIGNALS = 6, 3
# linux/audit.h and asm/unistd.h: the machine, and socket, io_uring_setup, add_key, request_key, keyctl
REFUSED_CALLS = {
    "x86_64": (0xC000003E, (41, 425, 248, 249, 250)),
    "aarch64": (0xC00000B7, (198, 425, 217, 218, 219)),
    "riscv64": (0xC00000F3, (198, 425, 217, 218, 219)),
}
OTHER_NUMBERS = 0x40000000  # x86's second set of numbers for the same calls
# linux/filter.h, linux/seccomp.h
LOAD, IF_EQUAL, IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
NUMBER_AT, MACHINE_AT = 0, 4
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 13  # EACCES
PR_SET_SECCOMP, MODE_FILTER = 22, 2


def version() -> int:
    """Return Landlock's version here; raises OSError where the kernel has none, or it is switched off."""
    return call(CREATE_RULESET, "Landlock", None, ctypes.c_size_t(0), ctypes.c_uint32(ASK_VERSION))


def become_confined(request: Request) -> NoReturn:
    """Become the program that is asked for, which can open nothing but what it may; raises OSError where that fails."""
    found = version()
    if found < LEAST_VERSION:
        raise OSError(f"Landlock {found} is too old: {LEAST_VERSION} is needed, of Linux 6.2")
    give_up_privileges()
    _restrict(request, found)
    _refuse_sockets()
    os.chdir(request.cwd)
    os.execve(request.argv[0], request.argv, dict(request.env))  # noqa: S606 - no shell


def _restrict(request: Request, found: int) -> None:
    access = max(value for since, value in ACCESS_OF_VERSION.items() if since <= found)
    attributes = struct.pack(
        "=QQQ",
        access,
        BIND_AND_CONNECT if found >= NET_VERSION else 0,
        SOCKETS_AND_SIGNALS if found >= SCOPE_VERSION else 0,
    )
    size_bytes = 24 if found >= SCOPE_VERSION else 16 if found >= NET_VERSION else 8
    rules = call(CREATE_RULESET, "Landlock", attributes, ctypes.c_size_t(size_bytes), ctypes.c_uint32(0))
    devices = tuple(f"/dev/{name}" for name in DEVICES)
    allowed = [(path, TO_READ) for path in request.reads]
    allowed += [(path, access & ~IOCTL_DEV) for path in request.writes]
    allowed += [(path, READ_FILE | WRITE_FILE) for path in devices]
    for path, rights in allowed:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", rights if Path(path).is_dir() else rights & OF_FILES, descriptor)
        call(
            ADD_RULE,
            f"Landlock: {path}",
            ctypes.c_int(rules),
            ctypes.c_int(PATH_BENEATH),
            rule,
            ctypes.c_uint32(0),
        )
        os.close(descriptor)
    call(RESTRICT_SELF, "Landlock", ctypes.c_int(rules), ctypes.c_uint32(0))
    os.close(rules)


def filter_program(machine: int, refused: tuple[int, ...]) -> bytes:
    """Return the filter that refuses some system calls, and all of another machine's: they have other numbers."""
    last = len(refused) + 4  # the place of ALLOW; that of REFUSE follows
    rows = [
        (LOAD, 0, 0, MACHINE_AT),
        (IF_EQUAL, 0, last - 1, machine),
        (LOAD, 0, 0, NUMBER_AT),
        (IF_AT_LEAST, last - 3, 0, OTHER_NUMBERS),
        *((IF_EQUAL, last - 4 - index, 0, number) for index, number in enumerate(refused)),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE),
    ]
    return b"".join(struct.pack("=HBBI", *row) for row in rows)


def _refuse_sockets() -> None:
    if platform.machine() not in REFUSED_CALLS:
        raise OSError(f"seccomp: the numbers of {platform.machine()} are not known")
    refuse_calls(*REFUSED_CALLS[platform.machine()])


def refuse_calls(machine: int, refused: tuple[int, ...]) -> None:
    """Have some system calls refused to this process for good; raises OSError where the kernel has no filters."""
    code = filter_program(machine, refused)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    holder = ctypes.create_string_buffer(program, len(program))
    prctl(PR_SET_SECCOMP, MODE_FILTER, "seccomp", ctypes.addressof(holder))
