"""New pins as text: what changes, what stays, and the difference between the two."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, TypeVar

import pytest
from msgspec import structs

from recipes.core.digest import Sha1, Sha256
from recipes.lock.proposal import (
    IMAGE_UNPINNED,
    PAGE_UNPINNED,
    UNPINNED,
    Change,
    NewSource,
    PatchPin,
    Placed,
    choose_origins,
    find_old_names,
    midnight,
    propose_image,
    propose_output,
    propose_patches,
    propose_source,
    unified_diff,
    unpin_outputs,
    unpin_page,
)
from recipes.manifest.decode import parse
from recipes.manifest.schema import ArchiveOrigin, GitOrigin, PypiOrigin, Recipe, Toolchain
from recipes.manifest.strict_yaml import read
from tests.support import paths

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.manifest.schema import Origin

T = TypeVar("T", PypiOrigin, ArchiveOrigin, GitOrigin)

PROJECT = paths.DATA / "manifests" / "project"
SMALL = (PROJECT / "manifests/recipes/small.yaml").read_text(encoding="utf-8")
PLATFORM = "linux-x86_64-cpu"

PYPI = PypiOrigin(
    project="Some.Source",
    version="1",
    file="a-1.tar.gz",
    size_bytes=1,
    sha256=Sha256("aa" * 32),
    subdirectory="a-1/b",
    drop=(".git",),
)
NEWER = structs.replace(PYPI, project="some-source", version="2", sha256=Sha256("ab" * 32))
OTHER = structs.replace(PYPI, project="other")
ARCHIVE = ArchiveOrigin(
    url="https://example.org/1.tar.gz", sha256=Sha256("ac" * 32), max_bytes=9, subdirectory="a-1"
)
SAME_ADDRESS = structs.replace(ARCHIVE, sha256=Sha256("ad" * 32), size_bytes=8, max_bytes=None)
ELSEWHERE = structs.replace(SAME_ADDRESS, url="https://example.org/2.tar.gz")
GIT = GitOrigin(url="https://example.org/up")


def recipe_of(text: str) -> Recipe:
    return parse(read(text, "small.yaml"), Recipe, "lock it")


def found(origin: PypiOrigin | ArchiveOrigin, **changes: object) -> NewSource:
    """What is pinned already, but for the origin and the changes."""
    source = recipe_of(SMALL).source
    pinned = {
        name: getattr(source, name) for name in ("commit", "build_number", "tree", "tree_sha256", "epoch")
    }
    return NewSource(**{"origin": origin, "git": None, **pinned, **changes})


def pinned(kind: type[T]) -> T:
    return next(origin for origin in recipe_of(SMALL).source.origins if isinstance(origin, kind))


OLD_PYPI, OLD_ARCHIVE, OLD_GIT = pinned(PypiOrigin), pinned(ArchiveOrigin), pinned(GitOrigin)

DECISIONS: dict[str, tuple[tuple[Origin, ...], PypiOrigin | ArchiveOrigin, bool, tuple[Placed, ...]]] = {
    "another tree leaves only git beside the new origin": (
        (OTHER, ARCHIVE, GIT), NEWER, False, (Placed(NEWER, None), Placed(GIT, 2)),
    ),
    "a newer version succeeds the older one": ((PYPI, GIT), NEWER, False, (Placed(NEWER, 0), Placed(GIT, 1))),
    "a version that is there succeeds itself, and not another one": (
        (PYPI, NEWER), NEWER, True, (Placed(PYPI, 0), Placed(NEWER, 1)),
    ),
    "the same address succeeds itself": ((ARCHIVE, PYPI), SAME_ADDRESS, False, (Placed(SAME_ADDRESS, 0),)),
    "another address is another origin": (
        (GIT, ARCHIVE), ELSEWHERE, False, (Placed(ELSEWHERE, None), Placed(GIT, 0)),
    ),
    "the same tree joins the others, before git": (
        (PYPI, GIT, OTHER), ELSEWHERE, True,
        (Placed(PYPI, 0), Placed(ELSEWHERE, None), Placed(GIT, 1), Placed(OTHER, 2)),
    ),
    "the same tree joins the others at the end where there is no git": (
        (PYPI,), ELSEWHERE, True, (Placed(PYPI, 0), Placed(ELSEWHERE, None)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DECISIONS)
def test_origins_stay_only_where_they_give_the_tree_and_git_is_added_once(name: str) -> None:
    old, new, same_tree, expected = DECISIONS[name]
    assert choose_origins(old, new, None, same_tree=same_tree) == expected
    kept = [one for one in expected if isinstance(one.origin, GitOrigin)]
    added = () if kept else (Placed(OLD_GIT, None),)
    assert choose_origins(old, new, OLD_GIT, same_tree=same_tree) == (*expected, *added)


@pytest.mark.parametrize(
    ("origin", "changes"),
    [
        (OLD_PYPI, {}),
        (
            structs.replace(OLD_PYPI, version="0.2.0", size_bytes=4),
            {"version: 0.1.0": "version: 0.2.0", "size_bytes: 3000": "size_bytes: 4"},
        ),
        (structs.replace(OLD_PYPI, drop=()), {"      drop: [.git] # not of the commit\n": ""}),
    ],
)
def test_an_origin_changes_its_values_and_keeps_every_comment(
    origin: PypiOrigin, changes: dict[str, str]
) -> None:
    expected = SMALL
    for old, new in changes.items():
        expected = expected.replace(old, new)
    assert propose_source(SMALL, recipe_of(SMALL), found(origin)) == expected


def test_an_archive_whose_size_is_now_known_states_it_instead_of_a_cap() -> None:
    known = structs.replace(OLD_ARCHIVE, size_bytes=3999, max_bytes=None)
    recipe = recipe_of(propose_source(SMALL, recipe_of(SMALL), found(known)))
    assert recipe.source.origins == (OLD_PYPI, known, OLD_GIT)


def old_pin(number: int) -> PatchPin:
    patch = recipe_of(SMALL).patches[number]
    return PatchPin(number, patch.sha256, patch.tree, patch.tree_sha256)


def test_another_source_changes_its_pins_its_date_and_what_the_build_is_told() -> None:
    commit = recipe_of(SMALL).source.commit.hex
    text = SMALL.replace(
        "  EMPTY:", f"  A_BUILD_COMMIT: {commit[:9]}\n  A_BUILD_NUMBER: 7\n  LANES: 7\n  EMPTY:"
    )
    text = text.replace("      FAST: ON", f"      B_BUILD_COMMIT: {commit}\n      C_BUILD_NUMBER: 8")
    text = text.replace("  EMPTY:", "  NO_BUILD_COMMIT: ''\n  NOT_OUR_BUILD_COMMIT: abcdef12\n  EMPTY:")
    other = Sha1("e1" * 20)
    after = propose_source(
        text,
        recipe_of(text),
        found(ELSEWHERE, commit=other, build_number=12, tree=Sha1("e2" * 20), epoch=1700000000 + 86400),
    )
    recipe = recipe_of(after)
    assert recipe.source.origins == (ELSEWHERE, OLD_GIT)
    assert recipe.cmake == {
        "BUILD_SHARED_LIBS": "ON",
        "A_BUILD_COMMIT": other.hex[:9],
        "A_BUILD_NUMBER": "12",
        "LANES": "7",
        "NO_BUILD_COMMIT": "",
        "NOT_OUR_BUILD_COMMIT": "abcdef12",
        "EMPTY": "",
    }
    assert recipe.platforms[PLATFORM].cmake == {"B_BUILD_COMMIT": other.hex, "C_BUILD_NUMBER": "8"}
    assert "  epoch: 1700086400 # 2023-11-15\n" in after
    assert "  tree: " + "e2" * 20 in after
    assert f"  tree_sha256: {'b3' * 32}\n" in after


def test_patches_are_pinned_by_their_number_in_the_series() -> None:
    assert propose_patches(SMALL, recipe_of(SMALL), [old_pin(0), old_pin(1)]) == SMALL
    pin = old_pin(1)._replace(sha256=Sha256("e1" * 32), tree_sha256=Sha256("e2" * 32))
    text = propose_patches(SMALL, recipe_of(SMALL), [pin])
    assert text == SMALL.replace("c4" * 32, "e1" * 32).replace("c6" * 32, "e2" * 32)


def toolchain(name: str) -> Toolchain:
    path = PROJECT / f"manifests/toolchains/{name}.yaml"
    return parse(read(path.read_text(encoding="utf-8"), path.name), Toolchain, "lock it")


def test_an_output_is_given_up_only_where_the_plan_is_another() -> None:
    before = recipe_of(SMALL)
    text = propose_patches(SMALL, before, [old_pin(1)._replace(tree=Sha1("e1" * 20))])
    assert unpin_outputs(text, before, recipe_of(text), toolchain, lambda _: True) == text.replace(
        f"output: {'d1' * 32}", f"output_unpinned: {UNPINNED}"
    )
    text = propose_source(SMALL, before, found(ELSEWHERE))
    assert unpin_outputs(text, before, recipe_of(text), toolchain, lambda _: True) == text
    # the toolchain was changed, which the recipe does not show
    assert f"output_unpinned: {UNPINNED}" in unpin_outputs(
        text, before, recipe_of(text), toolchain, lambda _: False
    )


@pytest.mark.parametrize(
    ("changes", "is_given_up"),
    [
        ({}, False),  # another origin of the same source
        ({"commit": Sha1("e1" * 20)}, True),
        ({"epoch": 1_700_006_400}, True),
        ({"build_number": 8}, True),  # by which the page is called
    ],
)
def test_the_digest_of_a_page_is_given_up_where_another_page_is_built(
    changes: dict[str, object], *, is_given_up: bool
) -> None:
    number = recipe_of(SMALL).source.build_number
    page = (
        "page:\n  folder: ui\n  toolchain: node\n  command: [run]\n  into: ui/dist\n"
        f"  environment: {{VERSION: b{number}}}\n  tree_sha256: {'d2' * 32} # seen here\ntargets:"
    )
    text = SMALL.replace("targets:", page, 1)
    before = recipe_of(text)
    new = propose_source(text, before, found(ELSEWHERE, **changes))
    unpinned = new.replace(f"tree_sha256: {'d2' * 32}", f"tree_unpinned: {PAGE_UNPINNED}")
    assert unpin_page(new, before, recipe_of(new)) == (unpinned if is_given_up else new)
    assert unpin_page(unpinned, recipe_of(unpinned), recipe_of(new)) == unpinned


def test_an_output_is_pinned_in_the_place_of_the_old_one_or_of_the_reason() -> None:
    digest = Sha256("e1" * 32)
    assert propose_output(SMALL, recipe_of(SMALL), PLATFORM, digest) == SMALL.replace("d1" * 32, digest.hex)
    text = SMALL.replace(f"    output: {'d1' * 32}\n", "    output_unpinned: not yet # soon\n")
    assert propose_output(text, recipe_of(text), PLATFORM, digest) == text.replace(
        "output_unpinned: not yet", f"output: {digest.hex}"
    )


def test_the_image_of_a_bundle_is_given_up_with_it_and_pinned_in_the_place_of_the_reason() -> None:
    old, new = Sha256("d1" * 32), Sha256("e1" * 32)
    pinned = propose_image(SMALL, recipe_of(SMALL), PLATFORM, old)
    assert recipe_of(pinned).platforms[PLATFORM].image == old
    assert propose_output(pinned, recipe_of(pinned), PLATFORM, old) == pinned  # the same bundle
    for text in (
        propose_output(pinned, recipe_of(pinned), PLATFORM, new),
        unpin_outputs(pinned, recipe_of(pinned), recipe_of(pinned), toolchain, lambda _: False),
    ):
        platform = recipe_of(text).platforms[PLATFORM]
        assert (platform.image, platform.image_unpinned) == (None, IMAGE_UNPINNED)
    text = propose_output(pinned, recipe_of(pinned), PLATFORM, new)
    assert propose_image(text, recipe_of(text), PLATFORM, new) == pinned.replace(old.hex, new.hex)


def test_lines_that_speak_of_the_old_source_are_found() -> None:
    source = recipe_of(SMALL).source
    text = "# b7 and b71\nab7: 2023-11-14\ncommit: b1b1b1b1\nb8: x\nfile: b7/1.patch\n"
    assert find_old_names(text, source) == (
        (1, "# b7 and b71"),
        (2, "ab7: 2023-11-14"),
        (3, "commit: b1b1b1b1"),
        (5, "file: b7/1.patch"),
    )


def test_a_day_begins_at_midnight_in_utc() -> None:
    assert [midnight(time_s) for time_s in (0.5, 86399.9, 86400, 1700000000)] == [0, 0, 86400, 1699920000]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a\n", "a\n"),
        ("a\nb\n", "a\nc\n"),
        ("a\nb", "a\nb\n"),
        ("a\nb\n", "a\nb"),
        (None, "a\n"),
        (None, "a"),
    ],
)
def test_a_difference_is_what_git_applies(tmp_path: Path, old: str | None, new: str) -> None:
    file = tmp_path / "sub/file.txt"
    file.parent.mkdir()
    if old is not None:
        file.write_text(old, encoding="utf-8")
    diff = unified_diff((Change("sub/file.txt", old, new),))
    assert bool(diff) is (old != new)
    if diff:
        subprocess.run(["git", "apply"], input=diff.encode(), cwd=tmp_path, check=True)
    assert file.read_text(encoding="utf-8") == new
