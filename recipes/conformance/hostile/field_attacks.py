"""Values out of range and of wrong types, in every field that the server's source reads of a completion or a chat."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from recipes.conformance.hostile.attack import (
    CHAT,
    COMPLETION,
    SAY,
    Attack,
    Body,
    Kind,
    chat,
    completion,
    request,
    several,
)
from recipes.conformance.hostile.request_fields import request_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

INT32, INT64 = 1 << 31, 1 << 63
NUMBERS = (
    *(
        -1,
        0,
        1,
        -2,
        7,
        -INT32,
        INT32 - 1,
        INT32,
        (1 << 32) - 1,
        1 << 32,
        -INT64,
        INT64 - 1,
        INT64,
        (1 << 64) - 1,
    ),
    *(10**9, -(10**9), 10**30, 0.5, -0.5, 1e-300, 1e38, 3.5e38, -3.5e38, 1e308, -1e308),
)
OTHERS: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        "",
        "x",
        "-1",
        "\0",
        [],
        {},
        [[]],
        [{}],
        [None],
        [0],
        [-1],
        ["x"],
        {"x": 1},
        [["x", 1]],
    ),
    *([INT32, -INT32, 10**9], [[10**9, 1.0]], {"999999999": 1}, [[-1, False]], [1e308], [0.5], [True]),
)
LISTS: tuple[Any, ...] = (
    [0] * 20_000,
    [-1] * 20_000,
    ["a"] * 20_000,
    [[1, 1]] * 20_000,
    {str(n): n for n in range(20_000)},
)
# The ones that have ended servers, or could: tried with an image and in a stream too.
QUICK_FIELDS = {
    *(
        "n_probs",
        "id_slot",
        "n_predict",
        "n_keep",
        "n_discard",
        "n_cache_reuse",
        "top_k",
        "min_keep",
        "n",
        "n_cmpl",
    ),
    *(
        "repeat_last_n",
        "dry_penalty_last_n",
        "dry_sequence_breakers",
        "logit_bias",
        "chat_format",
        "chat_parser",
    ),
    *("grammar_triggers", "preserved_tokens", "samplers", "stop", "lora", "response_fields", "logprobs"),
}


def bodies(field: str, values: tuple[Any, ...]) -> list[Body]:
    """Return completions with each value of a field."""
    return [completion(**{field: value}) for value in values]


def chats(field: str, values: tuple[Any, ...]) -> list[Body]:
    """Return chat completions with each value of a field."""
    return [chat(**{field: value}) for value in values]


def attacks() -> Iterator[Attack]:
    """Return the attacks on single fields and on endpoints."""
    for field in request_fields():
        quick = field in QUICK_FIELDS
        yield several(
            Kind.FIELDS,
            f"{field} in a completion",
            COMPLETION,
            partial(bodies, field, NUMBERS + OTHERS),
            quick=quick,
        )
        yield several(Kind.FIELDS, f"{field} in a chat", CHAT, partial(chats, field, NUMBERS + OTHERS))
    yield several(Kind.FIELDS, "long lists in each field", COMPLETION, long_lists)
    yield from named()


def long_lists() -> list[Body]:
    """Return completions with a list of thousands of values in each field."""
    return [completion(**{field: value}) for field in request_fields() for value in LISTS]


def named() -> Iterator[Attack]:
    """Return requests whose fields are bad together."""
    field = partial(request, Kind.FIELDS, path=COMPLETION)
    yield field(
        "n_probs of a thousand million", body=completion(n_probs=10**9), must_refuse=True, is_quick=True
    )
    yield field("a slot that is not there", body=completion(id_slot=99999), must_refuse=True, is_quick=True)
    yield field("a negative slot", body=completion(id_slot=-7))
    yield field(
        "every field at its largest", body=dict.fromkeys(request_fields(), INT32 - 1) | {"prompt": SAY}
    )
    yield field("every field negative", body=dict.fromkeys(request_fields(), -1) | {"prompt": SAY})
    yield field(
        "prompt of tokens out of range", body=completion(prompt=[INT32 - 1, -1, 10**9]), is_quick=True
    )
    yield field("prompt of mixed tokens and texts", body=completion(prompt=[1, "a", [1, -5], {}, None]))
    yield field("prompt of 5,000 prompts", body=lambda: completion(prompt=["a"] * 5000, n_predict=1))
    yield field(
        "prompt with media and no marker",
        body=completion(prompt={"prompt_string": "a", "multimodal_data": ["AA=="]}),
    )
    yield field(
        "prompt with markers and no media",
        body=completion(prompt={"prompt_string": "<__media__>" * 50, "multimodal_data": []}),
        is_quick=True,
    )
    yield field(
        "prompt with media of wrong types",
        body=completion(prompt={"prompt_string": 5, "multimodal_data": {}}),
    )
    yield field(
        "logit_bias of every token", body=lambda: completion(logit_bias=[[n, 1e38] for n in range(100_000)])
    )
    yield field("20,000 stop words", body=lambda: completion(stop=[f"w{n}" for n in range(20_000)]))
    yield field("a stop word of 5 MB", body=lambda: completion(stop=["a" * 5_000_000]))
    yield field(
        "100,000 samplers", body=lambda: completion(samplers=["top_k", "temperature", "dry"] * 33_333)
    )
    yield field(
        "dry with an empty breaker",
        body=completion(dry_multiplier=1, dry_sequence_breakers=["", "\n", "a" * 9000]),
    )
    yield field(
        "dry over a long prompt",
        body=lambda: completion(prompt="ab " * 300, dry_multiplier=1e30, dry_base=1e30),
    )
    yield field("mirostat of odd numbers", body=completion(mirostat=2, mirostat_tau=-1e30, mirostat_eta=1e30))
    yield field("a negative temperature range", body=completion(temperature=1e30, dynatemp_range=-1e30))
    yield field("all probabilities removed", body=completion(top_p=-1, min_p=5, typical_p=-1, top_n_sigma=0))
    yield field(
        "infill without a model for it", body={"input_prefix": "a" * 4000, "input_suffix": "b" * 4000}
    )
    yield field(
        "n_probs with images", body=lambda: chat(SAY, logprobs=True, top_logprobs=10**6), must_refuse=True
    )
    yield field("n of 10,000", body=chat(SAY, n=10_000), must_refuse=True)
