"""A process that works on a store, for the tests of faults: `store_worker.py TASK ROOT [ARGUMENT...]`.

What it finds, it prints as JSON, one object a line.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import resource
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.core.console import Plain, Silent
from recipes.core.digest import Sha256
from recipes.core.errors import StoreError
from recipes.core.file_lock import is_held
from recipes.store.fsck import set_damaged_aside
from recipes.store.gc import collect, list_store, plan_collection
from recipes.store.store import Entry, Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

KEY = "bundle-x"
BLOB = b"verified bytes\n" * 100
SHA = Sha256.of_bytes(BLOB)
TREE = {"bin/tool": b"#!/bin/sh\n", "lib/deep/er/data": b"data", "empty": b""}
CHANGES = frozenset(
    {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "fcntl.flock"}
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def say(**found: object) -> None:
    print(json.dumps(found), flush=True)


def fill(root: Path) -> None:
    for name, data in TREE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "bin" / "tool").chmod(0o755)
    (root / "link").symlink_to("bin/tool")


def ensure(store: Store) -> Entry:
    return store.ensure(KEY, "bundle", {"a": "1"}, fill, console=Silent()).entry


def check_whole(store: Store, key: str = KEY) -> bool:
    """Whether the entry is there; if so it must be whole, read-only and what was staged."""
    entry = store.find(key)
    if entry is None:
        return False
    store.verify(entry)
    present = {str(path.relative_to(entry.path)) for path in entry.path.rglob("*") if not path.is_dir()}
    assert present == {*TREE, "link"}, present
    assert all((entry.path / name).read_bytes() == data for name, data in TREE.items())
    modes = {
        path.lstat().st_mode & 0o222 for path in (entry.path, *entry.path.rglob("*")) if not path.is_symlink()
    }
    assert modes == {0}, modes
    assert entry.inputs == {"a": "1"}
    return True


def adopt(store: Store) -> Path:
    return store.adopt_blob(store.partial_path(SHA), SHA)


class Case:
    """One thing that a killed process may have been doing.

    `prepare` makes the store ready for it, `act` does it, `check` says after a kill at any moment which of
    two allowed states the store is in (and raises for a third), and `recover` is what the next run does.
    """

    def __init__(
        self,
        prepare: Callable[[Store], object],
        act: Callable[[Store], object],
        check: Callable[[Store], bool],
        recover: Callable[[Store], object],
    ) -> None:
        self.prepare, self.act, self.check, self.recover = prepare, act, check, recover


def recover_entry(store: Store) -> None:
    ensure(store)
    assert check_whole(store)


def leave_half_an_entry(store: Store) -> None:
    ensure(store)
    store.record_path(KEY).unlink()
    (store.entries / KEY).chmod(0o755)
    (store.entries / KEY / "stray").touch()


def leave_a_record(store: Store) -> None:
    (ensure(store).path).rename(store.tmp.root / "gone")


def leave_a_download(store: Store) -> None:
    store.partial_path(SHA).write_bytes(BLOB)


def check_download(store: Store) -> bool:
    """The bytes are a file of the store or still the download; never neither, never other bytes."""
    if store.verified_blob(SHA, len(BLOB)) is not None:
        return True
    assert store.partial_path(SHA).read_bytes() == BLOB
    assert store.partial_path(SHA).stat().st_mode & 0o200  # an interrupted download must be able to go on
    return False


def recover_download(store: Store) -> None:
    if store.verified_blob(SHA) is None:
        adopt(store)
    assert check_download(store)


def check_rejected(store: Store) -> bool:
    """The bytes are where they were, or set aside beside a reason."""
    found = [path for path in store.root.rglob(SHA.hex) if path.is_file()]
    assert [path.read_bytes() for path in found] == [BLOB]
    if found[0].parent == store.partial:
        return False
    assert found[0].with_name("why.txt").read_text(encoding="utf-8") == "wrong\n"
    return True


def recover_rejected(store: Store) -> None:
    if store.partial_path(SHA).exists():
        store.reject(store.partial_path(SHA), "wrong")
    assert check_rejected(store)


def fill_with_garbage(store: Store) -> None:
    ensure(store)
    leave_a_download(store)
    adopt(store)
    with store.stage("reached", "bundle", {"a": "1"}) as staging:
        fill(staging.path)
    (store.tmp.root / "x.dead" / "folder").mkdir(parents=True)
    (store.tmp.root / "x.dead" / "folder" / "file").touch()


def collect_all(store: Store) -> None:
    collect(store, plan_collection({"reached"}, (), list_store(store)), Silent())


def check_collected(store: Store) -> bool:
    """What is reached is whole; what goes is whole or gone."""
    assert check_whole(store, "reached")
    store.verified_blob(SHA)
    return not check_whole(store)


def recover_collected(store: Store) -> None:
    collect_all(store)
    assert check_collected(store)
    assert {item.name for item in list_store(store)} == {"reached"}
    recover_entry(store)


def damage(store: Store) -> None:
    entry = ensure(store)
    (entry.path / "empty").chmod(0o644)
    (entry.path / "empty").write_bytes(b"x")


def check_damaged(store: Store) -> bool:
    """The damaged entry is refused or gone; it is never taken for a good one."""
    entry = store.find(KEY)
    if entry is None:
        return True
    try:
        store.verify(entry)
    except StoreError:
        return False
    raise AssertionError("a damaged entry was verified")


def recover_damaged(store: Store) -> None:
    set_damaged_aside(store, Silent())
    assert check_damaged(store)
    recover_entry(store)


def check_history(store: Store) -> bool:
    inputs = store.history.last_inputs("x")
    assert inputs in ({"a": "1"}, {"a": "2", "b": "3"}), inputs
    return inputs != {"a": "1"}


def record(store: Store) -> None:
    store.history.record_inputs("x", {"a": "2", "b": "3"})


def recover_history(store: Store) -> None:
    record(store)
    assert check_history(store)


CASES = {
    "stage": Case(lambda _: None, ensure, check_whole, recover_entry),
    "stage-over-half-an-entry": Case(leave_half_an_entry, ensure, check_whole, recover_entry),
    "stage-over-a-record": Case(leave_a_record, ensure, check_whole, recover_entry),
    "adopt": Case(leave_a_download, adopt, check_download, recover_download),
    "reject": Case(
        leave_a_download,
        lambda store: store.reject(store.partial_path(SHA), "wrong"),
        check_rejected,
        recover_rejected,
    ),
    "collect": Case(fill_with_garbage, collect_all, check_collected, recover_collected),
    "set-aside": Case(
        damage, lambda store: set_damaged_aside(store, Silent()), check_damaged, recover_damaged
    ),
    "record": Case(
        lambda store: store.history.record_inputs("x", {"a": "1"}), record, check_history, recover_history
    ),
}


def call_before_each_change(hook: Callable[[str], None]) -> None:
    """Have the hook called before each change that this process makes to the file system, for good."""

    def audit(event: str, args: tuple[Any, ...]) -> None:
        if event in CHANGES or (event == "open" and isinstance(args[2], int) and args[2] & WRITING):
            hook(event)

    sys.addaudithook(audit)

    # A file that is opened is written a few lines later: stop there too, with nothing and all of it written.
    def trace(frame: FrameType, event: str, _: object) -> Any:  # noqa: ANN401 - what sys.settrace wants
        if frame.f_code.co_name not in {"write_durably", "_sign", "_let_go"}:
            return None
        if event == "line":
            hook("line")
        return trace

    sys.settrace(trace)


def kill_at_change(step: int) -> None:
    """Have this process killed, as by `kill -9`, just before its nth change."""
    count = 0

    def hook(_: str) -> None:
        nonlocal count
        count += 1
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)

    call_before_each_change(hook)


def kill_inside_write(limit_bytes: int) -> None:
    """Have this process killed by the system within the write that makes any file longer than this."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))


