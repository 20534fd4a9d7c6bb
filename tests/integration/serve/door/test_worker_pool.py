"""Bodies are treated in processes that can be ended; the next body gets another one."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
from io import BytesIO
from typing import TYPE_CHECKING

import psutil
import pytest
from PIL import Image

from recipes.serve.door import worker, worker_pool
from recipes.serve.door.refusal import RefusedError
from recipes.serve.door.treatment import BodyRules, treat
from recipes.serve.door.worker_pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RULES = BodyRules()
PATH = "/v1/chat/completions"


def body(side: int = 50) -> bytes:
    out = BytesIO()
    Image.effect_noise((side, side), 80).save(out, "BMP")
    url = f"data:x/y;base64,{base64.b64encode(out.getvalue()).decode()}"
    part = {"type": "image_url", "image_url": {"url": url}}
    return json.dumps({"messages": [{"role": "user", "content": [part]}], "n": 2, "seed": 5}).encode()


def with_pool(work: Callable[[WorkerPool], Awaitable[None]], treat_s: float = 60.0) -> None:
    async def run() -> None:
        pool = WorkerPool(treat_s=treat_s)
        try:
            await work(pool)
        finally:
            pool.close()
            assert not workers()

    asyncio.run(run())


def workers() -> list[int]:
    mine = psutil.Process().children()
    return [one.pid for one in mine if worker.__name__ in one.cmdline()]


def test_a_worker_gives_what_this_process_would() -> None:
    asked = body()

    async def work(pool: WorkerPool) -> None:
        for _ in range(3):
            assert await pool.treat(asked, PATH, RULES) == treat(asked, PATH, RULES)
            with pytest.raises(RefusedError) as caught:
                await pool.treat(b'{"n_probs": 1e9}', PATH, RULES)
            assert (caught.value.status, caught.value.param) == (400, "n_probs")
        assert len(workers()) == 1

    with_pool(work)


def test_what_computes_too_long_is_ended_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "LOOK_S", 0.001)

    async def work(pool: WorkerPool) -> None:
        with pytest.raises(RefusedError) as caught:
            await pool.treat(body(4000), PATH, RULES)
        assert caught.value.status == 400
        assert not workers()

    with_pool(work, treat_s=0.0)


def test_a_worker_that_dies_takes_one_request_with_it() -> None:
    async def work(pool: WorkerPool) -> None:
        await pool.treat(body(), PATH, RULES)  # a worker that has only been started has no name yet
        os.kill(workers()[0], signal.SIGKILL)
        with pytest.raises(RefusedError):
            await pool.treat(body(), PATH, RULES)
        assert (await pool.treat(body(), PATH, RULES)).answers == 2

    with_pool(work)


def test_who_goes_away_ends_the_worker_that_works_for_them() -> None:
    async def work(pool: WorkerPool) -> None:
        await pool.treat(body(), PATH, RULES)
        first = workers()
        asking = asyncio.create_task(pool.treat(body(3000), PATH, RULES))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await pool.treat(body(), PATH, RULES)).answers == 2
        assert first != workers()

    with_pool(work)
