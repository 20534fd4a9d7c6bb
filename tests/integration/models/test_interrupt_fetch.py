"""Ctrl-C in the middle of a model: it ends at once, although a connection hangs, and what came is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from recipes.core.digest import Sha256
from recipes.core.errors import INTERRUPTED
from recipes.fetch.download.piece_file import read_note
from recipes.manifest.load import PROJECT
from tests.support import http_server as servers
from tests.support.http_server import Server
from tests.support.model_project import ModelBench, manifest
from tests.support.signals import end_on_signals

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

LARGE = os.urandom(16 << 20)  # of pieces of 1 MiB, as the session has them


def test_ctrl_c_ends_it_at_once_and_keeps_what_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with Server() as hub, Server() as cdn:
        bench = ModelBench(tmp_path, hub, cdn)
        bench.pin(manifest(Sha256.of_bytes(LARGE), len(LARGE)))
        bench.serve(servers.stalls_after(5 << 20), data=LARGE)
        argv = (
            sys.executable,
            "-m",
            "recipes",
            "models",
            "fetch",
            "hub",
            "--project",
            str(bench.manifests.project),
        )
        environment = {
            **os.environ,
            "PINNED_LLAMA_STORE": str(tmp_path / "store"),
            "PINNED_LLAMA_HUB_URL": hub.base,
            "PINNED_LLAMA_TIMEOUT_S": "100000",
        }
        with subprocess.Popen(
            argv,
            cwd=PROJECT,
            env=environment,
            stderr=subprocess.PIPE,
            preexec_fn=end_on_signals,  # noqa: PLW1509 - it calls nothing that a thread may hold
        ) as process:
            while (note := read_note(bench.pieces)) is None or len(note.pieces) < 5:
                assert process.poll() is None
                threading.Event().wait(0.01)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            said = process.stderr.read().decode()
            assert process.wait() == INTERRUPTED
        assert said.splitlines()[-1].startswith("interrupted: ")
        before = len(bench.asked())
        bench.serve(data=LARGE)
        assert bench.fetcher().fetch(bench.manifests.model("hub"))[0].path.read_bytes() == LARGE
        assert before