def kill_everywhere(root: Path, name: str) -> None:
    """Do one thing again and again, in a new store each time, killed at another place each time."""
    # what is in the page cache outlives a process, and waiting for disks takes minutes
    setattr(os, "fsync", lambda _: None)  # noqa: B010 - assigned directly, it would have to be typed as overloaded
    states = {True: 0, False: 0}
    for step in itertools.count(1):
        state = kill_once(root / f"change-{step}", CASES[name], partial(kill_at_change, step))
        if state is None:
            break
        states[state] += 1
    inside = 0
    for limit_bytes in range(0, len(BLOB), 250):
        arm = partial(kill_inside_write, limit_bytes)
        inside += kill_once(root / f"write-{limit_bytes}", CASES[name], arm) is not None
    say(before=states[False], after=states[True], inside=inside)


def kill_once(root: Path, case: Case, arm: Callable[[], None]) -> bool | None:
    """Give what the case's check says after the kill, or None where the process came to its end."""
    store = Store.open(root)
    case.prepare(store)
    child = os.fork()
    if child == 0:
        arm()
        case.act(store)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    ended = os.waitstatus_to_exitcode(status)
    assert ended in {0, -signal.SIGKILL, -signal.SIGXFSZ}, ended
    assert not any(map(is_held, store.root.rglob("*.lock")))
    state = case.check(store)
    case.recover(store)
    everything = {item.name for item in list_store(store)}
    collect(store, plan_collection(everything, (), list_store(store)), Silent())
    assert not list(store.tmp.root.iterdir())
    return None if ended == 0 else state


