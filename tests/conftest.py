"""What holds for all tests."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys

import pytest
from hypothesis import HealthCheck, settings

# how long an example takes depends on the machine, and proves nothing
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")

# From Linux's sockios.h and if.h; a request names an interface and holds its flags.
GET_FLAGS, SET_FLAGS, IS_UP = 0x8913, 0x8914, 1
REQUEST = struct.Struct("16sH14x")


def pytest_configure() -> None:
    """Bring loopback up where it is down, as in a new and empty network namespace: the tests' servers listen there."""
    if not sys.platform.startswith("linux"):
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        name, flags = REQUEST.unpack(fcntl.ioctl(door, GET_FLAGS, REQUEST.pack(b"lo", 0)))
        if flags & IS_UP:
            return
        try:
            fcntl.ioctl(door, SET_FLAGS, REQUEST.pack(name, flags | IS_UP))
        except PermissionError:
            pytest.exit(
                "loopback is down, and the tests' servers listen there: ip link set lo up", returncode=2
            )
