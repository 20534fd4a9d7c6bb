"""A difference of each kind, planted in a program that the pinned compiler makes, is named rightly."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from recipes.build.bundle.cause import Cause
from recipes.build.bundle.explain import diffoscope, explain
from tests.support.forbidden import LinuxCompiler

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
#include <stdio.h>
#ifdef PATH_TEXT
const char *text = PATH_TEXT;
#elif defined TIME_TEXT
const char *text = "built " TIME_TEXT;
#else
const char *text = "hello, world";
#endif
double values[64];
double sum(const double *v, int n) { double s = 0; for (int i = 0; i < n; i++) s += v[i] * v[i]; return s; }
#ifdef OTHER_ORDER
const char *second(void) { return "the second text"; }
const char *first(void) { return "the first text"; }
#else
const char *first(void) { return "the first text"; }
const char *second(void) { return "the second text"; }
#endif
int main(int n, char **v) { puts(text); puts(first()); puts(second()); return sum(values, n) > 1 && v[0]; }
"""
PLANTED = {
    Cause.PATH: (('-DPATH_TEXT="/home/one/source/a.c"',), ('-DPATH_TEXT="/var/tmp/other/source/a.c"',)),
    Cause.TIME: (('-DTIME_TEXT="Nov 30 2026 08:00:01"',), ('-DTIME_TEXT="Nov 30 2026 08:00:09"',)),
    Cause.ORDER: ((), ("-DOTHER_ORDER",)),
    Cause.PROCESSOR: ((), ("-mavx2", "-mfma")),
    Cause.STAMP: (("-Wl,--build-id=0x1111111111",), ("-Wl,--build-id=0x2222222222",)),
}


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> LinuxCompiler:
    return LinuxCompiler(tmp_path_factory.mktemp("compiler"))


@pytest.mark.parametrize("cause", PLANTED, ids=lambda cause: cause.value)
def test_a_planted_difference_is_named(cause: Cause, compiler: LinuxCompiler, tmp_path: Path) -> None:
    for side, flags in zip(("left", "right"), PLANTED[cause], strict=True):
        compiler.compile(SOURCE, tmp_path / side / "bin" / "tool", "-O3", "-s", "-g0", *flags)
    lines = list(explain(tmp_path / "left", tmp_path / "right"))
    assert lines[0].startswith("bin/tool: ")
    assert [line.split()[1] for line in lines[1:]] == [cause.value], lines


@pytest.mark.skipif(shutil.which("diffoscope") is None, reason="no diffoscope on the path")
def test_diffoscope_writes_a_report_where_it_is_installed(tmp_path: Path) -> None:
    for side in ("left", "right"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "a").write_text(f"{side}\n")
    report = diffoscope(tmp_path / "left", tmp_path / "right", tmp_path / "report.txt")
    assert report is not None
    assert "right" in report.read_text()


STAND_IN = """\
#!/bin/sh
[ "$1" = --text ] && [ -d "$3" ] && [ -d "$4" ] || { echo "called with $*" >&2; exit 2; }
echo "--- $3 +++ $4" > "$2"
exit $(/usr/bin/cmp -s "$3/a" "$4/a"; echo $?)
"""


def test_the_report_of_a_diffoscope_on_the_path_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in with diffoscope's options and exit codes: the real one is not everywhere."""
    program = tmp_path / "diffoscope"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for side in ("left", "right"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "a").write_text(f"{side}\n")
    report = diffoscope(tmp_path / "left", tmp_path / "right", tmp_path / "report.txt")
    assert report == tmp_path / "report.txt"
    assert report.read_text() == f"--- {tmp_path / 'left'} +++ {tmp_path / 'right'}\n"
    (tmp_path / "right" / "a").write_text("left\n")
    assert diffoscope(tmp_path / "left", tmp_path / "right", tmp_path / "report.txt") is None


def test_a_diffoscope_that_fails_is_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "diffoscope"
    program.write_text("#!/bin/sh\nexit 2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert diffoscope(tmp_path, tmp_path, tmp_path / "report.txt") is None
    monkeypatch.setenv("PATH", "/nonexistent")
    assert diffoscope(tmp_path, tmp_path, tmp_path / "report.txt") is None
