"""Each file that a bundle is made of belongs to a component, and each component has its licence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from recipes.build.components.attribution import Used, attribute
from recipes.build.components.compile_record import CompileCommand, CompileRecord, Headers, Link
from recipes.build.components.inventory import TABLES, reader
from recipes.build.components.licences import TABLE, licence_files
from recipes.build.components.page_packages import BESIDE, find_packages
from recipes.build.plan.plan import listed_components
from recipes.core.digest import Sha256
from recipes.core.errors import AuditError, BuildError
from recipes.manifest.load import Manifests
from recipes.manifest.schema import Component, PagePackages, PinnedTexts, TextPart, VersionIn

if TYPE_CHECKING:
    from pathlib import Path

OWN = Component(
    name="own",
    licence="MIT",
    files=("src/*", "{build}/made.c"),
    text=((TextPart(file="LICENSE"),),),
    notices=("The authors",),
)
VENDORED = Component(
    name="vendored",
    licence="Zlib",
    files=("src/vendor/*",),
    text=((TextPart(file="gone"),), (TextPart(file="src/vendor/v.h", begins="Licence:", ends="End"),)),
    version=(VersionIn(file="src/vendor/v.h", pattern=r"V (\d+)\.(\d+)"),),
)
SNIPPET = Component(
    name="snippet",
    licence="ISC",
    within=("src/a.c",),
    text=((TextPart(file="src/a.c", begins="(c) Somebody", ends="(c) Somebody"), TextPart(file="LICENSE")),),
    notices=("Somebody",),
)
RUNTIME = Component(
    name="runtime", licence="MIT", linked=("linux",), text=((TextPart(file="{toolchain}/LICENCE"),),)
)
COMPONENTS = (VENDORED, SNIPPET, OWN, RUNTIME)
FILES = {
    "LICENSE": b"the words\n",
    "src/a.c": b"// Copyright (c) Somebody\n// Copyright (c) The authors\n",
    "src/vendor/v.h": b"V 1.02\nLicence: do\nas you like\nEnd\nint v;\n",
    "{toolchain}/LICENCE": b"of the runtime\n",
}


def command(source: str) -> CompileCommand:
    return CompileCommand(directory="{build}", file=source, output=f"{source}.o", arguments=())


def record_of(*extra: str) -> CompileRecord:
    """Two files: `tool` of a.c with the vendored header and the extra headers, `lib` of what is made."""
    a, made = "{source}/src/a.c", "{build}/made.c"
    headers = tuple(sorted(("{source}/src/vendor/v.h", *extra)))
    return CompileRecord(
        commands=(command(a), command(made)),
        links=(
            Link(output="{build}/bin/lib", kind="SHARED_LIBRARY", inputs=(f"{made}.o",), words=()),
            Link(
                output="{build}/bin/tool", kind="EXECUTABLE", inputs=(f"{a}.o", "{build}/bin/lib"), words=()
            ),
        ),
        headers=Headers(files=headers, used={f"{a}.o": tuple(range(len(headers))), f"{made}.o": ()}),
    )


def used_of(record: CompileRecord, system: str = "linux", *names: str) -> dict[str, Used]:
    linked = {f"bin/{name}": f"{{build}}/bin/{name}" for name in names or ("tool", "lib")}
    return {each.component.name: each for each in attribute(record, COMPONENTS, linked, system, "x")}


def test_each_component_has_the_files_that_it_was_compiled_of_and_the_shipped_files_it_is_in() -> None:
    used = used_of(record_of())
    assert {name: (each.files, each.shipped) for name, each in used.items()} == {
        "vendored": (("{source}/src/vendor/v.h",), ("bin/tool",)),
        "snippet": (("{source}/src/a.c",), ("bin/tool",)),
        "own": (("{build}/made.c", "{source}/src/a.c"), ("bin/lib", "bin/tool")),
        "runtime": ((), ("bin/lib", "bin/tool")),
    }


def test_a_part_has_only_its_own_components_and_another_system_other_runtimes() -> None:
    assert list(used_of(record_of(), "linux", "lib")) == ["own", "runtime"]
    assert "runtime" not in used_of(record_of(), "macos")


@pytest.mark.parametrize("stray", ["{source}/other/x.h", "{build}/other.h", "/usr/include/x.h", "{sdk}/x.h"])
def test_a_file_that_belongs_to_no_component_fails_the_build_by_name(stray: str) -> None:
    with pytest.raises(AuditError) as caught:
        used_of(record_of(stray))
    assert (caught.value.where, caught.value.found) == ("x: components", stray)


def test_a_shipped_file_that_nothing_linked_fails_the_build_by_name() -> None:
    with pytest.raises(AuditError) as caught:
        used_of(record_of(), "linux", "tool", "copied")
    assert caught.value.where == "x: bin/copied"


def licences(files: dict[str, bytes]) -> dict[str, bytes]:
    return licence_files(tuple(used_of(record_of()).values()), files.get, "x")


def test_the_licences_are_files_or_lines_of_them_and_a_table_names_all() -> None:
    made = licences(FILES)
    assert made.keys() == {"vendored.txt", "snippet.txt", "own.txt", "runtime.txt", TABLE}
    assert made["vendored.txt"] == b"Licence: do\nas you like\nEnd\n"
    assert made["snippet.txt"] == b"// Copyright (c) Somebody\n\nthe words\n"
    rows = [line.split() for line in made[TABLE].decode().splitlines()]
    assert rows[1] == ["vendored", "1.2", "Zlib", "vendored.txt"]


@pytest.mark.parametrize(
    ("gone", "names"),
    [
        ("LICENSE", "snippet, own"),
        ("{toolchain}/LICENCE", "runtime"),
        ("src/vendor/v.h", "vendored"),
    ],
)
def test_a_component_without_its_licence_fails_the_build_by_name(gone: str, names: str) -> None:
    with pytest.raises(AuditError) as caught:
        licences({name: data for name, data in FILES.items() if name != gone})
    assert (caught.value.where, caught.value.found) == ("x: licences", f"none of {names}")


def test_words_that_are_no_longer_there_are_no_licence() -> None:
    with pytest.raises(AuditError, match="vendored"):
        licences({**FILES, "src/vendor/v.h": b"Licence: do\nas you like\n"})  # cut off


def test_a_notice_of_somebody_who_is_not_listed_fails_the_build_by_name() -> None:
    planted = FILES["src/a.c"] + b"/* Copyright 2019 Another Person */\n"
    with pytest.raises(AuditError) as caught:
        licences({**FILES, "src/a.c": planted})
    assert caught.value.found == "src/a.c: /* Copyright 2019 Another Person */"


def test_no_text_is_read_through_a_link_out_of_the_source(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "LICENSE").symlink_to("/etc/hostname")
    with pytest.raises(BuildError, match="/etc/hostname"):
        reader(tmp_path / "source", tmp_path, tmp_path)("LICENSE")


LOCK = {
    "": {"dependencies": {"a": "1"}},
    "node_modules/a": {"version": "1.0.0", "license": "MIT", "dependencies": {"b": "1", "gone": "1"}},
    "node_modules/a/node_modules/b": {"version": "1.5.0", "license": "ISC", "integrity": "sha512-YQ=="},
    "node_modules/b": {"version": "2.0.0", "license": "(MIT OR Apache-2.0)"},
    "node_modules/built-with": {"version": "3.0.0", "license": "MIT", "dev": True},
}


def packages_of(told: PagePackages, listing: bytes | None = None) -> list[tuple[str, str, str, bool]]:
    files = {"ui/package-lock.json": json.dumps({"packages": LOCK}).encode()}
    if listing:
        files["list.md"] = listing
    found = find_packages((told,), files.get, "x").packages
    return [(each.name, each.version, each.licence, each.has_text) for each in found]


def test_the_packages_of_a_page_are_what_its_own_needs_as_node_finds_them() -> None:
    assert packages_of(PagePackages(lock="ui")) == [
        ("a", "1.0.0", "MIT", False),
        ("b", "1.5.0", "ISC", False),
    ]
    assert ("b", "2.0.0", "MIT OR Apache-2.0", False) in packages_of(PagePackages(lock="ui", also=("b",)))


def test_the_packages_that_a_bundler_lists_have_its_texts_and_those_without_a_licence_are_told() -> None:
    listing = b"# Licenses\n\n## b - 1.5.0 (ISC)\n\nwords\n\n## Heading of a text\n\n## c - 1.0.0\n"
    told = PagePackages(listed="list.md", lock="ui")
    assert packages_of(told, listing) == [("b", "1.5.0", "ISC", True), ("c", "1.0.0", "", False)]
    with pytest.raises(AuditError) as caught:
        licences_of_page(told, {"list.md": listing})
    assert caught.value.found == "none of c 1.0.0"


def licences_of_page(told: PagePackages, files: dict[str, bytes]) -> dict[str, bytes]:
    page = Component(
        name="page", licence="MIT", files=("*",), text=((TextPart(file="LICENSE"),),), packages=(told,)
    )
    return licence_files((Used(page, (), ()),), {"LICENSE": b"x", **files}.get, "x")


TEXTS = b"# Texts\n\n## a - 1.0.0 (MIT)\n\nwords of a\n\n## b - 2.0.0 (ISC)\n\nof another\n\n## c - 1 (MIT)\n"


def with_texts(data: bytes = TEXTS) -> PagePackages:
    return PagePackages(
        listed="list.md",
        lock="ui",
        also=("a",),
        texts=PinnedTexts(file="texts.md", sha256=Sha256.of_bytes(data)),
    )


def page_files(listing: bytes, texts: bytes = TEXTS) -> dict[str, bytes]:
    lock = json.dumps({"packages": LOCK}).encode()
    return {"list.md": listing, "ui/package-lock.json": lock, f"{BESIDE}texts.md": texts}


def test_texts_that_the_source_does_not_have_are_those_pinned_beside_the_table() -> None:
    listing = b"# Licenses\n\n## b - 1.5.0 (ISC)\n\nwords\n"
    made = licences_of_page(with_texts(), page_files(listing))
    assert made["page-packages.md"] == listing + b"\n## a - 1.0.0 (MIT)\n\nwords of a\n"
    rows = [line.split() for line in made[TABLE].decode().splitlines()]
    assert ["npm", "a", "1.0.0", "MIT", "page-packages.md"] in rows


def test_a_package_whose_text_is_nowhere_fails_the_build_by_name() -> None:
    with pytest.raises(AuditError) as caught:  # another version has one, and a heading alone is none
        licences_of_page(with_texts(), page_files(b"## b - 3.0.0 (ISC)\n\n## c - 1 (MIT)\n"))
    assert caught.value.found == "none of b 3.0.0, c 1"


def test_texts_that_are_not_the_pinned_ones_fail_the_build() -> None:
    for texts in (TEXTS.replace(b"words of a", b"other words"), b""):
        with pytest.raises(AuditError) as caught:
            licences_of_page(with_texts(), page_files(b"## b - 1.5.0 (ISC)\n\nwords\n", texts))
        assert caught.value.where == "x: manifests/components/texts.md"
        assert caught.value.expected == str(Sha256.of_bytes(TEXTS))


def test_a_page_whose_list_is_gone_fails_the_build() -> None:
    with pytest.raises(AuditError, match=r"list\.md"):
        find_packages((PagePackages(listed="list.md"),), dict[str, bytes]().get, "x")


MANIFESTS = Manifests()


def test_the_committed_texts_are_the_pinned_ones() -> None:
    pinned = [
        way.texts
        for table in MANIFESTS.components_names()
        for each in MANIFESTS.components(table).components
        for way in each.packages
        if way.texts
    ]
    assert pinned
    for each in pinned:
        assert Sha256.of_bytes((MANIFESTS.root / TABLES / each.file).read_bytes()) == each.sha256


@pytest.mark.parametrize("name", MANIFESTS.recipe_names())
def test_every_recipe_says_whose_its_files_are_on_every_platform(name: str) -> None:
    recipe = MANIFESTS.recipe(name)
    for platform in recipe.platforms.values():
        toolchain = MANIFESTS.toolchain(platform.toolchain)
        names = [each.name for each in listed_components(recipe, toolchain)]
        assert len(set(names)) == len(names)
        assert ("libc++" in names, "machine" in names) == (toolchain.kind == "zig", toolchain.kind == "host")
