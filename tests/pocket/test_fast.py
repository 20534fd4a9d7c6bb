"""The faster arithmetic of training gives what transformers' own code gives for the whole model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.nn import functional
from transformers.models.qwen3_vl_moe import modeling_qwen3_vl_moe as modeling

from recipes.evalset.tasks import TASKS, held_out_conversation, training_conversation
from recipes.pocket.model.batches import cells_of
from recipes.pocket.model.grid_labels import PAIR_SIGHTS
from recipes.pocket.model.preprocess import UNTRAINED
from recipes.pocket.training.fast_kernels import quick
from recipes.pocket.training.losses import RARE, Heads, forward, losses_of
from tests.pocket.conftest import Model, collated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recipes.pocket.model.batches import Batch
    from recipes.pocket.model.preprocess import Writer

MIXED = (
    held_out_conversation(1, "which"),  # two images, of a size that training does not have
    held_out_conversation(0, "text"),  # none
    training_conversation(5, 0),
    training_conversation(9, 1),
)
BATCHES = {
    "mixed": MIXED,
    "one": MIXED[:1],
    "text": tuple(held_out_conversation(index, "text") for index in range(3)),
    "resized": tuple(held_out_conversation(3, task) for task in TASKS[:3]),
}


@pytest.fixture(params=BATCHES)
def batch(request: pytest.FixtureRequest, writer: Writer) -> Batch:
    return collated(writer, *BATCHES[request.param])


def whole(model: Model, batch: Batch) -> Any:  # noqa: ANN401 - transformers' output
    """What transformers gives, padding masked, with the loss of its own."""
    pictures = {"pixel_values": batch.pixels(), "image_grid_thw": batch.grids} if len(batch.grids) else {}
    return model(
        input_ids=batch.ids,
        attention_mask=batch.kept.long(),
        position_ids=batch.positions,
        labels=batch.labels,
        use_cache=False,
        **pictures,
    )


def test_the_answers_logits_are_those_of_the_whole_model(model: Model, batch: Batch) -> None:
    with torch.no_grad():
        expected = whole(model, batch).logits.reshape(-1, model.config.text_config.vocab_size)[batch.answered]
        with quick():
            found, _ = forward(model, batch)
    assert len(found) == (batch.labels != UNTRAINED).sum()
    assert expected.std() > 0.1  # there is something to compare
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_what_the_mergers_give_is_the_vision_towers_own(model: Model, writer: Writer) -> None:
    batch = collated(writer, *MIXED)
    with torch.no_grad():
        expected = model.model.visual(batch.pixels(), grid_thw=batch.grids, return_dict=True)
        with quick():
            _, (tokens, *levels) = forward(model, batch)
    torch.testing.assert_close(tokens, expected.pooler_output, rtol=0, atol=2e-5)
    torch.testing.assert_close(levels, expected.deepstack_features, rtol=0, atol=2e-5)


def test_without_an_image_no_merger_gives_anything(model: Model, writer: Writer) -> None:
    with torch.no_grad(), quick():
        _, merged = forward(model, collated(writer, *BATCHES["text"]))
    assert merged == []


@pytest.fixture
def routers(model: Model) -> Iterator[list[torch.Tensor]]:
    """The logits of the first layer's router."""
    kept: list[torch.Tensor] = []
    gate = model.model.language_model.layers[0].mlp.gate
    hook = gate.register_forward_hook(lambda _module, _input, output: kept.append(output[0]))
    yield kept
    hook.remove()


def heads_for(model: Model) -> Heads:
    torch.manual_seed(2)
    return Heads(model.config.text_config.hidden_size, 3)


