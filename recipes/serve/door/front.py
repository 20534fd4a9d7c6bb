"""Answers each request at the door: judged before its body is read, its body treated, then passed on and back.

1. Host, Origin, key, method and content type are judged by the headers alone.
2. The body is read: at most so many bytes, and none that dawdle.
3. It is parsed, judged and its images prepared; large ones in a worker process.
4. It waits for its turn: the server never has so many requests that it cannot say how it is.
5. The answer is passed back as it comes; who goes away ends the request.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

import aiohttp
from aiohttp import web

from recipes.core.log import LOGGER
from recipes.serve.door import page, refusal
from recipes.serve.door.admission import HEALTH, admit, demand_key, is_open
from recipes.serve.door.answers import (
    GUARDS,
    JSON_TYPE,
    METHODS,
    json_answer,
    notes_header,
    preflight,
    readable_by,
)
from recipes.serve.door.body_reader import BodyReader
from recipes.serve.door.refusal import RefusedError, error_body
from recipes.serve.door.several_answers import merged, with_seed
from recipes.serve.door.treatment import Treated, finish, judge
from recipes.serve.door.upstream import Upstream, passed_back, passed_on, read_error
from recipes.serve.door.upstream_errors import restated
from recipes.serve.door.url_images import fetch_image
from recipes.serve.door.worker_pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from recipes.serve.door.connections import BoundedServer
    from recipes.serve.door.options import DoorOptions

SMALL = 1 << 16  # bytes: a body without images of at most so many is treated at once
DRAIN_S = 60.0  # how long a client may read nothing
LOOKING = 4  # requests that it has at a time for what it answers between two steps of its work
WAITING = 64  # requests that wait; more are told to come back
SLOW_LOOKS = ("/slots", "/metrics", "/lora-adapters")
MOST_LOGGED = 1000  # refusals
MODELS = "/v1/models/"
JAVASCRIPT = {"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "no-cache"}
MOST_SLOTS = 128  # where the server does not say how many it has
OK, ERRORS = 200, 400
UPSTREAM_ERRORS = (aiohttp.ClientError, OSError, ValueError, LookupError, TypeError)


class Front:
    """What a door does with its requests; used by one event loop."""

    def __init__(self, options: DoorOptions, upstream: Upstream, is_alive: Callable[[], bool]) -> None:
        self.server: BoundedServer | None = None
        self.pool = WorkerPool()
        self._options, self._upstream, self._is_alive = options, upstream, is_alive
        self._bodies = BodyReader(options.most_body, options.body_idle_s)
        self._working, self._looking = asyncio.Semaphore(options.working), asyncio.Semaphore(LOOKING)
        self._waiting = self._refused = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; an error of ours is an answer too."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        extra = dict(GUARDS)
        try:
            origin = admit(headers, request.headers.getall("Host", []), self._options.admission)
            if origin is not None:
                extra |= readable_by(origin)
            return await self._admitted(request, headers, extra)
        except RefusedError as error:
            self._log(request, error)
            response = json_answer(error.status, error.body, extra)
            if error.status == refusal.BUSY:
                response.headers["Retry-After"] = "1"
            if request.body_exists and not request.content.is_eof():
                response.force_close()  # the rest of the body is not read
            return response

    def _log(self, request: web.BaseRequest, error: RefusedError) -> None:
        """Log a refusal; not all that somebody may provoke, or the log fills the disk."""
        self._refused += 1
        if self._refused <= MOST_LOGGED:
            words = request.method, request.path[:100], error.status, error.message
            LOGGER.info("refused %s %r: %d %s", *words)

    async def _admitted(
        self, request: web.BaseRequest, headers: dict[str, str], extra: dict[str, str]
    ) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if request.method == "OPTIONS":
            return preflight(headers, extra)
        key = self._options.admission.api_key
        if key is not None and not is_open(request.method, path):
            demand_key(headers, key)
        if request.method not in METHODS:
            raise RefusedError(refusal.NOT_ALLOWED, f"only {', '.join(METHODS)}")
        if not path.startswith("/") or "/../" in f"{path}/":
            raise RefusedError(refusal.BAD_REQUEST, "no path of this server")
        if request.method == "POST":
            return await self._posted(request, path, headers, extra)
        return await self._looked(request, path, extra)

    async def _looked(self, request: web.BaseRequest, path: str, extra: dict[str, str]) -> web.StreamResponse:
        """Answer a request without a body."""
        if path in HEALTH:
            return await self._health(extra)
        if path == page.SCRIPT:
            return web.Response(body=page.script(), headers={**JAVASCRIPT, **extra})
        if path in page.PAGES and request.method == "GET":
            return await self._page(request, extra)
        if path.startswith(MODELS):
            return await self._model(unquote(path.removeprefix(MODELS)), extra)
        if path.startswith(SLOW_LOOKS):
            async with self._turn(self._looking):
                return await self._pass_on(request, None, extra)
        return await self._pass_on(request, None, extra)

    async def _health(self, extra: dict[str, str]) -> web.Response:
        """Answer for the server where it is too busy to: it runs, and was healthy before."""
        said = await self._upstream.health()
        if said is not None:
            return json_answer(*said, extra)
        if self._is_alive() and self._upstream.is_ready:
            return json_answer(OK, b'{"status":"ok"}', extra)
        words = "Loading model" if self._is_alive() else "the server has ended"
        return json_answer(refusal.BUSY, error_body(refusal.BUSY, words), extra)

    async def _model(self, name: str, extra: dict[str, str]) -> web.Response:
        try:
            found = await self._upstream.model(name)
        except UPSTREAM_ERRORS as error:
            raise _bad_gateway() from error
        if found is None:
            raise RefusedError(refusal.NOT_FOUND, f"The model '{name[:200]}' does not exist", "model")
        return json_answer(OK, json.dumps(found).encode(), extra)

    async def _page(self, request: web.BaseRequest, extra: dict[str, str]) -> web.Response:
        """Answer with the server's page and the door's script in it."""
        headers = {
            name: value for name, value in passed_on(request).items() if name.lower() not in page.NOT_ASKED
        }
        try:
            async with self._upstream.request(
                "GET", request.raw_path, {**headers, "Accept-Encoding": "identity"}
            ) as got:
                text, kind = await got.read(), got.headers.get("Content-Type", "")
                back = {
                    name: value for name, value in passed_back(got.headers).items() if name.lower() != "etag"
                }
                if got.status == OK and kind.startswith("text/html"):
                    text = page.with_script(text)
                return web.Response(status=got.status, body=text, headers=_without_length({**back, **extra}))
        except UPSTREAM_ERRORS as error:
            raise _bad_gateway() from error

    async def _image(self, data: bytes, extra: dict[str, str]) -> web.Response:
        """Answer with what the model would get of an image's file."""
        try:
            treated = await self._treat(page.as_request(data), page.IMAGE)
        except RefusedError as error:
            raise RefusedError(error.status, page.said_of_it(error.message)) from error
        png, notes = page.image_of(treated.body), tuple(map(page.said_of_it, treated.notes))
        return web.Response(body=png, headers={"Content-Type": "image/png", **extra, **notes_header(notes)})

    async def _posted(
        self, request: web.BaseRequest, path: str, headers: dict[str, str], extra: dict[str, str]
    ) -> web.StreamResponse:
        may_be_empty = path.startswith("/slots/") and request.content_length in {None, 0}
        if not (may_be_empty and "content-type" not in headers):
            wanted = page.IMAGE_TYPE if path == page.IMAGE else JSON_TYPE
            if headers.get("content-type", "").partition(";")[0].strip().lower() != wanted:
                raise RefusedError(refusal.WRONG_TYPE, f"the content type must be {wanted}")
            if headers.get("content-encoding", "identity").lower() != "identity":
                raise RefusedError(refusal.WRONG_TYPE, "a body that is not compressed is expected")
        body = await self._bodies.read(request)
        held = len(body)
        assert self.server is not None  # noqa: S101 - set before a request can come
        self.server.working.add(request.protocol)
        try:
            if path == page.IMAGE:
                return await self._image(body, extra)
            treated = Treated(b"") if may_be_empty and not body else await self._treat(body, path)
            del body  # what is passed on is another
            extra |= notes_header(treated.notes)
            if treated.answers > 1:
                return await self._several(request, treated, extra)
            async with self._turn(self._working):
                return await self._pass_on(request, treated.body, extra)
        finally:
            self.server.working.discard(request.protocol)
            self._bodies.release(held)

    async def _treat(self, body: bytes, path: str) -> Treated:
        rules = replace(self._options.rules, slots=self._upstream.slots or MOST_SLOTS)
        if len(body) > SMALL and not rules.url_images:
            return await self.pool.treat(body, path, rules)
        request, images = judge(body, path, rules)
        if not images:
            return finish(request, images, path)
        fetched = [image for image in images if image.is_web]
        if fetched:
            files = await asyncio.gather(*(fetch_image(image.text, image.where) for image in fetched))
            for image, data in zip(fetched, files, strict=True):
                image.put(data, "application/octet-stream")
            body = json.dumps(request, ensure_ascii=False).encode()
        return await self.pool.treat(body, path, rules)

    @asynccontextmanager
    async def _turn(self, turns: asyncio.Semaphore) -> AsyncIterator[None]:
        """Wait for a turn; a RefusedError is raised where too many wait."""
        if turns.locked() and self._waiting >= WAITING:
            raise RefusedError(refusal.BUSY, f"{WAITING} requests wait already: try again")
        self._waiting += 1
        try:
            await turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            turns.release()

    async def _several(
        self, request: web.BaseRequest, treated: Treated, extra: dict[str, str]
    ) -> web.Response:
        async def one(number: int) -> tuple[int, bytes]:
            body = with_seed(treated.body, treated.seed, number)
            headers = {"Content-Type": JSON_TYPE}
            async with (
                self._turn(self._working),
                self._upstream.request("POST", request.raw_path, headers, body) as got,
            ):
                return got.status, await got.read()

        try:
            answers = await asyncio.gather(*(one(number) for number in range(treated.answers)))
            failed = next((answer for answer in answers if answer[0] != OK), None)
            if failed is not None:
                return json_answer(*restated(*failed), extra)
            whole = merged([json.loads(body) for _, body in answers])
        except UPSTREAM_ERRORS as error:
            raise _bad_gateway() from error
        return json_answer(OK, json.dumps(whole).encode(), extra)

    async def _pass_on(
        self, request: web.BaseRequest, body: bytes | None, extra: dict[str, str]
    ) -> web.StreamResponse:
        headers = passed_on(request)
        if body:
            headers["Content-Type"] = JSON_TYPE
        asking = self._upstream.request(request.method, request.raw_path, headers, body)
        try:
            got = await asking.__aenter__()
            try:
                text = await read_error(got) if got.status >= ERRORS else b""
            except BaseException:
                got.close()
                raise
        except UPSTREAM_ERRORS as error:
            raise _bad_gateway() from error
        back = {**passed_back(got.headers), **extra}
        try:
            if got.status >= ERRORS:
                status, text = restated(got.status, text)
                return web.Response(status=status, body=text, headers=_without_length(back))
            response = web.StreamResponse(status=got.status, reason=got.reason, headers=back)
            await response.prepare(request)
            await _stream(got, response, request)
            return response
        finally:
            got.close()


async def _stream(
    got: aiohttp.ClientResponse, response: web.StreamResponse, request: web.BaseRequest
) -> None:
    """Pass an answer back as it comes; where it breaks off, so does ours, and nobody takes it for whole."""
    try:
        async for piece in got.content.iter_any():
            async with asyncio.timeout(DRAIN_S):
                await response.write(piece)
        async with asyncio.timeout(DRAIN_S):
            await response.write_eof()
    except (aiohttp.ClientError, OSError) as error:  # a TimeoutError too
        LOGGER.info("an answer is cut: %s", type(error).__name__)
        if request.transport is not None:
            request.transport.abort()


def _without_length(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() != "content-length"}


def _bad_gateway() -> RefusedError:
    return RefusedError(refusal.BAD_GATEWAY, "the server ended, or closed the connection, before it answered")
