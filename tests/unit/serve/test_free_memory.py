from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest

from recipes.serve.free_memory import free_memory
from tests.support.kernel_files import write_kernel_files

if TYPE_CHECKING:
    from pathlib import Path

AVAILABLE = 2_048_000
STAT = "anon 100\ninactive_file 300\nactive_file 50\n"


@pytest.fixture(autouse=True)
def system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=10**9, available=AVAILABLE))


def v2(limit: str, used: int, stat: str = "") -> dict[str, str]:
    return {"memory.max": f"{limit}\n", "memory.current": f"{used}\n", "memory.stat": stat}


def v1(limit: int, used: int, stat: str = "") -> dict[str, str]:
    return {
        "memory.limit_in_bytes": f"{limit}\n",
        "memory.usage_in_bytes": f"{used}\n",
        "memory.stat": stat,
    }


@pytest.mark.parametrize(
    ("membership", "groups", "size_bytes", "source"),
    [
        ("", {}, AVAILABLE, "available"),
        ("0::/a\n", {"a": v2("max", 900)}, AVAILABLE, "available"),
        ("0::/a\n", {"a": v2("9000000", 900)}, AVAILABLE, "available"),
        # each group's limit holds for those in it, and cached files are free
        (
            "0::/a/b\n",
            {"a": v2("1000", 900, STAT), "a__b": v2("max", 900)},
            450,
            "/sys/fs/cgroup/a/memory.max",
        ),
        ("0::/a\n", {"a": v2("1000", 1900)}, 0, "memory.max"),
        ("0::/a\n", {"a": v2("1000", 10, "inactive_file 5000\n")}, 1000, "memory.max"),
        (
            "4:memory:/a\n1:cpu:/b\n0::/\n",
            {"memory": v1(9223372036854771712, 900), "memory__a": v1(1000, 900, "total_inactive_file 20\n")},
            120,
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
        ),
    ],
)
def test_the_least_of_the_system_and_all_groups_holds(
    tmp_path: Path, membership: str, groups: dict[str, dict[str, str]], size_bytes: int, source: str
) -> None:
    found = free_memory(write_kernel_files(tmp_path, membership, **groups))
    assert found is not None
    assert found.size_bytes == size_bytes
    assert source in found.source


@pytest.mark.parametrize("error", [FileNotFoundError, RuntimeError, psutil.AccessDenied])
def test_where_the_system_does_not_say_the_groups_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    assert free_memory(tmp_path) is None
    found = free_memory(write_kernel_files(tmp_path, "0::/a\n", a=v2("1000", 900)))
    assert found is not None
    assert found.size_bytes == 100


def test_on_this_machine_it_is_less_than_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = free_memory()
    assert found is not None
    assert 0 <= found.size_bytes < psutil.virtual_memory().total
