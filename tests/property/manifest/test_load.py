"""Manifests: refused exactly where their type refuses them, and the same from their canonical form."""

from __future__ import annotations

import copy
import shutil
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from recipes.core.digest import Sha1, Sha256
from recipes.core.errors import ManifestError, PinMissingError, RecipeError
from recipes.manifest.decode import UNEXPLAINED, parse
from recipes.manifest.edit_values import dump_canonical
from recipes.manifest.load import PROJECT, SCHEMAS, Manifests
from recipes.manifest.schema import ArchiveOrigin, GitOrigin, PypiOrigin, Recipe, Toolchain, Wheel, convert
from recipes.manifest.strict_yaml import _STRANGE, Steps, Value, read
from tests.support import paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


SMALL = paths.DATA / "manifests" / "project"
TEXT = (SMALL / "manifests/recipes/small.yaml").read_text()
SMALL_DATA = read(TEXT, "small.yaml").data
RECIPE_FILES = sorted((PROJECT / "manifests/recipes").glob("*.yaml"))
TOOLCHAIN_FILES = sorted((PROJECT / "manifests/toolchains").glob("*.yaml"))

KEYS = st.from_regex(r"[A-Za-z][A-Za-z0-9_.+-]{0,8}", fullmatch=True)
VALUES = (
    st.from_regex(r"[0-9a-f]{40}", fullmatch=True)
    | st.integers(0, 10**12).map(str)
    | st.from_regex(r"https://example\.org/[a-z#?&=]{0,9}", fullmatch=True)
    | st.sampled_from(
        ["", "null", "~", "true", "1.10", "0x10", "- a", "a: b", "a #b", "[a", "{a}", "it's", '"', "\\"]
    )
    | st.text(st.characters(exclude_categories=("Cs", "Cc", "Cf", "Zl", "Zp", "Co", "Cn")), max_size=12)
).filter(lambda text: not _STRANGE.search(text))


def leaves(data: Value, path: Steps = ()) -> Iterator[Steps]:
    """The paths of all scalars."""
    if isinstance(data, str):
        yield path
    else:
        for step, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from leaves(value, (*path, step))


def branches(data: Value, path: Steps = ()) -> Iterator[Steps]:
    """The paths of all objects and lists."""
    if not isinstance(data, str):
        yield path
        for step, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from branches(value, (*path, step))


def at(data: Any, path: Steps) -> Any:  # noqa: ANN401 - as deep as the path leads
    for step in path:
        data = data[step]
    return data


# What a type refuses


@pytest.mark.parametrize(
    ("path", "kind"),
    [*((path, Recipe) for path in RECIPE_FILES), *((path, Toolchain) for path in TOOLCHAIN_FILES)],
)
def test_a_committed_manifest_is_refused_in_words_whatever_of_it_is_gone_or_of_another_kind(
    path: Path, kind: type[Recipe | Toolchain]
) -> None:
    document = read(path.read_text(), path.name)
    places = {
        tuple(step for step in steps if not isinstance(step, int)): steps
        for steps in (*leaves(document.data), *branches(document.data))
        if steps and steps[0] != "platforms"  # as many as the small recipe's, whose are spoiled below
    }
    others: tuple[Value | None, ...] = (None, [], {}, "x")
    for steps in places.values():
        for other in others:
            data: Any = copy.deepcopy(document.data)
            holder = at(data, steps[:-1])
            if other is None:
                del holder[steps[-1]]
            else:
                holder[steps[-1]] = other
            with suppress(RecipeError):
                parse(replace(document, data=data), kind, "lock")


@st.composite
def spoiled(draw: st.DrawFn) -> Value:
    """The small recipe's data with one to three things wrong, or by chance right."""
    data: Any = copy.deepcopy(SMALL_DATA)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([*leaves(data), *branches(data)]))
        if not path:
            continue
        holder, step = at(data, path[:-1]), path[-1]
        match draw(st.sampled_from(["remove", "replace", "rename", "wrap"])):
            case "remove":
                del holder[step]
            case "replace":
                holder[step] = draw(VALUES | st.just({}) | st.just([]) | st.just({"hex": "0a"}))
            case "rename" if isinstance(holder, dict):
                holder[draw(KEYS)] = holder.pop(step)
            case _:
                holder[step] = [holder[step]]
    return data  # type: ignore[no-any-return] # built from a Value


@given(spoiled())
def test_a_recipe_is_refused_by_sentence_exactly_where_its_type_refuses_it(data: Value) -> None:
    text = yaml.safe_dump(data, allow_unicode=True, sort_keys=False)
    document = read(text, "a.yaml")
    try:
        expected: Recipe | None = convert(data, Recipe)
    except (msgspec.ValidationError, NotImplementedError):
        expected = None
    try:
        found: Recipe | RecipeError = parse(document, Recipe, "lock it")
    except RecipeError as error:
        found = error
    if expected is not None:
        assert found == expected
        return
    assert isinstance(found, ManifestError | PinMissingError)
    assert found.where.startswith("a.yaml:")
    assert found.expected != UNEXPLAINED, "the walk found nothing to say"
    assert (found.fix == "lock it") == isinstance(found, PinMissingError)


