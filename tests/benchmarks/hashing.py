"""SHA-256 of several large files in the page cache against `openssl dgst -sha256`, on one core and on all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from recipes.core.cores import usable_cores
from recipes.core.digest import Sha256, hash_file
from tests.benchmarks.comparison import Comparison, Kind, Target
from tests.benchmarks.report import Measured
from tests.benchmarks.sample_files import MEMORY, is_memory_free, room, write_random
from tests.benchmarks.turns import Options, Say, UnmeasurableError, run_program, take_turns, time_call

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TITLE = "verifying large files against openssl"
TURNS = 5
FILES = 4
FILE_BYTES = 512 << 20
QUICK_FILE_BYTES = 8 << 20


def measure(options: Options, say: Say) -> Measured:
    size_bytes = QUICK_FILE_BYTES if options.quick else FILE_BYTES
    total_bytes = FILES * size_bytes
    place = MEMORY if is_memory_free(total_bytes) else options.folder
    cores = usable_cores()
    with room(place, total_bytes) as folder:
        paths = tuple(folder / f"{index}.bin" for index in range(FILES))
        for path in paths:
            write_random(path, size_bytes)
        check_agreement(paths)
        names = tuple(str(path) for path in paths)
        openssl = ("openssl", "dgst", "-sha256")
        # xargs appends the names itself: one process per file, as many at a time as there are cores
        spread = (
            "sh",
            "-c",
            f'printf "%s\\0" "$@" | xargs -0 -n 1 -P {cores} {" ".join(openssl)}',
            "sh",
            *names,
        )

        def rate(action: Callable[[], object]) -> Callable[[], float]:
            return lambda: total_bytes / time_call(action) / 1e9

        actions = {
            "ours, 1 core": rate(lambda: hash_all(paths, 1)),
            "openssl, 1 core": rate(lambda: run_program((*openssl, *names))),
            f"ours, {cores} cores": rate(lambda: hash_all(paths, cores)),
            f"openssl, {cores} cores": rate(lambda: run_program(spread)),
        }
        turns = tuple(take_turns(options.turns(TURNS), actions, say, "GB/s").values())
    least = Target(Kind.RATIO_AT_LEAST, 0.9)
    what = f"SHA-256 of {FILES} files of {size_bytes >> 20} MiB"
    rows = (
        Comparison(f"{what}, 1 core", "openssl dgst -sha256", "GB/s", turns[0], turns[1], least),
        Comparison(
            f"{what}, {cores} cores", f"openssl dgst, {cores} at a time", "GB/s", turns[2], turns[3], least
        ),
    )
    return Measured(
        rows, (f"files in {'memory' if place == MEMORY else 'the page cache'}; GB/s over all files",)
    )


def hash_all(paths: tuple[Path, ...], workers: int) -> dict[Path, Sha256]:
    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(paths, pool.map(hash_file, paths), strict=True))


def check_agreement(paths: tuple[Path, ...]) -> None:
    """Demand that both hash to the same before either is timed; UnmeasurableError naming the file."""
    for path, digest in hash_all(paths, 1).items():
        said = run_program(("openssl", "dgst", "-sha256", str(path)))
        if digest.hex not in said:
            raise UnmeasurableError(f"{path.name}: ours {digest}, openssl {said}")
