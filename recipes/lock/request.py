"""What a person asks to be pinned: a version, a tag or an address, and what they know of it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.digest import Sha1
from recipes.core.errors import UsageError

if TYPE_CHECKING:
    import argparse

ABOUT_SOURCE = ("subdirectory", "commit", "build_number")  # options that only go with --source
SPELLINGS = (
    "PROJECT==VERSION, a tag such as b1234, a commit's full id, or the http or https address of an archive"
)


@dataclass(frozen=True)
class Release:
    """A version of a project in the package index."""

    project: str
    version: str


@dataclass(frozen=True)
class Tag:
    """A tag of the recipe's own repository, or a commit by its full id."""

    name: str


@dataclass(frozen=True)
class Address:
    """An archive anywhere."""

    url: str


@dataclass(frozen=True)
class SourceRequest:
    """The new source that the user asked for.

    `again` is the command that asks for the same, for errors, and `option` is where it names the source. What is None
    is to be found out.
    """

    text: str
    place: Release | Tag | Address
    again: str
    subdirectory: str | None = None
    commit: Sha1 | None = None
    build_number: int | None = None
    option: str = "--source"

    @property
    def where(self) -> str:
        """The option, for errors."""
        return f"{self.option} {self.text}"


def parse_place(text: str) -> Release | Tag | Address:
    """Tell what kind of place a text names.

    | text                     | place   |
    |--------------------------|---------|
    | an http or https address | Address |
    | PROJECT==VERSION         | Release |
    | letters, digits, . _ + - | Tag     |
    | anything else            | refused |

    Raises ValueError with what was expected.
    """
    if re.fullmatch(r"https?://[^\s/]+/\S*", text):
        return Address(text)
    if release := re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*) ?== ?([A-Za-z0-9][A-Za-z0-9._+!-]*)", text):
        return Release(release[1], release[2])
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", text):
        return Tag(text)
    raise ValueError(SPELLINGS)


def number_of_build(place: Release | Tag | Address) -> int | None:
    """Return the build number that a tag, or the tag at the end of an address, says.

    >>> number_of_build(Tag("b7900")), number_of_build(Address("https://example.org/archive/b12.tar.gz"))
    (7900, 12)
    """
    if isinstance(place, Release):
        return None
    name = place.name if isinstance(place, Tag) else place.url
    found = re.search(r"(?:^|/)b([0-9]{1,9})(?:\.tar\.gz|\.tgz|\.zip)?$", name)
    return int(found[1]) if found else None


def command_again(options: argparse.Namespace, *more: str) -> str:
    """Return the command that asks the same, without --write, and with more options."""
    words = ["python3", "noxfile.py", "-s", options.session, "--"]
    for name in ("project", "recipe", "platform", "source", "to", *ABOUT_SOURCE, "model", "toolchain"):
        if (value := getattr(options, name, None)) is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    words += [
        f"--{name}" for name in ("all", "output", "image", "page", "loader") if getattr(options, name, False)
    ]
    for number in getattr(options, "leave_out", ()):
        words += ["--leave-out", str(number)]
    return shlex.join((*words, *more)).removesuffix(" --")


def read_request(options: argparse.Namespace, again: str) -> SourceRequest | None:
    """Return what the options ask for; None where they name no new source.

    Raises UsageError where they contradict each other, or one is invalid.
    """
    only_with = [name for name in ABOUT_SOURCE if getattr(options, name) is not None]
    if options.source is None:
        if only_with:
            raise UsageError(
                where=f"--{only_with[0].replace('_', '-')}",
                expected="--source with it: it says something about a new source",
                found="no --source",
                fix=f"{again} --source ...",
            )
        return None
    if options.output:
        raise UsageError(
            where="--output",
            expected="one of --source and --output: a new source must be built before its output is pinned",
            found="both",
            fix=again.removesuffix(" --output"),
        )
    return named_source(options.source, options, again)


def named_source(
    text: str, options: argparse.Namespace, again: str, option: str = "--source"
) -> SourceRequest:
    """Return the request for a source that a text names; raises UsageError where it or what goes with it is invalid."""
    try:
        place = parse_place(text)
    except ValueError as error:
        raise UsageError(
            where=option, expected=str(error), found=repr(text), fix="write one of these"
        ) from error
    try:
        commit = Sha1(options.commit) if options.commit is not None else None
    except ValueError as error:
        raise UsageError(
            where="--commit", expected="a full commit id", found=str(error), fix="copy the id again, in full"
        ) from error
    if commit is None and isinstance(place, Tag) and re.fullmatch("[0-9a-f]{40}", place.name):
        commit = Sha1(place.name)
    return SourceRequest(text, place, again, options.subdirectory, commit, options.build_number, option)
