"""The reference is transformers' own model, asked piece by piece; and what is kept of each prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from recipes.conformance.results.numerics import explain
from recipes.evalset.golden import JOIN, GoldenCase
from recipes.evalset.mrope_sections import blocked, interleaved
from recipes.evalset.prompts import compared_clips
from recipes.pocket.model.preprocess import UNTRAINED
from recipes.pocket.model.tokenizer import END, END_OF_TEXT, SPECIAL_TOKENS, START, VOCABULARY
from recipes.pocket.reference import known_deviations as known
from recipes.pocket.reference import reference as pocket_reference
from recipes.pocket.reference.recompute import _arrays
from recipes.pocket.reference.reference import LISTED, MOST_ANSWER_TOKENS, can_change, looked_at, subsets
from tests.pocket.conftest import PROMPTS, images_of

if TYPE_CHECKING:
    from torch import Tensor

    from recipes.evalset.prompts import Prompt
    from recipes.pocket.model.batches import Batch
    from recipes.pocket.reference.reference import Reference

TEXT = PROMPTS["text alone 0"]
SMALL = [
    PROMPTS[name]
    for name in (
        "text, three turns",
        "where, wide",
        "two images of other sizes",
        "two images, one a turn",
        "image after the question",
        "three turns about an image",
        "resized, too small",
    )
]


def by_name(prompt: Prompt) -> str:
    return prompt.name


def whole(reference: Reference, batch: Batch, said: list[int]) -> Tensor:
    """The last logits of transformers' whole model, which finds the positions by itself."""
    ids = torch.cat([batch.ids, torch.tensor([said], dtype=torch.long)], dim=1)
    with torch.no_grad():
        images = images_of(reference.model, batch, ids)
        output = reference.model(
            input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **images
        )
    logits: Tensor = output.logits[0, -1]
    return logits


@pytest.mark.parametrize("prompt", SMALL, ids=by_name)
def test_logits_are_those_of_the_whole_model(reference: Reference, prompt: Prompt) -> None:
    batch = reference.prepare(prompt)
    seen = reference.see(batch) if prompt.scenes else None
    for said in ([], [7, 300, 12]):
        found = reference.logits(batch, seen, said)
        torch.testing.assert_close(found, whole(reference, batch, said), rtol=0, atol=1e-5)


def test_what_is_seen_is_the_vision_towers_own(reference: Reference) -> None:
    batch = reference.prepare(SMALL[2])
    with torch.no_grad():
        seen = reference.model.model.visual(batch.pixels(), grid_thw=batch.grids, return_dict=True)
    tokens, levels = reference.see(batch)
    assert torch.equal(tokens, seen.pooler_output)
    assert len(levels) == 2
    assert all(torch.equal(one, other) for one, other in zip(levels, seen.deepstack_features, strict=True))


@pytest.mark.parametrize("prompt", SMALL, ids=by_name)
def test_a_prompt_ends_where_its_last_answer_begins(reference: Reference, prompt: Prompt) -> None:
    batch = reference.prepare(prompt)
    text = reference.tokenizer.decode(batch.ids[0].tolist(), skip_special_tokens=False)
    assert text.endswith(f"{END}\n{START}assistant\n")
    assert text.count(f"{START}assistant\n") == len(prompt.turns)
    for turn in prompt.turns[:-1]:
        assert f"assistant\n{turn.answer}{END}\n" in text
    sizes = {batch.labels.shape[1], batch.kept.shape[1], batch.positions.shape[2]}
    assert sizes == {batch.ids.shape[1]}
    answered = [answer for turn in prompt.turns[:-1] for answer in reference.writer.text(turn.answer + END)]
    assert batch.labels[batch.labels != UNTRAINED].tolist() == answered


def test_the_last_answer_is_not_told(reference: Reference) -> None:
    (turn,) = TEXT.turns
    told = replace(TEXT, turns=(replace(turn, answer="something else entirely"),))
    assert torch.equal(reference.prepare(told).ids, reference.prepare(TEXT).ids)


