"""Heads of GGUF files, changed at random by a seed: what a hostile or damaged file may look like.

    python -m tests.support.gguf_mutations 1000000 [FIRST_SEED]

Each is read, and judged where it can be read. It must end in a file or a refusal, in little time and memory; anything
else ends the run, with its seed. Memory is capped by the kernel.
"""

from __future__ import annotations

import random
import resource
import struct
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from recipes.core.errors import VerifyError
from recipes.models.gguf.reader import MAGIC, read_gguf
from recipes.models.inspect import inspect
from recipes.models.report import inspection_lines
from tests.support.gguf_drafts import MIXED, MMPROJ, MODEL, model_keys, model_tensors, whole_draft

MOST_MEMORY_BYTES = 1 << 30
HEADS = tuple(
    data[: data.index(bytes(200)) + 64] if bytes(200) in data else data
    for data in (
        MODEL,
        whole_draft(model_keys("qwen3vl"), model_tensors("qwen3vl")).encode(),
        MMPROJ,
        MIXED,
    )
)
WHOLE_BYTES = 1 << 22  # the data that the table of tensors speaks of: a hole in the file
NUMBERS = (
    *(0, 1, 2, 3, 8, 9, 12, 13, 31, 32, 63, 64, 255, 256, 65535, 65536, 65537),
    *((1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
)


@dataclass(frozen=True)
class Outcome:
    """What became of some heads."""

    refused: int
    read: int
    slowest_s: float


def flip(data: bytearray, at: int, chance: random.Random) -> None:
    data[at : at + 1] = bytes([byte ^ (1 << chance.randrange(8)) for byte in data[at : at + 1]])


def write_long(data: bytearray, at: int, chance: random.Random) -> None:
    data[at : at + 8] = struct.pack("<Q", chance.choice((*NUMBERS, chance.getrandbits(64))))


def write_short(data: bytearray, at: int, chance: random.Random) -> None:
    data[at : at + 4] = struct.pack("<I", chance.choice(NUMBERS) & 0xFFFFFFFF)


def insert(data: bytearray, at: int, chance: random.Random) -> None:
    data[at:at] = chance.randbytes(chance.randrange(1, 20))


def delete(data: bytearray, at: int, chance: random.Random) -> None:
    del data[at : at + chance.randrange(1, 20)]


def cut(data: bytearray, at: int, chance: random.Random) -> None:  # noqa: ARG001 - as the others
    del data[at:]


def splice(data: bytearray, at: int, chance: random.Random) -> None:
    other = chance.choice(HEADS)
    data[at:] = other[chance.randrange(len(other)) :]


def repeat(data: bytearray, at: int, chance: random.Random) -> None:
    data[at:at] = data[at : at + chance.randrange(1, 200)] * chance.randrange(1, 4)


CHANGES = (*(flip,) * 8, write_long, write_short, insert, delete, cut, splice, repeat)


def mutate(seed: int) -> bytes:
    """Give the head of a seed."""
    chance = random.Random(seed)
    data = bytearray(chance.choice(HEADS))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        most = len(data) if chance.random() < 0.9 else min(40, len(data))  # the counts are at the start
        chance.choice(CHANGES)(data, chance.randrange(most + 1), chance)
    if chance.random() < 0.9:
        data[:4] = MAGIC
    return bytes(data)


def look(path: Path, seed: int) -> bool:
    """Write the head of a seed, read it and judge it; say whether it could be read.

    Raises
    ------
    AssertionError
        Where what is printed of it is not safe to print. Anything else that is raised is a fault too.
    """
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(mutate(seed))
        if seed % 10:
            file.truncate(WHOLE_BYTES)
    try:
        found = read_gguf(path)
    except VerifyError as error:
        assert error.where == str(path)  # noqa: PT017 - either outcome is right; no other exception is
        assert all(line.isprintable() for line in str(error).splitlines())  # noqa: PT017 - as above
        return False
    for other in (None, found):
        assert all(line.isprintable() for line in inspection_lines(inspect(found, other, 8192), 8192))
    return True


def run(path: Path, seeds: range) -> Outcome:
    """Look at the heads of some seeds."""
    path.touch()
    read, slowest_s = 0, 0.0
    for seed in seeds:
        started = time.perf_counter()
        try:
            read += look(path, seed)
        except BaseException:
            print(f"seed {seed}")
            raise
        slowest_s = max(slowest_s, time.perf_counter() - started)
    return Outcome(len(seeds) - read, read, slowest_s)


def main() -> None:
    count = int(sys.argv[1])
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:  # the disk is not what is tried here
        found = run(Path(folder) / "x.gguf", range(first, first + count))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(
        f"{count} heads: {found.refused} refused, {found.read} read and judged; not one crash or hang\n"
        f"slowest {found.slowest_s * 1000:.0f} ms, peak memory {peak:.0f} MB, {time.monotonic() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
