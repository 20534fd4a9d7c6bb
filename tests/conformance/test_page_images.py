"""A telephone's photo in the page of `serve`, in a real browser, is sent and answered as `ask` sends it."""

from __future__ import annotations

import base64
import subprocess
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from recipes import bootstrap
from recipes.conformance.checks.browser import find_browser
from recipes.conformance.checks.web_page import ATTACHED, FIELD, FILES, _ask, _open, _read
from recipes.manifest.load import PROJECT
from recipes.serve.door.image_decode import Detail
from recipes.serve.image_input import read_image
from tests.support.llama_service import ANSWER, PICTURE, QUESTION, Service, run, service, unused_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

READY_S, ANSWER_S = 90.0, 120.0
NAME = "IMG_0001.HEIC"
# As a telephone writes one that was held upright: stored on its side, and turned by a property of the file.
MAKE = """
import sys
from PIL import Image
from tests.support.pictures import turned
sys.stdout.buffer.write(turned(Image.open(sys.argv[1]).convert("RGB"), "HEIF", 6))
"""
GIVE = """([kind, name, coded]) => {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(atob(coded), letter => letter.charCodeAt(0))], name));
    const target = document.querySelector("textarea, [contenteditable=true]");
    const options = {bubbles: true, cancelable: true, composed: true};
    target.dispatchEvent(kind === "drop" ? new DragEvent("drop", {...options, dataTransfer: data})
        : new ClipboardEvent("paste", {...options, clipboardData: data}));
}"""


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    python = bootstrap.environment_python("dev")  # which has an encoder
    argv = (python, "-P", "-s", "-c", MAKE, str(PICTURE))
    done = subprocess.run(
        argv, cwd=PROJECT, env=bootstrap.clean_environment(), capture_output=True, check=True
    )
    path = tmp_path_factory.mktemp("photo") / NAME
    path.write_bytes(done.stdout)
    return path


@pytest.fixture(scope="module")
def running(bundle: Path) -> Iterator[Service]:
    words = ("--bundle", bundle, "--threads", "1", "--port", str(unused_port()), "--temperature", "0")
    with service(*words, "--model", "pocket") as running:
        yield running


@pytest.fixture
def page(running: Service) -> Iterator[Page]:
    browser = find_browser()
    assert browser, "this test needs a browser: apt-get install chromium"
    with _open(browser, READY_S) as page:
        page.goto(running.base)
        page.locator(FIELD).first.wait_for()
        page.wait_for_load_state("networkidle")
        yield page


def give(page: Page, how: str, path: Path) -> None:
    data = path.read_bytes()
    if how == "choose":
        page.locator(FILES).first.set_input_files([{"name": path.name, "mimeType": "", "buffer": data}])
    else:
        page.evaluate(GIVE, [how, path.name, base64.b64encode(data).decode()])


@pytest.mark.parametrize("how", ["drop", "paste", "choose"])
def test_a_photo_is_answered_as_ask_answers_it(page: Page, running: Service, photo: Path, how: str) -> None:
    give(page, how, photo)
    page.locator(ATTACHED).first.wait_for()
    request, served = _ask(page, QUESTION, ANSWER_S)
    assert _read(page, served) == ANSWER
    content: Any = (request.post_data_json or {})["messages"][-1]["content"]
    (url,) = (part["image_url"]["url"] for part in content if part["type"] == "image_url")
    sent = base64.b64decode(url.removeprefix("data:image/png;base64,"))
    with Image.open(BytesIO(sent)) as shown, Image.open(BytesIO(read_image(photo, Detail.HIGH).png)) as asked:
        assert shown.tobytes() == asked.tobytes()
    answer = run("ask", "--url", running.base, "--image", photo, QUESTION)
    assert (answer.returncode, answer.stdout.strip()) == (0, ANSWER), answer.stderr


def test_what_is_no_image_is_refused_in_words(page: Page, tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"%PDF-1.7")
    give(page, "drop", path)
    page.get_by_text(f"{NAME}: a PDF").wait_for()
    assert not page.locator(ATTACHED).count()
