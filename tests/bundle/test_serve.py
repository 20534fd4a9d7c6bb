"""The sessions `serve` and `ask` with a real llama-server and the pocket model: run after `build`."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from recipes.core.errors import (
    INTERRUPTED,
    AddressError,
    AnswerError,
    ApiKeyError,
    PictureError,
    ServerEndedError,
)
from recipes.manifest.load import PROJECT
from recipes.serve.llamacpp.installation import SERVER
from tests.support.llama_service import (
    ANSWER,
    PICTURE,
    QUESTION,
    RECIPES,
    descendants,
    is_running,
    is_server,
    run,
    service,
    unused_port,
)
from tests.support.signals import end_on_signals

if TYPE_CHECKING:
    from collections.abc import Iterator

POCKET = ("--model", "pocket", "--threads", "1", "--temperature", "0")
KEY = "a-key-of-more-than-16-letters"
NOX = (sys.executable, "-m", "nox", "-f", str(PROJECT / "noxfile.py"), "-s", "serve", "--")
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def question(picture: bytes | None = None, kind: str = "png") -> dict[str, object]:
    parts: list[dict[str, object]] = [{"type": "text", "text": QUESTION}]
    if picture is not None:
        url = f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
        parts.insert(0, {"type": "image_url", "image_url": {"url": url}})
    return {"messages": [{"role": "user", "content": parts}]}


def ask(base: str, body: dict[str, object], **headers: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.post(f"{base}/v1/chat/completions", json=body, headers=headers, timeout=60)


def content(response: requests.Response) -> str:
    assert response.status_code == 200, response.text
    text: str = response.json()["choices"][0]["message"]["content"]
    return text


def test_a_picture_is_answered_through_the_api_and_by_the_curl_line_that_is_printed() -> None:
    with service(*POCKET, "--port", str(unused_port())) as running:
        answer = ask(running.base, question(PICTURE.read_bytes()))
        assert content(answer) == ANSWER
        assert answer.json()["model"] == "pocket"
        curl = "\n".join(line for line in running.lines if line.startswith(("curl", "{", "END")))
        done = subprocess.run(["bash", "-c", curl], cwd=PROJECT, capture_output=True, text=True, timeout=60)
        assert json.loads(done.stdout)["choices"][0]["message"]["content"] == ANSWER
        assert all(word in running.lines[0] for word in ("pocket, ", "with images", "4096"))
        assert "<!doctype html>" in requests.get(running.base, timeout=60).text.lower()


@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_is_passed_on_and_leaves_no_process(number: int) -> None:
    with service(*POCKET, "--port", str(unused_port())) as running:
        assert is_running(running.server_pid)
        code, _, err = running.end(number)
    assert (code, err.splitlines()[-1]) == (0, "ended")
    assert not is_running(running.server_pid)


@pytest.mark.parametrize("number", ENDINGS[1:])
def test_a_signal_to_nox_alone_leaves_no_process(number: int) -> None:
    with service(*POCKET, "--port", str(unused_port()), argv=NOX) as running:
        everything = descendants(running.process.pid)
        assert running.server_pid in everything
        code, _, _ = running.end(number)
    assert code == 0
    assert not [pid for pid in everything if is_running(pid)]


def test_ctrl_c_reaches_all_of_the_terminal_s_programs_and_leaves_no_process() -> None:
    with service(*POCKET, "--port", str(unused_port()), argv=NOX) as running:
        everything = descendants(running.process.pid)
        for pid in everything:
            if not is_server(pid):  # it is in a group of its own: the terminal does not reach it
                os.kill(pid, signal.SIGINT)
        code, _, _ = running.end(signal.SIGINT)
    assert code == 0
    assert not [pid for pid in everything if is_running(pid)]


def test_a_server_that_is_killed_is_told_with_its_log_s_last_lines() -> None:
    port = unused_port()
    with service(*POCKET, "--port", str(port)) as running:
        os.kill(running.server_pid, signal.SIGKILL)
        _, err = running.process.communicate(timeout=60)
    assert running.process.returncode == ServerEndedError.exit_code
    error = err[err.index("error:") :].splitlines()
    assert error[1].endswith(f"/bin/{SERVER}")
    assert "signal 9" in error[3]
    assert error[3].endswith(f"serve-{port}.log:")
    log = Path(error[3].split()[-1].removesuffix(":")).read_text("utf-8", errors="replace")
    last = log.splitlines()[-1].strip()
    assert last
    assert last in "\n".join(error[4:])
    assert "dmesg" in error[-2]
    assert "--text-only" in error[-1]


def test_a_second_server_does_not_share_the_port_of_the_first() -> None:
    port = unused_port()
    with service(*POCKET, "--port", str(port)):
        second = run("serve", *POCKET, "--port", str(port))
        everywhere = run(
            "serve",
            *POCKET,
            *("--port", str(port), "--host", "0.0.0.0"),  # noqa: S104 - it never listens
            env={"PINNED_LLAMA_API_KEY": KEY},
        )
    assert second.returncode == everywhere.returncode == AddressError.exit_code
    assert f"where:    127.0.0.1 port {port}\n" in second.stderr
    assert "the port is in use" in second.stderr


def test_without_the_projector_pictures_are_refused_and_the_memory_that_saves_is_said() -> None:
    with service(*POCKET, "--port", str(unused_port()), "--text-only") as running:
        answer = ask(running.base, question(PICTURE.read_bytes()))
        assert answer.status_code >= 400
        assert "image input is not supported" in answer.text
        assert content(ask(running.base, question()))
        asked = run("ask", "--url", running.base, "--image", PICTURE, QUESTION)
        assert not [
            word
            for word in Path(f"/proc/{running.server_pid}/cmdline").read_bytes().split(b"\0")
            if b"mmproj" in word
        ]
        _, _, err = running.end(signal.SIGTERM)
    assert "projector is not loaded" in err
    assert " instead of " in err
    assert asked.returncode == AnswerError.exit_code
    assert "without --text-only\n" in asked.stderr


@pytest.mark.parametrize("source", ["variable", "file"])
def test_with_a_key_only_who_shows_it_is_answered_and_no_command_line_has_it(
    source: str, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(f"{KEY}\n", encoding="ascii")
    words = ("--api-key-file", str(file)) if source == "file" else ()
    env = {"PINNED_LLAMA_API_KEY": KEY} if source == "variable" else {}
    where = ("--port", str(unused_port()), "--host", "127.0.0.1")
    with service(*POCKET, *where, *words, env=env) as running:
        assert ask(running.base, question()).status_code == 401
        assert (
            content(ask(running.base, question(PICTURE.read_bytes()), Authorization=f"Bearer {KEY}"))
            == ANSWER
        )
        for pid in (running.process.pid, running.server_pid):
            assert KEY.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        curl = "\n".join(line for line in running.lines if line.startswith(("curl", "{", "END")))
        done = subprocess.run(
            ["bash", "-c", curl],
            cwd=PROJECT,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert json.loads(done.stdout)["choices"][0]["message"]["content"] == ANSWER, done
        with_key = run("ask", "--url", running.base, *words, "--image", PICTURE, QUESTION, env=env)
        without = run("ask", "--url", running.base, QUESTION)
        _, out, err = running.end(signal.SIGTERM)
    assert with_key.stdout == f"{ANSWER}\n"
    assert without.returncode == ApiKeyError.exit_code
    assert KEY not in "\n".join((*running.lines, out, err, with_key.stderr))


def test_a_question_is_answered_in_the_terminal_by_a_server_of_its_own_that_is_gone_then(
    tmp_path: Path,
) -> None:
    done = run("ask", *POCKET, "--image", PICTURE, QUESTION, env={"TMPDIR": str(tmp_path)})
    assert (done.returncode, done.stdout) == (0, f"{ANSWER}\n")
    assert not list(tmp_path.iterdir())
    assert not [pid for pid, folder in working_folders() if folder.is_relative_to(tmp_path)]


def working_folders() -> Iterator[tuple[int, Path]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it is gone, or another user's
                yield int(entry.name), (entry / "cwd").readlink()


def test_the_server_of_a_question_that_is_interrupted_is_gone(tmp_path: Path) -> None:
    # an answer that takes long: the picture has 2,116 tokens
    ppm = tmp_path / "large.bmp"
    ppm.write_bytes(large_bmp(1472))
    words = ("ask", *POCKET, "--image", str(ppm), QUESTION)
    with subprocess.Popen(
        (*RECIPES, *words),
        cwd=PROJECT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=end_on_signals,  # noqa: PLW1509 - the tests run no thread
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("loading"):
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED, err
    assert not [pid for pid, folder in working_folders() if folder.is_relative_to(tmp_path)]


def large_bmp(side: int) -> bytes:
    head = struct.pack("<2sIHHI", b"BM", 54 + 3 * side * side, 0, 0, 54)
    return (
        head + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(3 * side * side)
    )


def test_a_question_goes_to_a_server_that_runs() -> None:
    with service(*POCKET, "--port", str(unused_port())) as running:
        done = run("ask", "--url", f"{running.base}/", "--image", PICTURE, QUESTION)
    assert (done.returncode, done.stdout) == (0, f"{ANSWER}\n")


def test_two_pictures_are_sent_in_order() -> None:
    done = run("ask", *POCKET, "--image", PICTURE, "--image", PICTURE, QUESTION)
    assert done.returncode == 0
    assert done.stdout.strip()


def test_a_question_without_a_picture_needs_no_projector() -> None:
    done = run("ask", *POCKET, "What is 7 minus 5?")
    assert (done.returncode, done.stdout) == (0, "2\n")


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(PICTURE.read_bytes()[:60] + b"x" * 40 + b"IEND")
    done = run("ask", *POCKET, "--image", bad, QUESTION)
    assert done.returncode == PictureError.exit_code
    assert "bad.png" in done.stderr
    assert "damaged or truncated PNG" in done.stderr


def test_nothing_named_and_nothing_fetched_is_the_pocket_model_and_says_so(tmp_path: Path) -> None:
    store = tmp_path / "store" / "v1"
    (store / "entries").mkdir(parents=True)
    missing = run("ask", "--image", PICTURE, QUESTION, env={"PINNED_LLAMA_STORE": str(store.parent)})
    assert missing.returncode == 27
    done = run("ask", "--threads", "1", "--image", PICTURE, QUESTION)
    assert done.stdout == f"{ANSWER}\n"
    assert re.search(
        r"qwen3-vl-\S+ is not fetched", done.stderr
    )  # which one depends on this machine's memory
    assert "using pocket" in done.stderr
