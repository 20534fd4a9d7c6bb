"""Files of a model that are here: what is read again, what is not, and what is found to be wrong."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.core.console import Silent
from recipes.core.digest import Sha256, hash_file
from recipes.models import verify as model_verify
from recipes.models.files import pinned_files
from recipes.models.verify import chunks_path, verify_files
from recipes.store.chunk_digests import (
    Chunks,
    encode_chunks,
    first_difference,
    hash_with_chunks,
    parse_chunks,
)
from recipes.store.context import Context
from recipes.store.stat_cache import Sight, is_unchanged, note_sight, parse_sight
from tests.support.http_server import Server
from tests.support.model_manifests import LOCAL, a_project
from tests.support.model_project import DATA, MMPROJ, OTHER, SHA, ModelBench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recipes.models.verify import Verified


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelBench]:
    monkeypatch.setenv("NO_PROXY", "*")
    with Server() as hub, Server() as cdn:
        made = ModelBench(tmp_path, hub, cdn)
        made.serve()
        made.fetch()
        yield made


def states(rows: tuple[Verified, ...]) -> list[str]:
    return [row.state for row in rows]


def context(bench: ModelBench) -> Context:
    return Context(bench.store, Silent(), bench.settings)


def verify(bench: ModelBench, *, full: bool = False) -> tuple[Verified, ...]:
    return verify_files(bench.files(), context(bench), full=full)


def test_what_did_not_change_is_not_read(bench: ModelBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_verify, "verify_pinned", lambda *_: pytest.fail("it was read"))
    assert states(verify(bench)) == ["unchanged", "unchanged"]


def test_in_full_all_is_read_whole_at_first_and_by_its_chunks_from_then_on(
    bench: ModelBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not chunks_path(bench.files()[0], bench.store).exists()
    assert states(verify(bench, full=True)) == ["ok", "ok"]
    assert chunks_path(bench.files()[0], bench.store).exists()
    monkeypatch.setattr(model_verify, "hash_with_chunks", lambda *_: pytest.fail("it was hashed as a whole"))
    assert states(verify(bench, full=True)) == ["ok", "ok"]


@pytest.mark.parametrize("by_chunks", [False, True])
def test_one_byte_that_changed_is_found_and_its_place_where_chunks_are_known(
    bench: ModelBench, *, by_chunks: bool
) -> None:
    if by_chunks:
        verify(bench, full=True)
    path = bench.files()[0].path
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(200_000)
        file.write(bytes([DATA[200_000] ^ 1]))
    rows = verify(bench)
    assert states(rows) == ["BAD", "unchanged"]
    error = rows[0].error
    assert error is not None
    assert (error.exit_code, error.where, error.expected) == (20, str(path), str(SHA))
    assert ("1 of 1 chunks" if by_chunks else str(hash_file(path))) in error.found
    assert ["gc -- --damaged" in error.fix, "models -- fetch hub" in error.fix] == [True, True]


@pytest.mark.parametrize("change", ["time", "inode", "note", "no note"])
def test_a_file_that_may_have_changed_is_read_and_found_right(bench: ModelBench, change: str) -> None:
    file = bench.files()[0]
    noted = bench.store.sightings / f"{SHA.hex}.json"
    if change == "time":
        os.utime(file.path, ns=(1, 1))
    elif change == "inode":
        copy = file.path.with_name("copy")
        copy.write_bytes(DATA)
        status = file.path.stat()
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
        copy.replace(file.path)
    elif change == "note":
        noted.write_bytes(b'{"size_bytes": 1}')
    else:
        noted.unlink()
    assert states(verify(bench)) == ["ok", "unchanged"]
    assert states(verify(bench)) == ["unchanged", "unchanged"]


def test_a_file_that_is_gone_is_absent(bench: ModelBench) -> None:
    bench.files()[1].path.unlink()
    assert states(verify(bench)) == ["unchanged", "absent"]


def test_chunks_of_another_file_are_not_believed(bench: ModelBench) -> None:
    verify(bench, full=True)
    one, other = bench.files()
    chunks_path(one, bench.store).write_bytes(chunks_path(other, bench.store).read_bytes())
    assert states(verify(bench, full=True)) == ["ok", "ok"]


def test_a_file_of_the_repository_is_restored_from_git(tmp_path: Path, bench: ModelBench) -> None:
    manifests = a_project(tmp_path / "other", local=LOCAL)
    files = pinned_files(manifests.model("local"), manifests, bench.store)
    assert states(verify_files(files, context(bench))) == ["absent", "absent"]
    (tmp_path / "other" / "data").mkdir()
    files[0].path.write_bytes(b"abc")
    error = verify_files(files, context(bench))[0].error
    assert error is not None
    assert (error.where, error.found, error.fix) == (
        "manifests/models/local.yaml: files[0]",
        str(Sha256.of_bytes(b"abc")),
        "git checkout -- data/model.gguf",
    )


def test_a_file_that_changes_while_it_is_hashed_is_not_noted(bench: ModelBench, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    before = Sight.of(path.stat())
    path.write_bytes(OTHER + b"x")
    note_sight(path, SHA, bench.store, before)
    assert not is_unchanged(path, SHA, bench.store)


@given(st.binary(max_size=200))
def test_any_note_of_a_sight_is_one_or_none(data: bytes) -> None:
    parse_sight(data)


DIGESTS = st.binary(min_size=32, max_size=32).map(lambda data: Sha256(data.hex()))


@given(DIGESTS, st.integers(0, 5000), st.integers(1, 700), st.integers(0, 1 << 30))
def test_chunks_are_read_as_they_were_written_and_never_from_a_part(
    whole: Sha256, size_bytes: int, stride: int, seed: int
) -> None:
    chance = random.Random(seed)
    count = max(1, -(-size_bytes // stride))
    chunks = Chunks(
        whole, size_bytes, stride, tuple(Sha256(chance.randbytes(32).hex()) for _ in range(count))
    )
    text = encode_chunks(chunks)
    assert parse_chunks(text) == chunks
    assert parse_chunks(text[: chance.randrange(len(text))]) is None


@given(st.text(max_size=100))
def test_any_text_is_chunks_or_none(text: str) -> None:
    parse_chunks(text)
    parse_chunks(f"chunks/1 {'a1' * 32} 0 5\n{text}")


@pytest.mark.parametrize("size_bytes", [0, 1, 999, 1000, 1001, 5000])
def test_chunks_and_whole_are_of_the_same_bytes_and_a_change_of_any_byte_is_seen(
    tmp_path: Path, size_bytes: int
) -> None:
    path = tmp_path / "file"
    data = DATA[:size_bytes]
    path.write_bytes(data)
    chunks = hash_with_chunks(path, 2, lambda _: None, 1000)
    assert chunks.whole == Sha256.of_bytes(data)
    assert chunks.digests == tuple(
        Sha256.of_bytes(data[start : start + 1000]) for start in range(0, max(1, size_bytes), 1000)
    )
    with ThreadPoolExecutor(2) as pool:
        assert first_difference(path, chunks, pool, lambda _: None) is None
        for at in {0, size_bytes // 2, size_bytes - 1} if size_bytes else ():
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            first = at // 1000 * 1000
            assert first_difference(path, chunks, pool, lambda _: None) == (
                f"other bytes somewhere from {first} to {min(size_bytes, first + 1000)},"
                f" and in 1 of {len(chunks.digests)} chunks"
            )
        path.write_bytes(data + b"x")
        found = first_difference(path, chunks, pool, lambda _: None)
        assert found == f"{size_bytes + 1} bytes, not {size_bytes}"


def test_the_second_file_is_there_too(bench: ModelBench) -> None:
    assert bench.files()[1].path.read_bytes() == MMPROJ
