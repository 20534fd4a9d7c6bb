"""The libraries and the command line that applications are built on ask about an image, and for typed answers."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Literal

import litellm
import pytest
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel, SecretStr
from pydantic_ai import Agent, BinaryContent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.conftest import Service

pytestmark = pytest.mark.filterwarnings("default")  # theirs are not ours to fix


class Ring(BaseModel):
    """What is asked for."""

    colour: Literal["green", "red"]


def parts(service: Service) -> list[Any]:
    return [
        {"type": "image_url", "image_url": {"url": service.data_url}},
        {"type": "text", "text": service.question},
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_litellm(service: Service, *, stream: bool) -> None:
    answer: Any = litellm.completion(
        model=f"openai/{service.model}",
        api_base=service.url,
        api_key=service.key,
        messages=[{"role": "user", "content": parts(service)}],
        temperature=0,
        max_tokens=16,
        stream=stream,
    )
    text = (
        "".join(part.choices[0].delta.content or "" for part in answer)
        if stream
        else answer.choices[0].message.content
    )
    assert text.strip() == service.answer


def langchain(service: Service) -> ChatOpenAI:
    return ChatOpenAI(
        model=service.model,
        base_url=service.url,
        api_key=SecretStr(service.key),
        temperature=0,
        max_completion_tokens=200,
        max_retries=0,
    )


def test_langchain(service: Service) -> None:
    asked = [HumanMessage(content=parts(service))]
    assert str(langchain(service).invoke(asked).content).strip() == service.answer
    assert "".join(str(part.content) for part in langchain(service).stream(asked)).strip() == service.answer


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_langchain_types(service: Service, method: Literal["json_schema", "function_calling"]) -> None:
    found = (
        langchain(service).with_structured_output(Ring, method=method).invoke([HumanMessage(parts(service))])
    )
    assert isinstance(found, Ring)


def pydantic_model(service: Service) -> OpenAIChatModel:
    return OpenAIChatModel(service.model, provider=OpenAIProvider(base_url=service.url, api_key=service.key))


def test_pydantic_ai(service: Service) -> None:
    asked = [BinaryContent(service.image, media_type="image/png"), service.question]
    answer = Agent(pydantic_model(service), model_settings={"temperature": 0, "max_tokens": 16}).run_sync(
        asked
    )
    assert answer.output.strip() == service.answer


def test_pydantic_ai_types(service: Service) -> None:
    agent = Agent(
        pydantic_model(service), output_type=Ring, model_settings={"temperature": 0, "max_tokens": 200}
    )
    assert isinstance(agent.run_sync(service.question).output, Ring)


def test_llama_index(service: Service) -> None:
    model = OpenAILike(
        model=service.model,
        api_base=service.url,
        api_key=service.key,
        is_chat_model=True,
        temperature=0,
        max_tokens=16,
    )
    asked = ChatMessage(role="user", content=parts(service))
    assert str(model.chat([asked]).message.content).strip() == service.answer
    assert "".join(str(part.delta) for part in model.stream_chat([asked])).strip() == service.answer


def test_llm(service: Service, tmp_path: Path) -> None:
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: ring\n  model_name: {service.model}\n  api_base: {service.url}\n  vision: true\n"
        "  api_key_name: ring\n",  # else it sends a key of its own
        encoding="utf-8",
    )
    (tmp_path / "shapes.png").write_bytes(service.image)
    words = (
        "-m",
        "ring",
        "--key",
        service.key,
        "-o",
        "temperature",
        "0",
        "-o",
        "max_tokens",
        "16",
        "--no-stream",
    )
    done = subprocess.run(
        [sys.executable, "-m", "llm", *words, "-a", str(tmp_path / "shapes.png"), service.question],
        env={**os.environ, "LLM_USER_PATH": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout.strip()) == (0, service.answer), done.stderr
