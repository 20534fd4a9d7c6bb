"""Near-ties of routers: found where they are, and decided the other way and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from recipes.pocket.fidelity.model_shapes import SHAPES, make
from recipes.pocket.fidelity.reference_run import NARROW, NOTHING, Changes, Oracle
from recipes.pocket.fidelity.rotary import left_over, unturned
from recipes.pocket.fidelity.summary import apart
from recipes.pocket.model.router_ties import Tie, decided_otherwise, gaps, other_choice, routers, watched
from recipes.pocket.reference.reference import Reference
from tests.pocket.conftest import PROMPTS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PROMPT, IMAGE = PROMPTS["text alone 0"], PROMPTS["where, wide"]
PROBABILITIES = torch.tensor([[0.5, 0.3, 0.19, 0.01], [0.1, 0.2, 0.6, 0.1]])


@pytest.fixture(scope="module")
def wild(tokenizer: Tokenizer) -> Reference:
    """One model whose weights are spread enough for an expert to matter."""
    return Reference(make(SHAPES[0], tokenizer), tokenizer)


def test_the_gap_is_between_the_last_asked_and_the_first_that_is_not() -> None:
    assert gaps(PROBABILITIES.log(), 2).tolist() == pytest.approx([0.11, 0.1])
    assert gaps(PROBABILITIES.log(), 1).tolist() == pytest.approx([0.2, 0.4])


def test_the_other_choice_takes_the_next_expert_in_place_of_the_last() -> None:
    shares, chosen = other_choice(PROBABILITIES.log(), 2)
    assert chosen[0].tolist() == [0, 2]
    assert shares[0].tolist() == pytest.approx([0.5 / 0.69, 0.19 / 0.69])
    _, single = other_choice(PROBABILITIES.log(), 1)
    assert single.tolist() == [[1], [1]]


def test_every_choice_is_seen_and_the_narrowest_come_first(wild: Reference) -> None:
    language = wild.model.model.language_model
    found: list[Tie] = []
    with watched(language, found):
        wild.first(PROMPT, frozenset(), {})
    tokens = wild.prepare(PROMPT).ids.shape[1]
    assert {(tie.layer, tie.token) for tie in found} == {
        (layer, token) for layer in range(SHAPES[0].layers) for token in range(tokens)
    }
    assert found == sorted(found)
    assert found[0].gap < found[-1].gap


def test_a_made_near_tie_is_found(wild: Reference) -> None:
    router = dict(routers(wild.model.model.language_model))[2]
    logits: list[torch.Tensor] = []
    hook = router.register_forward_hook(lambda _router, _inputs, output: logits.append(output[0]))
    wild.first(PROMPT, frozenset(), {})
    hook.remove()
    order = logits[0][5].argsort(descending=True)
    kept, out = int(order[2]), int(order[3])

    def level(_router: Any, inputs: tuple[torch.Tensor, ...], output: tuple[torch.Tensor, ...]) -> Any:  # noqa: ANN401, ARG001 - a hook of torch
        changed = output[0].clone()
        changed[5, out] = changed[5, kept] - 1e-6
        return (changed, *output[1:])

    hook = router.register_forward_hook(level)
    try:
        narrowest = Oracle(wild, PROMPT).ties()[0]
    finally:
        hook.remove()
    assert (narrowest.layer, narrowest.token) == (2, 5)
    assert 0 <= narrowest.gap < 1e-6


def test_a_turned_choice_changes_that_token_and_layer_alone_and_nothing_afterwards(wild: Reference) -> None:
    language = wild.model.model.language_model
    before = wild.first(PROMPT, frozenset(), {})
    chosen: dict[int, torch.Tensor] = {}

    def note(layer: int) -> Any:  # noqa: ANN401 - a hook of torch
        return lambda _router, _inputs, output: chosen.__setitem__(layer, output[2])

    def choices(ties: list[Tie]) -> dict[int, torch.Tensor]:
        with decided_otherwise(language, ties):
            hooks = [router.register_forward_hook(note(layer)) for layer, router in routers(language)]
            wild.first(PROMPT, frozenset(), {})
            for hook in hooks:
                hook.remove()
        return dict(chosen)

    plain, turned = choices([]), choices([Tie(0.1, 1, 3)])
    assert torch.equal(plain[0], turned[0])
    differing = (plain[1] != turned[1]).any(-1).nonzero().flatten().tolist()
    assert differing == [3]
    assert torch.equal(wild.first(PROMPT, frozenset(), {}), before)


def test_what_a_turned_choice_gives_is_explained_by_it(wild: Reference) -> None:
    oracle = Oracle(wild, IMAGE)
    tie = next(tie for tie in oracle.ties() if tie.gap < NARROW)
    measured = oracle.logprobs(Changes(turned=(tie,)))
    assert apart(measured, oracle.logprobs()) > 1e-4
    turned, left = oracle.turned(measured, NOTHING, 1e-5)
    assert (turned, left) == ((tie,), 0.0)


def test_what_no_choice_gives_is_not_explained(wild: Reference) -> None:
    oracle = Oracle(wild, IMAGE)
    measured = tuple(value - 3.0 for value in oracle.logprobs())
    _, left = oracle.turned(measured, NOTHING, 0.005)
    assert left > 2.5


def test_a_dense_model_has_no_ties(tokenizer: Tokenizer) -> None:
    shape = next(shape for shape in SHAPES if shape.experts is None)
    oracle = Oracle(Reference(make(shape, tokenizer), tokenizer), PROMPT)
    assert oracle.ties() == []
    assert oracle.turned(tuple(value - 1 for value in oracle.logprobs()), NOTHING, 0.005)[0] == ()


def test_deviations_that_cannot_change_a_prompt_count_for_nothing(wild: Reference) -> None:
    oracle = Oracle(wild, PROMPT)
    of_images = Changes(frozenset({"resize", "half", "interpolation", "left-out"}), 300)
    assert oracle.logprobs(of_images) is oracle.logprobs()
    assert oracle.logprobs(Changes(frozenset({"half-text"}))) != oracle.logprobs()
    assert len(oracle.tokens) == len(set(oracle.tokens)) == 5
    assert oracle.logprobs() == tuple(sorted(oracle.logprobs(), reverse=True))


def test_image_tokens_that_are_left_out_change_what_follows(wild: Reference) -> None:
    oracle = Oracle(wild, IMAGE)
    exact = oracle.logprobs()
    names = frozenset({"left-out"})
    assert oracle.logprobs(Changes(names, 2048)) is exact
    without = oracle.logprobs(Changes(names, 300))
    assert apart(without, exact) > 0.1
    hidden = range(4, 4 + 3 * 8)  # all of the image
    assert float(wild.first(IMAGE, frozenset(), {}, hidden)[oracle.likeliest]) == without[0]


def test_a_hidden_token_is_seen_by_itself_alone(wild: Reference) -> None:
    """Another image in its place then changes nothing."""
    hidden = range(4, 4 + 3 * 8)
    batch = wild.prepare(IMAGE)
    merged, levels = wild.see(batch)
    other = (merged.flip(0) * 3, [level * 2 for level in levels])
    exact = wild.logits(batch, (merged, levels), [], hidden=hidden)
    torch.testing.assert_close(wild.logits(batch, other, [], hidden=hidden), exact, rtol=0, atol=1e-4)
    seen = wild.logits(batch, (merged, levels), [])
    assert float((wild.logits(batch, other, []) - seen).abs().max()) > 0.1


@pytest.mark.parametrize(
    ("sections", "found"),
    [
        ((24, 20, 20), [61, 62]),
        ((6, 5, 5), []),
        ((20, 9, 17), [28, 31, 34, 37, 40, 43]),
        ((4, 11, 3), [11, 12, 14, 15, 17]),
    ],
)
def test_frequencies_that_no_section_reaches_are_left_over(
    sections: tuple[int, ...], found: list[int]
) -> None:
    assert left_over(sections) == found


def test_what_is_left_over_is_turned_by_nothing_and_only_within(tokenizer: Tokenizer) -> None:
    uneven = Reference(make(SHAPES[3], tokenizer), tokenizer)
    rotary = uneven.model.model.language_model.rotary_emb
    kept = rotary.inv_freq.clone()
    with unturned(uneven.model.model.language_model):
        assert rotary.inv_freq[[11, 12, 14, 15, 17]].tolist() == [0.0] * 5
        assert (rotary.inv_freq == 0).sum() == 5
    assert torch.equal(rotary.inv_freq, kept)
    oracle = Oracle(uneven, IMAGE)
    exact, short = oracle.logprobs(), oracle.logprobs(Changes(frozenset({"fourth-position"})))
    assert apart(exact, short) > 1e-4
    assert oracle.logprobs() is exact


def test_even_sections_have_nothing_left_over(wild: Reference) -> None:
    oracle = Oracle(wild, IMAGE)
    assert oracle.logprobs(Changes(frozenset({"fourth-position"}))) is oracle.logprobs()
