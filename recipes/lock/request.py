"""What a person asks to be pinned: a version, a tag or an address, and what they know of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recipes.core.digest import Sha1

SPELLINGS = "PROJECT==VERSION, a tag such as b1234, or the http or https address of an archive"


@dataclass(frozen=True)
class Release:
    """A version of a project in the package index."""

    project: str
    version: str


@dataclass(frozen=True)
class Tag:
    """A tag of the recipe's own repository."""

    name: str


@dataclass(frozen=True)
class Address:
    """An archive anywhere."""

    url: str


@dataclass(frozen=True)
class Question:
    """What the user asked for.

    Parameters
    ----------
    text
        As it was written.
    place
        What that means.
    again
        The command that asks the same, for errors.
    subdirectory
        Where the source lies in the archive; None to find that out.
    commit, build_number
        What it is, where the user knows that.
    """

    text: str
    place: Release | Tag | Address
    again: str
    subdirectory: str | None = None
    commit: Sha1 | None = None
    build_number: int | None = None

    @property
    def where(self) -> str:
        """The option, for errors."""
        return f"--source {self.text}"


def parse_place(text: str) -> Release | Tag | Address:
    """Tell what kind of place a text names.

    | text                     | place   |
    |--------------------------|---------|
    | an http or https address | Address |
    | PROJECT==VERSION         | Release |
    | letters, digits, . _ + - | Tag     |
    | anything else            | refused |

    Raises
    ------
    ValueError
        With what was expected.
    """
    if re.fullmatch(r"https?://[^\s/]+/\S*", text):
        return Address(text)
    if release := re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*) ?== ?([A-Za-z0-9][A-Za-z0-9._+!-]*)", text):
        return Release(release[1], release[2])
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", text):
        return Tag(text)
    raise ValueError(SPELLINGS)


def number_of_build(place: Release | Tag | Address) -> int | None:
    """Give the build number that a tag, or the tag at the end of an address, says.

    >>> number_of_build(Tag("b7900")), number_of_build(Address("https://example.org/archive/b12.tar.gz"))
    (7900, 12)
    """
    if isinstance(place, Release):
        return None
    name = place.name if isinstance(place, Tag) else place.url
    found = re.search(r"(?:^|/)b([0-9]{1,9})(?:\.tar\.gz|\.tgz|\.zip)?$", name)
    return int(found[1]) if found else None
