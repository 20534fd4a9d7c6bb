"""Check the members of an archive: what each may be, alone and beside the others. No file is touched.

A name that two file systems would read in two ways is refused, so that each machine unpacks the same tree.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MEMBERS = 200_000  # ten times the largest archive pinned today, a compiler's wheel of 19,540 members
MAX_TOTAL_BYTES = 4 << 30  # ten times what that wheel unpacks to, 376 MB
MAX_COMPONENT_BYTES = 255  # ext4 and APFS store no longer name
MAX_PATH_BYTES = 1000  # macOS opens no path longer than 1024 bytes
MAX_LINK_HOPS = 40  # what Linux follows before it reports a circle
SAMPLE_CHARACTERS = 60
MEMBERS_WANTED = "files and folders, and links that stay in the tree"


class MemberKind(Enum):
    """What a member is, and so what may be made of it."""

    FILE = "a file"
    FOLDER = "a folder"
    LINK = "a symbolic link"
    COPY = "a hard link"


@dataclass(frozen=True)
class Member:
    """One member as the archive describes it, before anything of that is believed."""

    name: str
    kind: MemberKind
    size_bytes: int = 0
    executable: bool = False
    target: str = ""


class Refused(Exception):  # noqa: N818 - never shown: `unpack` adds where and fix, and raises an ArchiveError
    """What is wrong with an archive, and in which member."""

    def __init__(self, name: str, expected: str, found: str) -> None:
        super().__init__(name, expected, found)
        self.name, self.expected, self.found = name, expected, found


class Contents:
    """What an archive holds so far, and so what else it may hold.

    `root` is the folder wanted, empty for all; `drop` are paths below it to leave out.
    """

    def __init__(self, root: str, drop: frozenset[str]) -> None:
        self._root, self._drop = root, drop
        self._kinds: dict[str, MemberKind] = {"": MemberKind.FOLDER}
        self._sizes: dict[str, int] = {}
        self._links: dict[str, str] = {}
        self._folded: dict[str, str] = {}
        self._dropped: set[str] = set()
        self._members = self._bytes = 0
        self._is_root_there = False

    def admit(self, member: Member) -> str | None:
        """Check a member; return its path below the folder wanted, or None where it is not to be written."""
        path = parse_name(member.name)
        size_bytes = self._copied_bytes(path, member) if member.kind is MemberKind.COPY else member.size_bytes
        self._count(member.name, size_bytes)
        self._claim(path, member)
        if member.kind is MemberKind.LINK:
            _check_target(member)
            self._links[path] = member.target
        elif member.kind is not MemberKind.FOLDER:
            self._sizes[path] = size_bytes
        wanted = self.below_root(path)
        if not wanted:
            return None
        self._check_merging(member.name, wanted)
        if member.kind is MemberKind.FOLDER:
            return wanted
        self._is_root_there = True
        if wanted in self._drop:
            self._dropped.add(wanted)
            return None
        return wanted

    def close(self) -> Iterator[tuple[str, str]]:
        """Check what only the whole archive tells; yield each link wanted, and its target."""
        for path in self._links:
            self._follow(path)
        if not self._is_root_there:
            tops = sorted({path.partition("/")[0] for path in self._kinds if path})
            shown = ", ".join(show_name(top) for top in tops[:5]) + ", ..." * (len(tops) > 5)  # noqa: PLR2004 - one line of them
            refuse(
                "", f"files below {show_name(self._root or '.')}", f"none; at the top is {shown or 'nothing'}"
            )
        if missing := sorted(self._drop - self._dropped):
            refuse("", f"the file {show_name(missing[0])}, which `drop` says to leave out", "no such file")
        for path, target in self._links.items():
            wanted = self.below_root(path)
            if wanted and wanted not in self._dropped:
                yield wanted, target

    def below_root(self, path: str) -> str | None:
        """Return a path as seen from the folder wanted; "" for that folder, None outside."""
        if not self._root:
            return path
        if path == self._root:
            return ""
        return path.removeprefix(self._root + "/") if path.startswith(self._root + "/") else None

    def _count(self, name: str, size_bytes: int) -> None:
        self._members += 1
        self._bytes += size_bytes
        if self._members > MAX_MEMBERS:
            refuse(name, f"at most {MAX_MEMBERS} members", "more")
        if size_bytes < 0 or self._bytes > MAX_TOTAL_BYTES:
            refuse(name, f"at most {MAX_TOTAL_BYTES} bytes unpacked", f"{self._bytes} up to this member")

    def _claim(self, path: str, member: Member) -> None:
        """Enter a path and the folders it lies in: none may be two things."""
        folder = path
        while folder:
            folder = folder.rpartition("/")[0]
            around = self._kinds.setdefault(folder, MemberKind.FOLDER)
            if around is not MemberKind.FOLDER:
                refuse(
                    member.name, "a path that leads through folders", f"{show_name(folder)} is {around.value}"
                )
        known = self._kinds.get(path)
        if known is not None and not (known is member.kind is MemberKind.FOLDER):
            refuse(member.name, "each path once", f"{member.kind.value}, where {known.value} is already")
        self._kinds[path] = member.kind

    def _check_merging(self, name: str, path: str) -> None:
        # Unicode's canonical caseless match (The Unicode Standard, D145) is how APFS compares names.
        while path:
            key = unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())
            other = self._folded.setdefault(key, path)
            if other != path:
                expected = "names that differ by more than case or Unicode form, which macOS ignores"
                refuse(name, expected, f"{show_name(other)} and {show_name(path)}")
            path = path.rpartition("/")[0]

    def _copied_bytes(self, path: str, member: Member) -> int:
        source = parse_name(member.target)
        below = self.below_root(source)
        apart = (below is None) is not (self.below_root(path) is None)
        if source not in self._sizes or apart or below in self._dropped:
            expected = "a hard link to an earlier file, both of them wanted or neither"
            refuse(member.name, expected, f"a hard link to {show_name(member.target)}")
        return self._sizes[source]

    def _follow(self, path: str) -> None:
        """Walk a link's target as a file system would: after a link, `..` goes up from where that leads."""
        floor = len(self._root.split("/")) if self._root and self.below_root(path) is not None else 0
        here = path.split("/")[:-1]
        ahead = deque(self._links[path].split("/"))
        hops = 0
        while ahead:
            part = ahead.popleft()
            if part == "..":
                if len(here) <= floor:
                    refuse(
                        path, MEMBERS_WANTED, f"a link to {show_name(self._links[path])}, which leads outside"
                    )
                here.pop()
            elif part not in {"", "."}:
                here.append(part)
                if target := self._links.get("/".join(here)):
                    hops += 1
                    if hops > MAX_LINK_HOPS:
                        refuse(path, "a link that leads somewhere", "links that lead in a circle")
                    here.pop()
                    ahead.extendleft(reversed(target.split("/")))


