from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
from typing import TYPE_CHECKING

import pytest

from recipes.core.errors import StoreError
from recipes.fetch.download.partial_file import (
    BATCH_BYTES,
    MAX_BATCHES,
    Partial,
    receipt_folder,
    sidecar_path,
    tidy,
)
from recipes.fetch.http.response_rules import Validator

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://host/file"


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "part"


def test_bytes_are_written_in_order_and_hashed(path: Path) -> None:
    # more pieces than may wait to be hashed, of sizes below and above a batch
    pieces = [
        os.urandom(size) for size in (1, BATCH_BYTES - 1, BATCH_BYTES, 3, 2 * BATCH_BYTES + 1)
    ] * MAX_BATCHES
    with Partial(path) as partial:
        for piece in pieces:
            partial.append(piece)
        assert partial.digest().hex == digest_of(b"".join(pieces))
        assert partial.size_bytes == sum(map(len, pieces))
    assert path.read_bytes() == b"".join(pieces)


def test_each_piece_is_on_disk_when_append_returns(path: Path) -> None:
    with Partial(path) as partial:
        partial.append(b"abc")
        assert path.read_bytes() == b"abc"


def test_the_digest_may_be_asked_for_in_between(path: Path) -> None:
    with Partial(path) as partial:
        partial.append(b"ab")
        assert partial.digest().hex == digest_of(b"ab")
        partial.append(b"c")
        assert partial.digest().hex == digest_of(b"abc")


@pytest.mark.parametrize("is_hashed_first", [True, False])
def test_what_was_there_before_is_part_of_the_digest(path: Path, *, is_hashed_first: bool) -> None:
    before = os.urandom(3 * BATCH_BYTES + 5)
    path.write_bytes(before)
    positions: list[int] = []
    with Partial(path) as partial:
        assert partial.is_inherited
        assert partial.size_bytes == len(before)
        if is_hashed_first:
            partial.hash_inherited(positions.append)
            assert positions[-1] == len(before)
            partial.hash_inherited(positions.append)  # a second time it does nothing
        partial.append(b"rest")
        assert partial.digest().hex == digest_of(before + b"rest")
    assert positions == sorted(set(positions))


def test_a_new_start_forgets_everything_and_notes_where_it_begins(path: Path) -> None:
    path.write_bytes(b"old")
    with Partial(path) as partial:
        partial.append(b"er")
        partial.restart(URL, Validator('"a"', "date"))
        assert (partial.size_bytes, partial.is_inherited, path.read_bytes()) == (0, False, b"")
        partial.append(b"new")
        assert partial.digest().hex == digest_of(b"new")
        assert partial.validator_of(URL) == Validator('"a"', "date")
        assert partial.validator_of("https://other/file") is None
    with Partial(path) as later:
        assert later.validator_of(URL) == Validator('"a"', "date")


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"[]",
        b"[1",
        b"null",
        b"{}",
        b"\xff",
        json.dumps({"url": URL}).encode(),
        json.dumps({"url": URL, "etag": '"a"'}).encode(),
    ],
)
def test_a_sidecar_that_is_damaged_says_nothing(path: Path, record: bytes) -> None:
    sidecar_path(path).write_bytes(record)
    with Partial(path) as partial:
        assert partial.validator_of(URL) is None


def test_a_sidecar_with_a_field_of_another_type_loses_that_field(path: Path) -> None:
    record = {"url": URL, "etag": 5, "last_modified": "date"}
    sidecar_path(path).write_text(json.dumps(record))
    with Partial(path) as partial:
        assert partial.validator_of(URL) == Validator(None, "date")


def test_the_start_of_the_file_can_be_looked_at(path: Path) -> None:
    with Partial(path) as partial:
        partial.append(b"<html>")
        assert partial.start() == b"<html>"


def test_a_disk_that_takes_no_more_is_an_error_of_the_store_and_the_rest_stays(path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with Partial(path) as partial:
            partial.append(b"x" * 4000)
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
            with pytest.raises(StoreError) as caught:
                partial.append(b"y" * 4000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.where == str(path)
    assert path.read_bytes() == b"x" * 4000 + b"y" * 1000


def test_tidy_keeps_a_part_with_bytes_and_its_sidecar(path: Path) -> None:
    path.write_bytes(b"x")
    sidecar_path(path).touch()
    receipt_folder(path).mkdir()
    (receipt_folder(path) / "receipt").touch()
    tidy(path)
    assert sorted(file.name for file in path.parent.iterdir()) == ["part", "part.origin"]


def test_tidy_removes_an_empty_part_with_all_that_lies_beside_it(path: Path) -> None:
    path.touch()
    sidecar_path(path).touch()
    tidy(path)
    tidy(path)
    assert list(path.parent.iterdir()) == []
