"""Servers that run are known: `serve -- --list`, `--stop`, and `ask` asks one instead of starting another."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from recipes.manifest.load import PROJECT
from recipes.serve.llamacpp.listen_address import free_port
from recipes.store.store import Store
from tests.support.fake_llama_server import tell, write_server
from tests.support.gguf_drafts import MMPROJ, MODEL
from tests.support.llama_service import is_running
from tests.support.model_manifests import BARE, a_project, hub_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE = PROJECT / "docs" / "assets" / "shapes.png"
KEY = "a-key-of-more-than-16-letters"
GREEN = 'data: {"choices": [{"delta": {"content": "green"}}]}\n\ndata: [DONE]\n\n'
WAIT_S = 120.0
pytestmark = pytest.mark.timeout(400)


class Machine:
    """A user's store, project and llama.cpp."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store.open(folder / "store")
        hub = hub_with(MODEL, MMPROJ)
        a_project(folder / "project", hub=hub, other=hub.replace("name: hub", "name: other"), bare=BARE)
        for data in (MODEL, MMPROJ):
            from recipes.core.digest import Sha256

            path = self.store.blob_path(Sha256.of_bytes(data))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        self.bundle = folder / "bundle"
        self.bundle.mkdir()
        write_server(self.bundle)
        tell(self.bundle, says=GREEN)
        self.env = {**os.environ, "PINNED_LLAMA_STORE": str(folder / "store")}
        self.env.pop("PINNED_LLAMA_API_KEY", None)
        self.env["PINNED_LLAMA_PERMIT"] = "images"  # what is known against the recipe of the fixture

    def argv(self, session: str, *words: str) -> list[str]:
        return [sys.executable, "-m", "recipes", session, "--project", str(self.folder / "project"), *words]

    def run(self, session: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(session, *words),
            cwd=PROJECT,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
        )

    @contextmanager
    def serving(self, port: int, *words: str, **env: str) -> Iterator[subprocess.Popen[str]]:
        argv = self.argv("serve", "--model", "hub", "--bundle", str(self.bundle), "--port", str(port), *words)
        with subprocess.Popen(
            argv,
            cwd=PROJECT,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            self.said = []
            for line in process.stdout:
                self.said.append(line)
                if line.startswith("Ctrl-C"):
                    break
            try:
                yield process
            finally:
                process.terminate()
                process.communicate(timeout=WAIT_S)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_it_is_listed_asked_and_stopped(machine: Machine) -> None:
    port = free_port()
    assert machine.run("serve", "--list").stdout == "no server runs\n"
    refused = machine.run("serve", "--stop")
    assert (refused.returncode, "none" in refused.stderr) == (2, True)
    with machine.serving(port) as process:
        listed = machine.run("serve", "--list").stdout
        assert listed.startswith(f"http://127.0.0.1:{port}  hub, with images  ")
        assert listed.endswith(f"process {process.pid}\n")
        asked = machine.run("ask", "--image", str(IMAGE), "what?")
        assert (asked.returncode, asked.stdout) == (0, "green\n"), asked.stderr
        assert f"http://127.0.0.1:{port}" in asked.stderr
        other = machine.run("serve", "--stop", "1")
        assert (other.returncode, str(port) in other.stderr) == (2, True)
        assert machine.run("serve", "--stop", str(port)).stdout == f"stopped http://127.0.0.1:{port}\n"
        assert process.wait(WAIT_S) == 128 + signal.SIGTERM
    assert machine.run("serve", "--list").stdout == "no server runs\n"


def test_one_that_was_killed_is_not_listed(machine: Machine) -> None:
    with machine.serving(free_port()) as process:
        process.kill()
        process.wait(WAIT_S)
        assert machine.run("serve", "--list").stdout == "no server runs\n"


def test_one_with_a_key_is_asked_only_with_it_and_its_key_is_written_nowhere(machine: Machine) -> None:
    with machine.serving(free_port(), PINNED_LLAMA_API_KEY=KEY):
        asked = machine.run("ask", "what?", PINNED_LLAMA_API_KEY=KEY)
        assert (asked.returncode, asked.stdout) == (0, "green\n"), asked.stderr
        written = [path.read_bytes() for path in (machine.store.root / "running").iterdir()]
        assert any(b"127.0.0.1" in data for data in written)
        assert not any(KEY.encode() in data for data in written)
        # without the key another server is started, for which a bundle is missing here
        assert machine.run("ask", "--model", "hub", "what?").returncode == 27


def test_one_with_another_model_or_without_images_is_not_asked(machine: Machine) -> None:
    with machine.serving(free_port(), "--text-only"):
        assert machine.run("ask", "what?").stdout == "green\n"
        assert machine.run("ask", "--image", str(IMAGE), "what?").returncode != 0
        assert machine.run("ask", "--model", "bare", "what?").returncode == 27


def test_several_models_are_served_at_one_address_listed_asked_and_stopped_together(machine: Machine) -> None:
    port = free_port()
    with machine.serving(port, "--model", "other", "--model", "hub") as process:
        assert [line.split()[1] for line in machine.said if line.startswith("model:")] == ["hub,", "other,"]
        assert sum(line.startswith("log:") for line in machine.said) == 2
        listed = machine.run("serve", "--list").stdout
        assert listed.startswith(f"http://127.0.0.1:{port}  hub, with images; other, with images  ")
        for words, name in ((("--model", "other"), "other"), ((), "hub")):
            asked = machine.run("ask", *words, "--image", str(IMAGE), "what?")
            assert (asked.returncode, asked.stdout) == (0, "green\n"), asked.stderr
            assert f"asking {name} at http://127.0.0.1:{port}" in asked.stderr
            question = json.loads((machine.bundle / f"asked-{name}.json").read_text(encoding="utf-8"))
            assert question.get("model") == (name if words else None)
        starts = (machine.bundle / "starts.txt").read_text(encoding="utf-8").split()
        assert starts == ["hub", "other"]
        servers = servers_of(process.pid)
        assert len(servers) == 2
        assert machine.run("serve", "--stop").stdout == f"stopped http://127.0.0.1:{port}\n"
        assert not any(map(is_running, servers))
        assert process.wait(WAIT_S) == 0
    assert machine.run("serve", "--list").stdout == "no server runs\n"


def test_several_models_end_with_ctrl_c_and_when_serve_is_killed(machine: Machine) -> None:
    for number, status in ((signal.SIGINT, 0), (signal.SIGKILL, -signal.SIGKILL)):
        with machine.serving(free_port(), "--model", "other") as process:
            assert machine.run("ask", "--model", "other", "what?").stdout == "green\n"
            servers = servers_of(process.pid)
            assert len(servers) == 2
            process.send_signal(number)
            assert process.wait(WAIT_S) == status
            deadline = time.monotonic() + WAIT_S
            while any(map(is_running, servers)):  # the kernel ends them
                assert time.monotonic() < deadline


def servers_of(pid: int) -> list[int]:
    """The servers that a session started, by whichever of its threads."""
    found = psutil.Process(pid).children(recursive=True)
    return [one.pid for one in found if any(word.endswith("/llama-server") for word in one.cmdline())]


class Terminal:
    """A person at a terminal, in which a program runs."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            os.chdir(PROJECT)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # what runs the tests may ignore it
            os.execve(argv[0], argv, {**env, "TERM": "dumb"})  # noqa: S606 - no shell
        self.shown = ""

    def wait_for(self, text: str, key: str = "") -> None:
        """Wait until it shows a text, and forget what came before its end; press a key, again after a second."""
        deadline = time.monotonic() + WAIT_S
        self.type(key)
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if select.select([self._end], [], [], 1.0)[0]:
                self.shown += os.read(self._end, 4096).decode("utf-8", "replace")
            else:
                self.type(key)
        self.shown = self.shown.partition(text)[2]

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def status(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_without_a_question_it_is_a_conversation_in_the_terminal(machine: Machine) -> None:
    with machine.serving(free_port()):
        terminal = Terminal(machine.argv("ask"), machine.env)
        terminal.wait_for("> ")
        terminal.type(f"/image {IMAGE}\n")
        terminal.wait_for("shapes.png\r\n> ")
        terminal.type("what colour?\n")
        terminal.wait_for("\ngreen\r\n> ")
        # more than once: a signal between input()'s prompt and its wait for a key is seen at the next key only
        terminal.wait_for("/quit leaves", key="\x03")
        terminal.wait_for("> ")
        terminal.type("and?\n")
        terminal.wait_for("\ngreen\r\n> ")
        asked = json.loads((machine.bundle / "asked.json").read_text(encoding="utf-8"))
        assert [message["role"] for message in asked["messages"]] == ["user", "assistant", "user"]
        terminal.type("/quit\n")
        assert terminal.status() == 0
    assert "what colour?" in (machine.store.root / "ask_history").read_text(encoding="utf-8")
    assert (machine.store.root / "ask_history").stat().st_mode & 0o077 == 0
