"""Each known deviation changes what it says, and nothing else; and nothing at all after its block."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional
from transformers.models.qwen3_vl import modeling_qwen3_vl as dense_modeling
from transformers.models.qwen3_vl_moe import modeling_qwen3_vl_moe as modeling

from recipes.evalset.image_sizes import Grid, exact_size, resized
from recipes.evalset.mrope_sections import AXES, blocked, interleaved
from recipes.evalset.prompts import one_image
from recipes.evalset.render import draw
from recipes.pocket.fidelity.random_prompts import trials
from recipes.pocket.model.preprocess import fit, padded
from recipes.pocket.reference import deviations
from recipes.pocket.reference import known_deviations as known
from tests.pocket.conftest import PROMPTS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from recipes.evalset.golden import Deviation
    from recipes.evalset.prompts import Prompt
    from recipes.pocket.reference.reference import Reference

TEXT, FITS, RESIZED = (PROMPTS[name] for name in ("text alone 0", "where, wide", "resized, too small"))
NAMES = [deviation.name for deviation in known.ALL]


def each(*some: Deviation) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [deviation.name for deviation in some])


@pytest.fixture(scope="module")
def exact(reference: Reference) -> dict[str, Tensor]:
    """What the reference says to each prompt without a deviation, taken before anything else is done to it."""
    return {prompt.name: first(reference, prompt) for prompt in (TEXT, FITS, RESIZED)}


def first(reference: Reference, prompt: Prompt, *names: str) -> Tensor:
    return reference.first(prompt, frozenset(names), {})


def farthest(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def test_every_deviation_has_a_name_of_its_own_and_is_a_grade_or_a_fault() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert set(known.ALL) == {*known.GRADES, *known.FAULTS}
    assert set(known.FAULTS) == {*known.OF_IMAGES, *known.OF_TEXT} - {known.HALF_TEXT}
    assert all(deviation.fails for deviation in known.FAULTS)
    assert not any(deviation.fails for deviation in known.GRADES)


@each(*(deviation for deviation in (*known.GRADES, *known.OF_IMAGES) if deviation not in known.OF_TEXT))
def test_a_deviation_of_images_leaves_texts_alone(
    reference: Reference, exact: dict[str, Tensor], name: str
) -> None:
    assert torch.equal(first(reference, TEXT, name), exact[TEXT.name])


@each(*known.OF_TEXT)
def test_a_deviation_of_the_language_model_changes_texts(
    reference: Reference, exact: dict[str, Tensor], name: str
) -> None:
    rounding = (0.0, 1e-2)  # of 16 bits: little
    least, most = rounding if name == known.HALF_TEXT.name else (1e-3, math.inf)
    assert least < farthest(first(reference, TEXT, name), exact[TEXT.name]) < most


@each(*known.OF_SIZE)
def test_resizing_changes_only_images_that_need_it(
    reference: Reference, exact: dict[str, Tensor], name: str
) -> None:
    assert torch.equal(first(reference, FITS, name), exact[FITS.name])
    assert farthest(first(reference, RESIZED, name), exact[RESIZED.name]) > 1e-3


@each(*known.OF_PAIRS)
def test_pairing_changes_only_images_of_one_size_in_a_row(reference: Reference, name: str) -> None:
    exact, wrong = (first(reference, PROMPTS["two images"], *names) for names in ((), (name,)))
    assert farthest(wrong, exact) > 1e-2
    for other in ("where, wide", "two images of other sizes", "two images, one a turn"):
        assert torch.equal(*(first(reference, PROMPTS[other], *names) for names in ((), (name,))))


def test_a_pair_is_one_image_of_two_frames_and_a_line_end_between_them_parts_it(reference: Reference) -> None:
    pair, whole = (reference.prepare(PROMPTS["two images"], names) for names in ((known.PAIRED.name,), ()))
    assert len(pair.grids) == 1
    assert pair.later is not None
    assert torch.equal(torch.cat([pair.patches, pair.later]), whole.patches)
    apart = (
        first(reference, PROMPTS["two images"], *names)
        for names in ((known.JOINED.name,), (known.JOINED.name, known.PAIRED.name))
    )
    assert torch.equal(*apart)


@each(*(deviation for deviation in known.ALL if deviation not in (*known.OF_SIZE, *known.OF_PAIRS)))
def test_every_other_deviation_changes_what_an_image_gives(
    reference: Reference, exact: dict[str, Tensor], name: str
) -> None:
    assert farthest(first(reference, FITS, name), exact[FITS.name]) > 1e-5


@pytest.mark.parametrize("prompt", [TEXT, FITS, RESIZED], ids=["text", "fits", "resized"])
def test_after_all_of_them_the_reference_is_as_before(
    reference: Reference, exact: dict[str, Tensor], prompt: Prompt
) -> None:
    first(reference, prompt, *NAMES)
    assert torch.equal(first(reference, prompt), exact[prompt.name])


def insides(model: Any) -> list[object]:  # noqa: ANN401 - transformers' model
    """Everything of a model that a deviation replaces, by identity."""
    visual, language = model.model.visual, model.model.language_model
    mergers = [visual.merger, *visual.deepstack_merger_list]
    experts = [layer.mlp.experts for layer in language.layers]
    return [
        modeling.eager_attention_forward,
        dense_modeling.eager_attention_forward,
        visual.pos_embed,
        language.rotary_emb.inv_freq,
        language.rotary_emb.__dict__.get("recomposition_frequencies"),
        *(part for one in experts for part in (one.gate_up_proj, one.down_proj)),
        *(part for one in mergers for part in (one._modules.get("act_fn"), one.__dict__.get("act_fn"))),
        *(
            part
            for one in visual.blocks
            for part in (one.mlp._modules.get("act_fn"), one.mlp.__dict__.get("act_fn"))
        ),
    ]


def fail_within_deviations(model: Any, within: list[object]) -> None:  # noqa: ANN401 - as above
    with (
        deviations.language_with(model.model.language_model, NAMES),
        deviations.vision_with(model.model.visual, NAMES),
    ):
        within += insides(model)
        raise ZeroDivisionError


def test_everything_is_put_back_where_the_block_ends_with_an_error(reference: Reference) -> None:
    before, within = insides(reference.model), list[object]()
    with pytest.raises(ZeroDivisionError):
        fail_within_deviations(reference.model, within)
    after = insides(reference.model)
    kept = [one is other for one, other in zip(before, within, strict=True)]
    assert kept.count(False) > len(reference.model.model.visual.blocks)  # there was something to put back
    assert [one is other for one, other in zip(before, after, strict=True)] == [True] * len(before)


def test_the_table_of_positions_is_put_back_where_seeing_fails(
    reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = reference.model.model.visual.pos_embed
    monkeypatch.setattr(deviations, "vision_with", lambda *_: (_ for _ in ()).throw(ZeroDivisionError))
    batch = reference.prepare(FITS)
    with pytest.raises(ZeroDivisionError):
        reference.see(batch, {known.NEAREST.name})
    assert reference.model.model.visual.pos_embed is table


# --- the language model


def axes_of(rotary: Any, sections: tuple[int, int, int]) -> list[str]:  # noqa: ANN401 - transformers' module
    """Which axis each frequency of both halves gets: asked with the axis's own number as every value."""
    kept, rotary.mrope_section = rotary.mrope_section, list(sections)
    values = torch.arange(3.0)[:, None, None, None].expand(3, 1, 1, sum(sections)).clone()
    try:
        return [AXES[int(number)] for number in rotary.recomposition_frequencies(values)[0, 0]]
    finally:
        rotary.mrope_section = kept


