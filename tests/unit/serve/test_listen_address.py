from __future__ import annotations

import errno
import re
import socket

import pytest

from recipes.core.errors import AddressError, UsageError
from recipes.serve.llamacpp import listen_address as listening
from recipes.serve.llamacpp.listen_address import LOOPBACK, demand_free, is_loopback, parse_host


@pytest.mark.parametrize(
    ("text", "host", "alone"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("localhost", "127.0.0.1", True),
        ("127.8.8.8", "127.8.8.8", True),
        ("::1", "::1", True),
        ("0:0:0:0:0:0:0:1", "::1", True),
        ("0.0.0.0", "0.0.0.0", False),  # noqa: S104 - nothing listens
        ("::", "::", False),
        ("192.0.2.1", "192.0.2.1", False),
    ],
)
def test_an_address_is_read_and_who_reaches_it(text: str, host: str, *, alone: bool) -> None:
    assert parse_host(text) == host
    assert is_loopback(host) is alone


@pytest.mark.parametrize("text", ["", "example.org", "/run/x.sock", "127.0.0.1:80", "127.1", "[::1]"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_host(text)
    assert (caught.value.where, caught.value.found) == ("--host", repr(text))


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_that_somebody_listens_on_is_refused_though_it_could_be_shared(*, shared: bool) -> None:
    with socket.socket() as other:
        if shared:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind((LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(AddressError) as caught:
            demand_free(LOOPBACK, port)
    assert (caught.value.exit_code, caught.value.where) == (25, f"127.0.0.1 port {port}")
    assert "in use" in caught.value.found
    proposed = re.match(r"--port (\d+), ", caught.value.fix)
    assert proposed
    demand_free(LOOPBACK, int(proposed[1]))


def test_a_port_whose_server_just_ended_is_free() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((LOOPBACK, 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection((LOOPBACK, port)) as client:
            served, _ = server.accept()
            served.close()  # the side that closes first keeps the port in TIME_WAIT
            assert client.recv(1) == b""
    demand_free(LOOPBACK, port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(AddressError) as caught:
        demand_free("192.0.2.1", 8080)
    assert caught.value.fix == "--host 127.0.0.1"


@pytest.mark.parametrize(
    ("number", "found", "fix"),
    [
        (errno.EACCES, "permission denied", "--port 8080"),
        (errno.ENOBUFS, "No buffer space available", "--host 127.0.0.1 --port 8080"),
    ],
)
def test_what_the_system_refuses_is_said(
    number: int, found: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, "No buffer space available")

    monkeypatch.setattr(listening, "_listen", refuse)
    with pytest.raises(AddressError) as caught:
        demand_free(LOOPBACK, 80)
    assert found in caught.value.found
    assert caught.value.fix == fix


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(UsageError, match="--port"):
        demand_free(LOOPBACK, port)
