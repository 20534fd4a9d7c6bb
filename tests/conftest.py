"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# how long an example takes depends on the machine, and proves nothing
settings.register_profile("project", deadline=None)
settings.load_profile("project")
