from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from recipes.manifest.load import PROJECT
from tests.benchmarks.machine import Machine
from tests.benchmarks.synthetic_model import Shape, block_bytes
from tests.benchmarks.turns import UnmeasurableError
from tests.fullsize.answering import Answered, Timing, parse_repacked, parse_timing
from tests.fullsize.bad_hub import BUSY, CUT, EXPIRED, STALLED, WRONG, Faults
from tests.fullsize.report import JSON, PAGE, PICTURE, Record, Step, draw, markdown, write
from tests.fullsize.running import Resident, parse_status, resident, run_module
from tests.fullsize.scene import scene
from tests.fullsize.size import full, tiny

if TYPE_CHECKING:
    from pathlib import Path

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from Linux's /proc")
TIMING = Timing(640, 50.0, 64, 8.0, 20.8)
TEXT = Answered(12.0, TIMING, 640, 55.5, 8.25, Resident(19_000.0, 900.0, 18_000.0), repacked_mb=500.0)
SEEN = replace(TEXT, memory=Resident(20_500.0, 2_300.0, 18_200.0), picture=TIMING, encode_s=(5.0, 4.4))
RECORD = Record(
    date="2026-01-02 03:04 UTC",
    command="nox -s fullsize -- --write",
    machine=Machine("A processor", 2, 25.2, "Linux 6.1", 0.25),
    server="b6751",
    layers=48,
    model_bytes=18_550_000_000,
    mmproj_bytes=1_080_000_000,
    available_mb=22_000.0,
    faults={CUT: 10, WRONG: 1},
    requests=321,
    steps=(Step("fetch", 60.0, 80.0, 19_630_000_000), Step("verify, nothing changed", 0.5, 60.0)),
    mix="a table",
    text_only=TEXT,
    pictures=SEEN,
)


def test_the_full_size_is_reckoned_before_a_byte_is_written() -> None:
    assert 19.6e9 < full().most_bytes < 19.7e9
    assert full(1).most_bytes < full(2).most_bytes < full().most_bytes


def test_a_layer_more_costs_its_blocks_and_vectors() -> None:
    two, four = Shape(layers=2), Shape(layers=4)
    grown = full(4).most_bytes - full(2).most_bytes
    blocks = sum(
        rows[0] * rows[1] * rows[2] // 256 * block_bytes(is_q6=is_q6)
        for name, rows, is_q6 in (*two.matrices(), *four.matrices())
        if name.startswith(("blk.2.", "blk.3.")) and len(rows) == 3
    )
    assert blocks < grown < 1.1 * blocks


def test_where_there_is_no_room_nothing_is_written(tmp_path: Path) -> None:
    much = shutil.disk_usage(tmp_path).total
    with pytest.raises(UnmeasurableError, match="the pair twice"), scene(tmp_path, much):
        pytest.fail("it began")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_goes_whatever_happens_in_it(tmp_path: Path) -> None:
    def interrupted() -> None:
        with scene(tmp_path, tiny().most_bytes) as made:
            made.model.write_bytes(b"much")
            made.model.chmod(0o444)
            made.model.parent.chmod(0o555)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_faults_come_at_their_requests_and_the_wrong_range_once() -> None:
    names = Faults(every=3, rounds=2).names()
    assert names[:6] == (None, None, CUT, None, None, STALLED)
    often = [CUT, STALLED, BUSY, EXPIRED]
    assert [name for name in names if name] == [*often, WRONG, *often]
    assert len(Faults(every=3, rounds=2).behaviours()) == len(names) + 1


def test_the_kernel_s_words_and_the_servers_are_read() -> None:
    status = "Name:\tserver\nVmHWM:\t  2000 kB\nRssAnon:\t 500 kB\nRssFile:\t 1000 kB\nRssShmem:\t 250 kB\n"
    assert parse_status(status) == Resident(2.048, 0.512, 1.28)
    mapped = "load_tensors:   CPU_Mapped model buffer size = 17690.95 MiB\n"
    repacked = "load_tensors:   CPU_REPACK model buffer size = {} MiB\n".format
    log = mapped + repacked("13000.00") + repacked("  500.00")
    assert parse_repacked(log) == pytest.approx(13500 * 1.048576)
    assert parse_repacked(mapped) == 0


def test_where_memory_cannot_be_read_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnmeasurableError, match="Linux"):
        resident(os.getpid(), tmp_path)


@pytest.mark.slow
@ON_LINUX
def test_the_peak_is_the_module_s_own_and_not_of_who_started_it(tmp_path: Path) -> None:
    ran = run_module("recipes", ("--help",), os.environ, tmp_path / "peak")
    held = bytearray(os.urandom(1)) * 300_000_000
    again = run_module("recipes", ("--help",), os.environ, tmp_path / "peak")
    assert "usage" in ran.out
    assert 5 < ran.peak_mb < 200
    assert again.peak_mb < 200 < len(held) / 1e6


@pytest.mark.slow
@ON_LINUX
def test_a_module_that_fails_is_said_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(UnmeasurableError, match=r"exit status 2\n(?s:.*)no-such-session"):
        run_module("recipes", ("no-such-session",), os.environ, tmp_path / "peak")


def test_an_answer_that_is_cut_or_has_no_timings_is_no_figure() -> None:
    said = {"prompt_n": 5, "prompt_per_second": 2.5, "predicted_n": 4, "predicted_per_second": 8}
    assert parse_timing({"timings": said}, 4, 1.5) == Timing(5, 2.5, 4, 8.0, 1.5)
    with pytest.raises(UnmeasurableError, match=r"4 .* 64"):
        parse_timing({"timings": said}, 64, 1.5)
    with pytest.raises(UnmeasurableError, match="without timings"):
        parse_timing({}, 4, 1.5)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    write(RECORD, tmp_path)
    assert msgspec.json.decode((tmp_path / JSON).read_bytes(), type=Record) == RECORD
    assert (tmp_path / PAGE).read_text() == markdown(RECORD)
    assert (tmp_path / PICTURE).read_text() == draw(RECORD)


def test_the_page_has_the_figures() -> None:
    page = markdown(RECORD)
    for row in (
        "| fetch | 60.0 s | 0.33 GB/s | 80 MB |",
        "| verify, nothing changed | 0.5 s | - | 60 MB |",
        "| `serve` until it answers | 12.0 s | 12.0 s |",
        "| later: generation of 64 tokens, tokens/s | 8.25 | 8.25 |",
        "| encode of an image, second one | - | 4.40 s |",
        "| peak resident memory (VmHWM) | 19.00 GB | 20.50 GB |",
        "| of it at the end: the process's own (RssAnon) | 0.90 GB | 2.30 GB |",
        "| repacked weights (CPU_REPACK), part of its own | 0.50 GB | 0.50 GB |",
        "| non-reclaimable: its own, and other weights | 18.95 GB | 20.35 GB |",
        "the hub's faults in 321 requests: 10 x cut, 1 x wrong range",
        "the peak is +1.50 GB",
    ):
        assert row in page


def test_what_is_committed_is_written_of_the_record_or_not_there_at_all() -> None:
    docs = PROJECT / "docs"
    there = [name for name in (JSON, PAGE, PICTURE) if (docs / name).exists()]
    assert there in ([], [JSON, PAGE, PICTURE])
    if there:
        record = msgspec.json.decode((docs / JSON).read_bytes(), type=Record)
        assert (docs / PAGE).read_text("utf-8") == markdown(record)
        assert (docs / PICTURE).read_text("utf-8") == draw(record)