def stage_for_ever(root: Path) -> None:
    """Stage one entry after the other, with a byte on standard output before each change."""

    def tell(_: str) -> None:
        os.write(1, b".")

    call_before_each_change(tell)
    store = Store.open(root)
    for number in itertools.count():
        with store.stage(f"{KEY}-{os.getpid()}-{number}", "bundle", {"a": "1"}) as staging:
            fill(staging.path)


def check_all(root: Path) -> None:
    store = Store.open(root)
    keys = {path.name for path in store.entries.iterdir() if path.is_dir()}
    whole = sum(check_whole(store, key) for key in keys)
    collect(store, plan_collection(keys, (), list_store(store)), Silent())
    left = {path.name for path in store.entries.iterdir() if path.is_dir()}
    say(folders=len(keys), whole=whole, left=len(left), temporary=len(list(store.tmp.root.iterdir())))


def build_once(root: Path, mode: str) -> None:
    """Build the entry unless it is there; "slow" waits inside for a line on standard input."""
    store = Store.open(root)

    def make(folder: Path) -> None:
        fill(folder)
        if mode == "slow":
            say(at="staging", path=str(folder))
            sys.stdin.readline()

    entry, built = store.ensure(KEY, "bundle", {"a": "1"}, make, console=Plain(sys.stdout))
    assert check_whole(store)
    say(built=built, tree=entry.tree.hex)


def attempt(name: str, act: Callable[[], object]) -> None:
    """Do something that may be refused, and print how it ended."""
    try:
        act()
    except StoreError as error:
        say(name=name, where=error.where, found=error.found, fix=error.fix)
    else:
        say(name=name, done=True)


def write_without_end(store: Store, key: str) -> None:
    with store.stage(key, "bundle", {}) as staging, (staging.path / "large").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))


def fill_disk(root: Path) -> None:
    """Meet a full disk while staging and while downloading, then go on with what was verified."""
    store = Store.open(root)
    entry = ensure(store)
    leave_a_download(store)
    adopt(store)
    attempt("stage", lambda: write_without_end(store, "too-large"))
    store.verify(entry)
    say(temporary=[path.name for path in store.tmp.root.iterdir()], blob=store.verified_blob(SHA) is not None)
    with store.stage("small-enough", "bundle", {"a": "1"}) as staging:
        fill(staging.path)
    say(goes_on=check_whole(store, "small-enough"))


def run_out_of_files(root: Path) -> None:
    """Stage with room for 0, 1, 2, ... more files, so that each file made is once the one too many."""
    import subprocess

    store = Store.open(root / "store")
    recover_entry(store)
    ends = []
    for spare in range(200):
        used = os.statvfs(root).f_files - os.statvfs(root).f_ffree
        subprocess.run(["mount", "-o", f"remount,nr_inodes={used + spare}", root], check=True)
        key = f"next-{spare}"
        error = None
        try:
            with store.stage(key, "bundle", {"a": "1"}) as staging:
                fill(staging.path)
        except StoreError as refused:
            error = refused
        subprocess.run(["mount", "-o", "remount,nr_inodes=100000", root], check=True)
        assert check_whole(store)
        assert check_whole(store, key) == (error is None)
        assert not list(store.tmp.root.iterdir()), list(store.tmp.root.iterdir())
        if error is None:
            break
        ends.append(error.found.split(":")[0])
    say(refusals=len(ends), texts=sorted(set(ends)))


