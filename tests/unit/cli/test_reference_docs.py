from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from recipes.cli.parser import NAMES, parser
from recipes.cli.reference_docs import (
    command_line_page,
    exit_codes_page,
    generated_files,
    manifest_page,
    platforms_page,
    write_reference,
)
from recipes.core import errors
from recipes.core.errors import StoreError
from recipes.manifest.load import SCHEMAS, Manifests, schema_text
from recipes.manifest.schema import json_schema
from tests.support import paths

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = paths.PROJECT
DOCS = PROJECT / "docs"


def a_project(folder: Path) -> Path:
    """A project with links to this one's manifests and patches, that can be written to all the same."""
    (folder / "manifests").mkdir(parents=True)
    for name in ("recipes", "advisories", "components", "toolchains", "defaults.yaml"):
        (folder / "manifests" / name).symlink_to(PROJECT / "manifests" / name)
    (folder / "patches").symlink_to(PROJECT / "patches")
    return folder


def test_the_committed_files_are_the_generated_ones() -> None:
    files = generated_files(Manifests(PROJECT), parser())

    stale = [name for name, text in files.items() if (DOCS / name).read_text("utf-8") != text]

    assert not stale, "run `python3 noxfile.py -s docs` and commit what it writes"


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_committed_schema_is_the_generated_one(kind: str) -> None:
    committed = PROJECT / "manifests" / "schema" / f"{kind}.schema.json"

    assert committed.read_text("utf-8") == schema_text(kind)


@pytest.mark.slow
def test_writing_twice_gives_the_same_bytes_whatever_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    first = write_reference(a_project(tmp_path / "one"), parser())
    monkeypatch.setenv("COLUMNS", "40")
    second = write_reference(a_project(tmp_path / "two"), parser())

    assert [path.relative_to(tmp_path / "one") for path in first] == [
        path.relative_to(tmp_path / "two") for path in second
    ]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert len(first) == len(generated_files(Manifests(PROJECT), parser())) + len(SCHEMAS)


@pytest.mark.slow
def test_a_docs_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    project = a_project(tmp_path / "project")
    (project / "docs").write_text("in the way")

    with pytest.raises(StoreError) as caught:
        write_reference(project, parser())

    assert caught.value.where == str(project / "docs")


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_key_of_every_type_has_a_row(kind: str) -> None:
    page = manifest_page(kind)
    sections = dict(re.findall(r"^## ([\w-]+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    types = json_schema(SCHEMAS[kind])["$defs"]

    assert set(sections) == set(types)
    for name, section in sections.items():
        rows = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        assert rows == list(types[name]["properties"])


def test_a_key_without_default_is_marked_as_needed_and_one_with_is_not() -> None:
    page = manifest_page("recipe")

    assert "| `commit` | 40 hexadecimal digits | yes | The upstream commit. |" in page
    assert "| `max_bytes` | whole number, at least 1 | no | Cap of the download" in page


def test_every_error_class_has_its_exit_code_and_each_code_stands_once() -> None:
    rows = re.findall(r"^\| (\d+) \| (?:`(\w+)`)?", exit_codes_page(), re.MULTILINE)

    assert {(str(item.exit_code), item.__name__) for item in errors.RecipeError.__subclasses__()} <= set(rows)
    assert len({code for code, _ in rows}) == len(rows)


def test_every_exit_code_has_advice() -> None:
    advice = (DOCS / "how-to" / "read-a-failure.md").read_text("utf-8")
    codes = [item.exit_code for item in errors.RecipeError.__subclasses__()]

    assert [code for code in codes if f"\n| {code} | " not in advice] == []


def test_every_option_of_every_command_is_listed_and_hidden_ones_are_not() -> None:
    page = command_line_page(parser())
    sections = dict(re.findall(r"^## ([\w-]+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))

    assert set(NAMES) <= set(sections)
    assert "`--archive FOLDER`" in sections["build"]
    assert "`--connections N`" in sections["models"].partition("### models -- fetch")[2].partition("###")[0]
    assert "`--dry-run`" in sections["gc"]
    assert "--preload" not in page


def test_every_session_of_the_noxfile_is_listed() -> None:
    tree = ast.parse((PROJECT / "noxfile.py").read_text("utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list]
    sessions = [node.name.replace("_", "-") for node in functions]

    assert (
        re.findall(r"^\| `([\w-]+)` \| (?=[A-Z])", command_line_page(parser()), re.MULTILINE)[: len(sessions)]
        == sessions
    )


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert r"| `--source PROJECT==VERSION\|TAG\|URL` |" in command_line_page(parser())


def test_every_platform_of_every_recipe_says_whether_its_output_is_pinned() -> None:
    manifests = Manifests(PROJECT)
    page = platforms_page(manifests)

    for recipe in map(manifests.recipe, manifests.recipe_names()):
        section = page.partition(f"\n## {recipe.name}\n")[2].partition("\n## ")[0]
        for name, platform in recipe.platforms.items():
            row = next(line for line in section.splitlines() if line.startswith(f"| `{name}` |"))
            assert (platform.output.hex if platform.output else str(platform.output_unpinned)) in row
