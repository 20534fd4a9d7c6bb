"""Starts `serve` in front of a llama.cpp, so that what users run is attacked, and not the bare server."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from recipes import bootstrap
from recipes.core.process import Command, start
from recipes.serve.llamacpp.listen_address import LOOPBACK, free_port
from recipes.serve.llamacpp.server import Server, base_url, wait_for_health

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recipes.conformance.results.inputs import CheckInputs

STARTS_S = 120.0
MODEL = "pocket"


@contextmanager
def served(inputs: CheckInputs, store: Path) -> Iterator[Server]:
    """Run `serve` with the subject and the pocket model until the block ends; its process is that of the session.

    A ServerError is raised where it does not start.
    """
    port = free_port()
    log = inputs.work / f"serve-{port}.log"
    python = bootstrap.environment_python("run")
    words = ("-P", "-s", "-m", "recipes", "serve", "--bundle", str(inputs.subject.folder.absolute()))
    options = ("--model", MODEL, "--context", "4096", "--port", str(port), "--temperature", "0")
    environment = bootstrap.clean_environment() | {"PINNED_LLAMA_STORE": str(store)}
    with start(Command((python, *words, *options), inputs.work, environment), log) as process:
        server = Server(base_url(LOOPBACK, port), process, log)
        wait_for_health(server, STARTS_S)
        yield server
