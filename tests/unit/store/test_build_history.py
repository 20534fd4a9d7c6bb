from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.store.build_history import explain_rebuild

if TYPE_CHECKING:
    from recipes.store.store import Store

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SHA1 = "sha1:" + "c" * 40
LONG = "-fvisibility=hidden -fvisibility-inlines-hidden -ffile-prefix-map=/src=. "


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (None, {"x": "1"}, "no earlier build is recorded in this store"),
        ({"x": "1"}, {"x": "1"}, "no input changed: the result is no longer in the store"),
        ({"x": "1", "y": "2"}, {"y": "2", "x": "1"}, "the same inputs in another order"),
        ({"x": "1"}, {"x": "2"}, "x: 1 -> 2"),
        ({"x": ""}, {"x": "2"}, "x: nothing -> 2"),
        (
            {"patch 0001-x.patch": A},
            {"patch 0001-x.patch": B},
            "patch 0001-x.patch: sha256 aaaaaaaaaaaa.. -> bbbbbbbbbbbb..",
        ),
        ({"x": "1", "y": A, "z": "3"}, {"x": "2", "y": B, "z": "4"}, "x: 1 -> 2, +2 more"),
        ({"x": "1"}, {"x": "1", "y": "2"}, "y: new"),
        ({"x": "1", "y": "2"}, {"x": "1"}, "y: no longer an input"),
        ({"x": "1", "y": "2"}, {"z": "1", "y": "3"}, "y: 2 -> 3, +2 more"),
        ({"x": LONG + "-O2"}, {"x": LONG + "-O3"}, "x: ..prefix-map=/src=. -O2 -> ..prefix-map=/src=. -O3"),
        ({"x": "2" + LONG}, {"x": "3" + LONG}, f"x: 2{LONG[:59]}.. -> 3{LONG[:59]}.."),
        ({"x": LONG}, {"x": ""}, f"x: {LONG[:60]}.. -> nothing"),
        ({"x": SHA1}, {"x": A}, f"x: {SHA1} -> {A[:60]}.."),
        ({"x\ny": "a\nb"}, {"x\ny": "a\rb"}, "'x\\ny': 'a\\nb' -> 'a\\rb'"),
    ],
)
def test_one_line_says_which_input_changed(
    before: dict[str, str] | None, after: dict[str, str], line: str
) -> None:
    assert explain_rebuild(before, after) == line


def test_digests_that_begin_alike_are_told_apart() -> None:
    first, second = "sha256:" + "a" * 64, "sha256:" + "a" * 63 + "b"
    assert explain_rebuild({"x": first}, {"x": second}) == f"x: ..{'a' * 21} -> ..{'a' * 20}b"


def test_the_last_inputs_come_back_in_order(store: Store) -> None:
    history = store.history
    assert history.last_inputs("b7827@linux-x86_64-cpu") is None
    history.record_inputs("b7827@linux-x86_64-cpu", {"z": "1", "a": "2"})
    history.record_inputs("b6751@linux-x86_64-cpu", {"other": "3"})
    assert list((history.last_inputs("b7827@linux-x86_64-cpu") or {}).items()) == [("z", "1"), ("a", "2")]
    history.record_inputs("b7827@linux-x86_64-cpu", {"a": "2", "z": "1"})
    assert list(history.last_inputs("b7827@linux-x86_64-cpu") or {}) == ["a", "z"]
    names = sorted(path.name for path in (store.root / "history").iterdir())
    assert names == ["b6751@linux-x86_64-cpu.json", "b7827@linux-x86_64-cpu.json"]


def test_the_same_inputs_are_not_written_again(store: Store) -> None:
    store.history.record_inputs("name", {"a": "1"})
    path = store.root / "history" / "name.json"
    inode = path.stat().st_ino
    store.history.record_inputs("name", {"a": "1"})
    assert path.stat().st_ino == inode
    store.history.record_inputs("name", {"a": "2"})
    assert store.history.last_inputs("name") == {"a": "2"}


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"a": 1}', b"\xff"])
def test_a_damaged_history_is_no_history(store: Store, data: bytes) -> None:
    (store.root / "history" / "name.json").write_bytes(data)
    assert store.history.last_inputs("name") is None
    store.history.record_inputs("name", {"a": "1"})
    assert store.history.last_inputs("name") == {"a": "1"}
