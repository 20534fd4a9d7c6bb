"""Which known deviations account for what was measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from recipes.conformance.results.numerics import OF_DEFAULT, UNSEEN, candidates, difference, explain
from recipes.evalset.golden import JOIN, Deviation, GoldenCase, NearTie, read_golden
from recipes.manifest.load import PROJECT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

TOKENS = ("red", "blue", "green", "one", "two")
EXACT = (-0.5, -1.5, -2.5, -3.5, -4.5)
LITTLE = 0.02  # as tolerances are


def deviation(name: str, *, fails: bool = False) -> Deviation:
    return Deviation(name=name, words=f"what {name} does", where=f"where {name} is", fails=fails)


FILTER, CENTRES, HALF = deviation("filter"), deviation("centres"), deviation("half")
MASK, THETA = deviation("mask", fails=True), deviation("theta", fails=True)
KNOWN = (FILTER, CENTRES, HALF, MASK, THETA)


@dataclass(frozen=True)
class World:
    """What each deviation adds to each token's logarithm, by case; a deviation that is not named does not touch it."""

    effects: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)

    def logprobs(self, name: str, chosen: Collection[str]) -> tuple[float, ...]:
        touching = [row for which, row in self.effects[name].items() if which in chosen]
        return tuple(value + sum(row[index] for row in touching) for index, value in enumerate(EXACT))

    def case(self, name: str) -> GoldenCase:
        touching = sorted(self.effects[name])
        subsets = [chosen for count in range(len(touching) + 1) for chosen in combinations(touching, count)]
        return GoldenCase(
            name=name,
            with_images=True,
            resized=True,
            prompt_tokens=9,
            answer="red",
            margin=1.0,
            tokens=TOKENS,
            logprobs={JOIN.join(chosen): self.logprobs(name, chosen) for chosen in subsets},
        )

    def cases(self) -> list[GoldenCase]:
        return [self.case(name) for name in self.effects]

    def measured(self, chosen: Collection[str], noise: float = 0.0) -> dict[str, dict[str, float]]:
        """What a llama.cpp with these deviations lists, each logarithm off by the noise."""
        return {
            name: {
                token: value + noise for token, value in zip(TOKENS, self.logprobs(name, chosen), strict=True)
            }
            for name in self.effects
        }


def only(index: int, size: float) -> tuple[float, ...]:
    return tuple(size if other == index else 0.0 for other in range(len(TOKENS)))


# Each deviation moves a token of its own, so that no combination looks like another one. Of text only one is known.
WORLD = World(
    {
        "text": {"theta": only(4, -2.0)},
        "image": {
            "filter": only(0, 0.5),
            "centres": only(1, -0.75),
            "half": only(2, 0.25),
            "mask": only(3, 3.0),
            "theta": only(4, -1.0),
        },
    }
)


def names_of(explained_deviations: Sequence[tuple[Deviation, float]]) -> list[str]:
    return [one.name for one, _ in explained_deviations]


@given(
    planted=st.sets(st.sampled_from([one.name for one in KNOWN])),
    noise=st.floats(-0.03, 0.03),
    known=st.permutations(KNOWN),
)
def test_a_planted_combination_is_found_in_the_order_in_which_they_are_known(
    planted: set[str], noise: float, known: list[Deviation]
) -> None:
    explained = explain(WORLD.measured(planted, noise), WORLD.cases(), known, LITTLE)
    assert names_of(explained.deviations) == [one.name for one in known if one.name in planted]
    assert explained.after == pytest.approx(abs(noise), abs=1e-9)


def test_sizes_and_distances_are_those_of_the_worst_case() -> None:
    measured = WORLD.measured({"filter", "theta"})
    measured["image"]["green"] += 0.125
    explained = explain(measured, WORLD.cases(), KNOWN, LITTLE)
    assert explained.deviations == ((FILTER, 0.5), (THETA, 2.0))
    assert explained.before == 2.0
    assert (explained.after, explained.worst) == (0.125, "image")
    # a fault of text shows in a case that deviations of images do not touch
    assert explain(measured, [WORLD.case("text")], KNOWN, LITTLE).deviations == ((THETA, 2.0),)


@pytest.mark.parametrize(
    ("effects", "planted", "known", "blamed"),
    [
        ({"filter": only(0, 0.5), "half": only(2, 0.0)}, {"filter"}, ("filter", "half"), ["filter"]),
        ({"filter": only(0, 0.5), "half": only(2, 0.0)}, {"half"}, ("filter", "half"), []),  # changes nothing
        ({"a": only(0, 1.0), "b": only(0, 2.0), "c": only(0, 3.0)}, {"a", "b"}, ("a", "b", "c"), ["c"]),
        ({"a": only(0, 1.0), "b": only(0, 1.0)}, {"b"}, ("a", "b"), ["a"]),  # both look the same
        ({"a": only(0, 1.0), "b": only(0, 1.0)}, {"b"}, ("b", "a"), ["a"]),
        ({"a": only(0, 0.5), "b": only(1, 1.0)}, {"a", "b"}, ("b",), ["b"]),  # a is not known
        ({"a": only(0, 1.0)}, {"a"}, (), []),
    ],
)
def test_the_fewest_known_deviations_are_blamed(
    effects: dict[str, tuple[float, ...]], planted: set[str], known: tuple[str, ...], blamed: list[str]
) -> None:
    world = World({"image": effects})
    explained = explain(world.measured(planted), world.cases(), [*map(deviation, known)], LITTLE)
    assert names_of(explained.deviations) == blamed


