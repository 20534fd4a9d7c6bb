"""Answers each request at the door: judged before its body is read, its body treated, then passed on and back.

1. Host, Origin, key, method and content type are judged by the headers alone.
2. The body is read: at most so many bytes, and none that dawdle.
3. It is parsed, judged and its images prepared; large ones in a worker process.
4. It waits for its model, and for its turn: a server never has so many requests that it cannot say how it is.
5. The answer is passed back as it comes; who goes away ends the request.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
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
from recipes.serve.door.model_list import LISTS, listed
from recipes.serve.door.model_servers import ModelServers
from recipes.serve.door.refusal import RefusedError, error_body
from recipes.serve.door.several_answers import merged, with_seed
from recipes.serve.door.treatment import Treated, demand_videos, finish, judge
from recipes.serve.door.upstream import passed_back, passed_on, read_error, stream_back
from recipes.serve.door.upstream_errors import restated
from recipes.serve.door.url_images import fetch_image
from recipes.serve.door.waiting import Waiting
from recipes.serve.door.worker_pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recipes.serve.door.connections import BoundedServer
    from recipes.serve.door.model_servers import ModelServer, Process
    from recipes.serve.door.options import DoorOptions
    from recipes.serve.door.upstream import Upstream

SMALL = 1 << 16  # bytes: a body without images of at most so many is treated at once
LOOKING = 4  # requests that it has at a time for what it answers between two steps of its work
SLOW_LOOKS = ("/slots", "/metrics", "/lora-adapters")
MOST_LOGGED = 1000  # refusals
MODELS = "/v1/models/"
JAVASCRIPT = {"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "no-cache"}
OK, ERRORS = 200, 400
UPSTREAM_ERRORS = (aiohttp.ClientError, OSError, ValueError, LookupError, TypeError)


class Front:
    """What a door does with its requests; used by one event loop."""

    def __init__(self, options: DoorOptions, processes: Sequence[Process]) -> None:
        self.server: BoundedServer | None = None
        self.pool = WorkerPool()
        self._options, self._waiting = options, Waiting()
        self.servers = ModelServers(
            processes, self._waiting, working=options.working, one_at_a_time=options.one_at_a_time
        )
        self._bodies = BodyReader(options.most_body, options.body_idle_s)
        self._looking = asyncio.Semaphore(LOOKING)
        self._refused = 0

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
        if path in LISTS and self.servers.are_several:
            return json_answer(OK, json.dumps(self._listed()).encode(), extra)
        if path.startswith(MODELS):
            return await self._model(unquote(path.removeprefix(MODELS)), extra)
        of_page = is_open(request.method, path)  # asked for without a key, and the same of all models
        name = "" if of_page else self._options.rules.model(request.query.get("model")).name
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(self.servers.asked(name, or_any=of_page))
            if path.startswith(SLOW_LOOKS):
                await stack.enter_async_context(self._waiting.turn(self._looking))
            return await self._pass_on(server.upstream, request, None, extra)

    async def _health(self, extra: dict[str, str]) -> web.Response:
        """Answer for the default server where it is too busy to, or would be started: it was healthy before."""
        default = self.servers.default
        said = await default.upstream.health()
        if said is not None:
            return json_answer(*said, extra)
        is_alive = default.is_alive
        if default.upstream.is_ready and (is_alive or self.servers.are_several):
            return json_answer(OK, b'{"status":"ok"}', extra)
        words = "Loading model" if is_alive else default.failure or "the server has ended"
        return json_answer(refusal.BUSY, error_body(refusal.BUSY, words), extra)

    def _listed(self) -> dict[str, Any]:
        return listed([(one.model, one.state) for one in self.servers.all])

    async def _model(self, name: str, extra: dict[str, str]) -> web.Response:
        try:
            several = self._listed()["data"] if self.servers.are_several else None
            models = several or await self.servers.default.upstream.models()
        except UPSTREAM_ERRORS as error:
            raise _bad_gateway() from error
        found = next((one for one in models if one.get("id") == name), None)
        if found is None:
            raise RefusedError(refusal.NOT_FOUND, f"The model '{name[:200]}' does not exist", "model")
        return json_answer(OK, json.dumps(found).encode(), extra)

    async def _page(self, request: web.BaseRequest, extra: dict[str, str]) -> web.Response:
        """Answer with the server's page and the door's script in it."""
        headers = {
            name: value for name, value in passed_on(request).items() if name.lower() not in page.NOT_ASKED
        }
        headers["Accept-Encoding"] = "identity"
        try:
            async with (
                self.servers.asked(or_any=True) as server,
                server.upstream.request("GET", request.raw_path, headers) as got,
            ):
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
            name = self._options.rules.model(treated.model or request.query.get("model")).name
            async with self.servers.asked(name) as server:
                if treated.videos:
                    demand_videos(server.videos)
                if treated.answers > 1:
                    return await self._several(server, request, treated, extra)
                async with self._waiting.turn(server.working):
                    return await self._pass_on(server.upstream, request, treated.body, extra)
        finally:
            self.server.working.discard(request.protocol)
            self._bodies.release(held)

    async def _treat(self, body: bytes, path: str) -> Treated:
        rules = self.servers.rules(self._options.rules)
        if len(body) > SMALL and not rules.url_images:
            return await self.pool.treat(body, path, rules)
        judged = judge(body, path, rules)
        if not judged.has_media:
            return finish(judged, path)
        fetched = [image for image in judged.images if image.is_web]
        if fetched:
            files = await asyncio.gather(*(fetch_image(image.text, image.where) for image in fetched))
            for image, data in zip(fetched, files, strict=True):
                image.put(data, "application/octet-stream")
            body = json.dumps(judged.request, ensure_ascii=False).encode()
        return await self.pool.treat(body, path, rules)

    async def _several(
        self, server: ModelServer, request: web.BaseRequest, treated: Treated, extra: dict[str, str]
    ) -> web.Response:
        async def one(number: int) -> tuple[int, bytes]:
            body = with_seed(treated.body, treated.seed, number)
            headers = {"Content-Type": JSON_TYPE}
            async with (
                self._waiting.turn(server.working),
                server.upstream.request("POST", request.raw_path, headers, body) as got,
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
        self, upstream: Upstream, request: web.BaseRequest, body: bytes | None, extra: dict[str, str]
    ) -> web.StreamResponse:
        headers = passed_on(request)
        if body:
            headers["Content-Type"] = JSON_TYPE
        asking = upstream.request(request.method, request.raw_path, headers, body)
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
            await stream_back(got, response, request)
            return response
        finally:
            got.close()


def _without_length(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() != "content-length"}


def _bad_gateway() -> RefusedError:
    return RefusedError(refusal.BAD_GATEWAY, "the server ended, or closed the connection, before it answered")
