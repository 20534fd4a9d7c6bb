from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.random_faults import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("seed", range(20))
def test_whatever_hub_disk_and_power_do_there_is_not_one_wrong_or_lost_byte(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    run(seed, tmp_path)
