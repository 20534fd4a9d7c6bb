"""Whatever JSON stands in a feed: it is a record or a fault in words, never an exception or an invalid manifest."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from recipes.evidence.feeds.matching import News, match_record
from recipes.evidence.feeds.proposal import propose
from recipes.evidence.feeds.records import Record, parse_records
from recipes.manifest.advisory_checks import advisory_problems
from recipes.manifest.affected import is_affected
from recipes.manifest.decode import parse
from recipes.manifest.load import Manifests
from recipes.manifest.schema import Advisory
from recipes.manifest.strict_yaml import read
from tests.support.vulnerability_records import cve, osv

MANIFESTS = Manifests()
RECIPES = [MANIFESTS.recipe(name) for name in MANIFESTS.recipe_names()]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def spoiled(draw: st.DrawFn) -> Any:  # noqa: ANN401 - JSON
    """A record with one place of it replaced by any other value."""
    data: Any = draw(st.sampled_from([osv, cve]))()
    holder: Any = None
    key: Any = None
    here = data
    for _ in range(draw(st.integers(1, 8))):
        if isinstance(here, dict) and here:
            holder, key = here, draw(st.sampled_from(sorted(here)))
        elif isinstance(here, list) and here:
            holder, key = here, draw(st.integers(0, len(here) - 1))
        else:
            break
        here = holder[key]
    holder[key] = draw(JSON)
    return data


def judge(data: Any) -> None:  # noqa: ANN401 - JSON
    news = News()
    for found in parse_records(data):
        if isinstance(found, Record):
            news.add(found, RECIPES, MANIFESTS.advisories())
        else:
            assert found
    for record, matches in news.new.values():
        name, text = propose(record, matches, "2099-01-02")
        advisory = parse(read(text, f"{name}.yaml"), Advisory, "lock it")
        assert list(advisory_problems(advisory, name)) == []


@given(JSON)
def test_any_json(data: Any) -> None:  # noqa: ANN401 - JSON
    judge(data)


@given(spoiled())
def test_a_record_with_one_place_replaced(data: Any) -> None:  # noqa: ANN401 - JSON
    judge(data)


BUILDS = st.integers(0, 20_000)


@given(BUILDS, BUILDS, st.sampled_from(["fixed", "last_affected"]), BUILDS)
def test_a_range_of_builds_covers_what_lies_in_it(first: int, last: int, end: str, build: int) -> None:
    """Against the definition in OSV's schema, for any build and any range."""
    data = osv()
    data["affected"][0]["ranges"][0]["events"] = [{"introduced": f"b{first}"}, {end: f"b{last}"}]
    (record,) = parse_records(data)
    assert isinstance(record, Record)
    ranges = record.affected[0].ranges
    assert bool(ranges) is (first <= last)
    if ranges:
        expected = first <= build < last if end == "fixed" else first <= build <= last
        assert is_affected(f"b{build}", ranges) is expected


@given(st.lists(st.tuples(BUILDS, BUILDS), max_size=3))
def test_a_record_covers_a_recipe_as_its_ranges_do(pairs: list[tuple[int, int]]) -> None:
    data = osv()
    data["affected"][0]["ranges"] = [
        {"type": "ECOSYSTEM", "events": [{"introduced": f"b{min(pair)}"}, {"fixed": f"b{max(pair)}"}]}
        for pair in pairs
    ]
    (record,) = parse_records(data)
    assert isinstance(record, Record)
    for recipe, match in zip(RECIPES, match_record(record, RECIPES), strict=True):
        build = recipe.source.build_number
        expected = any(min(pair) <= build < max(pair) for pair in pairs)
        assert match.covers is (expected if pairs else None)
