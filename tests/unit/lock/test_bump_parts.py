"""The pure parts of `bump`: options of CMake files, what is said of findings, and the changelog's line."""

from __future__ import annotations

import pytest
from msgspec import structs

from recipes.core.digest import Sha1, Sha256
from recipes.lock.cmake_options import Undeclared, compare_options, declared_in
from recipes.lock.rebase import Outcome, Rebased
from recipes.lock.standings import Look, look_again
from recipes.lock.succession import add_to_changelog
from recipes.manifest.edit_lists import remove_key, rewrite_list
from recipes.manifest.load import PROJECT, Manifests
from recipes.manifest.schema import AffectedRange, Standing
from recipes.patches.series import Fate, PatchTrial


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('option(A "text" ON)', ["A"]),
        ("OPTION (A text)", ["A"]),
        ('cmake_dependent_option(A "text" ON "B;NOT C" OFF)', ["A"]),
        ('set(A 1 CACHE STRING "text")', ["A"]),
        ('set(A\n    "one)" two\n    CACHE PATH "text" FORCE)', ["A"]),
        ('set(A "x" CACHE INTERNAL "")', []),
        ("set(A 1)\nset(B 2 CACHE BOOL text)", ["B"]),
        ('# option(A "")\n#[[ option(B "") ]]\n#[=[\noption(C "")\n]=]\noption(D "# no comment")', ["D"]),
        ('message("option(A)")', []),
        ("my_option(A text)\noption(${PREFIX}_A text)", []),
        ('set(A ${B} CACHE FILEPATH "(text)")', ["A"]),
    ],
)
def test_what_a_cmake_file_declares(text: str, names: list[str]) -> None:
    assert [name for name, _ in declared_in(text)] == names


def test_options_are_compared_by_name() -> None:
    old, new = {"KEPT": "a:1", "NAMED": "a:2", "GONE": "a:3", "GONE_UNNAMED": "a:4"}, {}
    new = {"KEPT": "b:1", "NAMED": "b:2", "NEW": "b:3", "NEW_NAMED": "b:4"}
    assert compare_options(old, new, {"NAMED", "NEW_NAMED", "GONE"}) == Undeclared(
        new=("NEW (b:3)",), kept=("KEPT (b:1)",), gone=("GONE (a:3)",)
    )


NAME = "CVE-2026-2069"
AFFECTED = Standing(status="affected", evidence="seen", action="wait")
FIXED = Standing(status="fixed", evidence="tried")
NOT = Standing(status="not_affected", justification="vulnerable_code_not_present", evidence="looked")


def series(*outcomes: Outcome) -> tuple[Rebased, ...]:
    trial = PatchTrial("patches/x.patch", Sha256("00" * 32), Fate.EXACT, (), Sha1("00" * 20))
    return tuple(Rebased(number, outcome, trial, b"") for number, outcome in enumerate(outcomes))


ALL = series(Outcome.UPSTREAM, Outcome.KEPT, Outcome.REBASED, Outcome.LEFT_OUT, Outcome.CONFLICT)


@pytest.mark.parametrize(
    ("standing", "covered", "status", "patch", "looks"),
    [
        (AFFECTED, True, "affected", None, True),
        (AFFECTED, False, "under_investigation", None, True),
        (FIXED, False, "fixed", None, False),
        (FIXED, True, "under_investigation", None, True),
        (NOT, False, "not_affected", None, False),
        (NOT, True, "not_affected", None, True),
        (structs.replace(NOT, justification="component_not_present"), True, "not_affected", None, False),
        (Standing(status="under_investigation", evidence="?"), False, "under_investigation", None, True),
        (structs.replace(FIXED, patch=1), True, "under_investigation", None, True),
        (structs.replace(FIXED, patch=1), False, "fixed", None, True),
        (structs.replace(FIXED, patch=2), True, "fixed", 1, False),
        (structs.replace(FIXED, patch=3), True, "fixed", 2, True),
        (structs.replace(FIXED, patch=4), False, "under_investigation", None, True),
        (structs.replace(FIXED, patch=5), True, "fixed", 3, True),
    ],
)
def test_what_is_said_of_a_finding_once_source_and_patches_are_others(
    standing: Standing, status: str, patch: int | None, *, covered: bool, looks: bool
) -> None:
    manifests = Manifests(PROJECT)
    recipe = structs.replace(manifests.recipe("b6751"), advisories={NAME: standing})
    ranges = () if covered else (AffectedRange(fixed="b2"),)
    advisory = structs.replace(manifests.advisories()[NAME], affected=ranges)
    (found,) = look_again(recipe, {NAME: advisory}, ALL)
    assert found == Look(NAME, status, patch, found.why)
    assert bool(found.why) is looks


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "# C\n\n## [Unreleased]\n\n### Changed\n\n- a\n",
            "# C\n\n## [Unreleased]\n\n### Changed\n\n- new\n- a\n",
        ),
        (
            "## [Unreleased]\n\n### Added\n\n- a\n\n## [1.0]\n\n### Changed\n\n- old\n",
            "## [Unreleased]\n\n### Added\n\n- a\n\n### Changed\n\n- new\n\n## [1.0]\n\n### Changed\n\n- old\n",
        ),
        ("# C\n\n## [1.0]\n", "# C\n\n## [Unreleased]\n\n### Changed\n\n- new\n\n## [1.0]\n"),
        ("## [Unreleased]\n", "## [Unreleased]\n\n### Changed\n\n- new\n"),
    ],
)
def test_the_changelogs_line_stands_under_what_is_not_released(before: str, after: str) -> None:
    assert add_to_changelog(before, ["- new"]) == after


def test_a_key_goes_with_its_line_alone() -> None:
    text = "a:\n  b: 1 # one\n  c: 2\nd:\n  - x: 1\n    y: 2 # two\n"
    assert remove_key(text, ("a", "b")) == text.replace("  b: 1 # one\n", "")
    assert remove_key(text, ("d", 0, "y")) == text.replace("    y: 2 # two\n", "")
    for path in (("d", 0, "x"), ("a", "z"), ("e",)):  # the dash is on the line of the first
        with pytest.raises(ValueError, match="no key"):
            remove_key(text, path)


def test_a_list_can_lose_its_last_item() -> None:
    assert rewrite_list("a:\n  # of it\n  - x: 1\nb: 2\n", ("a",), ()) == "a: []\nb: 2\n"
