"""An OCI registry on loopback in memory that does each thing that registries do wrong, and says what it was asked.

It is a whole one by itself; a rule that fits a request answers in its place. Nothing here waits for a time.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable

USER, PASSWORD = "builder", "correct horse"
INDEX = "application/vnd.oci.image.index.v1+json"
NAME = r"(?P<name>[a-z0-9/_.-]+?)"


@dataclass
class Asked:
    """One request, and the status of its answer."""

    method: str
    path: str
    headers: dict[str, str]
    body_bytes: int = 0
    status: int = 0


@dataclass
class Answer:
    """What a rule answers. After `stop_after` bytes of a body the connection is closed; status 0 is no answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    stop_after: int | None = None
    length: int | None = None  # what is claimed


@dataclass
class Rule:
    """An answer to the requests that fit, instead of a registry's own; for so many of them, or for all.

    `reads` is how much of the request's body is taken in before; None is all of it.
    """

    method: str
    pattern: str
    answer: Answer | Callable[[FakeRegistry, Asked, bytes], Answer | None]
    times: int = 1 << 30
    skip: int = 0
    reads: int | None = None


def error(status: int, code: str = "", message: str = "", **headers: str) -> Answer:
    """Return a refusal as registries put it."""
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode() if code else b""
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class FakeRegistry:
    """Use it as a context manager. `auth` is "", "basic" or "bearer"; tokens are good until `forget_tokens`."""

    auth: str = ""
    has_referrers: bool = False
    keeps_uploads: bool = True
    rules: list[Rule] = field(default_factory=list)
    log: list[Asked] = field(default_factory=list)
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)  # the scopes of each
    token_fields: dict[str, object] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._http.server_address[1]}"

    @property
    def base(self) -> str:
        return f"http://{self.host}"

    def repository(self, path: str = "team/llama") -> str:
        return f"{self.base}/{path}"

    def forget_tokens(self) -> None:
        with self.lock:
            self.tokens.clear()

    def asked(self, method: str, pattern: str) -> list[Asked]:
        return [each for each in self.log if each.method == method and re.search(pattern, each.path)]

    @property
    def tags(self) -> set[str]:
        """The tags of all repositories."""
        return {name for _, name in self.manifests if not name.startswith("sha256:")}


