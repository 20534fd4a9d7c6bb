"""Whatever fails while files of a project are replaced, and wherever: all are the new ones, or all the old ones."""

from __future__ import annotations

import errno
import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.core.errors import ManifestError, StoreError
from recipes.lock import transaction
from recipes.lock.proposal import Change
from recipes.lock.transaction import alone, as_bytes, replace_files
from tests.support.lock_project import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow  # many examples, each with real files, and some with processes

PATHS = (
    "manifests/recipes/a.yaml",
    "manifests/new/x.txt",
    "patches/a/1.patch",
    "patches/b/c/2.patch",
    "CHANGELOG.md",
)
TEXTS = st.sampled_from([None, "", "one\n", "two\n", "three\r\n", "\udcff bytes\n"])
FILES = st.dictionaries(st.sampled_from(PATHS), TEXTS, max_size=len(PATHS))
# what replaces files, by where it is called from; each call can be the one that fails
STEPS = ("replace", "rename", "unlink", "hardlink_to", "mkdir", "chmod")
FAULTS = (
    lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    lambda: OSError(errno.EACCES, os.strerror(errno.EACCES)),
    KeyboardInterrupt,
)


class Counter:
    """Calls that go through, but for one."""

    def __init__(self, fatal: int, fail: Callable[[], None]) -> None:
        self.left, self.fail = fatal, fail

    def around(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            self.left -= 1
            if self.left == 0:
                self.fail()
            return real(*arguments, **options)

        return call


def replacing_with(counter: Counter, changes: list[Change], project: Path) -> None:
    patches = [mock.patch.object(Path, name, counter.around(getattr(Path, name))) for name in STEPS]
    patches += [
        mock.patch.object(transaction, name, counter.around(getattr(transaction, name)))
        for name in ("sync", "write_durably")
    ]
    with alone(project, lambda _: None):
        for each in patches:
            each.start()
        try:
            replace_files(changes, project)
        finally:
            for each in patches:
                each.stop()


def lay_out(project: Path, old: dict[str, str | None], new: dict[str, str | None]) -> list[Change]:
    (project / "manifests").mkdir()
    for path, text in old.items():
        if text is not None:
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_bytes(as_bytes(text))
    return [
        Change(path, old.get(path), text)
        for path, text in new.items()
        if old.get(path) is not None or text is not None
    ]


def wanted(project: Path, texts: dict[str, str | None]) -> dict[str, bytes]:
    return {str(project / path): as_bytes(text) for path, text in texts.items() if text is not None}


@settings(max_examples=100)
@given(FILES, FILES, st.integers(1, 40), st.sampled_from(FAULTS))
def test_an_error_in_the_middle_leaves_all_as_it_was(
    old: dict[str, str | None],
    new: dict[str, str | None],
    at: int,
    fault: Callable[[], BaseException],
) -> None:
    def fail() -> None:
        raise fault()

    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        changes = lay_out(project, old, new)
        folders = {path for path in project.rglob("*") if path.is_dir()}
        counter = Counter(at, fail)
        before, after = wanted(project, old), wanted(project, {**old, **new})
        is_done = False
        with suppress(OSError, StoreError, KeyboardInterrupt):
            replacing_with(counter, changes, project)
            is_done = True
        at_once = {path: data for path, data in snapshot(project).items() if "/.undo" not in path}
        assert at_once in (before, after)
        with alone(project, lambda _: None):  # what failed while it cleared away
            pass
        present = snapshot(project)
        assert present == after if is_done else present in (before, after)
        if present == before:
            assert is_done or {path for path in project.rglob("*") if path.is_dir()} == folders


@settings(max_examples=40)
@given(FILES, FILES, st.integers(1, 40))
def test_what_is_ended_by_force_is_undone_by_the_next(
    old: dict[str, str | None], new: dict[str, str | None], at: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        changes = lay_out(project, old, new)
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                counter = Counter(at, lambda: os.kill(os.getpid(), signal.SIGKILL))
                replacing_with(counter, changes, project)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        with alone(project, lambda _: None):
            pass
        present = {path: data for path, data in snapshot(project).items() if not path.endswith(".lock")}
        allowed = [wanted(project, {**old, **new})]
        allowed += [wanted(project, old)] if os.WIFSIGNALED(status) else []
        assert present in allowed


def test_an_edit_after_an_end_by_force_is_not_lost(tmp_path: Path) -> None:
    changes = lay_out(
        tmp_path, {PATHS[0]: "old\n", PATHS[2]: "old\n"}, {PATHS[0]: "new\n", PATHS[2]: "new\n"}
    )
    with (
        alone(tmp_path),
        mock.patch.object(transaction, "_undo"),
        mock.patch.object(transaction, "_put") as put,
    ):
        put.side_effect = KeyboardInterrupt
        with pytest.raises(KeyboardInterrupt):
            replace_files(changes, tmp_path)
    (tmp_path / PATHS[2]).write_text("an edit\n")
    with pytest.raises(ManifestError) as caught, alone(tmp_path):
        pass
    assert caught.value.where == PATHS[2]
    assert (tmp_path / PATHS[2]).read_text() == "an edit\n"
    assert (tmp_path / "manifests/.undo").is_dir()
