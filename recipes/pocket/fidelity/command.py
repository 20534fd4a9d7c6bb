"""The fidelity command: measures llama.cpps against the reference, and writes what docs/ shows of it."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.pipeline import ensure_bundle
from recipes.cli.job import open_job
from recipes.conformance.report.markup import to_xml
from recipes.core.errors import INTERRUPTED, RecipeError, UsageError
from recipes.core.filesystem import storage_errors
from recipes.pocket.fidelity.deviations import known_of, parse_known
from recipes.pocket.fidelity.docs_page import PAGE, tables, with_tables
from recipes.pocket.fidelity.measure import Contender, measure
from recipes.pocket.fidelity.plot import draw
from recipes.pocket.fidelity.results import LEDGER, encode, keep, read
from recipes.serve.llamacpp.installation import find_installation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recipes.pocket.fidelity.results import Ledger

PLOT = LEDGER.with_suffix(".svg")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(prog="nox -s fidelity --", description=__doc__)
    top.set_defaults(named=[])
    top.add_argument(
        "--recipe",
        dest="named",
        action="append",
        type=lambda name: ("recipe", name),
        metavar="NAME",
        help="measure the bundle of a recipe (repeat for more); the first of all is compared with the others",
    )
    top.add_argument(
        "--bundle",
        dest="named",
        action="append",
        type=lambda text: ("bundle", text),
        metavar="FOLDER[=TITLE[=DEVIATIONS]]",
        help="measure any llama.cpp in a folder, with its known deviations, as resize+gelu (repeat for more)",
    )
    top.add_argument("--write", action="store_true", help="write what came out to docs/")
    top.add_argument(
        "--keep",
        action="store_true",
        help="with --write: beside what docs/ has of other llama.cpps; the first is the one it was then",
    )
    top.add_argument(
        "--draw",
        action="store_true",
        help="measure nothing; write table and drawing of docs/assets/fidelity.json",
    )
    return top


def main(argv: list[str]) -> int:
    """Measure, and print or write; the exit code is 0, that of a RecipeError, or INTERRUPTED."""
    options = parser().parse_args(argv)
    try:
        if options.draw:
            write(read(LEDGER))
            return 0
        contenders = contenders_of(options.named)
        found = measure(contenders, command_of(argv), lambda line: print(line, file=sys.stderr, flush=True))
        print(tables(found))
        if options.write:
            write(keep(read(LEDGER), found) if options.keep else found)
    except RecipeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return INTERRUPTED
    return 0


def contenders_of(named: Sequence[tuple[str, str]]) -> list[Contender]:
    """Find all that is to be measured before anything is, in the order of the command line.

    Each is an option, `recipe` or `bundle`, and its value. A RecipeError is raised where one does not exist or cannot
    be built, two have one title, or none is named.
    """
    if not named:
        raise UsageError(
            where="fidelity",
            expected="at least one llama.cpp",
            found="none",
            fix="name one with --recipe NAME or --bundle FOLDER=TITLE",
        )
    titles = [text if option == "recipe" else parse_bundle(text)[1] for option, text in named]
    for title in titles:
        if titles.count(title) > 1:
            raise UsageError(
                where=f"--recipe and --bundle: {title}",
                expected="a title for each llama.cpp",
                found="the same title twice",
                fix="name one differently: --bundle FOLDER=TITLE",
            )
    return [contender_of(option, text) for option, text in named]


def contender_of(option: str, text: str) -> Contender:
    """Return one llama.cpp: the bundle of a recipe, built if it is missing, or that of a folder."""
    if option == "bundle":
        folder, title, known = parse_bundle(text)
        return Contender(title, find_installation(folder), known)
    job = open_job(argparse.Namespace(session="fidelity", project=None, recipe=text, platform=None))
    return Contender(text, find_installation(ensure_bundle(job, job.plan()).entry.path), known_of(text))


def parse_bundle(text: str) -> tuple[Path, str, dict[str, frozenset[str]] | None]:
    """Read `FOLDER[=TITLE[=DEVIATIONS]]`: the folder, the title, and the deviations by setting, None where not named.

    A deviation that does not exist is a UsageError.
    """
    folder, _, rest = text.partition("=")
    title, sign, names = rest.partition("=")
    return Path(folder), title or Path(folder).absolute().name, parse_known(names) if sign else None


def command_of(argv: list[str]) -> str:
    """Return the command as anyone can type it: without this machine's folders.

    >>> command_of(["--recipe", "b7827", "--bundle", "/home/me/llama=theirs", "--write"])
    'python3 noxfile.py -s fidelity -- --recipe b7827 --bundle FOLDER=theirs --write'
    """
    words = [re.sub(r"^(--bundle=)?[^=]*/[^=]*", r"\1FOLDER", word) for word in argv]
    return f"python3 noxfile.py -s fidelity -- {shlex.join(words)}"


def write(found: Ledger) -> None:
    """Write the figures, the drawing, and the page's tables.

    A RecipeError is raised where a file cannot be written, or the page has lost its marks.
    """
    with storage_errors(PAGE):
        page = with_tables(PAGE.read_text(encoding="utf-8"), found)
        LEDGER.write_bytes(encode(found))
        PLOT.write_text(to_xml(draw(found)), encoding="utf-8")
        PAGE.write_text(page, encoding="utf-8")
    print(f"written: {LEDGER}, {PLOT}, {PAGE}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