@given(st.tuples(*[st.integers(0, 40)] * 3))
def test_both_layouts_are_those_of_the_channels(reference: Reference, sections: tuple[int, int, int]) -> None:
    rotary = reference.model.model.language_model.rotary_emb
    assert axes_of(rotary, sections) == [*interleaved(sections)] * 2
    with deviations.language_with(reference.model.model.language_model, {known.BLOCKED.name}):
        assert axes_of(rotary, sections) == [*blocked(sections)] * 2
    assert axes_of(rotary, sections) == [*interleaved(sections)] * 2


def test_blocked_changes_nothing_where_the_three_positions_are_equal(reference: Reference) -> None:
    rotary = reference.model.model.language_model.rotary_emb
    equal = torch.arange(50).expand(3, 1, -1)
    other = torch.stack([torch.full((50,), 7), torch.arange(50), torch.arange(50) + 3])[:, None]
    hidden = torch.zeros(1)
    plain, plain_other = rotary(hidden, equal), rotary(hidden, other)
    with deviations.language_with(reference.model.model.language_model, {known.BLOCKED.name}):
        changed, changed_other = rotary(hidden, equal), rotary(hidden, other)
    for index in range(2):
        assert torch.equal(plain[index], changed[index])
        assert not torch.equal(plain_other[index], changed_other[index])


