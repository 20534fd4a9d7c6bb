from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.conformance.checks.browser import find_browser
from recipes.core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def make_program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_chromium_is_taken_before_chrome_and_the_variable_before_both(tmp_path: Path) -> None:
    assert find_browser({"PATH": str(tmp_path)}, "linux") is None
    chrome = make_program(tmp_path / "google-chrome")
    assert find_browser({"PATH": str(tmp_path)}, "linux") == chrome
    chromium = make_program(tmp_path / "chromium")
    assert find_browser({"PATH": str(tmp_path)}, "linux") == chromium

    mine = make_program(tmp_path / "mine" / "browser")
    assert find_browser({"PATH": str(tmp_path), "PINNED_LLAMA_BROWSER": str(mine)}, "linux") == mine


def test_a_variable_that_names_no_program_is_refused(tmp_path: Path) -> None:
    make_program(tmp_path / "chromium")
    with pytest.raises(UsageError) as caught:
        find_browser({"PATH": str(tmp_path), "PINNED_LLAMA_BROWSER": "/nowhere/chromium"}, "linux")
    assert "PINNED_LLAMA_BROWSER" in caught.value.where
    assert caught.value.found == "/nowhere/chromium"


def test_an_application_of_macos_is_found_there_only(tmp_path: Path) -> None:
    application = make_program(tmp_path / "Applications/Chromium.app/Contents/MacOS/Chromium")
    environ = {"PATH": "", "HOME": str(tmp_path)}
    assert find_browser(environ, "darwin") == application
    assert find_browser(environ, "linux") is None
