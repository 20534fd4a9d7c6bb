"""What can go wrong around the store, provoked for real: kills, races, full disks, missing permissions."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import paths

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKER = paths.PROJECT / "tests" / "support" / "store_worker.py"
STARTED: list[subprocess.Popen[str]] = []
KEY = "bundle-x"  # as in the worker
SINGLE_X = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # printf x | sha256sum
TMPFS = 'mount -t tmpfs -o "$1" tmpfs "$2"; shift 2; exec "$@"'
READ_ONLY_BIND = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; shift; exec "$@"'


def start(*arguments: str | Path, within: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(paths.PROJECT)}
    process = subprocess.Popen(
        [*within, sys.executable, "-B", str(WORKER), *map(str, arguments)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    return process


@pytest.fixture(autouse=True)
def no_process_outlives_its_test() -> Iterator[None]:
    yield
    while STARTED:
        process = STARTED.pop()
        process.kill()
        process.communicate()


def answers(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert err == ""
    return [json.loads(line) for line in out.splitlines()]


def work(*arguments: str | Path, within: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return answers(start(*arguments, within=within))


@pytest.fixture(scope="session")
def namespace() -> tuple[str, ...]:
    """Give the start of a command that runs a shell script where this user may mount file systems."""
    command = ("unshare", "--map-root-user", "--mount")
    try:
        done = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("mounting a small or read-only file system needs Linux's unshare, which is not here")
    if done.returncode != 0:
        pytest.skip(f"mounting a small or read-only file system is not allowed here: {done.stderr.strip()}")
    return (*command, "sh", "-euc")


@pytest.fixture(scope="session")
def without_privileges() -> tuple[str, ...]:
    """Give the start of a command that permissions apply to, also where root runs the tests."""
    if os.geteuid() != 0:
        return ()
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "--user", "true"], check=False).returncode
    ):
        pytest.skip("root could not give up its privileges: unshare --user does not work here")
    return ("unshare", "--user")


@pytest.fixture
def fast_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: for the tests that make hundreds of stores."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(dir=memory))
    yield folder
    subprocess.run(["chmod", "-R", "u+w", folder], check=True)
    shutil.rmtree(folder)


# hundreds of short processes: seconds on a quiet machine, minutes on a crowded one
@pytest.mark.timeout(1200)
class TestKill:
    @pytest.mark.parametrize(
        ("case", "least"),
        [
            ("stage", {"before": 30, "after": 3, "inside": 2}),
            ("stage-over-half-an-entry", {"before": 30, "after": 3, "inside": 2}),
            ("stage-over-a-record", {"before": 30, "after": 3, "inside": 2}),
            ("adopt", {"before": 1, "after": 1, "inside": 0}),
            ("reject", {"before": 3, "after": 0, "inside": 1}),
            ("collect", {"before": 5, "after": 30, "inside": 1}),
            ("set-aside", {"before": 5, "after": 5, "inside": 1}),
            ("record", {"before": 8, "after": 3, "inside": 1}),
        ],
    )
    def test_killed_before_any_change_or_within_a_write_the_store_is_whole_and_the_next_run_goes_on(
        self, fast_path: Path, case: str, least: dict[str, int]
    ) -> None:
        # the worker checks after each kill; the counts say that kills happened, on both sides of the commit
        (counts,) = work("kill-everywhere", fast_path, case)
        assert all(counts[name] >= least[name] for name in least), counts

    def test_killed_from_outside_at_any_moment_no_entry_is_half(self, tmp_path: Path) -> None:
        chance = random.Random(20251122)
        made = 0
        for _ in range(8):
            process = start("stage-for-ever", tmp_path)
            assert process.stdout is not None
            assert len(process.stdout.read(chance.randint(1, 400))) > 0
            process.kill()
            process.communicate()
            assert process.returncode == -9
            (found,) = work("check-all", tmp_path)
            assert found["left"] == found["whole"]
            assert found["temporary"] == 0
            made = max(made, found["whole"])
        assert made > 0

    def test_killed_inside_a_staging_what_it_left_is_removed_by_the_next(self, tmp_path: Path) -> None:
        process = start("build-once", tmp_path, "slow")
        assert process.stdout is not None
        left = Path(json.loads(process.stdout.readline())["path"])
        process.kill()
        process.communicate()
        assert (left / "bin" / "tool").exists()
        assert work("build-once", tmp_path, "fast")[0]["built"]
        assert not left.exists()


class TestRaces:
    def test_a_second_builder_says_whom_it_waits_for_and_uses_the_firsts_entry(self, tmp_path: Path) -> None:
        first = start("build-once", tmp_path, "slow")
        assert first.stdout is not None
        assert json.loads(first.stdout.readline())["at"] == "staging"
        second = start("build-once", tmp_path, "fast")
        assert second.stdout is not None
        waiting = second.stdout.readline()
        assert waiting == f"waiting for process {first.pid} on {os.uname().nodename}, which works on {KEY}\n"
        assert first.stdin is not None
        first.stdin.write("\n")
        (built,) = answers(first)
        (used,) = answers(second)  # and it said that it waits once only
        assert (built["built"], used["built"]) == (True, False)
        assert built["tree"] == used["tree"]

    def test_a_second_builder_takes_over_from_a_killed_one(self, tmp_path: Path) -> None:
        first = start("build-once", tmp_path, "slow")
        assert first.stdout is not None
        first.stdout.readline()
        second = start("build-once", tmp_path, "fast")
        assert second.stdout is not None
        assert second.stdout.readline().startswith(f"waiting for process {first.pid} ")
        first.kill()
        first.communicate()
        (taken_over,) = answers(second)
        assert taken_over["built"]

    def test_of_many_builders_at_once_exactly_one_builds(self, tmp_path: Path) -> None:
        processes = [start("build-once", tmp_path, "fast") for _ in range(6)]
        found = []
        for process in processes:
            out, err = process.communicate()
            assert (process.returncode, err) == (0, "")
            found.append(json.loads(out.splitlines()[-1]))
        assert sum(each["built"] for each in found) == 1
        assert len({each["tree"] for each in found}) == 1

    def test_garbage_collection_spares_what_another_process_is_making(self, tmp_path: Path) -> None:
        process = start("build-once", tmp_path, "slow")
        assert process.stdout is not None
        staging = Path(json.loads(process.stdout.readline())["path"])
        (found,) = work("check-all", tmp_path)  # collects all that is not an entry
        assert found["temporary"] > 0
        assert staging.is_dir()
        assert process.stdin is not None
        process.stdin.write("\n")
        assert answers(process)[0]["built"]


class TestFullDisk:
    def test_a_full_disk_leaves_the_store_intact_and_says_what_to_do(
        self, tmp_path: Path, namespace: tuple[str, ...]
    ) -> None:
        within = (*namespace, TMPFS, "sh", "size=2m", str(tmp_path))
        refused, after, goes_on = work("fill-disk", tmp_path / "store", within=within)
        assert "0 B free" in refused["found"]
        assert "free some space" in refused["fix"]
        assert refused["where"].startswith(f"{tmp_path}/store/v1/tmp/too-large.")
        assert after == {"temporary": [], "blob": True}
        assert goes_on == {"goes_on": True}

    def test_whichever_file_is_the_one_too_many_the_store_stays_intact(
        self, tmp_path: Path, namespace: tuple[str, ...]
    ) -> None:
        within = (*namespace, TMPFS, "sh", "size=8m", str(tmp_path))
        (found,) = work("run-out-of-files", tmp_path, within=within)
        assert found["texts"] == ["No space left on device"]
        assert found["refusals"] >= 10  # files and folders of the tree, its folder, lock, record and listing

    def test_a_limit_on_the_size_of_files_is_met_in_the_same_way(self, tmp_path: Path) -> None:
        refused, after = work("limit-files", tmp_path)
        assert refused["where"].startswith(f"{tmp_path}/v1/tmp/too-large.")
        assert "ulimit -f" in refused["fix"]
        assert after == {"temporary": []}


class TestReadOnly:
    def test_a_read_only_store_serves_what_it_has_and_refuses_each_write_by_name(
        self, tmp_path: Path, namespace: tuple[str, ...]
    ) -> None:
        work("prepare-store", tmp_path)
        (tmp_path / "v1" / "evidence").rmdir()  # as in a store of an earlier version
        before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
        within = (*namespace, READ_ONLY_BIND, "sh", str(tmp_path))
        read, *refused = work("use-without-writing", tmp_path, within=within)
        assert read["read"]
        root = tmp_path / "v1"
        places = {row["name"]: row["where"] for row in refused}
        assert {row["found"] for row in refused} == {"Read-only file system"}
        for name in ("stage", "scratch"):
            assert places.pop(name).startswith(str(root / "tmp" / "new."))
        assert places == {
            "lock": f"{root}/locks/{KEY}.lock",
            "adopt": f"{root}/blobs/sha256/{SINGLE_X}",
            "reject": f"{root}/rejected/other-1",
            "record": f"{root}/publishing.lock",
            "discard": f"{root}/publishing.lock",
            "set aside": f"{root}/publishing.lock",
            "collect": f"{root}/locks/{read['going'][0]}.lock",
        }
        assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before

    def test_where_there_is_no_store_a_read_only_place_is_refused(
        self, tmp_path: Path, namespace: tuple[str, ...]
    ) -> None:
        within = (*namespace, READ_ONLY_BIND, "sh", str(tmp_path))
        (refused,) = work("open-only", tmp_path / "store", within=within)
        assert (refused["where"], refused["found"]) == (str(tmp_path / "store"), "Read-only file system")


class TestPermissions:
    def test_an_ordinary_users_permissions_are_enough(
        self, tmp_path: Path, without_privileges: tuple[str, ...]
    ) -> None:
        capable, done = work("live-a-whole-life", tmp_path / "store", within=without_privileges)
        assert capable == {"capable": False}  # else this test would show nothing
        assert done == {"done": True}

    def test_what_this_user_may_not_read_or_write_is_an_error_with_a_fix(
        self, tmp_path: Path, without_privileges: tuple[str, ...]
    ) -> None:
        work("prepare-store", tmp_path)
        root = tmp_path / "v1"
        (blob,) = (root / "blobs" / "sha256").iterdir()
        closed = (root / "entries" / f"{KEY}.json", blob, root / "entries" / KEY / "lib")
        for path in closed:
            path.chmod(0o000)
        (root / "tmp").chmod(0o555)
        user, *refused = work("use-forbidden", tmp_path, within=without_privileges)
        for path in (*closed, root / "tmp"):
            path.chmod(0o755)
        places = {row["name"]: row["where"] for row in refused}
        assert {row["found"] for row in refused} == {f"Permission denied for user {user['user']}"}
        assert places.pop("stage").startswith(str(root / "tmp" / "new."))
        assert places == {"find": str(closed[0]), "blob": str(closed[1]), "verify": str(closed[2])}

    def test_a_folder_that_this_user_may_not_write_is_no_place_for_a_store(
        self, tmp_path: Path, without_privileges: tuple[str, ...]
    ) -> None:
        (tmp_path / "closed").mkdir(0o555)
        (refused,) = work("open-only", tmp_path / "closed" / "store", within=without_privileges)
        assert (refused["where"], refused["found"]) == (
            str(tmp_path / "closed" / "store"),
            "Permission denied",
        )