def test_theta_is_what_a_model_with_that_base_has(reference: Reference) -> None:
    language = reference.model.model.language_model
    config = type(language.config)(**language.config.to_dict())
    config.rope_parameters = {**config.rope_parameters, "rope_theta": 10_000.0}
    expected, _ = modeling.Qwen3VLMoeTextRotaryEmbedding.compute_default_rope_parameters(config)
    with deviations.language_with(language, {known.THETA.name}):
        torch.testing.assert_close(language.rotary_emb.inv_freq, expected, rtol=1e-6, atol=0)


def test_experts_are_right_again_where_the_router_goes_along(
    reference: Reference, exact: dict[str, Tensor]
) -> None:
    gates = [layer.mlp.gate for layer in reference.model.model.language_model.layers]
    kept = [gate.weight for gate in gates]
    try:
        for gate, weight in zip(gates, kept, strict=True):
            gate.weight = torch.nn.Parameter(weight.roll(1, 0))
        rolled = first(reference, TEXT, known.EXPERTS.name)
    finally:
        for gate, weight in zip(gates, kept, strict=True):
            gate.weight = weight
    torch.testing.assert_close(rolled, exact[TEXT.name], rtol=0, atol=1e-5)


@given(st.lists(st.booleans(), min_size=1, max_size=24))
def test_tokens_of_an_image_attend_to_later_ones_of_the_same_image_alone(kinds: list[bool]) -> None:
    is_image = torch.tensor(kinds)
    plain, changed = (
        torch.isfinite(deviations.text_mask(is_image, names))[0, 0].tolist()
        for names in ((), (known.ATTENTION.name,))
    )
    for query in range(len(kinds)):
        for key in range(len(kinds)):
            between = kinds[min(query, key) : max(query, key) + 1]
            assert plain[query][key] is (key <= query)
            assert changed[query][key] is (key <= query or all(between))


def test_masks_are_zeros_and_minus_infinities() -> None:
    mask = deviations.text_mask(torch.tensor([False, True, True]), {known.ATTENTION.name})
    assert mask.shape == (1, 1, 3, 3)
    assert set(mask.unique().tolist()) == {0.0, -math.inf}


# --- what goes into the vision tower

LLAMA_CPP = "tools/mtmd/clip.cpp of b7827: img_tool::resize_bilinear"


def resized_as_llama_cpp_does(pixels: NDArray[np.uint8], size: tuple[int, int], y: int, x: int) -> list[int]:
    """What its loops give for one pixel, line by line; all of it in 32 bits."""
    f32 = np.float32

    def lerp(start: np.float32, end: np.float32, t: np.float32) -> np.float32:
        return f32(start + f32(f32(end - start) * t))

    x_ratio, y_ratio = f32(pixels.shape[1] - 1) / f32(size[1]), f32(pixels.shape[0] - 1) / f32(size[0])
    px, py = f32(x_ratio * f32(x)), f32(y_ratio * f32(y))
    x_floor, y_floor = int(px), int(py)
    channels = []
    for c in range(3):
        corners = pixels[y_floor : y_floor + 2, x_floor : x_floor + 2, c].astype(f32)
        top = lerp(corners[0, 0], corners[0, 1], f32(px - f32(x_floor)))
        bottom = lerp(corners[1, 0], corners[1, 1], f32(px - f32(x_floor)))
        channels.append(int(lerp(top, bottom, f32(py - f32(y_floor)))))
    return channels


