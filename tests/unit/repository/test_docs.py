"""README and docs name nothing of this repository that is not there, and the version is the changelog's."""

from __future__ import annotations

import re
import shlex
import tomllib
from typing import TYPE_CHECKING

import pytest

from recipes.cli.options import CommandLineError
from recipes.cli.parser import NAMES, parser
from tests.support.paths import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = set(NAMES)
DOCS = PROJECT / "docs"
PAGES = sorted([*PROJECT.glob("*.md"), *DOCS.rglob("*.md"), *PROJECT.glob("recipes/**/*.md")])
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)
# a path of this repository in running text, in code or in a command; `tests/...` and NAME stand for any name
FOLDERS = "recipes|tests|docs|manifests|patches|\\.github|\\.ci"
REPOSITORY_PATH = re.compile(rf"(?<![\w/.~-])(?:{FOLDERS})/[\w./*-]*[\w/*]")
MODULE = re.compile(r"(?<![\w/.])(?:recipes|tests)(?:\.[a-z_0-9]+)+(?![\w/])")
# what an ignored file, a made-up name in an example, or another repository's file is called
NOT_OURS = re.compile(r"[A-Z]{4,}|b7900|/\*|patches/<")

# words that a reader had to translate: say check, fix, another, confirm, image, skipped, again, environment
RETIRED = re.compile(
    r"\b(?:judg\w+|mend(?:s|ed|ing)?|strangers?|vouch\w*|anew|surroundings|hearsay|departs?|departures?"
    r"|be had|passed over|taken over|on trust|cannot be meant|said of itself)\b",
    re.IGNORECASE,
)
# what is written of measurements or of the code
GENERATED = {"docs/benchmarks.md", "docs/fullsize.md"} | {
    path.relative_to(PROJECT).as_posix()
    for path in (DOCS / "reference").glob("*.md")
    if path.read_text("utf-8").startswith("<!-- Generated")
}


def names(page: Path) -> str:
    return page.relative_to(PROJECT).as_posix()


