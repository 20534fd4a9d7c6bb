"""The command as the user typed it, so that the fix of an error can name it.

A process runs one command. This is no context variable: errors also come from worker threads, which inherit none.
"""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_typed: list[str] = []  # the session's name, then its options


@contextmanager
def typed(words: Sequence[str]) -> Iterator[None]:
    """Remember a command line for as long as the block runs."""
    before, _typed[:] = list(_typed), words
    try:
        yield
    finally:
        _typed[:] = before


def this_command(default: str) -> str:
    """Return the command that runs, as one types it; `default`, a session with any options, where none started this."""
    return command_line(_typed or default.split())


def corrected(option: str, wrong: str, right: str, *, default: str) -> str:
    """Return the command that runs with one value replaced; the value of an option, or of the word itself.

    The option is put before `right` where `wrong` was not typed; it is "" for a word without an option.

    >>> with typed(["serve", "--recipe", "b675"]):
    ...     corrected("--recipe", "b675", "b6751", default="build")
    'python3 noxfile.py -s serve -- --recipe b6751'
    """
    words = list(_typed) or default.split()
    for index, word in enumerate(words):
        if index and word in {wrong, f"{option}={wrong}"}:
            words[index] = word.removesuffix(wrong) + right
            return command_line(words)
    return command_line([*words, *filter(None, (option, right))])


def typed_options(*options: str) -> tuple[str, ...]:
    """Return those options of the command that runs, each with its value, for the fix that names another session.

    >>> with typed(["serve", "--architecture", "gfx90a", "--port", "1", "--architecture=gfx942"]):
    ...     typed_options("--architecture")
    ('--architecture', 'gfx90a', '--architecture=gfx942')
    """
    found: list[str] = []
    for word, after in zip(_typed, (*_typed[1:], ""), strict=False):
        if word in options:
            found += (word, after)
        elif word.partition("=")[0] in options:
            found.append(word)
    return tuple(found)


def command_line(words: Sequence[str]) -> str:
    """Return a session and its options as they are typed in a shell.

    >>> command_line(["build"]), command_line(["ask", "--image", "a b.png"])
    ('python3 noxfile.py -s build', "python3 noxfile.py -s ask -- --image 'a b.png'")
    """
    session, *options = words
    return shlex.join(("python3", "noxfile.py", "-s", session, *(("--", *options) if options else ())))