@settings(max_examples=20)
@given(st.integers(40, 200), st.integers(40, 200), st.integers(0, 2**32 - 1))
def test_resizing_is_that_of_llama_cpp(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    size = resized(height, width)
    changed = np.asarray(deviations.resize_bilinear(Image.fromarray(pixels)))
    assert changed.shape == (*size, 3)
    if size == (height, width):
        assert np.array_equal(changed, pixels)
        return
    for y, x in rng.integers(0, size, (200, 2)):
        assert changed[y, x].tolist() == resized_as_llama_cpp_does(pixels, size, int(y), int(x)), LLAMA_CPP


def test_resizing_a_drawing_is_that_of_llama_cpp_in_each_pixel() -> None:
    """In 64 bits 87 of these values would be another number: few places of random pixels show that."""
    pixels = np.asarray(
        draw(next(t.prompt for t in trials() if t.prompt.name == "image, resized 1").scenes[0])
    )
    changed = np.asarray(deviations.resize_bilinear(Image.fromarray(pixels)))
    size = resized(*pixels.shape[:2])
    for y, x in np.ndindex(size):
        assert changed[y, x].tolist() == resized_as_llama_cpp_does(pixels, size, y, x), LLAMA_CPP


@settings(max_examples=20)
@given(
    st.integers(2, 90),
    st.integers(2, 90),
    st.integers(1, 120),
    st.integers(1, 120),
    st.integers(0, 2**32 - 1),
)
def test_resizing_from_corner_to_corner_is_bilinear_and_keeps_the_corners(
    height: int, width: int, tall: int, wide: int, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    changed = np.asarray(deviations.resize_to_corners(Image.fromarray(pixels), (wide, tall)))
    assert changed.shape == (tall, wide, 3)
    assert changed[0, 0].tolist() == pixels[0, 0].tolist()
    for place in range(min(tall, 4)):
        y = place * (height - 1) / max(1, tall - 1)
        top, below = int(y), min(int(y) + 1, height - 1)
        mixed = pixels[top, 0] + (pixels[below, 0].astype(float) - pixels[top, 0]) * (y - top)
        assert np.abs(changed[place, 0] - mixed).max() <= 1.001  # the whole part is kept, in 32 bits
    if tall > 1 and wide > 1:
        assert np.abs(changed[-1, -1].astype(int) - pixels[-1, -1]).max() <= 1


def test_a_padded_image_is_resized_by_either_filter() -> None:
    image = draw(RESIZED.scenes[0])
    assert deviations.fitted(image, {known.PADDED.name}).tobytes() == padded(image).tobytes()
    both = deviations.fitted(image, {known.PADDED.name, known.RESIZE.name})
    assert (
        both.tobytes()
        == padded(image, None, deviations.resize_to_corners).tobytes()
        != padded(image).tobytes()
    )


def test_an_image_that_fits_is_not_resized() -> None:
    image = Image.new("RGB", (96, 128))
    assert deviations.resize_bilinear(image) is image
    assert (
        deviations.fitted(image, {known.RESIZE.name})
        is deviations.fitted(image, {known.PADDED.name})
        is image
    )


def test_an_image_is_fitted_with_a_filter_or_without() -> None:
    image = draw(RESIZED.scenes[0])
    names = [deviation.name for deviation in known.ALL if deviation not in known.OF_SIZE]
    assert deviations.fitted(image, names).tobytes() == fit(image).tobytes()
    assert (
        deviations.fitted(image, {known.RESIZE.name}).tobytes()
        == deviations.resize_bilinear(image).tobytes()
        != fit(image).tobytes()
    )


@given(st.integers(20, 200), st.integers(20, 200))
def test_a_padded_image_keeps_its_aspect_in_the_middle_of_black(height: int, width: int) -> None:
    whole = padded(Image.new("RGB", (width, height), (255, 255, 255)))
    assert (whole.height, whole.width) == resized(height, width)
    box = whole.getbbox()
    assert box
    left, top, right, bottom = box
    assert (right - left == whole.width) or (bottom - top == whole.height)
    assert abs((right - left) * height - (bottom - top) * width) <= max(height, width)
    assert left - (whole.width - right) in {-1, 0}
    assert top - (whole.height - bottom) in {-1, 0}
    assert np.asarray(whole)[top:bottom, left:right].min() == 255


def test_line_ends_are_between_parts_and_nowhere_else(reference: Reference) -> None:
    prompt = PROMPTS["image after words"]
    plain, joined = (
        reference.tokenizer.decode(
            reference.prepare(prompt, names).ids[0].tolist(), skip_special_tokens=False
        )
        for names in ((), (known.JOINED.name,))
    )
    words, question = prompt.turns[0].parts[0], prompt.turns[0].parts[-1]
    assert f"user\n{words}<|vision_start|>" in plain
    assert f"<|vision_end|>{question}<|im_end|>" in plain
    assert f"user\n{words}\n<|vision_start|>" in joined
    assert f"<|vision_end|>\n{question}<|im_end|>" in joined
    assert (
        joined.replace("\n<|vision_start|>", "<|vision_start|>").replace("<|vision_end|>\n", "<|vision_end|>")
        == plain
    )


def test_the_last_row_and_column_are_never_reached() -> None:
    pixels = np.zeros((60, 70, 3), np.uint8)
    pixels[-1], pixels[:, -1] = 255, 255
    changed = np.asarray(deviations.resize_bilinear(Image.fromarray(pixels)))
    assert changed.max() < 255
    assert fit(Image.fromarray(pixels)).getchannel("R").getextrema()[1] == 255


PATCHES = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).reshape(2, 3, 4, 4) * 2


def test_pixels_are_normalised_as_they_should_be_without_a_deviation() -> None:
    torch.testing.assert_close(deviations.changed_pixels(PATCHES, ()), PATCHES.float() / 127.5 - 1)
    others = [
        deviation.name for deviation in known.ALL if deviation not in {known.CHANNELS, known.NORMALISATION}
    ]
    assert torch.equal(deviations.changed_pixels(PATCHES, others), deviations.changed_pixels(PATCHES, ()))


def test_red_and_blue_change_places() -> None:
    plain, changed = (
        deviations.changed_pixels(PATCHES, ()),
        deviations.changed_pixels(PATCHES, {known.CHANNELS.name}),
    )
    for one, other in ((0, 2), (1, 1), (2, 0)):
        assert torch.equal(changed[:, one], plain[:, other])


@pytest.mark.parametrize("swapped", [False, True])
def test_pixels_are_normalised_as_clip_has_it_after_the_channels_are_in_place(*, swapped: bool) -> None:
    names = {known.NORMALISATION.name, *([known.CHANNELS.name] if swapped else [])}
    changed = deviations.changed_pixels(PATCHES, names)
    for channel in range(3):
        raw = PATCHES[:, 2 - channel if swapped else channel].float() / 255
        expected = (raw - deviations.CLIP_MEAN[channel]) / deviations.CLIP_DEVIATION[channel]
        torch.testing.assert_close(changed[:, channel], expected, rtol=1e-6, atol=1e-6)


# --- learned positions


def in_cells(rows: list[list[float]]) -> list[float]:
    """A table's values in the order of patches: cell by cell of 2 x 2."""
    return [
        rows[top + down][left + across]
        for top in range(0, len(rows), 2)
        for left in range(0, len(rows[0]), 2)
        for down in range(2)
        for across in range(2)
    ]


SIDE = 14
TABLE = torch.tensor([[100.0 * row + column] for row in range(SIDE) for column in range(SIDE)])


def source(index: int, count: int) -> float:
    """Where a patch's centre lies among the table's, as a number of them; the outermost reach to the edge."""
    return min(SIDE - 1, max(0.0, (index + 0.5) * SIDE / count - 0.5))


@pytest.mark.parametrize(("rows", "columns"), [(14, 14), (16, 20), (28, 14), (18, 28)])
def test_positions_between_centres_are_a_ramp_through_the_centres(rows: int, columns: int) -> None:
    found = deviations.positions_between_centres(TABLE, rows, columns)[:, 0].tolist()
    ramp = [
        [100 * source(row, rows) + source(column, columns) for column in range(columns)]
        for row in range(rows)
    ]
    assert found == pytest.approx(in_cells(ramp), abs=1e-3)


def test_fewer_patches_than_positions_take_the_mean_of_those_under_them() -> None:
    found = deviations.positions_between_centres(TABLE, 2, 14)[:, 0].tolist()
    # a triangle as wide as seven positions on each side of the patch's centre, cut off at the table's edge
    weights = [max(0.0, 1 - abs((index + 0.5) / 7 - 0.5)) for index in range(SIDE)]
    upper = sum(weight * index for index, weight in enumerate(weights)) / sum(weights)
    rows = [[100 * row + column for column in range(14)] for row in (upper, SIDE - 1 - upper)]
    assert found == pytest.approx(in_cells(rows), abs=1e-3)


@settings(max_examples=20)
@given(st.integers(1, 20), st.integers(1, 20))
def test_equal_positions_stay_equal(rows: int, columns: int) -> None:
    table = torch.full((SIDE**2, 3), 2.5)
    for look_up in (deviations.positions_between_centres, deviations.nearest_positions):
        found = look_up(table, 2 * rows, 2 * columns)
        torch.testing.assert_close(found, torch.full((4 * rows * columns, 3), 2.5))


def test_nearest_positions_go_from_corner_to_corner() -> None:
    found = deviations.nearest_positions(TABLE, 4, 6)[:, 0].tolist()
    rows, columns = (0, 4, 9, 13), (0, 3, 5, 8, 10, 13)  # of 0, 4.3, 8.7, 13 and 0, 2.6, 5.2, 7.8, 10.4, 13
    assert found == in_cells([[100.0 * row + column for column in columns] for row in rows])
    assert deviations.nearest_positions(TABLE, SIDE, SIDE)[:, 0].tolist() == in_cells(
        TABLE.reshape(SIDE, SIDE).tolist()
    )


@each(known.INTERPOLATION, known.NEAREST)
def test_an_image_with_as_many_patches_as_there_are_positions_has_nothing_to_interpolate(
    reference: Reference, name: str
) -> None:
    batch = reference.prepare(one_image("as many", "colour", exact_size(Grid(SIDE // 2, SIDE // 2))))
    plain, changed = reference.see(batch), reference.see(batch, {name})
    torch.testing.assert_close(changed[0], plain[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(changed[1], plain[1], rtol=0, atol=1e-5)


# --- the vision tower


def seen_by_blocks(reference: Reference, name: str | None) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The last block's output, the merger's, and the DeepStack mergers'."""
    batch = reference.prepare(FITS)
    visual = reference.model.model.visual
    with torch.no_grad(), deviations.vision_with(visual, {name} if name else ()):
        seen = visual(batch.pixels(), grid_thw=batch.grids, return_dict=True)
    return seen.last_hidden_state, seen.pooler_output, seen.deepstack_features


def test_gelu_is_another_one_in_the_mergers_alone(reference: Reference) -> None:
    plain, changed = seen_by_blocks(reference, None), seen_by_blocks(reference, known.GELU.name)
    assert torch.equal(changed[0], plain[0])
    assert not torch.equal(changed[1], plain[1])
    assert [torch.equal(one, other) for one, other in zip(changed[2], plain[2], strict=True)] == [False] * 2
    # the approximation is off by less than 5e-4, times a row of the last matrix
    assert farthest(changed[1], plain[1]) < 2e-3


@pytest.mark.parametrize(
    ("names", "in_blocks", "in_mergers"),
    [
        ((), "their own", "their own"),
        ((known.GELU.name,), "their own", "tanh"),
        ((known.HALF.name,), "table", "their own"),
        ((known.GELU.name, known.HALF.name), "table", "table"),
    ],
)
def test_which_gelu_runs_where(
    reference: Reference, names: tuple[str, ...], in_blocks: str, in_mergers: str
) -> None:
    visual = reference.model.model.visual
    mergers = [visual.merger, *visual.deepstack_merger_list]
    values = torch.linspace(-12, 12, 200)
    ways = {"tanh": functional.gelu(values, approximate="tanh"), "table": deviations.gelu_table(values)}
    own_of_blocks, own_of_mergers = visual.blocks[0].mlp.act_fn(values), mergers[0].act_fn(values)
    with deviations.vision_with(visual, names):
        for block in visual.blocks:
            assert torch.equal(block.mlp.act_fn(values), ways.get(in_blocks, own_of_blocks))
        for merger in mergers:
            assert torch.equal(merger.act_fn(values), ways.get(in_mergers, own_of_mergers))


def test_half_changes_what_the_blocks_give_by_the_rounding_of_16_bits(reference: Reference) -> None:
    plain, changed = seen_by_blocks(reference, None), seen_by_blocks(reference, known.HALF.name)
    assert 0 < farthest(changed[0], plain[0]) < 5e-3


@each(*(deviation for deviation in known.ALL if deviation not in {known.GELU, known.HALF}))
def test_no_other_deviation_reaches_into_the_vision_tower(reference: Reference, name: str) -> None:
    assert torch.equal(seen_by_blocks(reference, name)[1], seen_by_blocks(reference, None)[1])


def attended_as_ggml_does(query: Tensor, keys: Tensor, values: Tensor, scaling: float) -> Tensor:
    """One row of ggml_compute_forward_flash_attn_ext_f16 (ggml-cpu/ops.cpp of b7827), step by step."""
    most, total, shares = torch.tensor(-math.inf), torch.zeros_like(query), torch.tensor(0.0)
    for key, value in zip(keys, values, strict=True):
        score = (deviations.through_half(query) * deviations.through_half(key)).sum() * scaling
        shrink, share = torch.tensor(1.0), torch.tensor(1.0)
        if score > most:
            shrink = (most - score).exp()
            total = deviations.through_half(total * shrink)
            most = score
        else:
            share = (score - most).exp()
        total = deviations.through_half(total + deviations.through_half(value) * share)
        shares = shares * shrink + share
    return total / shares


@pytest.mark.parametrize(("keys", "causal"), [(1, False), (2, False), (40, False), (5, True)])
def test_attention_in_half_is_that_of_ggml(*, keys: int, causal: bool) -> None:
    torch.manual_seed(4)
    query, key, value = (torch.randn(1, heads, count, 8) for heads, count in ((4, 5), (2, keys), (2, keys)))
    mask = deviations.text_mask(torch.zeros(keys, dtype=torch.bool), ()) if causal else None
    found, _ = deviations._attend_in_half(None, query, key, value, mask, scaling=0.5)
    assert found.shape == (1, 5, 4, 8)
    for head in range(4):
        for row in range(5):
            seen = slice(row + 1 if causal else keys)
            several = key[0, head // 2, seen], value[0, head // 2, seen]
            expected = attended_as_ggml_does(query[0, head, row], *several, 0.5)
            # the score is summed in another order, which may turn one rounding
            torch.testing.assert_close(found[0, row, head], expected, rtol=0, atol=2e-3)
    exact = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=0.5, enable_gqa=True
    )
    assert farthest(found, exact.transpose(1, 2)) < 2e-2


@given(st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=20))
def test_the_table_of_gelu_is_in_16_bits_and_ends_at_ten(values: list[float]) -> None:
    given_values = torch.tensor(values)
    found = deviations.gelu_table(given_values)
    for value, result in zip(values, found.tolist(), strict=True):
        if value <= -10:
            assert result == 0
        elif value >= 10:
            assert result == value
        else:
            rounded = float(np.float16(value))
            exact_value = (
                rounded / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (rounded + 0.044715 * rounded**3)))
            )
            assert result == float(np.float16(result))
            assert result == pytest.approx(exact_value, rel=2e-3, abs=2e-3)


LEVELS = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])]


def test_levels_are_missing_or_in_the_other_order_or_left_alone() -> None:
    assert [level.tolist() for level in deviations.changed_levels(LEVELS, {known.NO_DEEPSTACK.name})] == [
        [0, 0],
        [0, 0],
    ]
    assert [level.tolist() for level in deviations.changed_levels(LEVELS, {known.DEEPSTACK_ORDER.name})] == [
        [3, 4],
        [1, 2],
    ]
    others = [name for name in NAMES if name not in {known.NO_DEEPSTACK.name, known.DEEPSTACK_ORDER.name}]
    assert deviations.changed_levels(LEVELS, others) is LEVELS
