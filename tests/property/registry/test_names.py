"""Names of tags: each that is written is read as what it is, and every tag has one reading."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recipes.core.digest import Sha256
from recipes.registry import names
from recipes.registry.names import Kind, Name, parse_tag

DIGESTS = st.binary(max_size=8).map(Sha256.of_bytes)
MACHINES = st.sampled_from(["x86_64", "aarch64", "arm64"])
WORKERS = st.text("0123456789abcdef", min_size=16, max_size=16)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,40}", fullmatch=True)  # as manifests have them
TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True)
STAGES = st.one_of(
    st.builds(names.plan_tag, DIGESTS),
    st.builds(names.stage_tag, st.sampled_from(["source", "page"]), DIGESTS),
    st.builds(names.runtime_tag, MACHINES, DIGESTS),
)


@given(DIGESTS, DIGESTS, MACHINES)
def test_what_is_written_is_read_as_what_it_is(one: Sha256, two: Sha256, machine: str) -> None:
    plan, short = names.plan_tag(one), two.hex[:32]
    assert parse_tag(plan) == Name(Kind.PLAN, (one.hex,))
    assert parse_tag(names.tree_tag(plan, two.hex)) == Name(Kind.TREE, (plan, short))
    assert parse_tag(names.stage_tag("source", one)) == Name(Kind.SOURCE, (one.hex,))
    assert parse_tag(names.stage_tag("page", one)) == Name(Kind.PAGE, (one.hex,))
    assert parse_tag(names.runtime_tag(machine, two)) == Name(Kind.RUNTIME, (machine, short))
    assert parse_tag(names.fallback_tag(one)) == Name(Kind.REFERRERS, (one.hex,))


@given(STAGES, WORKERS)
def test_a_claim_is_about_its_stage_and_a_stage_about_itself(stage: str, worker: str) -> None:
    assert parse_tag(names.claim_tag(stage, worker)) == Name(Kind.CLAIM, (stage, worker))
    assert parse_tag(names.claim_tag(stage, worker)).stage == stage
    assert parse_tag(stage).stage == stage
    if parse_tag(stage).kind is Kind.PLAN:
        assert parse_tag(names.tree_tag(stage, "0" * 64)).stage == stage


@given(NAMES, NAMES, NAMES)
def test_an_image_is_known_by_its_recipe_and_platform_with_and_without_a_model(
    recipe: str, model: str, platform: str
) -> None:
    for name in (recipe, f"{recipe}-{model}"):
        tag = names.platform_tag(names.image_tag(name), platform)
        if len(tag) < 128:  # a longer one is cut
            assert parse_tag(names.image_tag(name)).kind is parse_tag(tag).kind is Kind.IMAGE
            assert names.is_image_of(tag, recipe, platform)
    assert not names.is_image_of(names.image_tag(recipe), recipe, platform)


@given(st.one_of(TAGS, STAGES, NAMES.map(names.image_tag)))
def test_every_tag_has_one_reading_which_writes_it_back(tag: str) -> None:
    assert str(parse_tag(tag)) == tag
