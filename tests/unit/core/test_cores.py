from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from recipes.core.cores import threads_to_ask_for, usable_cores
from tests.support.kernel_files import write_kernel_files

if TYPE_CHECKING:
    from pathlib import Path

V2, V1 = "0::/outer/inner\n", "4:memory:/m\n2:cpu,cpuacct:/c\n0::/\n"


@pytest.fixture(autouse=True)
def affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set 8 allowed cores of 64."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)


@pytest.mark.parametrize(
    ("membership", "groups", "cores"),
    [
        ("", {}, 8),
        (V2, {"outer__inner": {"cpu.max": "max 100000\n"}}, 8),
        (V2, {"outer__inner": {"cpu.max": "200000 100000\n"}}, 2),
        (V2, {"outer": {"cpu.max": "300000 100000\n"}, "outer__inner": {"cpu.max": "max 100000\n"}}, 3),
        (V2, {"outer": {"cpu.max": "100000 100000\n"}, "outer__inner": {"cpu.max": "400000 100000\n"}}, 1),
        (V2, {"outer__inner": {"cpu.max": "50000 100000\n"}}, 1),  # half a core
        (V2, {"outer__inner": {"cpu.max": "390000 100000\n"}}, 3),
        (V2, {"outer__inner": {"cpu.max": "6400000 100000\n"}}, 8),  # more than the affinity allows
        (V2, {"outer__inner": {"cpu.max": "nonsense\n"}}, 8),
        (V2, {"outer__inner": {"cpu.max": "200000 0\n"}}, 8),
        (
            "0::/elsewhere\n",
            {"": {"cpu.max": "200000 100000\n"}},
            2,
        ),  # a container that sees its group as the root
        (V1, {"cpu__c": {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}}, 8),
        (V1, {"cpu__c": {"cpu.cfs_quota_us": "250000\n", "cpu.cfs_period_us": "100000\n"}}, 2),
        (V1, {"cpu": {"cpu.cfs_quota_us": "400000\n", "cpu.cfs_period_us": "100000\n"}}, 4),
    ],
)
def test_the_least_of_affinity_and_quotas_counts(
    tmp_path: Path, membership: str, groups: dict[str, dict[str, str]], cores: int
) -> None:
    assert usable_cores(write_kernel_files(tmp_path, membership, **groups)) == cores


def test_where_the_system_has_no_affinity_the_cores_are_the_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores(tmp_path) == 64
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores(tmp_path) == 1


def test_a_program_is_told_its_threads_only_where_it_would_start_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert threads_to_ask_for() is not None
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert threads_to_ask_for() is None
