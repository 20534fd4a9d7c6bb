"""A clip that another program made, of a square that moves, is answered by `ask`, by the page and by the API alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from recipes.conformance.checks.browser import find_browser
from recipes.conformance.checks.web_page import FIELD, FILES, _ask, _open, _read
from tests.support.llama_service import Service, run, service, unused_port
from tests.support.videos import by_ffmpeg

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READY_S, ANSWER_S = 90.0, 120.0
QUESTION = "Which way does the square move?"
# where a square of 22 pixels is after t seconds, in a frame of 96 by 96
WAYS = {
    "right": "x='4+33*t':y=38",
    "left": "x='70-33*t':y=38",
    "down": "x=38:y='4+33*t'",
    "up": "x=38:y='70-33*t'",
}
KINDS = {
    "clip.mp4": ("-pix_fmt", "yuv420p"),
    "clip.webm": ("-c:v", "libvpx-vp9"),
    "clip.mov": ("-c:v", "mjpeg"),
}


def moving(folder: Path, name: str, way: str) -> Path:
    """Return a clip of two seconds."""
    square = (
        "-f",
        "lavfi",
        "-i",
        "color=0xd72828:s=22x22:r=30:d=2",
        "-filter_complex",
        f"overlay={WAYS[way]}",
    )
    return by_ffmpeg(folder, name, *square, *KINDS[name], source="color=0xe8e8e8:s=96x96:r=30:d=2")


@pytest.fixture(scope="module")
def running(bundle: Path) -> Iterator[Service]:
    words = ("--bundle", bundle, "--threads", "1", "--port", str(unused_port()), "--temperature", "0")
    with service(*words, "--model", "pocket") as running:
        yield running


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", KINDS)
def test_ask_says_which_way(running: Service, tmp_path: Path, name: str, way: str) -> None:
    answer = run("ask", "--url", running.base, "--video", moving(tmp_path, name, way), QUESTION)
    assert (answer.returncode, answer.stdout.strip()) == (0, way), answer.stderr
    assert "60 frames" in answer.stderr
    assert "4 frames of 96x96" in answer.stderr


def test_frames_take_as_many_bytes_as_they_have(running: Service, tmp_path: Path) -> None:
    """Noise does not shrink: these frames have more bytes than all texts of a request may have."""
    noise = "color=gray:s=1920x1080:r=4:d=4,noise=alls=100:allf=t"
    clip = by_ffmpeg(tmp_path, "clip.mp4", "-pix_fmt", "yuv420p", "-crf", "10", source=noise)
    answer = run("ask", "--url", running.base, "--fps", "4", "--video", clip, QUESTION)
    assert answer.returncode == 0, answer.stderr
    assert "16 frames of" in answer.stderr
    assert answer.stdout.strip()


def test_a_person_gets_the_same_answer_in_the_browser(running: Service, tmp_path: Path) -> None:
    browser = find_browser()
    assert browser, "this test needs a browser: apt-get install chromium"
    clip = moving(tmp_path, "clip.mp4", "up")
    with _open(browser, READY_S) as page:
        page.goto(running.base)
        page.locator(FIELD).first.wait_for()
        page.wait_for_load_state("networkidle")
        given = {"name": clip.name, "mimeType": "video/mp4", "buffer": clip.read_bytes()}
        page.locator(FILES).first.set_input_files([given])
        page.get_by_text(clip.name).first.wait_for()
        request, served = _ask(page, QUESTION, ANSWER_S)
        assert _read(page, served) == "up"
    content: Any = (request.post_data_json or {})["messages"][-1]["content"]
    assert [part["type"] for part in content].count("input_video") == 1
