from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from recipes.core.digest import Sha256
from recipes.store.gc import Item, ItemKind, plan_collection

KEYS = st.text(alphabet=string.ascii_lowercase + "-", min_size=1, max_size=3)
DIGESTS = st.sampled_from([Sha256(digit * 64) for digit in "0123456789abcdef"])
SIZES = st.integers(min_value=0, max_value=10**12)
BLOBS = (ItemKind.BLOB, ItemKind.PARTIAL)


def items() -> st.SearchStrategy[Item]:
    about_keys = st.builds(
        lambda kind, key, size, held: Item(kind, key, key, size, held),
        st.sampled_from([kind for kind in ItemKind if kind not in BLOBS]),
        KEYS,
        SIZES,
        st.booleans(),
    )
    about_digests = st.builds(
        lambda kind, sha, size, held: Item(kind, sha.hex, sha.hex, size, held),
        st.sampled_from(BLOBS),
        DIGESTS,
        SIZES,
        st.booleans(),
    )
    return about_keys | about_digests


LISTINGS = st.lists(items(), max_size=20, unique_by=lambda item: (item.kind, item.name)).map(tuple)


@given(st.frozensets(KEYS), st.frozensets(DIGESTS), LISTINGS, st.booleans())
def test_nothing_reached_or_held_ever_goes(
    keys: frozenset[str],
    digests: frozenset[Sha256],
    present: tuple[Item, ...],
    rejected: bool,  # noqa: FBT001 - drawn
) -> None:
    plan = plan_collection(keys, digests, present, rejected=rejected)
    for item in plan.going:
        assert not item.held
        assert not (item.kind is ItemKind.ENTRY and item.name in keys)
        assert not (item.kind is ItemKind.BLOB and Sha256(item.name) in digests)
        assert rejected or item.kind is not ItemKind.REJECTED


@given(st.frozensets(KEYS), st.frozensets(DIGESTS), LISTINGS, st.booleans())
def test_every_part_has_one_verdict_and_a_second_collection_finds_nothing_to_do(
    keys: frozenset[str],
    digests: frozenset[Sha256],
    present: tuple[Item, ...],
    rejected: bool,  # noqa: FBT001 - drawn
) -> None:
    plan = plan_collection(keys, digests, present, rejected=rejected)
    assert len(plan.going) + len(plan.staying) == len(present)
    assert {*plan.going, *plan.staying} == {*present}
    again = plan_collection(keys, digests, plan.staying, rejected=rejected)
    assert again.going == ()


@given(st.frozensets(KEYS), st.frozensets(DIGESTS), LISTINGS)
def test_what_nobody_reaches_goes(
    keys: frozenset[str], digests: frozenset[Sha256], present: tuple[Item, ...]
) -> None:
    going = plan_collection(keys, digests, present, rejected=True).going
    for item in present:
        unreached = item.subject not in keys and item.subject not in {sha.hex for sha in digests}
        if unreached and not item.held and item.kind is not ItemKind.NOTE:
            assert item in going


@given(st.frozensets(KEYS), st.frozensets(DIGESTS), LISTINGS)
def test_reaching_more_never_removes_more(
    keys: frozenset[str], digests: frozenset[Sha256], present: tuple[Item, ...]
) -> None:
    less = plan_collection(frozenset(), frozenset(), present).going
    assert {*plan_collection(keys, digests, present).going} <= {*less}
