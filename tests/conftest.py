"""What holds for all tests."""

from __future__ import annotations

import fcntl
import signal
import socket
import struct
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from recipes.core.cores import usable_cores
from tests.support.paths import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterable

# how long an example takes depends on the machine, and proves nothing; where CI is set, hypothesis draws the same
# examples each time
settings.register_profile(
    "project", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("fast", settings.get_profile("project"), max_examples=20)
settings.load_profile("project")

# From Linux's sockios.h and if.h; a request names an interface and holds its flags.
GET_FLAGS, SET_FLAGS, IS_UP = 0x8913, 0x8914, 1
REQUEST = struct.Struct("16sH14x")


def pytest_configure(config: pytest.Config) -> None:
    """Draw fewer examples for `-m fast`, have Ctrl-C end what the tests start, and bring loopback up where it is down.

    A shell has what it starts in the background ignore Ctrl-C, and what the tests start would inherit that. Loopback
    is down in a new and empty network namespace; the tests' servers listen there.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.markexpr == "fast":
        settings.load_profile("fast")
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


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, which not every environment has
def pytest_xdist_auto_num_workers() -> int:
    """Take the cores that this process may use, which can be fewer than the machine's."""
    return usable_cores()


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Mark unit and property tests as fast, where they are not marked as slow."""
    folders = (PROJECT / "tests" / "unit", PROJECT / "tests" / "property")
    for item in items:
        is_small = any(item.path.is_relative_to(folder) for folder in folders)
        if is_small and item.get_closest_marker("slow") is None:
            item.add_marker("fast")