class _Handler(BaseHTTPRequestHandler):
    owner: FakeRegistry
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        pass

    def handle(self) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # clients that are killed go away
            super().handle()

    def _any(self) -> None:
        asked = Asked(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        with self.owner.lock:
            self.owner.log.append(asked)
            rule = next((each for each in self.owner.rules if self._fits(each)), None)
        length = int(asked.headers.get("content-length", 0))
        reads = length if rule is None or rule.reads is None else rule.reads
        data = self.rfile.read(min(length, reads))
        asked.body_bytes = len(data)
        if len(data) < length:
            self.close_connection = True
        answer = None
        if rule is not None:
            answer = rule.answer if isinstance(rule.answer, Answer) else rule.answer(self.owner, asked, data)
        if answer is None:
            with self.owner.lock:
                answer = self._refused(asked) or self._own(asked, data)
        asked.status = answer.status
        self._send(answer)

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):  # how the standard library asks for each method
            return self._any
        raise AttributeError(name)

    def _fits(self, rule: Rule) -> bool:
        if rule.method not in {self.command, "*"} or not re.search(rule.pattern, self.path):
            return False
        if rule.skip:
            rule.skip -= 1
            return False
        rule.times -= 1
        return rule.times >= 0

    def _send(self, answer: Answer) -> None:
        if not answer.status:
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body if answer.stop_after is None else answer.body[: answer.stop_after])
        if answer.stop_after is not None:
            self.close_connection = True

    def _refused(self, asked: Asked) -> Answer | None:
        owner, given = self.owner, asked.headers.get("authorization", "")
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if asked.path.startswith("/token"):
            if given not in {"", basic}:
                return error(401, "UNAUTHORIZED", "wrong password")
            scopes = parse_qs(urlsplit(asked.path).query).get("scope", [])
            token = f"token-{len(owner.log)}"
            owner.tokens[token] = " ".join(
                scopes if given else [each for each in scopes if "push" not in each]
            )
            answer = {"token": token, "expires_in": 300, **owner.token_fields}
            return Answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})
        if owner.auth == "basic" and given != basic:
            return error(401, "UNAUTHORIZED", "who are you", WWW_Authenticate='Basic realm="test"')
        if owner.auth == "bearer":
            name = asked.path.removeprefix("/v2/").partition("/blobs")[0].partition("/manifests")[0]
            name = name.partition("/referrers")[0].partition("/tags")[0]
            action = "pull" if asked.method in {"GET", "HEAD"} else "pull,push"
            held = owner.tokens.get(given.removeprefix("Bearer "), "")
            if action.rpartition(",")[2] not in held:
                scope = f"repository:{name}:{action}"
                realm = f'Bearer realm="{owner.base}/token",service="test",scope="{scope}"'
                return error(401, "UNAUTHORIZED", "no token", WWW_Authenticate=realm)
        return None

    def _own(self, asked: Asked, data: bytes) -> Answer:
        path = urlsplit(asked.path)
        query = {name: values[0] for name, values in parse_qs(path.query).items()}
        for kind, act in (
            (rf"/v2/{NAME}/blobs/uploads/(?P<id>[^/]*)", self._upload),
            (rf"/v2/{NAME}/blobs/(?P<id>[^/]+)", self._blob),
            (rf"/v2/{NAME}/manifests/(?P<id>[^/]+)", self._manifest),
            (rf"/v2/{NAME}/referrers/(?P<id>[^/]+)", self._referrers),
            (rf"/v2/{NAME}/tags/list", self._tags),
        ):
            if match := re.fullmatch(kind, path.path):
                found = match.groupdict()
                return act(asked, found["name"], found.get("id") or "", query, data)
        return error(404)

    def _begin(self, name: str, query: dict[str, str]) -> Answer:
        owner, source = self.owner, (query.get("from", ""), query.get("mount", ""))
        if source in owner.blobs:
            owner.blobs[name, source[1]] = owner.blobs[source]
            return Answer(201, headers={"Location": f"/v2/{name}/blobs/{source[1]}"})
        number = uuid4().hex  # two that ask at once get two
        owner.uploads[number] = bytearray()
        return Answer(202, headers={"Location": f"/v2/{name}/blobs/uploads/{number}?state=0"})

    def _upload(self, asked: Asked, name: str, number: str, query: dict[str, str], data: bytes) -> Answer:
        owner = self.owner
        if asked.method == "POST":
            return self._begin(name, query)
        held = owner.uploads.get(number)
        if held is None:
            return error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")
        where = {"Location": f"/v2/{name}/blobs/uploads/{number}?state={len(held)}"}
        if asked.method == "GET":
            return Answer(204, headers={**where, "Range": f"0-{max(len(held) - 1, 0)}"})
        begins = asked.headers.get("content-range", f"{len(held)}-").partition("-")[0]
        if int(begins) != len(held):
            return error(416, "BLOB_UPLOAD_INVALID", "out of order")
        return self._take(asked, name, number, query, data)

    def _take(self, asked: Asked, name: str, number: str, query: dict[str, str], data: bytes) -> Answer:
        owner, held, where = self.owner, self.owner.uploads[number], {}
        held += data
        if asked.method == "PATCH":
            where["Location"] = f"/v2/{name}/blobs/uploads/{number}?state={len(held)}"
            return Answer(202, headers={**where, "Range": f"0-{max(len(held) - 1, 0)}"})
        del owner.uploads[number]
        if digest_of(bytes(held)) != query["digest"]:
            return error(400, "DIGEST_INVALID", "other bytes")
        owner.blobs[name, query["digest"]] = bytes(held)
        return Answer(201)

    def _blob(self, asked: Asked, name: str, digest: str, _query: dict[str, str], _data: bytes) -> Answer:
        data = self.owner.blobs.get((name, digest))
        if data is None:
            return error(404, "BLOB_UNKNOWN", "no such blob")
        if found := re.fullmatch(r"bytes=(\d+)-(\d+)", asked.headers.get("range", "")):
            start, end = int(found[1]), int(found[2]) + 1
            return Answer(206, data[start:end], {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"})
        return Answer(200, data)

    def _manifest(self, asked: Asked, name: str, key: str, _query: dict[str, str], data: bytes) -> Answer:
        owner = self.owner
        if asked.method == "PUT":
            media_type = asked.headers["content-type"]
            document = json.loads(data)
            named = [*document.get("layers", []), *filter(None, [document.get("config")])]
            if any((name, each["digest"]) not in owner.blobs for each in named):
                return error(404, "MANIFEST_BLOB_UNKNOWN", "send the blobs first")
            owner.manifests[name, digest_of(data)] = (media_type, data)
            owner.manifests[name, key] = (media_type, data)
            headers = {"Docker-Content-Digest": digest_of(data)}
            if owner.has_referrers and "subject" in document:
                headers["OCI-Subject"] = document["subject"]["digest"]
            return Answer(201, headers=headers)
        if asked.method == "DELETE":
            gone = owner.manifests.pop((name, key), None)
            for other in [each for each, held in owner.manifests.items() if held == gone]:
                del owner.manifests[other]
            return Answer(202) if gone else error(404)
        if (name, key) not in owner.manifests:
            return error(404, "MANIFEST_UNKNOWN", "no such manifest")
        media_type, data = owner.manifests[name, key]
        return Answer(200, data, {"Content-Type": media_type, "Docker-Content-Digest": digest_of(data)})

    def _referrers(
        self, _asked: Asked, name: str, digest: str, _query: dict[str, str], _data: bytes
    ) -> Answer:
        if not self.owner.has_referrers:
            return error(404)
        found = [
            {
                "mediaType": media_type,
                "digest": key,
                "size": len(data),
                "artifactType": json.loads(data)["artifactType"],
                "annotations": json.loads(data).get("annotations", {}),
            }
            for (repository, key), (media_type, data) in self.owner.manifests.items()
            if repository == name
            and key.startswith("sha256:")
            and json.loads(data).get("subject", {}).get("digest") == digest
        ]
        body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": found}
        return Answer(200, json.dumps(body).encode(), {"Content-Type": INDEX})

    def _tags(self, _asked: Asked, name: str, _id: str, _query: dict[str, str], _data: bytes) -> Answer:
        tags = sorted(
            key for repository, key in self.owner.manifests if repository == name and ":" not in key
        )
        return Answer(200, json.dumps({"name": name, "tags": tags}).encode())
