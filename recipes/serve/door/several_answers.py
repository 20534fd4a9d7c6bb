"""Several answers to one request, `n` of OpenAI's API, from as many requests. Pure."""

from __future__ import annotations

from typing import Any


def with_seed(body: bytes, seed: int | None, number: int) -> bytes:
    """Return a JSON object's text with the seed of one of its answers.

    >>> with_seed(b'{"a":1}', 7, 2)
    b'{"a":1,"seed":9}'
    """
    return body if seed is None else body[:-1] + b',"seed":%d}' % ((seed + number) % (1 << 32))


def merged(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the completions as one: their choices in order; the prompt's tokens are counted once.

    >>> merged([{"choices": [{"index": 0}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}] * 2)["usage"]
    {'prompt_tokens': 3, 'completion_tokens': 4, 'total_tokens': 7}
    """
    choices = [choice for answer in answers for choice in answer["choices"]]
    whole = {**answers[0], "choices": [{**choice, "index": place} for place, choice in enumerate(choices)]}
    if isinstance(whole.get("usage"), dict):
        made = sum(int(answer["usage"]["completion_tokens"]) for answer in answers)
        prompt = int(whole["usage"]["prompt_tokens"])
        counted = {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}
        whole["usage"] = {**whole["usage"], **counted}
    return whole
