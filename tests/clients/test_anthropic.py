"""Anthropic's own client: images, streams, tools, counted tokens, and mistakes that it must not repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import pytest

if TYPE_CHECKING:
    from tests.clients.conftest import Service

SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["green", "red"]}},
    "required": ["colour"],
    "additionalProperties": False,
}
TOOL: Any = {"name": "paint", "description": "Paint it.", "input_schema": SCHEMA}
REPEAT: Any = [{"role": "user", "content": "Repeat: badeg"}]


@pytest.fixture
def client(service: Service) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=service.base, api_key=service.key, max_retries=0, timeout=300)


def image(data: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


def question(service: Service) -> Any:  # noqa: ANN401 - the client's own types are many
    parts = [image(service.image_base64), {"type": "text", "text": service.question}]
    return [{"role": "user", "content": parts}]


def wanted(service: Service, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    exact = {"temperature": 0}  # which this client names no more
    return {
        "model": service.model,
        "messages": question(service),
        "max_tokens": 200,
        "extra_body": exact,
    } | more


def count(client: anthropic.Anthropic, service: Service, messages: Any, **more: Any) -> int:  # noqa: ANN401 - as above
    counted = client.messages.count_tokens(model=service.model, messages=messages, **more)
    return int(counted.input_tokens)


def test_a_text_is_answered(client: anthropic.Anthropic, service: Service) -> None:
    answer = client.messages.create(**wanted(service, messages=REPEAT))
    assert [part.text for part in answer.content] == ["badeg"]
    assert answer.stop_reason == "end_turn"


def test_an_image_is_answered(client: anthropic.Anthropic, service: Service) -> None:
    answer = client.messages.create(**wanted(service, system="Look."))
    assert [part.text for part in answer.content] == [service.answer]


def test_a_stream_is_the_same_answer(client: anthropic.Anthropic, service: Service) -> None:
    with client.messages.stream(**wanted(service)) as stream:
        assert "".join(stream.text_stream) == service.answer
        whole = stream.get_final_message()
    assert [part.text for part in whole.content] == [service.answer]
    assert whole.stop_reason == "end_turn"
    assert whole.usage.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "paint"}])
def test_a_tool_that_is_demanded_is_called(
    client: anthropic.Anthropic, service: Service, choice: dict[str, str], *, stream: bool
) -> None:
    asked = wanted(service, tools=[TOOL], tool_choice=choice)
    if stream:
        with client.messages.stream(**asked) as events:
            answer = events.get_final_message()
    else:
        answer = client.messages.create(**asked)
    assert answer.stop_reason == "tool_use"
    (call,) = answer.content
    assert call.name == "paint"
    assert call.input["colour"] in {"green", "red"}


def test_a_tool_that_is_forbidden_is_not_called(client: anthropic.Anthropic, service: Service) -> None:
    answer = client.messages.create(**wanted(service, tools=[TOOL], tool_choice={"type": "none"}))
    assert [part.text for part in answer.content] == [service.answer]


def test_an_image_in_a_tools_result_is_seen(client: anthropic.Anthropic, service: Service) -> None:
    asked = wanted(service, tools=[TOOL], tool_choice={"type": "any"})
    call = client.messages.create(**asked).content[0]

    def told(*result: Any) -> Any:  # noqa: ANN401 - as above
        back = {"type": "tool_result", "tool_use_id": call.id, "content": list(result)}
        answered = {"role": "assistant", "content": [call]}
        return [*question(service), answered, {"role": "user", "content": [back]}]

    text = {"type": "text", "text": service.question}
    seen = count(client, service, told(image(service.image_base64), text)) - count(
        client, service, told(text)
    )
    assert seen == count(client, service, question(service)) - count(
        client, service, [{"role": "user", "content": [text]}]
    )
    assert client.messages.create(**wanted(service, messages=told(image(service.image_base64), text))).content


@pytest.mark.parametrize("more", [{}, {"system": "Look."}, {"tools": [TOOL], "tool_choice": {"type": "any"}}])
def test_tokens_are_counted_as_they_are_used(
    client: anthropic.Anthropic, service: Service, more: dict[str, Any]
) -> None:
    used = client.messages.create(**wanted(service, **more)).usage
    read = used.input_tokens + used.cache_read_input_tokens
    assert count(client, service, question(service), **more) == read


def test_the_length_that_is_asked_for_is_kept(client: anthropic.Anthropic, service: Service) -> None:
    answer = client.messages.create(**wanted(service, messages=REPEAT, max_tokens=2))
    assert answer.usage.output_tokens == 2
    assert answer.stop_reason == "max_tokens"


def test_the_model_is_listed_and_found(client: anthropic.Anthropic, service: Service) -> None:
    assert [model.id for model in client.models.list()] == [service.model]
    assert client.models.retrieve(service.model).id == service.model
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("nobody")


def test_a_wrong_key_is_refused(client: anthropic.Anthropic, service: Service) -> None:
    wrong = client.with_options(api_key="wrong")
    with pytest.raises(anthropic.AuthenticationError):
        wrong.messages.create(**wanted(service))
    with pytest.raises(anthropic.AuthenticationError):
        count(wrong, service, REPEAT)


@pytest.mark.parametrize(
    "mistake",
    [
        {"messages": []},
        {"messages": [{"role": "user", "content": 7}]},
        {"messages": [{"role": "user", "content": [image("AA")]}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "a"}}]}
            ]
        },
        {"messages": [{"role": "user", "content": "badeg " * 6000}]},  # longer than the context
        {"tools": 7},
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "nobody"}},
        {"max_tokens": 10**9},
        {"extra_body": {"temperature": -1}},
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_mistake_is_the_clients_and_is_not_retried(
    client: anthropic.Anthropic, service: Service, mistake: dict[str, Any], *, stream: bool
) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(**wanted(service, **mistake), stream=stream)
    assert caught.value.api_message


def test_a_schema_for_the_answer_and_a_document_are_refused_and_not_left_out(
    client: anthropic.Anthropic, service: Service
) -> None:
    form = {"format": {"type": "json_schema", "schema": SCHEMA}}
    with pytest.raises(anthropic.BadRequestError, match=r"output_config\.format"):
        client.messages.create(**wanted(service, output_config=form))
    source = {"type": "text", "media_type": "text/plain", "data": "badeg " * 100}
    parts = [{"type": "document", "source": source}, {"type": "text", "text": "Repeat: badeg"}]
    with pytest.raises(anthropic.BadRequestError, match=r"content\[0\]\.type"):
        count(client, service, [{"role": "user", "content": parts}])


def test_a_stop_sequence_is_the_reason(client: anthropic.Anthropic, service: Service) -> None:
    answer = client.messages.create(**wanted(service, messages=REPEAT, stop_sequences=["de"]))
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "de")
