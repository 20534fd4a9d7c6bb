"""Who waits for a model's server that starts: with a server that does not, in one event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from recipes.serve.door.address import Address
from recipes.serve.door.model_servers import ModelServers
from recipes.serve.door.refusal import RefusedError
from recipes.serve.door.waiting import MOST_WAITING, Waiting

if TYPE_CHECKING:
    from pathlib import Path


class Dying:
    """A server that ends with status 3 when the test says so; the default one of two runs for ever."""

    start_s = 60.0

    def __init__(self, folder: Path, model: str, status: int | None) -> None:
        self.model, self.status = model, status
        self.address = Address(folder / model)  # where nobody listens
        self.starts = 0
        self.started = asyncio.Event()

    def start(self) -> None:
        self.starts, self.status = self.starts + 1, None
        self.started.set()

    def is_alive(self) -> bool:
        return self.status is None

    def end(self) -> None:
        self.status = self.status or 0


async def ask(servers: ModelServers, model: str) -> str:
    try:
        async with servers.asked(model):
            return "asked"
    except RefusedError as error:
        return f"{error.status} {error.message}"


async def steps() -> None:
    """Let everything go as far as it goes without the network or a clock."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("one_at_a_time", [False, True])
def test_all_that_waited_for_a_start_that_failed_are_told_and_it_is_not_repeated_for_each(
    tmp_path: Path, *, one_at_a_time: bool
) -> None:
    async def main() -> None:
        default, second = Dying(tmp_path, "default", None), Dying(tmp_path, "second", 0)
        servers = ModelServers((default, second), Waiting(), working=8, one_at_a_time=one_at_a_time)
        servers.default.upstream.is_ready = True
        asking = [asyncio.create_task(ask(servers, "second")) for _ in range(MOST_WAITING)]
        await steps()
        assert await ask(servers, "second") == f"503 {MOST_WAITING} requests wait already: try again"
        await second.started.wait()
        second.status = 3
        said = "503 'second' did not start: exit status 3; the log of its server says more"
        assert await asyncio.gather(*asking) == [said] * MOST_WAITING
        assert second.starts == 1
        second.started.clear()
        again = asyncio.create_task(ask(servers, "second"))  # who asks later tries it again
        await second.started.wait()
        second.status = 3
        assert await again == said
        await servers.close()

    asyncio.run(main())


@pytest.mark.parametrize("one_at_a_time", [False, True])
def test_who_goes_away_while_it_loads_leaves_it_to_the_next_one_and_holds_it_no_more(
    tmp_path: Path, *, one_at_a_time: bool
) -> None:
    async def main() -> None:
        default, second = Dying(tmp_path, "default", None), Dying(tmp_path, "second", 0)
        servers = ModelServers((default, second), Waiting(), working=8, one_at_a_time=one_at_a_time)
        servers.default.upstream.is_ready = True
        gone = asyncio.create_task(ask(servers, "second"))
        await second.started.wait()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert second.is_alive()
        asking = asyncio.create_task(ask(servers, "second"))
        await steps()
        servers.named("second").upstream.is_ready = True
        assert await asking == "asked"
        assert second.starts == 1
        async with asyncio.timeout(60):
            await servers.named("second").end()  # it would wait for who asks it
        await servers.close()

    asyncio.run(main())


def test_nothing_is_started_or_ended_before_the_default_one_was_healthy(tmp_path: Path) -> None:
    async def main() -> None:
        default, second = Dying(tmp_path, "default", None), Dying(tmp_path, "second", 0)
        servers = ModelServers((default, second), Waiting(), working=8, one_at_a_time=True)
        assert await ask(servers, "second") == await ask(servers, "default") == "503 Loading model"
        assert (second.starts, default.status) == (0, None)
        await servers.close()

    asyncio.run(main())


def test_the_only_one_is_asked_whatever_it_does(tmp_path: Path) -> None:
    async def main() -> None:
        only = Dying(tmp_path, "only", 3)
        servers = ModelServers((only,), Waiting(), working=8, one_at_a_time=False)
        assert await ask(servers, "another") == "asked"
        assert only.starts == 0
        await servers.close()

    asyncio.run(main())
