from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from recipes import bootstrap
from recipes.core.process import Command, start
from recipes.manifest.load import PROJECT
from recipes.serve.api_key import KEY_VARIABLE
from recipes.serve.llamacpp.listen_address import LOOPBACK, free_port
from recipes.serve.llamacpp.server import Server, base_url, wait_for_health

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE = PROJECT / "docs" / "assets" / "shapes.png"
STARTS_S = 300.0  # on a busy machine


@dataclass(frozen=True)
class Service:
    """What a client is told: where to ask, the key, the model's name, and a question about an image with its answer."""

    base: str
    key: str = "a-key-of-more-than-16-letters"
    model: str = "pocket"
    question: str = "What colour is the ring?"
    answer: str = "green"
    image: bytes = IMAGE.read_bytes()

    @property
    def url(self) -> str:
        return f"{self.base}/v1"

    @property
    def image_base64(self) -> str:
        return base64.b64encode(self.image).decode()

    @property
    def data_url(self) -> str:
        return f"data:image/png;base64,{self.image_base64}"


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The session `serve` on the pocket model, as users run it; it needs a bundle that is built."""
    folder, port = tmp_path_factory.mktemp("serve"), free_port()
    told = Service(base_url(LOOPBACK, port))
    python = bootstrap.environment_python("run")
    words: tuple[str, ...] = (
        "-P",
        "-s",
        "-m",
        "recipes",
        "serve",
        "--model",
        told.model,
        "--threads",
        "1",
        "--port",
        str(port),
    )
    if other := os.environ.get("PINNED_LLAMA_TEST_BUNDLE"):  # another llama.cpp than the default recipe's
        words += ("--bundle", other)
    environment = bootstrap.clean_environment() | {KEY_VARIABLE: told.key}
    command = Command((python, *words), folder, environment)
    with start(command, folder / "serve.log") as process:
        wait_for_health(Server(told.base, process, folder / "serve.log"), STARTS_S)
        yield told