def limit_files(root: Path) -> None:
    """Meet the limit of a file's size, which needs no file system of one's own."""
    store = Store.open(root)
    entry = ensure(store)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    attempt("stage", lambda: write_without_end(store, "too-large"))
    store.verify(entry)
    say(temporary=[path.name for path in store.tmp.root.iterdir()])


def prepare_store(root: Path) -> None:
    store = Store.open(root)
    ensure(store)
    leave_a_download(store)
    adopt(store)
    store.history.record_inputs("x", {"a": "1"})
    (store.partial / "other").write_bytes(b"x")


def use_without_writing(root: Path) -> None:
    """Read all that is there, then try each way to write."""
    store = Store.open(root)
    entry = store.find(KEY)
    assert entry is not None
    store.verify(entry)
    assert store.verified_blob(SHA, len(BLOB)) is not None
    assert store.history.last_inputs("x") == {"a": "1"}
    store.history.record_inputs("x", {"a": "1"})  # the same again: nothing to write
    plan = plan_collection({KEY}, (), list_store(store))
    say(read=True, going=[item.name for item in plan.going])
    attempt("lock", lambda: store.lock(KEY, Silent()).__enter__())
    attempt("stage", lambda: store.stage("new", "bundle", {}).__enter__())
    attempt("scratch", lambda: store.scratch("new").__enter__())
    attempt("adopt", lambda: store.adopt_blob(store.partial / "other", Sha256.of_bytes(b"x")))
    attempt("reject", lambda: store.reject(store.partial / "other", "why"))
    attempt("record", lambda: store.history.record_inputs("x", {"a": "2"}))
    attempt("discard", lambda: store.discard(KEY))
    attempt("set aside", lambda: store.set_aside(KEY, "why"))
    attempt("collect", lambda: collect(store, plan, Silent()))
    assert check_whole(store)
    assert (store.partial / "other").read_bytes() == b"x"


def open_only(root: Path) -> None:
    attempt("open", lambda: Store.open(root))


def live_a_whole_life(root: Path) -> None:
    """Make, damage, set aside, make again, collect: what an ordinary user's permissions must allow."""
    say(capable=can_write_anything(root))
    store = Store.open(root)
    for name in ("stage-over-half-an-entry", "adopt", "set-aside", "collect"):
        own = Store.open(root / name)
        CASES[name].prepare(own)
        CASES[name].act(own)
        CASES[name].recover(own)
    entry = ensure(store)
    store.reject(entry.path, "to move a read-only folder")
    recover_entry(store)
    say(done=True)


def can_write_anything(root: Path) -> bool:
    probe = root / "probe"
    probe.mkdir(0o555, parents=True)
    with contextlib.suppress(PermissionError):
        (probe / "file").touch()
        return True
    return False


def use_forbidden(root: Path) -> None:
    """Meet files that this user may not read."""
    store = Store.open(root)
    say(user=os.geteuid())
    attempt("find", lambda: store.find(KEY))
    attempt("blob", lambda: store.verified_blob(SHA))
    entry = Entry(KEY, "bundle", Sha256("0" * 64), {}, store.entries / KEY)
    attempt("verify", lambda: store.verify(entry))
    attempt("stage", lambda: store.stage("new", "bundle", {}).__enter__())


TASKS: dict[str, Callable[..., None]] = {
    task.__name__.replace("_", "-"): task
    for task in (
        kill_everywhere,
        stage_for_ever,
        check_all,
        build_once,
        fill_disk,
        run_out_of_files,
        limit_files,
        prepare_store,
        use_without_writing,
        use_forbidden,
        open_only,
        live_a_whole_life,
    )
}


if __name__ == "__main__":
    TASKS[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
