"""What fields may be: each number's ends pass, what is beyond is refused by name."""

from __future__ import annotations

import math
from typing import Any

import pytest

from recipes.serve.door.refusal import RefusedError
from recipes.serve.door.request_fields import (
    LISTS,
    MOST_TEXT,
    NUMBERS,
    TEXT_PER_TOKEN,
    judge_fields,
    judge_text,
)


def refused(request: dict[str, Any]) -> str:
    with pytest.raises(RefusedError) as caught:
        judge_fields(request, 4)
    assert caught.value.status == 400
    assert caught.value.param in request
    assert caught.value.param in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_both_ends_of_a_range_pass_and_what_is_beyond_is_refused(name: str) -> None:
    allowed = NUMBERS[name]
    for value in (allowed.least, allowed.most, None):
        judge_fields({name: value}, 4)
    beyond: tuple[Any, ...] = (allowed.least - 1, allowed.most * 2 + 1, "1", True, [], {})
    for value in beyond:
        refused({name: value})
    if allowed.whole:
        refused({name: 0.5})


@pytest.mark.parametrize("name", sorted(LISTS))
def test_a_list_that_is_too_long_or_none_is_refused(name: str) -> None:
    item: Any = "x" if LISTS[name].texts else {"type": 1, "value": "x"}
    judge_fields({name: [item]}, 4)
    refused({name: [item] * (LISTS[name].most + 1)})
    refused({name: 5})


@pytest.mark.parametrize(
    "request_",
    [
        {"id_slot": -1},
        {"id_slot": 3},
        {"logprobs": True},
        {"logprobs": 5},
        {"stream": False},
        {"stop": "x"},
        {"stop": ["x", "y"]},
        {"logit_bias": {"5": 1.5}},
        {"logit_bias": [[5, False]]},
        {"grammar": 'root ::= ("a" | "b")*'},
        {"temperature": 0.7, "top_p": 1, "n_predict": 4.0},
        {"something_new": {"a": [1e300]}, "prompt": "x"},
        {"seed": 2**63},
    ],
)
def test_what_clients_send_passes(request_: dict[str, Any]) -> None:
    judge_fields(request_, 4)


@pytest.mark.parametrize(
    "request_",
    [
        {"id_slot": 4},
        {"id_slot": 99999},
        {"logprobs": 1e9},
        {"n_probs": 10**9},
        {"stream": "yes"},
        {"stop": ["x" * 1001]},
        {"stop": [5]},
        {"temperature": math.inf},
        {"temperature": math.nan},
        {"max_tokens": 10**30},
        {"model": {"a": 1}},
        {"grammar": "%llguidance {}"},
        {"grammar": "root ::= " + "(" * 65 + ")" * 65},
        {"grammar": "x" * 70_000},
        {"grammar": 5},
        {"grammar_triggers": [{"type": 2, "value": "((("}]},
        {"grammar_triggers": [{"type": 99, "value": "x"}]},
        {"grammar_triggers": [{"type": [], "value": "x"}]},
        {"grammar_triggers": [{"type": 1}]},
        {"grammar_triggers": ["x"]},
    ],
)
def test_what_a_server_would_die_of_is_refused(request_: dict[str, Any]) -> None:
    refused(request_)


@pytest.mark.parametrize("context", [0, 4096, MOST_TEXT // TEXT_PER_TOKEN, 262_144])
def test_texts_are_counted_together_and_files_are_none(context: int) -> None:
    most = max(MOST_TEXT, context * TEXT_PER_TOKEN)
    half = "x" * (most // 2)
    file = {"type": "image_url", "image_url": {"url": "x" * most}}
    source = {"type": "image", "source": {"type": "base", "data": "x" * most}}
    judge_text({"messages": [{"content": half}, {"content": [file, source]}], "system": half[20:]}, context)
    with pytest.raises(RefusedError, match="characters of text"):
        judge_text({"messages": [{"content": half}, {"content": [file]}], "system": f"{half}x"}, context)
