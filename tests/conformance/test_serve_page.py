"""The page of the session `serve`, in a real browser: an image is attached and the answer read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.conformance.checks.browser import find_browser
from recipes.conformance.checks.web_page import look_at_page
from recipes.conformance.results.outcome import CheckVerdict
from tests.support.llama_service import ANSWER, PICTURE, QUESTION, service, unused_port

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("text_only", [False, True])
def test_a_person_gets_an_answer_about_an_image_in_the_browser(
    bundle: Path, tmp_path: Path, *, text_only: bool
) -> None:
    browser = find_browser()
    assert browser, "this test needs a browser: apt-get install chromium"
    words = ("--bundle", bundle, "--threads", "1", "--port", str(unused_port()))
    with service(*words, *(["--text-only"] if text_only else []), "--model", "pocket") as running:
        shot = tmp_path / "page.png"
        outcome = look_at_page(
            running.base, PICTURE.read_bytes(), QUESTION, ANSWER, shot, browser, ready_s=90.0
        )
    expected = CheckVerdict.FAILED if text_only else CheckVerdict.PASSED
    assert outcome.verdict is expected, outcome
    assert shot.exists()