@given(spoiled())
def test_a_spoiled_recipe_never_ends_in_anything_but_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, data: Value
) -> None:
    project = tmp_path_factory.getbasetemp() / "spoiled"
    if not project.exists():
        shutil.copytree(SMALL, project)
    (project / "manifests/recipes/small.yaml").write_text(
        yaml.safe_dump(data, allow_unicode=True, sort_keys=False)
    )
    try:
        Manifests(project).defaults()
    except RecipeError as error:
        assert error.exit_code in {10, 11}  # noqa: PT017 - an accepted recipe is as good


# The canonical form

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,8}", fullmatch=True)
WORDS = VALUES.filter(bool)
SIZES = st.integers(1, 1 << 40)
SHA256 = st.binary(max_size=3).map(Sha256.of_bytes)
SHA1 = st.binary(max_size=3).map(Sha1.of_bytes)
PATHS = st.from_regex(r"[a-z]{1,4}(/[a-z]{1,4}){0,2}", fullmatch=True)
URLS = st.from_regex(r"https://example\.org/[a-z#&=:,]{0,9}", fullmatch=True)
DROPS = st.lists(PATHS, max_size=2).map(tuple)
WHEELS = st.builds(Wheel, project=NAMES, version=NAMES, file=NAMES, size_bytes=SIZES, sha256=SHA256)
ORIGINS = (
    st.builds(
        PypiOrigin,
        project=NAMES,
        version=NAMES,
        file=NAMES,
        size_bytes=SIZES,
        sha256=SHA256,
        subdirectory=PATHS,
        drop=DROPS,
    )
    | st.builds(
        ArchiveOrigin, url=URLS, sha256=SHA256, max_bytes=SIZES | st.none(), subdirectory=PATHS, drop=DROPS
    )
    | st.builds(GitOrigin, url=URLS)
)
TOOLCHAINS = st.builds(
    Toolchain,
    schema=st.just("toolchain/1"),
    name=NAMES,
    kind=st.sampled_from(["zig", "host"]),
    summary=WORDS,
    compiler=WORDS,
    hosts=st.dictionaries(NAMES, st.lists(WHEELS, max_size=3).map(tuple), max_size=3),
)
SMALL_RECIPE = convert(SMALL_DATA, Recipe)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    source = msgspec.structs.replace(
        SMALL_RECIPE.source,
        commit=draw(SHA1),
        epoch=draw(st.integers(0, 1 << 33)),
        licence=draw(WORDS),
        origins=tuple(draw(st.lists(ORIGINS, min_size=1, max_size=3))),
    )
    return msgspec.structs.replace(
        SMALL_RECIPE,
        summary=draw(WORDS),
        source=source,
        patches=SMALL_RECIPE.patches[: draw(st.integers(0, 2))],
        advisories=draw(st.sampled_from([SMALL_RECIPE.advisories, {}])),
        cmake=draw(st.dictionaries(NAMES, VALUES, max_size=3)),
    )


@given(TOOLCHAINS)
def test_a_toolchain_is_read_again_from_its_canonical_form(toolchain: Toolchain) -> None:
    assert parse(read(dump_canonical(toolchain), "a.yaml"), Toolchain, "lock it") == toolchain


@given(recipes())
def test_a_recipe_is_read_again_from_its_canonical_form(recipe: Recipe) -> None:
    text = dump_canonical(recipe)
    again = parse(read(text, "a.yaml"), Recipe, "lock it")
    assert again == recipe
    assert dump_canonical(again) == text


COMMITTED = [
    *((path, "recipe") for path in sorted((PROJECT / "manifests/recipes").glob("*.yaml"))),
    *((path, "advisory") for path in sorted((PROJECT / "manifests/advisories").glob("*.yaml"))),
    *((path, "toolchain") for path in sorted((PROJECT / "manifests/toolchains").glob("*.yaml"))),
    (PROJECT / "manifests/defaults.yaml", "defaults"),
    (SMALL / "manifests/recipes/small.yaml", "recipe"),
    (SMALL / "manifests/advisories/images.yaml", "advisory"),
]


def in_order(data: Value) -> list[tuple[Steps, Value]]:
    """All scalars and all empty objects and lists, as they follow each other."""
    if isinstance(data, str) or not data:
        return [((), data)]
    items = data.items() if isinstance(data, dict) else enumerate(data)
    return [((step, *path), value) for step, item in items for path, value in in_order(item)]


@pytest.mark.parametrize(("path", "kind"), COMMITTED, ids=[path.name for path, _ in COMMITTED])
def test_a_committed_manifest_is_its_canonical_form_but_for_layout_and_comments(
    path: Path, kind: str
) -> None:
    document = read(path.read_text(), path.name)
    canonical = dump_canonical(parse(document, SCHEMAS[kind], "lock it"))
    assert in_order(document.data) == in_order(read(canonical, "canonical").data)
