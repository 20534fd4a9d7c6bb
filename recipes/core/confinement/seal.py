"""A process that seals itself: once it has loaded what it needs, it opens, makes and starts nothing any more.

For code that reads other people's files, which come and go by pipes that are open. On Linux a filter of system calls
refuses whatever takes a path, a socket, another process or the kernel's larger interfaces (seccomp(2)); it needs no
privilege. Elsewhere nothing is done here.
"""

from __future__ import annotations

import platform
import sys
from contextlib import suppress

from recipes.core.confinement.landlock import refuse_calls
from recipes.core.confinement.linux_calls import PR_SET_NO_NEW_PRIVS, prctl

# asm/unistd.h: the numbers of x86_64 and, where it has the call, of aarch64 and riscv64
CALLS: dict[str, tuple[int, int | None]] = {
    "openat": (257, 56),
    "openat2": (437, 437),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "memfd_create": (319, 279),
    "execve": (59, 221),
    "execveat": (322, 281),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "unlinkat": (263, 35),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "mkdirat": (258, 34),
    "linkat": (265, 37),
    "symlinkat": (266, 36),
    "mknodat": (259, 33),
    "fchmodat": (268, 53),
    "fchownat": (260, 54),
    "truncate": (76, 45),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "removexattr": (197, 14),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "kill": (62, 129),
    "tkill": (200, 130),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "chroot": (161, 51),
    "io_uring_setup": (425, 425),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "open": (2, None),
    "creat": (85, None),
    "fork": (57, None),
    "vfork": (58, None),
    "rename": (82, None),
    "mkdir": (83, None),
    "rmdir": (84, None),
    "link": (86, None),
    "unlink": (87, None),
    "symlink": (88, None),
    "chmod": (90, None),
    "chown": (92, None),
    "lchown": (94, None),
    "mknod": (133, None),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
}
MACHINES = {
    "x86_64": (0xC000003E, 0),
    "aarch64": (0xC00000B7, 1),
    "riscv64": (0xC00000F3, 1),
}  # linux/audit.h


def seal() -> bool:
    """Seal this process for good, where the system has a way; return whether it is sealed."""
    if sys.platform != "linux" or platform.machine() not in MACHINES:
        return False
    machine, column = MACHINES[platform.machine()]
    numbers = tuple(both[column] for both in CALLS.values())
    with suppress(OSError):  # a kernel without filters
        prctl(PR_SET_NO_NEW_PRIVS, 1, "PR_SET_NO_NEW_PRIVS")
        refuse_calls(machine, tuple(number for number in numbers if number is not None))
        return True
    return False
