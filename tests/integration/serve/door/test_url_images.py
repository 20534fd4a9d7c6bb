"""Images by address: what is public, what a name resolves to, where it redirects."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from recipes.serve.door import url_images
from recipes.serve.door.refusal import RefusedError
from recipes.serve.door.url_images import PublicResolver, fetch_image, is_public

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = "127.0.0.1"


@contextmanager
def pages() -> Iterator[tuple[str, list[str]]]:
    """A server that answers by its path, and the paths that it was asked."""
    asked: list[str] = []
    done = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path == "/slow":
                done.wait(60)
                return
            location = self.path.removeprefix("/to/") if self.path.startswith("/to/") else ""
            self.send_response(302 if location else 404 if self.path == "/404" else 200)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(b"x" * (5000 if self.path == "/large" else 5))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_address[1]}", asked
        finally:
            done.set()
            server.shutdown()
            thread.join()


def fetch(address: str, *, anywhere: bool = True, fetch_s: float = 30.0) -> bytes:
    allowed = (lambda _: True) if anywhere else is_public
    return asyncio.run(fetch_image(address, "here", is_allowed=allowed, fetch_s=fetch_s))


def refused(address: str, *, anywhere: bool = True, fetch_s: float = 30.0) -> str:
    with pytest.raises(RefusedError) as caught:
        fetch(address, anywhere=anywhere, fetch_s=fetch_s)
    assert (caught.value.status, caught.value.param) == (400, "here")
    return caught.value.message


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111", "8.8.8.8"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"),  # noqa: S104
        *("169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1"),
        *("::", "::1", "fe80::1", "fe80::1%lo", "fc00::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::"),
        "2001:0:0:0:0:0:80ff:fffe",  # Teredo, of 127.0.0.1
    ],
)
def test_addresses_that_are_not_public_however_they_are_written(address: str) -> None:
    assert not is_public(address)


def test_an_image_is_fetched_with_its_redirects_within_the_host() -> None:
    with pages() as (base, asked):
        assert fetch(f"{base}/a.png") == b"xxxxx"
        assert fetch(f"{base}/to/{base}/a.png") == b"xxxxx"
    assert len(asked) == 3


def test_nothing_of_this_machine_is_asked() -> None:
    with pages() as (base, asked):
        port = base.rpartition(":")[2]
        for host in (LOOPBACK, "localhost", "[::ffff:127.0.0.1]", "0x7f000001", "2130706433", "127.1"):
            refused(f"http://{host}:{port}/a.png", anywhere=False)
    assert asked == []


def test_a_redirect_to_another_host_or_forever_is_not_followed() -> None:
    with pages() as (base, asked):
        port = base.rpartition(":")[2]
        assert "another host" in refused(f"{base}/to/http://localhost:{port}/a.png")
        assert "another host" in refused(f"{base}/to/file:///etc/passwd")
        assert "too often" in refused(f"{base}/to/{base}/to/{base}/to/{base}/to/{base}/to/{base}/a.png")
    assert len(asked) == 6


def test_what_is_large_slow_or_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(url_images, "MOST_BYTES", 1000)
    with pages() as (base, _):
        assert "MB" in refused(f"{base}/large")
        assert "404" in refused(f"{base}/404")
        assert "within" in refused(f"{base}/slow", fetch_s=0.2)
    refused(f"{base}/a.png")  # nobody listens any more


@pytest.mark.parametrize("address", ["http://user:secret@example.org/x", "http:///x", "http://["])
def test_what_is_no_plain_address_is_refused(address: str) -> None:
    assert "secret" not in refused(address)


def test_a_name_is_refused_if_any_of_its_addresses_is_not_public(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolved(*_: object, **__: object) -> list[object]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))
            for address in ("93.184.215.14", "127.0.0.1")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    with pytest.raises(OSError, match="not public"):
        asyncio.run(PublicResolver().resolve("rebound.example", 80))
    assert "not public" in refused("http://rebound.example/x", anywhere=False)
