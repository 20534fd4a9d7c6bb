"""Near-ties of the router: which there are, and what the other choice would change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from recipes.pocket import ties
from recipes.pocket.prompts import compared
from recipes.pocket.ties import Place, tipped, watched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from torch import Tensor

    from recipes.pocket.reference import Reference

PROMPTS = {prompt.name: prompt for prompt in compared()}
PROMPT = PROMPTS["text alone 0"]
NONE: frozenset[str] = frozenset()


@pytest.fixture(name="language")
def _language(reference: Reference) -> Any:  # noqa: ANN401 - transformers' module
    return reference.model.model.language_model


@pytest.fixture(name="choices")
def _choices(language: Any, reference: Reference) -> Iterator[list[tuple[Tensor, ...]]]:  # noqa: ANN401 - as above
    """What each layer's router gives, in their order, each time that the model runs."""
    seen: list[tuple[Tensor, ...]] = []
    handles = [
        block.mlp.gate.register_forward_hook(lambda _module, _inputs, outputs: seen.append(outputs))
        for block in language.layers
    ]
    reference.first(PROMPT, NONE, {})
    yield seen
    for handle in handles:
        handle.remove()


def test_gaps_are_between_the_last_that_is_chosen_and_the_first_that_is_not(
    monkeypatch: pytest.MonkeyPatch,
    language: Any,  # noqa: ANN401 - as above
    reference: Reference,
    choices: list[tuple[Tensor, ...]],
) -> None:
    monkeypatch.setattr(ties, "NEAR", 1.0)
    layers = len(language.layers)
    with watched(language) as places:
        reference.first(PROMPT, NONE, {})
    assert {(place.layer, place.token) for place in places} == {
        (layer, token) for layer in range(layers) for token in range(len(choices[0][0]))
    }
    for place in places:
        probabilities = choices[place.layer][0][place.token].softmax(-1)
        chosen = choices[place.layer][2][place.token]
        others = torch.ones_like(probabilities).bool().index_fill(0, chosen, value=False)
        gap = probabilities[chosen].min() - probabilities[others].max()
        assert place.gap == pytest.approx(float(gap), abs=1e-7)


def test_only_near_ones_are_collected(
    monkeypatch: pytest.MonkeyPatch,
    language: Any,  # noqa: ANN401 - as above
    reference: Reference,
) -> None:
    found = []
    for near in (1.0, 0.02):
        monkeypatch.setattr(ties, "NEAR", near)
        with watched(language) as places:
            reference.first(PROMPT, NONE, {})
        found.append(places)
    assert [place for place in found[0] if place.gap < 0.02] == found[1]
    assert len(found[1]) < len(found[0])


def test_one_choice_falls_the_other_way_and_no_other(
    language: Any,  # noqa: ANN401 - as above
    reference: Reference,
    choices: list[tuple[Tensor, ...]],
) -> None:
    layer, token, before = len(language.layers) - 1, 3, len(language.layers)
    with tipped(language, Place(0.0, layer, token)):
        changed = reference.first(PROMPT, NONE, {})
    _, weights, experts = choices[layer]
    _, tipped_weights, tipped_experts = choices[before + layer]
    same = [row for row in range(len(experts)) if torch.equal(experts[row], tipped_experts[row])]
    assert same == [row for row in range(len(experts)) if row != token]
    ranked = choices[layer][0][token].softmax(-1).sort(descending=True)
    assert tipped_experts[token].tolist() == [int(ranked.indices[0]), int(ranked.indices[2])]
    assert float(tipped_weights[token].sum()) == pytest.approx(1)
    assert torch.equal(weights[same], tipped_weights[same])
    assert torch.equal(reference.first(PROMPT, NONE, {}), reference.first(PROMPT, NONE, {}))
    assert changed.shape == reference.first(PROMPT, NONE, {}).shape


def test_what_is_kept_of_a_case_are_near_ties_that_show(
    monkeypatch: pytest.MonkeyPatch, reference: Reference
) -> None:
    monkeypatch.setattr(ties, "NEAR", 0.05)
    case = reference.case(PROMPT)
    assert case.ties
    assert [tie.gap for tie in case.ties] == sorted(tie.gap for tie in case.ties)
    for tie in case.ties:
        for key, values in tie.logprobs.items():
            apart = [abs(one - other) for one, other in zip(values, case.logprobs[key], strict=True)]
            assert max(apart) > 0.0049
