"""The log: steps with their arguments, in a file of the owner's and with --verbose on standard error; no secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from recipes.core import log
from recipes.core.console import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "a-token-of-the-hub"


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    log.stop()


def written(folder: Path) -> str:
    return (folder / log.FILE).read_text("utf-8")


def test_a_step_has_time_level_number_and_arguments(tmp_path: Path) -> None:
    log.start({}, is_verbose=False)
    log.step(3, 7, "patch", recipe="b6751", patches=16)  # also what comes before the folder is known
    log.write_to(tmp_path)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT[\d:.]+Z \d+ INFO +step 3/7.*\(recipe=b6751, patches=16\)\n",
        written(tmp_path),
    )
    assert (tmp_path / log.FILE).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("verbose", ["", "--verbose"])
def test_standard_error_gets_it_with_verbose_only_and_never_an_error_twice(
    verbose: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.start({}, is_verbose=bool(verbose))
    log.write_to(tmp_path)
    log.step(1, 2, "fetch")
    log.LOGGER.error("which is printed anyway")
    err = capsys.readouterr().err
    assert ("step 1/2: fetch" in err) is bool(verbose)
    assert "anyway" not in err
    assert "anyway" in written(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        TOKEN,
        f"Authorization: Bearer {TOKEN}",
        f"https://user:{TOKEN}@hub.example/x",
        f"https://hub.example/x?sig={TOKEN}&expires=1",
        f"error in {TOKEN!r}\nsecond line {TOKEN}",
    ],
)
@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "PINNED_LLAMA_API_KEY", "AWS_SECRET_ACCESS_KEY", "MY_PASSWORD", None]
)
def test_no_secret_reaches_it(
    text: str, name: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.start({name: TOKEN, "PATH": "/bin"} if name else {}, is_verbose=True)
    log.write_to(tmp_path)
    if name is None:
        log.hide(f" {TOKEN}\n")
    log.step(1, 1, "ask", address=text)
    log.LoggedConsole(Silent()).warn(text)
    log.LOGGER.error("%s", text)
    assert TOKEN not in written(tmp_path)
    assert TOKEN not in capsys.readouterr().err
    assert log.HIDDEN in written(tmp_path)


def test_what_looks_like_a_secret_is_hidden_though_nobody_named_it() -> None:
    text = "Bearer abc.def, hf_abcdefghij, http://me:pw@proxy:1/, https://cdn/x?X-Signature=ab"
    assert log.redact(text) == "Bearer ***, ***, http://***@proxy:1/, https://cdn/x?***"
    assert log.redact("step 3/7: patch (recipe=b6751)") == "step 3/7: patch (recipe=b6751)"


def test_a_secret_ends_with_its_command(tmp_path: Path) -> None:
    log.start({"HF_TOKEN": TOKEN}, is_verbose=False)
    log.start({}, is_verbose=False)
    log.write_to(tmp_path)
    log.step(1, 1, TOKEN)
    assert TOKEN in written(tmp_path)


def test_a_folder_that_cannot_be_written_to_is_no_reason_to_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.start({}, is_verbose=False)
    log.write_to(tmp_path / "none")
    log.step(1, 1, "fetch")
    assert capsys.readouterr().err == ""


def test_a_long_file_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / log.FILE).write_text("x" * (log.LIMIT_BYTES + 1))
    log.start({}, is_verbose=False)
    log.write_to(tmp_path)
    log.step(1, 1, "fetch")
    assert written(tmp_path).endswith("step 1/1: fetch\n")
    assert (tmp_path / f"{log.FILE}.1").stat().st_size == log.LIMIT_BYTES + 1


def test_a_task_is_logged_at_its_start_and_end(tmp_path: Path) -> None:
    log.start({}, is_verbose=False)
    log.write_to(tmp_path)
    with log.LoggedConsole(Silent()).task("fetch ninja", 7):
        pass
    assert re.search(r"fetch ninja \(7 B\)\n.*done", written(tmp_path))
