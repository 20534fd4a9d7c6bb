"""The shell's own cat and sed, which put Metal kernels together, give what the system's programs give."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recipes.build.plan.compiler_wrappers import TEXT_TOOLS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    shutil.which("sed") is None, reason="compares with the system's sed, which is missing"
)

LINE = st.one_of(
    st.sampled_from(
        ('#include "common.h"', '  #include "common.h" // x', "#pragma once", "MARK", "a % \\n b", "", "  ")
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
)
TEXT = st.builds(
    lambda lines, end: "\n".join(lines) + end, st.lists(LINE, max_size=8), st.sampled_from(("", "\n"))
)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tools")
    for name, script in TEXT_TOOLS.items():
        path = folder / name
        path.write_text(script)
        path.chmod(0o755)
    return folder


def output_of(argv: list[str], folder: Path, text: str = "") -> tuple[int, bytes]:
    done = subprocess.run(argv, cwd=folder, input=text.encode(), capture_output=True, check=False)
    return done.returncode, done.stdout


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=TEXT, other=TEXT, replacement=TEXT)
def test_what_they_give_is_what_the_systems_programs_give(
    one: str, other: str, replacement: str, tools: Path, tmp_path: Path
) -> None:
    for name, text in (("one", one), ("other", other), ("with spaces", replacement)):
        (tmp_path / name).write_text(text)
    assert output_of([str(tools / "cat"), "one", "other"], tmp_path) == output_of(
        ["cat", "one", "other"], tmp_path
    )
    removed = ["-e", '/#include "common.h"/d', "-e", "/#pragma once/d"]
    replaced = ["-e", "/MARK/r with spaces", "-e", "/MARK/d"]
    for words in (removed, replaced):
        assert output_of([str(tools / "sed"), *words], tmp_path, one) == output_of(
            ["sed", *words], tmp_path, one
        )


@pytest.mark.parametrize("word", ["s/a/b/", "/a/p", "p", "-n"])
def test_what_sed_is_not_known_to_be_asked_is_refused(word: str, tools: Path, tmp_path: Path) -> None:
    assert output_of([str(tools / "sed"), "-e", word], tmp_path, "a\n") == (64, b"")