def test_the_answers_loss_and_its_gradients_are_transformers_own(
    model: Model,
    writer: Writer,
    routers: list[torch.Tensor],
) -> None:
    batch = collated(writer, *MIXED)
    named = dict(model.named_parameters())
    expected = whole(model, batch).loss
    gradients = torch.autograd.grad(expected, named.values())
    with quick():
        found = losses_of(model, heads_for(model), batch, routers).answers
        quick_gradients = torch.autograd.grad(found, named.values())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    largest = max(float(gradient.abs().max()) for gradient in gradients)
    for name, one, other in zip(named, quick_gradients, gradients, strict=True):
        assert float((one - other).abs().max()) < 1e-5 * largest, name
        assert float(other.abs().max()) > 0, name  # every weight is learned


def test_an_uneven_load_costs_what_switch_transformers_has_it_cost(
    model: Model,
    writer: Writer,
    routers: list[torch.Tensor],
) -> None:
    batch = collated(writer, *MIXED)
    with torch.no_grad(), quick():
        found = losses_of(model, heads_for(model), batch, routers).uneven
    config = model.config.text_config
    expected = modeling.load_balancing_loss_func(
        tuple(routers), config.num_experts, config.num_experts_per_tok, batch.kept.long()
    )
    torch.testing.assert_close(found, expected / config.num_experts_per_tok, rtol=1e-5, atol=0)
    assert found >= 1  # which is an even load


def test_sights_cost_a_cross_entropy_in_which_what_is_there_weighs_more_and_places_a_squared_error(
    model: Model, writer: Writer
) -> None:
    batch, heads = collated(writer, *MIXED), heads_for(model)
    with torch.no_grad(), quick():
        found = losses_of(model, heads, batch, [])
        _, merged = forward(model, batch)
        told = [head(part) for head, part in zip(heads.heads, merged, strict=True)]
    there = batch.sights.bool()
    assert there.shape[1] == PAIR_SIGHTS
    likely = [one[:, :PAIR_SIGHTS].sigmoid() for one in told]
    sights = [torch.where(there, -RARE * one.log(), -(1 - one).log()).mean() for one in likely]
    places = [(one[:, PAIR_SIGHTS:] - batch.cells).square().mean() for one in told]
    torch.testing.assert_close(found.sights, torch.stack(sights).mean(), rtol=1e-4, atol=0)
    torch.testing.assert_close(found.places, torch.stack(places).mean(), rtol=1e-4, atol=0)


def test_each_cell_has_its_row_and_column() -> None:
    assert cells_of(3, 2).tolist() == [[-1, -1], [-1, 1], [0, -1], [0, 1], [1, -1], [1, 1]]


def test_routers_of_an_earlier_batch_are_forgotten(
    model: Model,
    writer: Writer,
    routers: list[torch.Tensor],
) -> None:
    batch = collated(writer, *BATCHES["text"])
    with torch.no_grad(), quick():
        first = losses_of(model, heads_for(model), batch, routers)
        second = losses_of(model, heads_for(model), batch, routers)
    assert len(routers) == 1
    assert torch.equal(first.uneven, second.uneven)
    assert (float(first.sights), float(second.sights), float(first.places)) == (0.0, 0.0, 0.0)


def forwards() -> list[object]:
    return [modeling.Qwen3VLMoeVisionAttention.forward, modeling.Qwen3VLMoeTextExperts.forward]


def fail_within_quick(replaced: list[object]) -> None:
    with quick():
        replaced += forwards()
        raise ZeroDivisionError


def test_the_replacements_are_gone_after_the_block_whatever_happens_in_it() -> None:
    before, within = forwards(), list[object]()
    with pytest.raises(ZeroDivisionError):
        fail_within_quick(within)
    assert not set(within) & set(before)
    assert forwards() == before


def test_the_pixels_of_a_batch_are_two_equal_frames(writer: Writer) -> None:
    batch = collated(writer, MIXED[0])
    shaped = batch.pixels().reshape(len(batch.patches), 3, 2, 16, 16)
    assert torch.equal(shaped[:, :, 0], shaped[:, :, 1])
    assert torch.equal(functional.relu(shaped.abs() - 1), torch.zeros_like(shaped))