def slug(heading: str) -> str:
    """The anchor of a heading, as Python-Markdown's table of contents makes it."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading)
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


def anchors(text: str) -> set[str]:
    return {slug(heading) for heading in HEADING.findall(FENCE.sub("", text))}


def broken_links(page: Path, text: str) -> list[str]:
    found = []
    for target in LINK.findall(FENCE.sub("", text)):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name) if name else page
        other = (
            text
            if path == page
            else path.read_text("utf-8")
            if path.suffix == ".md" and path.exists()
            else ""
        )
        if not path.exists() or (anchor and anchor not in anchors(other)):
            found.append(target)
    return found


def absent_paths(text: str) -> list[str]:
    found = (match.group() for match in REPOSITORY_PATH.finditer(text))
    return [path for path in found if not NOT_OURS.search(path) and not (PROJECT / path).exists()]


def absent_modules(text: str) -> list[str]:
    """Dotted names of which no module is found; the last part may be a class or function of a module."""
    found = []
    for name in MODULE.findall(text):
        path = PROJECT / name.replace(".", "/")
        parent = path.parent.with_suffix(".py")
        if not (path.is_dir() or path.with_suffix(".py").exists()) and not (
            parent.exists()
            and re.search(rf"^(?:class |def )?{path.name}\b", parent.read_text("utf-8"), re.MULTILINE)
        ):
            found.append(name)
    return found


def test_all_pages_are_looked_at() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/explanation/architecture.md"} <= set(
        map(names, PAGES)
    )


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_a_page_names_only_what_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    assert (broken_links(page, text), absent_paths(text), absent_modules(text)) == ([], [], [])


@pytest.mark.parametrize("page", [page for page in PAGES if names(page) not in GENERATED], ids=names)
def test_a_page_uses_plain_words(page: Path) -> None:
    assert RETIRED.findall(page.read_text("utf-8")) == []


def test_what_is_not_there_is_found() -> None:
    page = DOCS / "index.md"
    text = "# Title\n[a](how-to/gone.md) [b](index.md#title) [c](#gone) [d](how-to/build-a-bundle.md#gone)"
    assert broken_links(page, text) == ["how-to/gone.md", "#gone", "how-to/build-a-bundle.md#gone"]
    assert absent_paths("see `recipes/core/gone.py`, recipes/core/digest.py and tests/gone/") == [
        "recipes/core/gone.py",
        "tests/gone/",
    ]
    assert absent_modules("`recipes.core.gone` and recipes.core.digest, recipes.core.errors.RecipeError") == [
        "recipes.core.gone"
    ]


def sessions() -> set[str]:
    names = re.findall(r"^def (\w+)\(session: nox", (PROJECT / "noxfile.py").read_text("utf-8"), re.MULTILINE)
    return {name.replace("_", "-") for name in names} - {"recipes"}


def commands(text: str) -> list[list[str]]:
    """The words after `noxfile.py -s` of each command line in code, where it is given in full."""
    code = [*re.findall(r"`([^`\n]+)`", FENCE.sub("", text)), *re.findall(r"^[^`\n]*$", text, re.MULTILINE)]
    lines = [match[1] for line in code if (match := re.search(r"noxfile\.py -s ([^`]+)", line))]
    return [shlex.split(re.split(r"[|;>]", line)[0], comments=True) for line in lines if "..." not in line]


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_command_on_a_page_is_accepted(page: Path) -> None:
    for session, *words in commands(page.read_text("utf-8")):
        assert session in sessions() | {"SESSION"}, page
        assert words[:1] in ([], ["--"]), page
        if session in COMMANDS and words:
            parser().parse_args([session, *words[1:]])  # a word that is not known ends it


def test_a_command_that_is_not_known_is_refused() -> None:
    (words,) = commands("see `python3 noxfile.py -s build -- --gone  # why`")
    assert words == ["build", "--", "--gone"]
    with pytest.raises(CommandLineError):
        parser().parse_args(["build", "--gone"])


def test_the_readme_names_every_session() -> None:
    text = (PROJECT / "README.md").read_text("utf-8")
    section = text.partition("\n## Sessions\n")[2].partition("\n## ")[0]
    assert sessions() - set(re.findall(r"`([\w-]+)`", section)) == set()


def test_the_navigation_of_the_site_names_every_page() -> None:
    text = (PROJECT / "zensical.toml").read_text("utf-8")
    named = set(re.findall(r'"([\w./-]+\.md)"', text))
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    decisions = {page for page in pages if page.startswith("decisions/0")}

    assert named == pages - decisions


def test_decisions_are_numbered_without_a_gap_and_listed() -> None:
    files = sorted((DOCS / "decisions").glob("0*.md"))
    titles = [path.read_text("utf-8").partition("\n")[0].removeprefix("# ") for path in files]
    listed = re.findall(
        r"^- \[(.*)\]\((.*)\)$", (DOCS / "decisions" / "index.md").read_text("utf-8"), re.MULTILINE
    )

    assert [int(path.name[:4]) for path in files] == list(range(1, len(files) + 1))
    assert [title.partition(".")[0] for title in titles] == [str(number + 1) for number in range(len(files))]
    assert listed == list(zip(titles, (path.name for path in files), strict=True))


def test_the_version_is_the_newest_of_the_changelog() -> None:
    changelog = (PROJECT / "CHANGELOG.md").read_text("utf-8")
    heads = re.findall(r"^## \[([\w.]+)\](.*)$", changelog, re.MULTILINE)
    dated = [name for name, rest in heads if re.fullmatch(r" - \d{4}-\d\d-\d\d", rest)]
    numbers = [tuple(map(int, name.split("."))) for name in dated]

    assert dated[0] == tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert numbers == sorted(set(numbers), reverse=True)
    assert [head for head in heads if head[0] not in dated] in ([], [("Unreleased", "")])
