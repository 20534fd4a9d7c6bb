"""Programs of the machine that a test needs."""

from __future__ import annotations

import os
import shutil

import pytest


def demand_program(name: str) -> str:
    """Return a program's path; skip the test where it is not installed, and fail it where it must be."""
    found = shutil.which(name)
    if found is None and name in os.environ.get("PINNED_LLAMA_TEST_NEEDS", "").split():
        pytest.fail(f"{name} is demanded by PINNED_LLAMA_TEST_NEEDS and is not installed")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found
