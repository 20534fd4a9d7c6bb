"""The same file gives the model the same pixels by `ask`, by the API and by the page, or the same refusal."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from recipes.core.errors import PictureError
from recipes.serve.chat_client import Question, ask_server
from recipes.serve.door import page
from recipes.serve.door.image_decode import Detail
from recipes.serve.image_input import read_image
from tests.support.door_bench import DoorBench, Handler, open_door
from tests.support.pictures import NO_IMAGES, pictures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = pictures()
CHAT = "/v1/chat/completions"
STREAM = b'data: {"choices": [{"delta": {"content": "green"}}]}\n\ndata: [DONE]\n\n'
REFUSED = {*NO_IMAGES, "PNG-1x201", "PNG-2001x10", "PNG-too-large", "TIFF-32-bits", "TIFF-float"}
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorBench]:
    with open_door(tmp_path_factory.mktemp("door")) as bench:
        bench.behind.does[CHAT] = _answer
        yield bench


def _answer(handler: Handler) -> None:
    handler.answer(200, STREAM)


def pixels(bench: DoorBench) -> tuple[tuple[int, int], bytes]:
    """What the model was last sent."""
    (question,) = bench.behind.questions()
    bench.behind.asked.clear()
    parts = question.json["messages"][0]["content"]
    (url,) = (part["image_url"]["url"] for part in parts if part["type"] == "image_url")
    with Image.open(BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))) as image:
        assert image.mode == "RGB"
        return image.size, image.tobytes()


def about(data: bytes) -> dict[str, Any]:
    url = f"data:image/any;base64,{base64.b64encode(data).decode()}"
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}


def by_ask(bench: DoorBench, path: Path) -> object:
    try:
        image = read_image(path, Detail.HIGH)
    except PictureError as error:
        return error.found
    list(ask_server(bench.base, Question("what?", (image,), Detail.HIGH, 0.0), key=None))
    return pixels(bench)


def by_api(bench: DoorBench, data: bytes) -> object:
    answer = bench.post(about(data))
    if answer.status_code == 400:
        message: str = answer.json()["error"]["message"]
        return message.partition("': ")[2].partition("; what is read")[0]
    assert answer.status_code == 200
    return pixels(bench)


def by_page(bench: DoorBench, data: bytes) -> object:
    answer = bench.post(data, page.IMAGE, Content_Type=page.IMAGE_TYPE)
    if answer.status_code == 400:
        message: str = answer.json()["error"]["message"]
        return message.partition("; what is read")[0]
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
    assert bench.post(about(answer.content)).status_code == 200
    return pixels(bench)


def test_there_are_many_files() -> None:
    assert len(FILES) >= 120
    assert len(set(FILES.values())) == len(FILES)


@pytest.mark.parametrize("name", FILES)
def test_ask_the_api_and_the_page_agree(bench: DoorBench, tmp_path: Path, name: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(FILES[name])
    found = by_ask(bench, path)
    assert by_api(bench, FILES[name]) == found
    assert by_page(bench, FILES[name]) == found
    is_refused = isinstance(found, str)
    if name in REFUSED:
        assert is_refused
    elif "cut" not in name and "damaged" not in name:
        assert not is_refused, found