@pytest.mark.parametrize("prompt", [TEXT, *SMALL[1:3]], ids=by_name)
def test_the_answer_is_what_transformers_generates(reference: Reference, prompt: Prompt) -> None:
    batch = reference.prepare(prompt)
    end = reference.writer.special(END)
    generated = reference.model.generate(
        input_ids=batch.ids,
        attention_mask=torch.ones_like(batch.ids),
        do_sample=False,
        max_new_tokens=MOST_ANSWER_TOKENS,
        eos_token_id=end,
        pad_token_id=reference.writer.special(END_OF_TEXT),
        **images_of(reference.model, batch, batch.ids),
    )
    said = [token for token in generated[0, batch.ids.shape[1] :].tolist() if token != end]
    answer, margin = reference.answer(prompt)
    assert answer == reference.tokenizer.decode(said)
    assert margin >= 0


def favouring(reference: Reference, monkeypatch: pytest.MonkeyPatch, *chosen: tuple[str, float]) -> None:
    """Make each next token a chosen one, by a lead over the runner-up."""
    tokens = [(reference.writer.text(text)[0], lead) for text, lead in chosen]

    def logits(_batch: object, _seen: object, said: list[int], _names: object = ()) -> Tensor:
        token, lead = tokens[min(len(said), len(tokens) - 1)]
        given = torch.zeros(VOCABULARY)
        given[token] = lead
        return given

    monkeypatch.setattr(reference, "logits", logits)