def parse_name(name: str) -> str:
    """Return the path that a member's name stands for: relative, without `.` or empty parts."""
    _check_text(name, name)
    if name.startswith("/"):
        refuse(name, "a relative path", "an absolute path")
    if "\\" in name:
        refuse(name, "a path with forward slashes", "a backslash")
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        refuse(name, "a path that stays in the archive", "a path with `..`")
    longest, whole = max((len(part.encode()) for part in parts), default=0), len(name.encode())
    if longest > MAX_COMPONENT_BYTES or whole > MAX_PATH_BYTES:
        expected = f"names of at most {MAX_COMPONENT_BYTES} bytes and paths of at most {MAX_PATH_BYTES}"
        refuse(name, expected, f"a name of {longest} bytes in a path of {whole}")
    return "/".join(parts)


def _check_target(member: Member) -> None:
    _check_text(member.name, member.target)
    if not member.target or member.target.startswith("/") or "\\" in member.target:
        refuse(member.name, MEMBERS_WANTED, f"a link to {show_name(member.target)}")


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        refuse(name, "names in UTF-8", "other bytes")
    if strange := next((character for character in text if unicodedata.category(character) == "Cc"), None):
        refuse(name, "names without control characters", f"the character {strange!r}")


def refuse(name: str, expected: str, found: str) -> NoReturn:
    """Refuse the archive, for what one member (or none) is."""
    raise Refused(name, expected, found)


def show_name(text: str) -> str:
    """Return a name as it is shown in an error: on one line, and not too long."""
    return repr(text if len(text) <= MAX_COMPONENT_BYTES else text[:SAMPLE_CHARACTERS] + "...")
