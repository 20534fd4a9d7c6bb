"""What the APIs name otherwise is put where llama-server reads it; what it would leave out is refused by its place."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from recipes.serve.door.dialects import MESSAGES, RESPONSES, translate
from recipes.serve.door.refusal import RefusedError

SCHEMA = {"type": "object"}
IMAGE = {"type": "image", "source": {"type": "base64", "data": ""}}
TEXT = {"type": "text", "text": "x"}


def said(*parts: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"type": "json_schema", "name": "x", "schema": SCHEMA}, {"json_schema": {"schema": SCHEMA}}),
        ({"type": "json_object"}, {}),
        ({"type": "text"}, None),
        (None, None),
    ],
)
def test_the_form_of_an_answer_is_put_where_chats_have_it(form: Any, expected: dict[str, Any] | None) -> None:  # noqa: ANN401 - JSON
    request: dict[str, Any] = {"input": "x", "text": {"format": form, "verbosity": "low"}}
    for path in (RESPONSES, "/responses", f"{RESPONSES}/input_tokens"):
        other = copy.deepcopy(request)
        translate(other, path)
    translate(request, RESPONSES)
    assert other == request
    assert request.pop("input") == "x"
    wanted = {} if expected is None else {"response_format": {"type": form["type"], **expected}}
    assert request == wanted


@pytest.mark.parametrize("text", ["x", {"format": {}}, {"format": 5}, {"format": {"type": "grammar"}}])
def test_another_form_is_refused(text: object) -> None:
    with pytest.raises(RefusedError) as caught:
        translate({"input": "x", "text": text}, RESPONSES)
    assert (caught.value.status, caught.value.param) == (400, "text.format.type")


@pytest.mark.parametrize(
    "request_",
    [
        {"messages": [{"role": "user", "content": "x"}], "system": "x"},
        {**said(TEXT, IMAGE, {"type": "thinking", "thinking": "x"}), "system": [TEXT]},
        said({"type": "tool_result", "content": [TEXT, IMAGE]}, {"type": "tool_result", "content": "x"}),
        said({"type": "tool_use", "input": {"content": [{"type": "document"}]}}),
        {"messages": 5, "output_config": {"effort": "low"}},
    ],
)
@pytest.mark.parametrize("path", [MESSAGES, f"{MESSAGES}/count_tokens"])
def test_what_is_read_of_a_message_passes_as_it_is(request_: dict[str, Any], path: str) -> None:
    before = copy.deepcopy(request_)
    translate(request_, path)
    assert request_ == before


@pytest.mark.parametrize(
    ("request_", "where"),
    [
        (said({"type": "document", "source": {}}), "messages[1].content[0].type"),
        (said(TEXT, {"type": "image"}), "messages[1].content[1].source"),
        (said(TEXT, {}), "messages[1].content[1].type"),
        (said(7), "messages[1].content[0].type"),
        (
            said({"type": "tool_result", "content": [{"type": "document"}]}),
            "messages[1].content[0].content[0].type",
        ),
        ({**said(TEXT), "system": [IMAGE]}, "system[0].type"),
        ({**said(TEXT), "output_config": {"format": {"type": "json_schema"}}}, "output_config"),
    ],
)
def test_what_would_be_left_out_of_a_message_is_refused(request_: dict[str, Any], where: str) -> None:
    with pytest.raises(RefusedError) as caught:
        translate(request_, MESSAGES)
    assert (caught.value.status, caught.value.param) == (400, where)
    translate(request_, "/v1/chat/completions")  # whose parts llama-server refuses itself
