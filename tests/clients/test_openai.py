"""The client that most others are built on: images, streams, tools, schemas, and mistakes that it must not repeat."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

if TYPE_CHECKING:
    from tests.clients.conftest import Service

SCHEMA = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["green", "red"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["colour", "count"],
    "additionalProperties": False,
}
TOOL: Any = {
    "type": "function",
    "function": {"name": "paint", "description": "Paint it.", "parameters": SCHEMA},
}


@pytest.fixture
def client(service: Service) -> openai.OpenAI:
    return openai.OpenAI(base_url=service.url, api_key=service.key, max_retries=0, timeout=300)


def question(service: Service) -> Any:  # noqa: ANN401 - the client's own types are many
    parts = [
        {"type": "image_url", "image_url": {"url": service.data_url}},
        {"type": "text", "text": service.question},
    ]
    return [{"role": "user", "content": parts}]


def ask(client: openai.OpenAI, service: Service, **more: Any) -> Any:  # noqa: ANN401 - as above
    wanted = {"model": service.model, "messages": question(service), "temperature": 0, "max_tokens": 16}
    return client.chat.completions.create(**(wanted | more))


def test_an_image_is_answered(client: openai.OpenAI, service: Service) -> None:
    answer = ask(client, service)
    assert answer.choices[0].message.content.strip() == service.answer
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens > 0


def test_a_stream_is_the_same_answer(client: openai.OpenAI, service: Service) -> None:
    parts = list(ask(client, service, stream=True, stream_options={"include_usage": True}))
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert text.strip() == service.answer
    assert parts[-1].usage.completion_tokens > 0


def test_tokens_have_probabilities(client: openai.OpenAI, service: Service) -> None:
    content = ask(client, service, logprobs=True, top_logprobs=3).choices[0].logprobs.content
    assert len(content[0].top_logprobs) == 3
    assert content[0].logprob <= 0


def test_two_answers_are_two_or_a_refusal_that_is_not_retried(
    client: openai.OpenAI, service: Service
) -> None:
    try:
        answers = ask(client, service, n=2)
    except openai.BadRequestError:  # 400: not retried
        pass
    else:
        assert [choice.message.content.strip() for choice in answers.choices] == [service.answer] * 2


def test_an_answer_has_the_schema_that_is_asked_for(client: openai.OpenAI, service: Service) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "ring", "strict": True, "schema": SCHEMA}}
    found = json.loads(
        ask(client, service, response_format=wanted, max_tokens=200).choices[0].message.content
    )
    assert set(found) == {"colour", "count"}
    assert found["colour"] in {"green", "red"}
    assert found["count"] in range(10)


def test_a_tool_that_is_required_is_called(client: openai.OpenAI, service: Service) -> None:
    answer = ask(client, service, tools=[TOOL], tool_choice="required", max_tokens=200).choices[0]
    assert answer.finish_reason == "tool_calls"
    call = answer.message.tool_calls[0].function
    assert call.name == "paint"
    assert set(json.loads(call.arguments)) == {"colour", "count"}


def test_the_length_that_is_asked_for_is_kept(client: openai.OpenAI, service: Service) -> None:
    more = {"messages": [{"role": "user", "content": "Repeat: badeg"}], "max_tokens": openai.omit}
    answer = ask(client, service, max_completion_tokens=2, **more)
    assert answer.usage.completion_tokens == 2
    assert answer.choices[0].finish_reason == "length"


def test_the_model_is_listed_and_found(client: openai.OpenAI, service: Service) -> None:
    assert [model.id for model in client.models.list()] == [service.model]
    assert client.models.retrieve(service.model).id == service.model


def test_a_wrong_key_is_refused(client: openai.OpenAI, service: Service) -> None:
    with pytest.raises(openai.AuthenticationError):
        ask(client.with_options(api_key="wrong"), service)


@pytest.mark.parametrize(
    "mistake",
    [
        {"messages": []},
        {"messages": [{"role": "user", "content": 7}]},
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "data:x/y;base64,AA"}}],
                }
            ]
        },
        {"tools": 7},
        {"response_format": {"type": "nothing"}},
        {"top_logprobs": 10**9, "logprobs": True},
    ],
)
def test_a_mistake_is_the_clients_and_is_not_retried(
    client: openai.OpenAI, service: Service, mistake: dict[str, Any]
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, service, **mistake)
    assert 400 <= caught.value.status_code < 500
