"""OpenAI's Responses API: images, streams, tools, turns, counted tokens, and mistakes that it must not repeat."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

if TYPE_CHECKING:
    from tests.clients.conftest import Service

SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["green", "red"]}},
    "required": ["colour"],
    "additionalProperties": False,
}
TOOL: Any = {"type": "function", "name": "paint", "description": "Paint it.", "parameters": SCHEMA}
REPEAT = "Repeat: badeg"


@pytest.fixture
def client(service: Service) -> openai.OpenAI:
    return openai.OpenAI(base_url=service.url, api_key=service.key, max_retries=0, timeout=300)


def image(url: str) -> dict[str, Any]:
    return {"type": "input_image", "image_url": url, "detail": "auto"}


def say(*parts: Any) -> Any:  # noqa: ANN401 - the client's own types are many
    return {"role": "user", "content": list(parts)}


def question(service: Service) -> Any:  # noqa: ANN401 - as above
    return [say(image(service.data_url), {"type": "input_text", "text": service.question})]


def ask(client: openai.OpenAI, service: Service, **more: Any) -> Any:  # noqa: ANN401 - as above
    wanted = {"model": service.model, "input": question(service), "temperature": 0, "max_output_tokens": 200}
    return client.responses.create(**(wanted | more))


def count(client: openai.OpenAI, service: Service, asked: Any, **more: Any) -> int:  # noqa: ANN401 - as above
    return client.responses.input_tokens.count(model=service.model, input=asked, **more).input_tokens


def test_a_text_is_answered(client: openai.OpenAI, service: Service) -> None:
    assert ask(client, service, input=REPEAT).output_text == "badeg"


def test_an_image_is_answered(client: openai.OpenAI, service: Service) -> None:
    answer = ask(client, service, instructions="Look.")
    assert (answer.output_text, answer.status) == (service.answer, "completed")


def test_a_stream_is_the_same_answer(client: openai.OpenAI, service: Service) -> None:
    events = list(ask(client, service, stream=True))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == service.answer
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert events[-1].response.output_text == service.answer
    assert events[-1].response.usage.output_tokens > 0


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "paint"}])
def test_a_tool_that_is_demanded_is_called(client: openai.OpenAI, service: Service, choice: object) -> None:
    (call,) = ask(client, service, tools=[TOOL], tool_choice=choice).output
    assert (call.type, call.name) == ("function_call", "paint")
    assert json.loads(call.arguments)["colour"] in {"green", "red"}


def test_a_call_comes_as_a_stream(client: openai.OpenAI, service: Service) -> None:
    events = list(ask(client, service, tools=[TOOL], tool_choice="required", stream=True))
    text = "".join(event.delta for event in events if event.type == "response.function_call_arguments.delta")
    (call,) = events[-1].response.output
    assert json.loads(text) == json.loads(call.arguments)


def test_a_tool_that_is_forbidden_is_not_called(client: openai.OpenAI, service: Service) -> None:
    assert ask(client, service, tools=[TOOL], tool_choice="none").output_text == service.answer


def test_an_image_in_a_tools_result_is_seen(client: openai.OpenAI, service: Service) -> None:
    called = ask(client, service, tools=[TOOL], tool_choice="required").output
    text = {"type": "input_text", "text": service.question}

    def told(*result: Any) -> Any:  # noqa: ANN401 - as above
        back = {"type": "function_call_output", "call_id": called[0].call_id, "output": list(result)}
        return [*question(service), *called, back]

    seen = count(client, service, told(image(service.data_url), text)) - count(client, service, told(text))
    assert seen == count(client, service, question(service)) - count(client, service, [say(text)])
    assert ask(client, service, input=told(image(service.data_url), text)).output_text


def test_a_conversation_goes_on(client: openai.OpenAI, service: Service) -> None:
    first = ask(client, service)
    again = say({"type": "input_text", "text": service.question})
    assert (
        ask(client, service, input=[*question(service), *first.output, again]).output_text == service.answer
    )


@pytest.mark.parametrize(
    "more", [{}, {"instructions": "Look."}, {"tools": [TOOL], "tool_choice": "required"}]
)
def test_tokens_are_counted_as_they_are_used(
    client: openai.OpenAI, service: Service, more: dict[str, Any]
) -> None:
    used = ask(client, service, **more).usage
    assert count(client, service, question(service), **more) == used.input_tokens


def test_a_wrong_key_is_refused(client: openai.OpenAI, service: Service) -> None:
    wrong = client.with_options(api_key="wrong")
    with pytest.raises(openai.AuthenticationError):
        ask(wrong, service)
    with pytest.raises(openai.AuthenticationError):
        count(wrong, service, REPEAT)


@pytest.mark.parametrize(
    "mistake",
    [
        {"input": []},
        {"input": 7},
        {"input": [{"role": "user", "content": 7}]},
        {"input": [say(image("data:image/png;base64,AA"))]},
        {"input": [say({"type": "input_image", "file_id": "a", "detail": "auto"})]},
        {"input": [say({"type": "input_file", "file_data": "AAAA"})]},
        {"input": "badeg " * 6000},  # longer than the context
        {"tools": 7},
        {"tools": [TOOL], "tool_choice": {"type": "function", "name": "nobody"}},
        {"max_output_tokens": 10**9},
        {"temperature": -1},
        {"previous_response_id": "resp_a"},  # nothing is kept
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_mistake_is_the_clients_and_is_not_retried(
    client: openai.OpenAI, service: Service, mistake: dict[str, Any], *, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError):
        ask(client, service, **mistake, stream=stream)


def test_an_answer_has_the_schema_that_is_asked_for(client: openai.OpenAI, service: Service) -> None:
    form = {"format": {"type": "json_schema", "name": "ring", "strict": True, "schema": SCHEMA}}
    assert ask(client, service, text=form).output_text.startswith("{")


def test_the_length_that_is_asked_for_is_kept(client: openai.OpenAI, service: Service) -> None:
    answer = ask(client, service, input=REPEAT, max_output_tokens=2)
    assert (answer.usage.output_tokens, answer.status) == (2, "incomplete")


def test_the_clients_own_reader_of_streams_reads_it(client: openai.OpenAI, service: Service) -> None:
    asked = question(service)
    with client.responses.stream(model=service.model, input=asked, max_output_tokens=16) as stream:
        assert stream.get_final_response().output_text == service.answer
