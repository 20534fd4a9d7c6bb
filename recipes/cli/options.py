"""How a session reads its command line: the parser, the values, and the options that several sessions share."""

from __future__ import annotations

import argparse
import difflib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from recipes.core.errors import UsageError
from recipes.core.settings import split_names
from recipes.evalset.clip_rules import MOST_FRAMES, PAIR
from recipes.registry.reference import Repository, parse_repository
from recipes.serve.door.admission import parse_origin
from recipes.serve.door.image_decode import Detail
from recipes.serve.door.message_videos import MOST_FPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from _typeshed import SupportsWrite

    from recipes.serve.door.admission import Origin

EPILOG = """\
environment:
  PINNED_LLAMA_STORE      folder of the store (default: the user's cache folder)
  PINNED_LLAMA_INDEX_URL  package index to use (default: pip's setting, else the client's own)
  PINNED_LLAMA_MIRROR     addresses of mirrors: a store's blobs/sha256 folder, served as it is
  PINNED_LLAMA_OFFLINE    1: never use the network
  PINNED_LLAMA_CACHES     repositories of OCI registries to ask before building (default: the project's; "": none)
  PINNED_LLAMA_CACHE_POLICY  file of a policy: what nothing pins is taken from them with the signatures it demands
  DOCKER_CONFIG           folder of docker's config.json, with logins for registries (default: ~/.docker)
  PINNED_LLAMA_POLICY     refuse-known-issues, require-isolation: refuse to build as those options do
  PINNED_LLAMA_PERMIT     findings that a recipe may have though they are grave, as --permit names them
  PINNED_LLAMA_TIMEOUT_S  how long a server may be silent, in seconds (default: 30)
  PINNED_LLAMA_HUB_URL    model hub, or a mirror that answers like it (default: HF_ENDPOINT, else the model's)
  PINNED_LLAMA_DEBIAN_URL archive of Debian's packages, for `image` (default: those that apt is configured with)
  HF_TOKEN                token of the model hub; sent to the hub alone, and never where it redirects to
  PIP_CERT                certificates to trust besides the system's (also pip's setting `cert`)
  PINNED_LLAMA_API_KEY    key that a client of `serve` must show, and that `ask --url` shows
  PINNED_LLAMA_BROWSER    a Chromium or Chrome that conformance drives (default: the one on the path)
  NO_COLOR                no colours

exit codes: docs/reference/exit-codes.md
"""


class CommandLineError(Exception):
    """A mistake in the command line, in one line."""


@dataclass(frozen=True)
class Session:
    """One session: its name, what it does in a line, its options, what runs it, and options to show as an example."""

    name: str
    summary: str
    add_options: Callable[[Parser], None]
    run: Callable[[argparse.Namespace], int]
    example: str = ""
    reads_manifests: bool = True