def test_an_answer_ends_at_its_end_and_is_as_sure_as_its_least_sure_token(
    reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    favouring(reference, monkeypatch, ("1", 3.0), ("2", 0.5), ("3", 4.0), (END, 2.0))
    assert reference.answer(TEXT) == ("123", 0.5)
    favouring(reference, monkeypatch, ("1", 3.0), (END, 0.25))
    assert reference.answer(TEXT) == ("1", 0.25)


def test_an_answer_without_an_end_is_cut_off(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    favouring(reference, monkeypatch, ("7", 1.0))
    assert reference.answer(TEXT) == ("7" * MOST_ANSWER_TOKENS, 1.0)


@pytest.mark.parametrize("prompt", [TEXT, PROMPTS["where, wide"], PROMPTS["resized, too small"]], ids=by_name)
def test_a_case_holds_what_each_combination_gives(reference: Reference, prompt: Prompt) -> None:
    case = reference.case(prompt)
    batch = reference.prepare(prompt)
    assert (case.name, case.with_images, case.resized) == (
        prompt.name,
        bool(prompt.scenes),
        prompt.is_resized,
    )
    assert case.prompt_tokens == batch.ids.shape[1]
    assert (case.answer, case.margin) == reference.answer(prompt)
    assert set(case.logprobs) == {JOIN.join(sorted(names)) for names in looked_at(prompt)}
    by_text = {
        reference.tokenizer.decode([number]): number for number in reference.tokenizer.get_vocab().values()
    }
    numbers = [by_text[token] for token in case.tokens]
    for names in (*looked_at(prompt)[:2], *looked_at(prompt)[-3:]):
        # asked anew, not with what the vision tower gave for another combination
        expected = reference.first(prompt, names, {})[numbers].tolist()
        assert case.with_deviations(names) == pytest.approx(expected, abs=1e-5)
    exact = whole(reference, batch, []).log_softmax(-1)
    assert case.logprobs[""] == pytest.approx(exact[numbers].tolist(), abs=2e-5)


def test_the_listed_tokens_are_the_likeliest_with_texts_of_their_own(reference: Reference) -> None:
    special = [reference.tokenizer.token_to_id(token) for token in SPECIAL_TOKENS]
    vocabulary = reference.tokenizer.get_vocab()
    half = next(
        number for token, number in vocabulary.items() if token == "\u00c3"
    )  # half of a letter's bytes
    wanted = [
        vocabulary[token]
        for token in ("7", "red", "a", "\u0120the" if "\u0120the" in vocabulary else "b", "c")
    ]
    order = [special[2], wanted[0], half, wanted[1], special[0], *wanted[2:], vocabulary["9"]]
    logprobs = torch.full((VOCABULARY,), -50.0)
    for rank, number in enumerate(order):
        logprobs[number] = -float(rank)
    assert reference.listed(logprobs) == wanted
    assert len(wanted) == LISTED


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=by_name)
def test_combinations_are_all_of_grades_and_each_fault_with_the_usual_ones(prompt: Prompt) -> None:
    found = looked_at(prompt)
    assert len(set(found)) == len(found)
    assert frozenset() in found
    names = {deviation.name for deviation in known.ALL if can_change(deviation, prompt)}
    faults = {deviation.name for deviation in known.FAULTS}
    grades = {deviation.name for deviation in known.GRADES} & names
    usual = {deviation.name for deviation in known.USUAL} & names
    assert {chosen for chosen in found if not chosen & faults} == set(subsets(sorted(grades)))
    for fault in faults & names:
        assert {chosen - {fault} for chosen in found if fault in chosen} == set(subsets(sorted(usual)))
    assert frozenset.union(*found) == names


def test_texts_are_changed_by_the_language_model_alone_and_sizes_that_fit_by_no_resizing() -> None:
    for prompt in PROMPTS.values():
        changing = {deviation for deviation in known.ALL if can_change(deviation, prompt)}
        if not prompt.scenes:
            assert changing == set(known.OF_TEXT)
        else:
            others = {
                *(() if prompt.is_resized else known.OF_SIZE),
                *(() if prompt.name == "two images" else known.OF_PAIRS),
            }
            assert set(known.ALL) - changing == others
    assert set(known.OF_TEXT) < set(known.OF_LANGUAGE)


def test_every_combination_of_one_prompt_can_be_looked_up_for_all_others() -> None:
    """Else `explain` would end with a KeyError: it asks all cases for each combination that any of them has."""
    cases = [
        GoldenCase(
            name=prompt.name,
            with_images=bool(prompt.scenes),
            resized=prompt.is_resized,
            prompt_tokens=1,
            answer="",
            margin=0.0,
            tokens=("x",),
            logprobs={JOIN.join(sorted(names)): (-float(len(names)),) for names in looked_at(prompt)},
        )
        for prompt in PROMPTS.values()
    ]
    measured = {case.name: {"x": 0.0} for case in cases}
    assert explain(measured, cases, known.ALL, 0.02).deviations == ()


def test_what_is_kept_beside_the_cases_is_of_the_prompts_it_names(reference: Reference) -> None:
    arrays = dict(_arrays(reference))
    batch = reference.prepare(PROMPTS["where, wide"])
    tokens, levels = reference.see(batch)
    assert np.array_equal(arrays.pop("vision/merger"), tokens.numpy())
    for index, level in enumerate(levels):
        assert np.array_equal(arrays.pop(f"vision/deepstack {index}"), level.numpy())
    sections = reference.model.config.text_config.rope_parameters["mrope_section"]
    for name, layout in (("blocked", blocked), ("interleaved", interleaved)):
        assert arrays.pop(f"channels/{name}").tobytes().decode() == "".join(layout(sections))
    assert len(arrays) == 6
    clips = {prompt.name: prompt for prompt in compared_clips()}
    for name, positions in arrays.items():
        prompt = (PROMPTS | clips)[name.removeprefix("positions/")]
        if prompt.clips:  # compared in test_clips
            assert np.array_equal(positions, reference.prepare(prompt).positions[:, 0].numpy())
            continue
        ids = reference.prepare(prompt).ids
        kinds = (ids == reference.model.config.image_token_id).int()
        grids = reference.prepare(prompt).grids
        expected, _ = reference.model.model.get_rope_index(ids, mm_token_type_ids=kinds, image_grid_thw=grids)
        assert np.array_equal(positions, expected[:, 0].numpy())
        assert len({tuple(axis) for axis in positions.tolist()}) == 3  # t, h and w differ


def test_subsets_are_all_and_the_empty_one_comes_first() -> None:
    assert subsets([]) == (frozenset(),)
    found = subsets(["a", "b", "c"])
    assert found[0] == frozenset()
    assert len(set(found)) == len(found) == 8
    assert {len(one) for one in found} == {0, 1, 2, 3}


def test_what_is_kept_of_a_case_are_near_ties_that_show(
    monkeypatch: pytest.MonkeyPatch, reference: Reference
) -> None:
    monkeypatch.setattr(pocket_reference, "NEAR", 0.05)
    case = reference.case(PROMPTS["text alone 0"])
    assert case.ties
    assert [tie.gap for tie in case.ties] == sorted(tie.gap for tie in case.ties)
    assert all(tie.gap < 0.05 for tie in case.ties)
    for tie in case.ties:
        for key, values in tie.logprobs.items():
            apart = [abs(one - other) for one, other in zip(values, case.logprobs[key], strict=True)]
            assert max(apart) > 0.0049
