"""What is known against a recipe: by its own word, by the published range, and what of it has to be permitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from recipes.build.advisories import Finding, affecting, findings, permitted_ids, summary
from recipes.build.vendored import check_version, read_version
from recipes.core.errors import UsageError, VerifyError
from recipes.manifest.affected import covers, is_affected, version_key
from recipes.manifest.load import Manifests
from recipes.manifest.schema import Advisory, AffectedRange, Recipe, Standing
from tests.support import paths

if TYPE_CHECKING:
    from pathlib import Path

MANIFESTS = Manifests(paths.DATA / "manifests" / "project")
RECIPE = MANIFESTS.recipe("small")  # build 7
ADVISORY = MANIFESTS.advisories()["images"]
COMMITTED = Manifests()


def finding(**changes: object) -> Finding:
    return Finding(msgspec.structs.replace(ADVISORY, **changes), "affected", "it was tried")


def unnamed(recipe: Recipe = RECIPE) -> Recipe:
    return msgspec.structs.replace(recipe, advisories={})


@pytest.mark.parametrize(
    ("introduced", "fixed", "last", "version", "expected"),
    [
        (None, "b8", None, "b7", True),
        (None, "b8", None, "b8", False),
        (None, None, "b8", "b8", True),
        (None, None, "b8", "b9", False),
        ("b8", None, None, "b7", False),
        ("b8", None, None, "b99999999999999999999", True),
        ("0.30", "0.30.1", None, "0.30.0", True),
        (None, "0.44.0", None, "0.44", False),
        (None, "0.9", None, "0.10", False),
    ],
)
def test_a_version_is_in_a_range(
    introduced: str | None, fixed: str | None, last: str | None, version: str, *, expected: bool
) -> None:
    one = AffectedRange(introduced=introduced, fixed=fixed, last_affected=last)
    assert is_affected(version, (one,)) is expected
    assert is_affected(version, (AffectedRange(fixed="0"), one)) is expected


def test_without_a_range_every_version_is_affected() -> None:
    assert is_affected("b0", ())
    assert version_key("b0") == ()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "under_investigation"),
        ({"affected": (AffectedRange(fixed="b7"),)}, "not_affected"),
        ({"affected": ()}, "under_investigation"),
        ({"component": "nothing-of-it"}, "not_affected"),
    ],
)
def test_what_a_recipe_does_not_name_is_judged_by_its_range(changes: dict[str, object], status: str) -> None:
    advisory = msgspec.structs.replace(ADVISORY, **changes)
    (found,) = findings(unnamed(), {advisory.id: advisory})
    assert (found.status, found.standing) == (status, None)


def test_a_library_without_a_version_may_be_affected() -> None:
    recipe = msgspec.structs.replace(unnamed(), vendored={"minja": "pkg:github/google/minja"})
    advisory = msgspec.structs.replace(ADVISORY, component="minja", affected=(AffectedRange(fixed="1.0"),))
    assert covers(advisory, recipe) is None
    assert [one.status for one in findings(recipe, {"images": advisory})] == ["under_investigation"]


@pytest.mark.parametrize(
    ("severity", "reach", "is_grave"),
    [
        ("high", "request", True),
        ("critical", "file", True),
        ("critical", "option", False),
        ("critical", "unshipped", False),
        ("medium", "request", False),
        ("none", "request", False),
    ],
)
def test_what_is_grave_is_of_high_severity_and_within_reach(
    severity: str, reach: str, *, is_grave: bool
) -> None:
    found = finding(severity=severity, reach=reach)
    assert found.is_grave is is_grave
    for status in ("not_affected", "fixed", "under_investigation"):
        assert not Finding(found.advisory, status, "").is_grave


def test_a_permission_takes_an_alias_and_refuses_a_name_that_nothing_has() -> None:
    advisories = MANIFESTS.advisories()
    assert permitted_ids(["CVE-2000-0001", "images"], advisories) == {"images"}
    assert permitted_ids([], advisories) == frozenset()
    with pytest.raises(UsageError) as caught:
        permitted_ids(["image"], advisories)
    assert caught.value.where == "--permit image"
    assert "did you mean `images`?" in caught.value.found


def test_a_summary_says_what_was_permitted() -> None:
    grave, mild = finding(), finding(id="mild", severity="low")
    (first, second) = summary([grave, mild], ["images"])
    assert "permitted by name" in first
    assert "permitted" not in second
    assert "not permitted" in summary([grave], ["mild"])[0]


def test_every_committed_recipe_names_every_finding() -> None:
    for name in COMMITTED.recipe_names():
        assert COMMITTED.recipe(name).advisories.keys() == COMMITTED.advisories().keys(), name


def test_nothing_grave_affects_the_default_recipe() -> None:
    recipe = COMMITTED.recipe(COMMITTED.defaults().recipe)
    assert [one.advisory.id for one in findings(recipe, COMMITTED.advisories()) if one.is_grave] == []


def test_the_older_recipes_have_something_grave() -> None:
    for name in ("b6751", "b7710", "b7827"):
        assert any(
            one.is_grave for one in affecting(findings(COMMITTED.recipe(name), COMMITTED.advisories()))
        )


LIBRARIES = {each.name: each for each in COMMITTED.components("llama.cpp").components}
HTTPLIB = "vendor/cpp-httplib/httplib.h"


def with_library(version: str) -> Recipe:
    return msgspec.structs.replace(
        RECIPE,
        components=tuple(LIBRARIES.values()),
        vendored={"cpp-httplib": f"pkg:github/yhirose/cpp-httplib{version}"},
    )


def test_the_version_of_a_library_is_read_from_the_source(tmp_path: Path) -> None:
    texts = {
        HTTPLIB: '#define CPPHTTPLIB_VERSION "0.26.0"\n#define CPPHTTPLIB_VERSION_NUM "0x001a00"\n',
        "vendor/nlohmann/json.hpp": "//  |  |  |__   |  |  | | | |  version 3.12.0\n",
        "vendor/stb/stb_image.h": "/* stb_image - v2.30 - public domain image loader\n",
        "vendor/miniaudio/miniaudio.h": "/*\nAudio playback. miniaudio - v0.11.24 - 2026-01-17\n",
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    found = {
        name: read_version(LIBRARIES[name], tmp_path)
        for name in ("cpp-httplib", "nlohmann-json", "stb_image", "miniaudio", "minja")
    }
    assert found == {
        "cpp-httplib": "0.26.0",
        "nlohmann-json": "3.12.0",
        "stb_image": "2.30",
        "miniaudio": "0.11.24",
        "minja": None,
    }
    assert check_version(with_library("@0.26"), "cpp-httplib", tmp_path) == "0.26.0"
    for wrong in ("@0.27.0", ""):
        with pytest.raises(VerifyError) as caught:
            check_version(with_library(wrong), "cpp-httplib", tmp_path)
        assert caught.value.where == "manifests/recipes/small.yaml: vendored.cpp-httplib"
    (tmp_path / HTTPLIB).unlink()
    with pytest.raises(VerifyError):
        check_version(with_library("@0.26.0"), "cpp-httplib", tmp_path)


def test_an_advisory_of_a_recipe_is_its_standing() -> None:
    (found,) = findings(RECIPE, MANIFESTS.advisories())
    assert found.standing == Standing(status="affected", evidence="it was tried", action="ask about text")
    assert isinstance(found.advisory, Advisory)