class Parser(argparse.ArgumentParser):
    """argparse's parser with our errors, no abbreviations, and options before, between or after the words.

    `title` is the session with its action, as errors name it; `example` a command line of it, from the session's name.
    """

    def __init__(
        self, *, title: str = "", summary: str = "", example: str = "", prog: str | None = None
    ) -> None:
        epilog = "" if " -- " in title else EPILOG  # an action's options are more to the point
        super().__init__(
            prog=f"python3 noxfile.py -s {title}" + ("" if " -- " in title else " --") if title else prog,
            description=summary,
            epilog=f"example:\n  python3 noxfile.py -s {example}\n\n{epilog}" if example else epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.title = title
        self.actions: dict[str, Parser] = {}
        self._of_session: dict[str, Parser] = {}  # this parser and those of the other actions
        self._is_mixing = False

    def add_action(
        self, actions: argparse._SubParsersAction[Parser], name: str, summary: str, example: str
    ) -> Parser:
        """Add what a session does under a name of its own, as `models -- fetch`, with options of its own."""
        title = f"{self.title} -- {name}"
        action = actions.add_parser(
            name, help=summary, title=title, summary=summary, example=f"{title} {example}".rstrip()
        )
        self.actions[name] = action
        action._of_session = self.actions  # noqa: SLF001 - the same class
        return action

    def parse_known_args(  # type: ignore[override] # the overloads of the standard library
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Read a command line; where this is no parser of actions, words and options may be mixed."""
        if self._is_mixing or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._is_mixing = True
        try:
            options, unknown = self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_mixing = False
        if unknown:
            self._refuse(unknown[0])
        return options, unknown

    def error(self, message: str) -> NoReturn:
        """Refuse a command line by a CommandLineError."""
        where = f"{self.title}: " if self.title else ""
        raise CommandLineError(f"error: {where}{message} (see {self.prog} --help)")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        if file is not None:  # argparse drops an output that fails
            file.write(message)

    def knows(self, option: str) -> bool:
        """Whether this parser takes an option."""
        return option in self._option_string_actions

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            name = "/".join(action.option_strings) or str(action.metavar or action.dest).lower()
            hint = _nearest(str(value), known) or f"; there is {', '.join(known)}"
            self.error(f"no {name} `{value}`{hint}")

    def _refuse(self, word: str) -> NoReturn:
        option = word.partition("=")[0]
        if not option.startswith("-"):
            self.error(f"`{word}` is one word too many")
        others = [other.title for other in self._of_session.values() if other.knows(option)]
        if others:
            self.error(f"{option} has no effect here; it is an option of {' and '.join(others)}")
        self.error(f"no option {option}{_nearest(option, list(self._option_string_actions))}")


def _nearest(word: str, known: Sequence[str]) -> str:
    found = difflib.get_close_matches(word, known, 1)
    return f", did you mean {found[0]}?" if found else ""


def add_common(parser: Parser, *, reads_manifests: bool, default: object = None) -> None:
    """Add what every session takes; for an action `default` is SUPPRESS, to keep what stands before its name."""
    if reads_manifests:
        parser.add_argument(
            "--project",
            type=Path,
            default=default,
            metavar="FOLDER",
            help="a folder with manifests/ and patches/ (default: this one)",
        )
    parser.add_argument(
        "--verbose",
        action="store_true",
        default=default or False,
        help="also print the log: each step with its arguments",
    )


class _Several(argparse.Action):
    """Keeps each value of an option, in the list NAMEs; the option's own value is the last one."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        _option: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, values)
        name = f"{self.dest}s"
        setattr(namespace, name, [*(getattr(namespace, name, None) or []), values])


def add_source_facts(parser: Parser, option: str) -> None:
    """Add what a user can say of a new source that `option` names."""
    parser.add_argument(
        "--subdirectory", metavar="PATH", help=f"with {option}: where it lies, from that archive's top"
    )
    parser.add_argument(
        "--commit", metavar="ID", help=f"with {option}: its commit, where the archive does not say it"
    )
    parser.add_argument(
        "--build-number",
        type=positive,
        metavar="N",
        help=f"with {option}: upstream's build number, where no tag bN says it",
    )


def add_recipe(parser: Parser, *, several: bool = False) -> None:
    """Add the choice of a recipe, or of several, which are in the list `recipes`."""
    parser.set_defaults(**({"recipes": None} if several else {}))
    parser.add_argument(
        "--recipe",
        metavar="NAME",
        action=_Several if several else "store",
        help="a manifest in manifests/recipes/ (default: the default recipe"
        + ("; repeat for more)" if several else ")"),
    )


def add_platform(parser: Parser, *, architecture: bool = True, recipes: bool = False) -> None:
    """Add the choice of a recipe, or of several `recipes`, and of a platform, and of a part of the platform."""
    add_recipe(parser, several=recipes)
    parser.add_argument(
        "--platform", metavar="NAME", help="one of the recipe's platforms (default: this machine)"
    )
    if architecture:
        parser.add_argument(
            "--architecture",
            action="append",
            metavar="NAME",
            help="only this one of the platform's GPU architectures (repeat for more)",
        )


def add_compile(parser: Parser) -> None:
    """Add what a session that compiles takes."""
    parser.add_argument(
        "--target", action="append", metavar="NAME", help="build only this target (repeat for more)"
    )
    parser.add_argument(
        "--jobs", type=positive, metavar="N", help="compile commands at a time (default: usable cores)"
    )


def add_sign_key(parser: Parser, when: str) -> None:
    """Add the key that signs runtime libraries, which nothing pins; `when` is in front of its help."""
    parser.add_argument(
        "--sign-key",
        type=Path,
        metavar="FILE",
        help=f"{when}also share runtime libraries, signed with this private key (attest -- --new-key FILE)",
    )


def add_permit(parser: Parser) -> None:
    """Add the permission of findings by name."""
    parser.add_argument(
        "--permit",
        action="extend",
        default=[],
        type=split_names,
        metavar="ID",
        help="use a recipe though this finding of high severity affects it (repeat, or commas, for more)",
    )


def refuse_beside(
    options: argparse.Namespace, title: str, chosen: str, names: Iterable[str], reason: str
) -> None:
    """Raise a UsageError for the first of some options that is given and has no effect beside another one, `chosen`.

    `names` are theirs in `options`, where what was not given is None, False or empty. `reason` says why, as "it already
    has its model".
    """
    for name in names:
        if getattr(options, name):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(
                where=f"{title}: {chosen} and {option}",
                expected=f"one of them: {reason}",
                found="both",
                fix=f"leave out {option}, or {chosen}",
            )


def positive(text: str) -> int:
    """Read a whole number that is at least 1, or raise an ArgumentTypeError."""
    if text.isascii() and text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"a whole number from 1 is expected, not {text!r}")


def not_negative(text: str) -> float:
    """Read a number that is at least 0, or raise an ArgumentTypeError."""
    if 0 <= (number := _number(text)) < math.inf:
        return number
    raise argparse.ArgumentTypeError(f"a number from 0 is expected, not {text!r}")


def frames_a_second(text: str) -> float:
    """Read how many frames of a second, or raise an ArgumentTypeError."""
    if 0 < (number := _number(text)) <= MOST_FPS:
        return number
    raise argparse.ArgumentTypeError(f"a number above 0, of at most {MOST_FPS}, is expected, not {text!r}")


def frame_count(text: str) -> int:
    """Read how many frames a clip has, or raise an ArgumentTypeError."""
    if text.isascii() and text.isdecimal() and PAIR <= int(text) <= MOST_FRAMES:
        return int(text)
    raise argparse.ArgumentTypeError(f"a whole number from {PAIR} to {MOST_FRAMES} is expected, not {text!r}")


def seconds(text: str) -> float:
    """Read a time in seconds, or raise an ArgumentTypeError."""
    if 0 < (number := _number(text)) < math.inf:
        return number
    raise argparse.ArgumentTypeError(f"seconds, more than 0, are expected, not {text!r}")


def origin(text: str) -> Origin:
    """Read where a web page is from, or raise an ArgumentTypeError."""
    found = parse_origin(text.removesuffix("/"))
    if found is None:
        raise argparse.ArgumentTypeError(f"a site as https://example.org is expected, not {text!r}")
    return found


def detail(text: str) -> Detail:
    """Read how large images are passed on, or raise an ArgumentTypeError."""
    try:
        return Detail(text)
    except ValueError:
        names = ", ".join(one.value for one in Detail)
        raise argparse.ArgumentTypeError(f"one of {names} is expected, not {text!r}") from None


def repository(text: str) -> Repository:
    """Read the repository of a registry, or raise an ArgumentTypeError."""
    try:
        return parse_repository(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def port(text: str) -> int:
    """Read the number of a port, or raise an ArgumentTypeError."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a port's number is expected, not {text!r}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