def test_what_no_deviation_does_is_blamed_on_none() -> None:
    world = World({"image": {"filter": only(0, 0.5), "mask": only(3, 3.0)}})
    measured = world.measured(())
    measured["image"]["green"] -= 4.0
    explained = explain(measured, world.cases(), KNOWN, LITTLE)
    assert (explained.deviations, explained.before, explained.after) == ((), 4.0, 4.0)


@pytest.mark.parametrize(("size", "blamed"), [(0.005, []), (0.02, ["half"])])
def test_a_deviation_is_blamed_only_where_it_explains_more_than_a_fiftieth(
    size: float, blamed: list[str]
) -> None:
    world = World({"image": {"half": only(0, size)}})
    measured = world.measured(())
    measured["image"]["red"] += 1.0  # its square goes down by 1 % and by 4 %
    assert names_of(explain(measured, world.cases(), KNOWN, LITTLE).deviations) == blamed


def test_a_token_that_is_not_listed_counts_as_less_likely_than_any() -> None:
    measured = WORLD.measured(())
    del measured["image"]["blue"]
    explained = explain(measured, WORLD.cases(), KNOWN, LITTLE)
    assert explained.before == EXACT[1] - UNSEEN
    assert explained.worst == "image"


@pytest.mark.parametrize(
    ("strict", "named", "left"),
    [
        (None, ["half", "gelu"], 0.013),  # not measured: any may be there
        ((), ["half"], 0.016),
        (("gelu",), ["half", "gelu"], 0.013),
        (("filter",), ["half"], 0.016),
    ],
)
def test_noise_of_16_bits_is_not_taken_for_a_deviation_that_the_strict_setting_does_not_have(
    strict: tuple[str, ...] | None, named: list[str], left: float
) -> None:
    world = World({"image": {"filter": only(0, 0.5), "half": only(2, 0.25), "gelu": only(1, 0.003)}})
    measured = world.measured({"half"})
    measured["image"]["blue"] += 0.016
    known = [FILTER, HALF, deviation("gelu")]
    found = None if strict is None else [one for one in known if one.name in strict]
    explained = explain(measured, world.cases(), candidates(known, found), LITTLE)
    assert names_of(explained.deviations) == named
    assert explained.after == pytest.approx(left)


def test_the_deviations_of_the_default_setting_are_known_ones() -> None:
    golden = read_golden(PROJECT / "tests/data/pocket/golden.json")
    assert {one.name for one in golden.deviations} >= OF_DEFAULT


@given(st.lists(st.tuples(st.floats(-29, 0), st.floats(-29, 0)), min_size=1, max_size=5))
def test_the_difference_is_that_of_the_token_that_is_farthest_off(pairs: list[tuple[float, float]]) -> None:
    tokens = TOKENS[: len(pairs)]
    measured = {token: pair[0] for token, pair in zip(tokens, pairs, strict=True)}
    found = difference(measured | {"a token of no interest": -1e9}, tokens, [pair[1] for pair in pairs])
    distances = sorted(abs(one - other) for one, other in pairs)
    assert found == distances[-1]


def tie(token: int, size: float, key: str = "") -> NearTie:
    values = tuple(value + step for value, step in zip(EXACT, only(token, size), strict=True))
    return NearTie(layer=1, token=token, gap=1e-5, logprobs={key: values})


def with_ties(*ties: NearTie) -> list[GoldenCase]:
    return [WORLD.case("text"), structs.replace(WORLD.case("image"), ties=ties)]


def off_by(token: int, size: float) -> dict[str, dict[str, float]]:
    measured = WORLD.measured(())
    measured["image"][TOKENS[token]] += size
    return measured


def test_a_near_tie_that_gives_the_numbers_accounts_for_them() -> None:
    near, other = tie(3, 0.09), tie(2, 0.4)
    explained = explain(off_by(3, 0.1), with_ties(other, near), (), LITTLE)
    (found,) = explained.tipped
    assert (found.case, found.tie) == ("image", near)
    assert [found.size, explained.before] == pytest.approx([0.1, 0.1])
    assert [found.left, explained.after] == pytest.approx([0.01, 0.01])


@pytest.mark.parametrize(
    ("ties", "token", "size"),
    [
        ((tie(3, 0.07),), 3, 0.1),  # leaves 0.03
        ((tie(3, -0.1),), 3, 0.1),
        ((tie(2, 0.1),), 3, 0.1),
        ((tie(3, 0.1, "filter"),), 3, 0.1),  # only with a deviation that is not there
        ((tie(3, 0.015),), 3, 0.015),  # within the tolerance without it
    ],
)
def test_a_near_tie_that_does_not_is_left_alone(ties: tuple[NearTie, ...], token: int, size: float) -> None:
    explained = explain(off_by(token, size), with_ties(*ties), (), LITTLE)
    assert explained.tipped == ()
    assert explained.after == pytest.approx(size)


def test_near_ties_are_looked_up_with_the_deviations_that_were_found() -> None:
    near = tie(3, 0.1, "half")
    near = structs.replace(near, logprobs={"half": (-0.5, -1.5, -2.25, -3.4, -4.5)})
    measured = WORLD.measured({"half"})
    measured["image"]["one"] += 0.1
    explained = explain(measured, with_ties(near), KNOWN, LITTLE)
    assert names_of(explained.deviations) == ["half"]
    assert [one.tie for one in explained.tipped] == [near]
    assert explained.after == pytest.approx(0)
