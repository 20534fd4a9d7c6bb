"""The door in front of a real llama-server: clients, busy servers, and the same answer about the same image."""

from __future__ import annotations

import base64
import json
import socket
import threading
from contextlib import ExitStack, closing
from io import BytesIO
from typing import TYPE_CHECKING

import openai
import pytest
import requests
from PIL import Image

from tests.support.llama_service import ANSWER, PICTURE, QUESTION, Service, run, service, unused_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POCKET = ("--model", "pocket", "--threads", "1", "--temperature", "0")
KEY = "a-key-of-more-than-16-letters"
TIMEOUT_S = 300.0


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with service(*POCKET, "--port", str(unused_port()), env={"PINNED_LLAMA_API_KEY": KEY}) as running:
        yield running


@pytest.fixture
def client(running: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{running.base}/v1", api_key=KEY, max_retries=0, timeout=TIMEOUT_S
    ) as client:
        yield client


def files() -> dict[str, bytes]:
    """The picture of the docs in other formats, and stored on its side."""
    found = {}
    with Image.open(PICTURE) as opened:
        picture = opened.convert("RGB")
    turned, exif = picture.transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6
    clear = picture.convert("RGBA")
    for name, image, more in (
        ("a.webp", picture, {"lossless": True}),
        ("b.tiff", picture, {}),
        ("c.bmp", picture, {}),
        ("d.png", turned, {"exif": exif}),
        ("e.png", clear, {}),
    ):
        out = BytesIO()
        image.save(out, {"webp": "WEBP", "tiff": "TIFF", "bmp": "BMP", "png": "PNG"}[name[2:]], **more)
        found[name] = out.getvalue()
    return found


def parts(data: bytes) -> list[dict[str, object]]:
    url = f"data:image/any;base64,{base64.b64encode(data).decode()}"
    return [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": QUESTION}]


def test_openai_s_client_asks_streams_and_reads_models(client: openai.OpenAI) -> None:
    message = {"role": "user", "content": parts(PICTURE.read_bytes())}
    asked = {"model": "pocket", "messages": [message], "max_completion_tokens": 20, "temperature": 0}
    whole = client.chat.completions.create(**asked)  # type: ignore[call-overload] # plain dicts
    assert whole.choices[0].message.content == ANSWER
    with client.chat.completions.create(**asked, stream=True) as stream:  # type: ignore[call-overload]
        assert "".join(piece.choices[0].delta.content or "" for piece in stream if piece.choices) == ANSWER
    several = client.chat.completions.create(**asked, n=2)  # type: ignore[call-overload]
    assert [choice.message.content for choice in several.choices] == [ANSWER] * 2
    assert client.models.retrieve("pocket").id == "pocket"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{**asked, "top_logprobs": 10**9})  # type: ignore[call-overload]
    assert caught.value.param == "top_logprobs"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="another").models.list()


def test_tools_and_a_schema_are_no_error(client: openai.OpenAI) -> None:
    tool = {
        "type": "function",
        "function": {"name": "look", "parameters": {"type": "object", "properties": {}}},
    }
    message = {"role": "user", "content": "What is 7 minus 5?"}
    asked = {"model": "pocket", "messages": [message], "max_tokens": 8, "temperature": 0}
    for more in ({"tools": [tool]}, {"response_format": {"type": "json_object"}}):
        answer = client.chat.completions.create(**asked, **more)  # type: ignore[call-overload]
        assert answer.choices[0].finish_reason


@pytest.mark.parametrize("name", sorted(files()))
def test_ask_and_the_api_answer_the_same_about_the_same_file(
    client: openai.OpenAI, running: Service, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(files()[name])
    message = {"role": "user", "content": parts(files()[name])}
    answer = client.chat.completions.create(model="pocket", messages=[message], temperature=0)  # type: ignore[list-item]
    asked = run("ask", "--url", running.base, "--image", path, QUESTION, env={"PINNED_LLAMA_API_KEY": KEY})
    assert (answer.choices[0].message.content, asked.stdout) == (ANSWER, f"{ANSWER}\n")


def test_while_an_image_is_encoded_and_clients_dawdle_everything_else_is_answered(running: Service) -> None:
    port = int(running.base.rpartition(":")[2])
    headers = {"Authorization": f"Bearer {KEY}"}
    out = BytesIO()
    Image.effect_noise((1300, 1300), 90).save(out, "PNG")
    part = parts(out.getvalue())
    part[0]["image_url"]["detail"] = "original"  # type: ignore[index]
    body = {"messages": [{"role": "user", "content": part}], "max_tokens": 1}
    ended = threading.Event()

    def work() -> None:
        requests.post(f"{running.base}/v1/chat/completions", json=body, headers=headers, timeout=TIMEOUT_S)
        ended.set()

    thread = threading.Thread(target=work)
    with ExitStack() as stack:
        for _ in range(64):
            one = stack.enter_context(closing(socket.create_connection(("127.0.0.1", port), TIMEOUT_S)))
            one.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n")
        thread.start()
        for path in ("/health", "/", "/props", "/v1/models"):
            answer = requests.get(running.base + path, headers=headers, timeout=TIMEOUT_S)
            assert answer.status_code == 200, path
        assert not ended.is_set(), "the image was encoded before the others were asked"
    thread.join()


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "x", "id_slot": 99999},
        {"prompt": "x", "n_probs": 10**9},
        {"prompt": "x", "grammar": "%llguidance {}"},
        {"prompt": "x", "grammar_lazy": True, "grammar_triggers": [{"type": 2, "value": "((("}]},
        {"messages": [{"role": "user", "content": 5}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        {"messages": [{"role": "nobody", "content": [{"type": "other"}]}]},
        {"messages": [], "tools": [{"type": "nothing"}]},
        {"prompt": {"prompt_string": "<__media__>", "multimodal_data": ["aGVsbG8="]}},
    ],
)
def test_a_client_s_mistake_is_a_4xx_and_the_server_lives(running: Service, body: dict[str, object]) -> None:
    path = "/v1/chat/completions" if "messages" in body else "/completion"
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = requests.post(running.base + path, json=body, headers=headers, timeout=TIMEOUT_S)
    assert 400 <= answer.status_code < 500, answer.text
    assert json.loads(answer.text)["error"]["message"]
    assert requests.get(f"{running.base}/health", timeout=TIMEOUT_S).status_code == 200
