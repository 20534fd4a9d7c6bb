"""Manifests by name: the committed ones hold, and each way to spoil one is refused.

tests/data/manifests/refusals.yaml changes the small project beside it, one place at a time.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from recipes.core.errors import PinMissingError, RecipeError, StoreError, UsageError
from recipes.manifest.edit_values import dump_canonical
from recipes.manifest.load import PROJECT, SCHEMAS, Manifests, schema_text, write_schemas
from recipes.manifest.policy import load_policy
from tests.support import paths

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = paths.DATA / "manifests"
RECIPE = "recipes/small.yaml"
# BaseLoader: each scalar is text, as in what is tested, but by other code
REFUSALS: dict[str, dict[str, str]] = yaml.load((DATA / "refusals.yaml").read_text(), Loader=yaml.BaseLoader)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(DATA / "project", tmp_path, dirs_exist_ok=True)
    return tmp_path


def edit(project: Path, file: str, old: str, new: str) -> None:
    path = project / "manifests" / file
    text = path.read_text()
    if old:
        assert text.count(old) == 1, "a case changes one place"
        new = text.replace(old, new)
    path.write_text(new)


def refusal(project: Path) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        Manifests(project).defaults()
    return caught.value


def test_the_small_project_is_valid(project: Path) -> None:
    manifests = Manifests(project)
    assert manifests.defaults().recipe == "small"
    assert manifests.recipe_names() == ("small",)
    assert manifests.toolchain_names() == ("host", "zig-1")
    recipe = manifests.recipe("small")
    assert [type(origin).__name__ for origin in recipe.source.origins] == [
        "PypiOrigin",
        "ArchiveOrigin",
        "GitOrigin",
    ]
    assert recipe.platforms["macos-arm64-metal"].cmake["MINIMUM"] == "13.0"
    assert manifests.toolchain("zig-1").hosts["linux-x86_64"][0].version == "1.10"


@pytest.mark.parametrize("name", REFUSALS)
def test_a_spoiled_manifest_is_refused(name: str, project: Path) -> None:
    case = REFUSALS[name]
    edit(project, case["file"], case.get("old", ""), case["new"])
    error = refusal(project)
    assert (type(error).__name__, error.where) == (case.get("error", "ManifestError"), case["where"])
    assert case["says"] in f"{error.expected}\n{error.found}"


def test_a_number_of_any_length_is_refused_where_it_does_not_fit(project: Path) -> None:
    edit(project, RECIPE, "epoch: 1700000000", f"epoch: {'9' * 5000}")
    error = refusal(project)
    assert error.where == "manifests/recipes/small.yaml:12: source.epoch"
    assert len(error.found) < 100


def test_a_missing_pin_names_the_command_that_locks_it(project: Path) -> None:
    edit(project, RECIPE, f"      sha256: {'b4' * 32}\n", "")
    error = refusal(project)
    assert isinstance(error, PinMissingError)
    assert error.where == "manifests/recipes/small.yaml:15: source.origins[0]"
    assert error.fix == "python3 noxfile.py -s lock -- --recipe small"


def test_a_misspelled_pin_is_told_as_misspelled_and_not_as_missing(project: Path) -> None:
    edit(project, RECIPE, f"sha256: {'c4' * 32}", f"sha265: {'c4' * 32}")
    edit(project, RECIPE, f"      sha256: {'b4' * 32}\n", "")  # stands before it, and is missing indeed
    assert refusal(project).found == "unknown key `sha265`, did you mean `sha256`?"


@pytest.mark.parametrize(
    ("one", "other", "where"),
    [
        (
            ("epoch: 1700000000", "epoch: soon"),
            ("build_number: 7", "build_number: x"),
            "9: source.build_number",
        ),
        (("epoch: 1700000000", "epoch: soon"), ("  licence: MIT\n", ""), "6: source"),
        (
            *(("size_bytes: 3000", f"size_bytes: {1 << 40}"), ("max_bytes: 4000", "max_bytes: lots")),
            "26: source.origins[1].max_bytes",
        ),
    ],
    ids=[
        "the first in the file",
        "what an object lacks, before what is wrong in it",
        "not a number at its limit",
    ],
)
def test_of_several_problems_one_is_told(
    project: Path, one: tuple[str, str], other: tuple[str, str], where: str
) -> None:
    edit(project, RECIPE, *one)
    edit(project, RECIPE, *other)
    assert refusal(project).where == f"manifests/recipes/small.yaml:{where}"


@pytest.mark.parametrize(("old", "new"), [("0001-first", "0003-third"), ("0002-second", "0001-second")])
def test_patches_are_listed_in_the_order_of_their_numbers(project: Path, old: str, new: str) -> None:
    edit(project, RECIPE, f"file: small/{old}.patch", f"file: small/{new}.patch")
    (project / f"patches/small/{new}.patch").write_text("")
    error = refusal(project)
    assert error.where == "manifests/recipes/small.yaml:37: patches[1].file"
    assert "order" in error.expected


def test_a_series_may_mix_folders_each_in_its_own_order(project: Path) -> None:
    edit(project, RECIPE, "file: small/0002-second.patch", "file: other/0001-second.patch")
    (project / "patches/other").mkdir()
    (project / "patches/other/0001-second.patch").write_text("")
    assert [patch.file for patch in Manifests(project).recipe("small").patches] == [
        "small/0001-first.patch",
        "other/0001-second.patch",
    ]


def link_out(path: Path) -> None:
    (path.parents[2] / "outside.patch").write_text("")
    path.symlink_to(path.parents[2] / "outside.patch")


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (link_out, "leads out of it"),
        (Path.mkdir, "no such file"),
        (lambda path: path.symlink_to(path.name), "no such"),
    ],
)
def test_a_patch_is_a_file_below_the_folder_of_patches(
    project: Path, spoil: Callable[[Path], object], word: str
) -> None:
    path = project / "patches/small/0002-second.patch"
    path.unlink()
    spoil(path)
    error = refusal(project)
    assert error.where == "manifests/recipes/small.yaml:37: patches[1].file"
    assert word in error.found


def test_a_broken_toolchain_is_told_by_its_own_file(project: Path) -> None:
    edit(project, "toolchains/host.yaml", "kind: host", "kind: hosts")
    assert refusal(project).where == "manifests/toolchains/host.yaml:4: kind"


def test_a_toolchain_that_no_recipe_names_is_not_read(project: Path) -> None:
    (project / "manifests/toolchains/broken.yaml").write_text("\0")
    assert Manifests(project).recipe("small").name == "small"


ABSOLUTE = (
    "/usr/lib/libm.a",
    "-I/usr/include",
    "-L/opt",
    "-isystem/usr/include",
    "--sysroot=/opt/sdk",
    "-Wl,-rpath,/opt/lib",
    '-DCONFIG="/etc/x"',
    "@/tmp/flags",
    "-I~/include",
    "-ffile-prefix-map=/home/me=/source",
    "-ffile-prefix-map={source}={build}=/x",
    "-ffile-prefix-map={source}=/source -I/usr/include",
    "-Wl,-L/usr/lib",
    "-DURL=https://example.org",
    "-B /usr/bin",
)


@pytest.mark.parametrize("flag", ABSOLUTE)
def test_a_flag_with_an_absolute_path_is_refused(flag: str, project: Path) -> None:
    edit(project, RECIPE, '"-I{build}/include"', f"'{flag}'")
    error = refusal(project)
    assert error.expected.startswith("no absolute path")
    assert error.found == f"`{flag}`"


RELATIVE = (
    "{toolchain}/lib/libm.a",
    "-I{source}/include",
    "-Ithird/party",
    "-Wl,-rpath,$ORIGIN/../lib",
    "-Wl,-rpath,@loader_path/../lib",
    "-ffile-prefix-map={source}=/source",
    "-ffile-prefix-map={source}/ggml=/source/ggml",
    "-fdebug-prefix-map={build}=.",
    "-isystem{build}/include",
)


@pytest.mark.parametrize("flag", RELATIVE)
def test_a_flag_with_no_path_of_this_machine_is_taken(flag: str, project: Path) -> None:
    edit(project, RECIPE, '"-I{build}/include"', f"'{flag}'")
    assert Manifests(project).recipe("small").platforms["linux-x86_64-cpu"].flags.cxx == ("-g0", flag)


OTHER_PINS = f"\n      size_bytes: 3001\n      sha256: {'e1' * 32}\n      subdirectory: elsewhere"
SDIST = "\n      version: 0.1.0\n      file: small_source-0.1.0.tar.gz"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            "kind: git\n      url: https://example.org/upstream.git",
            "kind: git\n      url: https://example.org/upstream/",
        ),
        (
            f"kind: pypi\n      project: small-source{SDIST}",
            f"kind: pypi\n      project: Small_Source{SDIST}{OTHER_PINS}",
        ),
        (
            "kind: archive\n      url: https://example.org/upstream-7.tar.gz",
            f"kind: archive\n      url: https://example.org/upstream-7.tar.gz{OTHER_PINS}",
        ),
    ],
)
def test_the_same_place_in_other_words_is_the_same_origin(first: str, second: str, project: Path) -> None:
    edit(project, RECIPE, f"    - {first}", f"    - {second}\n    - {first}")
    assert refusal(project).expected == "each origin once"


def test_two_places_of_one_kind_are_two_origins(project: Path) -> None:
    old = "    - kind: git\n"
    edit(project, RECIPE, old, f"    - kind: git\n      url: https://example.com/mirror.git\n{old}")
    assert len(Manifests(project).recipe("small").source.origins) == 4


@pytest.mark.parametrize(
    ("ask", "where", "fix"),
    [
        (lambda it: it.recipe("smal"), "--recipe", "python3 noxfile.py -s build -- --recipe small"),
        (
            lambda it: it.platform(it.recipe("small"), "linux-x86-64-cpu"),
            "--platform",
            "python3 noxfile.py -s build -- --recipe small --platform linux-x86_64-cpu",
        ),
        (lambda it: it.toolchain("zig"), "a toolchain's name", "ask for `zig-1`"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_that_exists(
    project: Path, ask: Callable[[Manifests], object], where: str, fix: str
) -> None:
    with pytest.raises(UsageError, match="did you mean") as caught:
        ask(Manifests(project))
    assert (caught.value.where, caught.value.fix) == (where, fix)


def test_a_recipe_that_is_like_no_other_gets_no_guess(project: Path) -> None:
    with pytest.raises(UsageError) as caught:
        Manifests(project).recipe("xyz")
    assert caught.value.found == "`xyz`"
    assert caught.value.fix == "python3 noxfile.py -s build -- --recipe small"


@pytest.mark.parametrize("name", ["../recipes/small", "/etc/passwd", "small.yaml", "", ".", "small\0"])
def test_a_recipe_is_asked_for_by_name_and_not_by_path(name: str, project: Path) -> None:
    with pytest.raises(UsageError):
        Manifests(project).recipe(name)


def test_a_project_without_manifests_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is none"):
        Manifests(tmp_path).recipe("small")
    assert refusal(tmp_path).found == "No such file or directory"


def test_editors_and_hidden_files_are_no_manifests(project: Path) -> None:
    for name in (".#small.yaml", ".small.yaml.swp", "small.yaml~", "small.yml", "notes.txt"):
        (project / "manifests/recipes" / name).write_text("")
    assert Manifests(project).recipe_names() == ("small",)


def test_a_manifest_is_read_once(project: Path) -> None:
    manifests = Manifests(project)
    first = manifests.recipe("small"), manifests.toolchain("zig-1"), manifests.defaults()
    shutil.rmtree(project / "manifests")
    second = manifests.recipe("small"), manifests.toolchain("zig-1"), manifests.defaults()
    assert all(one is other for one, other in zip(first, second, strict=True))


def test_a_pinned_listing_is_found_where_there_is_one(project: Path) -> None:
    manifests = Manifests(project)
    assert manifests.output_listing("small", "linux-x86_64-cpu") is None
    path = manifests.output_path("small", "linux-x86_64-cpu")
    path.parent.mkdir()
    path.write_text("a listing\n")
    assert manifests.output_listing("small", "linux-x86_64-cpu") == "a listing\n"
    path.write_bytes(b"\xff")
    assert manifests.output_listing("small", "linux-x86_64-cpu") is None


def test_a_file_outside_the_project_is_named_in_full(project: Path) -> None:
    manifests = Manifests(project)
    assert manifests.show(project / "manifests/defaults.yaml") == "manifests/defaults.yaml"
    assert manifests.show(Path("/elsewhere/a.yaml")) == "/elsewhere/a.yaml"


# The committed manifests

FOLDERS = {kind: f"{kind}s" for kind in SCHEMAS} | {
    "advisory": "advisories",
    "components": "components",
    "policy": "policies",
}
COMMITTED = [
    *(
        (path, kind)
        for kind, name in FOLDERS.items()
        for path in sorted((PROJECT / "manifests" / name).glob("*.yaml"))
    ),
    (PROJECT / "manifests/defaults.yaml", "defaults"),
]


def load(path: Path, kind: str) -> object:
    manifests = Manifests()
    if kind == "policy":
        return load_policy(path, path.name)
    loaders = {
        "recipe": manifests.recipe,
        "toolchain": manifests.toolchain,
        "components": manifests.components,
        "model": manifests.model,
        "image": manifests.image_base,
    }
    if kind == "advisory":
        return manifests.advisories()[path.stem]
    return loaders[kind](path.stem) if kind in loaders else manifests.defaults()


def test_each_kind_of_manifest_is_committed() -> None:
    assert {kind for _, kind in COMMITTED} == set(SCHEMAS)


@pytest.mark.parametrize(("path", "kind"), COMMITTED, ids=[path.name for path, _ in COMMITTED])
def test_a_committed_manifest_is_valid_and_names_its_schema_in_its_first_line(path: Path, kind: str) -> None:
    assert isinstance(load(path, kind), SCHEMAS[kind])
    schema = f"{'' if kind == 'defaults' else '../'}schema/{kind}.schema.json"
    assert path.read_text().splitlines()[0] == f"# yaml-language-server: $schema={schema}"
    assert (path.parent / schema).is_file()


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_committed_schema_is_the_generated_one(kind: str) -> None:
    assert (PROJECT / "manifests/schema" / f"{kind}.schema.json").read_text() == schema_text(kind)


def test_schemas_are_written_to_a_folder(tmp_path: Path) -> None:
    paths = write_schemas(tmp_path / "new/schema")
    assert [path.name for path in paths] == [f"{kind}.schema.json" for kind in SCHEMAS]
    assert [path.read_text() for path in paths] == [schema_text(kind) for kind in SCHEMAS]


def test_schemas_are_not_written_where_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "schema").write_text("")
    with pytest.raises(StoreError, match="in the way"):
        write_schemas(tmp_path / "schema")


def test_the_canonical_form_of_the_small_recipe_is_known(project: Path) -> None:
    manifests = Manifests(project)
    assert dump_canonical(manifests.defaults()) == (
        "schema: defaults/1\nrecipe: small\nplatforms:\n  linux-x86_64: linux-x86_64-cpu\n"
        "  macos-arm64: macos-arm64-metal\n"
    )
    assert dump_canonical(manifests.toolchain("host")).endswith("install: install one\nhosts: {}\n")
    assert '      version: "1.10"\n' in dump_canonical(manifests.toolchain("zig-1"))
