"""Who else could change what a store holds: judged by the owner and the mode of its folders, and of all above them.

What a digest proves holds for the bytes that were hashed; who can write in the store, or put another folder in its
place, can change them a moment later. So nobody but the user, and root, may.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.errors import StoreError
from recipes.core.filesystem import STORE_VARIABLE, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = 0
MOST_LINKS = 40  # as Linux follows at most
WHOLE_MAP = "4294967295"  # how many users the map of a machine's own namespace has: user_namespaces(7)
ACL = "system.posix_acl_access"


@dataclass(frozen=True)
class Owner:
    """Who uses a store.

    `private_groups` are groups that nobody else is in. In a user namespace root may have no number, and `unmapped` is
    the one that is shown instead; else it is None.
    """

    user: int
    private_groups: frozenset[int] = frozenset()
    unmapped: int | None = None


@dataclass(frozen=True)
class Place:
    """What decides who can change a file, link or folder; `has_list` tells of an access control list."""

    mode: int
    user: int
    group: int
    has_list: bool = False


def find_fault(place: Place, owner: Owner, *, is_above: bool) -> str | None:
    """Return who else could change a place, in words; None where nobody can. Pure.

    | what                  | may belong to    | may be written by others                            |
    |-----------------------|------------------|-----------------------------------------------------|
    | a link                | the user or root | nobody can write a link                             |
    | a folder of the store | the user or root | no                                                  |
    | a folder above it     | the user or root | only if it is sticky, where each keeps what is his  |

    A group counts as others unless only the user is in it, and nothing else was given to more users by a list.
    """
    trusted = {owner.user, ROOT} | ({owner.unmapped} if is_above and owner.unmapped is not None else set())
    if place.user not in trusted:
        return f"it belongs to user {place.user}"
    if stat.S_ISLNK(place.mode):
        return None
    if is_above and place.mode & stat.S_ISVTX:
        return None
    shares = place.mode & stat.S_IWGRP and (place.group not in owner.private_groups or place.has_list)
    if place.mode & stat.S_IWOTH or shares:
        return f"mode {stat.S_IMODE(place.mode):04o}: other users can write in it"
    return None


def demand_own_way(root: Path) -> None:
    """Demand that nobody else can put another folder in the place of a store; what does not exist yet is passed over.

    Raises StoreError, naming the folder or link on the way to it that another user owns or can write.
    """
    owner = _this_user()
    places = list(walk(root))
    is_there = os.path.isdir(root)  # noqa: PTH112 - Path.is_dir raises where a name is too long
    for path, place in places:
        _refuse(path, find_fault(place, owner, is_above=not is_there or path != places[-1][0]))


def demand_own_folders(folders: Iterable[Path]) -> None:
    """Demand that folders of the store are folders, no links, and that nobody else can write in them.

    Raises StoreError, naming the first that is not so; what does not exist is passed over.
    """
    owner = _this_user()
    for path in folders:
        with suppress(OSError):  # the store says by itself what is wrong
            place = _look(path)
            fault = "it is a link" if stat.S_ISLNK(place.mode) else find_fault(place, owner, is_above=False)
            _refuse(path, fault)


def walk(path: Path) -> Iterator[tuple[Path, Place]]:
    """Yield each folder and link that is read to find a path, as the kernel does, from / down to the path itself."""
    done, rest, links = Path("/"), list(path.parts[1:]), 0
    yield done, _look(done)
    while rest:
        name = rest.pop(0)
        if name == "..":
            done = done.parent
            continue
        here = done / name
        try:
            place = _look(here)
        except OSError:
            return  # the store says by itself what is wrong
        if not stat.S_ISDIR(place.mode) and not stat.S_ISLNK(place.mode):
            return  # as above
        yield here, place
        if not stat.S_ISLNK(place.mode):
            done = here
            continue
        links += 1
        if links > MOST_LINKS:
            return
        target = here.readlink()
        rest = [*target.parts[1 if target.is_absolute() else 0 :], *rest]
        done = Path("/") if target.is_absolute() else done


def _look(path: Path) -> Place:
    status = path.lstat()
    has_list = False
    if status.st_mode & stat.S_IWGRP and hasattr(os, "getxattr"):
        with suppress(OSError):  # no list, or a file system without any
            os.getxattr(path, ACL, follow_symlinks=False)
            has_list = True
    return Place(status.st_mode, status.st_uid, status.st_gid, has_list)


def _refuse(path: Path, fault: str | None) -> None:
    if fault is None:
        return
    place = shown(str(path))
    raise StoreError(
        where=place,
        expected="a folder that no other user can change: the store relies on it",
        found=fault,
        fix=(f"chmod go-w {place}, or " if fault.startswith("mode ") else "")
        + f"set {STORE_VARIABLE} to a folder of your own",
    )


@cache
def _this_user() -> Owner:
    unmapped = None
    with suppress(OSError, ValueError):
        if WHOLE_MAP not in Path("/proc/self/uid_map").read_text(encoding="ascii").split():
            unmapped = int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
    user = os.geteuid()
    group = os.getegid()
    return Owner(user, frozenset({group} if _is_private(group, user) else ()), unmapped)


def _is_private(group: int, user: int) -> bool:
    """Whether only this user is in a group, as far as the system lists its users."""
    import grp
    import pwd

    try:
        name = pwd.getpwuid(user).pw_name
        members = set(grp.getgrgid(group).gr_mem)
        others = {entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == group}
    except KeyError:
        return False
    return members | others <= {name}
