"""What a run at full size gives: docs/fullsize.json, and the page and picture that are written of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from tests.benchmarks.machine import Machine  # noqa: TC001 - msgspec reads it from the annotation
from tests.benchmarks.report import markdown_table
from tests.fullsize.answering import Answered  # noqa: TC001 - as above
from tests.fullsize.scene import SILENT_S

if TYPE_CHECKING:
    from pathlib import Path

JSON, PAGE, PICTURE = "fullsize.json", "fullsize.md", "assets/fullsize.svg"
INTRODUCTION = """\
# Full size

Written by `python3 noxfile.py -s fullsize -- --write`; do not edit. A pair of files with the shapes, tensor names and
types of Qwen3-VL-30B-A3B in Q4_K_M and its F16 projector, and **random weights**, goes all the way that a user's model
goes: from a server that misbehaves to an answer about a picture. What it answers means nothing; what it costs is what
the published files cost. Those were never here. Its vocabulary has as many rows as the published one, and the texts of
the pocket model's in them.
"""


@dataclass(frozen=True)
class Step:
    """One step. `read_bytes` is what it reads or writes, None where it reads a head alone; `peak_mb` of its process."""

    name: str
    seconds: float
    peak_mb: float | None = None
    read_bytes: int | None = None


@dataclass(frozen=True)
class Record:
    """All of a run. `available_mb` is what the kernel called available before the server started."""

    date: str
    command: str
    machine: Machine
    server: str
    layers: int
    model_bytes: int
    mmproj_bytes: int
    available_mb: float
    faults: dict[str, int]
    requests: int
    steps: tuple[Step, ...]
    mix: str
    text_only: Answered
    pictures: Answered
    format: str = "fullsize/1"


def encode(record: Record) -> bytes:
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def decode(data: bytes) -> Record:
    return msgspec.json.decode(data, type=Record)


def write(record: Record, folder: Path) -> None:
    """Write all three into docs/."""
    (folder / "assets").mkdir(parents=True, exist_ok=True)
    (folder / JSON).write_bytes(encode(record))
    (folder / PAGE).write_text(markdown(record), encoding="utf-8")
    (folder / PICTURE).write_text(draw(record), encoding="utf-8")


def steps_table(record: Record) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Give header and rows of the steps."""
    header: tuple[str, ...] = ("step", "time", "rate", "peak memory of its process")
    rows: list[tuple[str, ...]] = [
        (
            step.name,
            f"{step.seconds:.3g} s" if step.seconds < 1 else f"{step.seconds:.1f} s",
            f"{step.read_bytes / step.seconds / 1e9:.2f} GB/s" if step.read_bytes else "-",
            f"{step.peak_mb:.0f} MB" if step.peak_mb is not None else "-",
        )
        for step in record.steps
    ]
    return header, rows


def serving_table(record: Record) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Give header and rows of text alone against with the projector."""
    both = (record.text_only, record.pictures)

    def row(name: str, *cells: str) -> tuple[str, ...]:
        return (name, *cells)

    def gb(mb: float) -> str:
        return f"{mb / 1000:.2f} GB"

    seen = record.pictures.picture
    rows = [
        row("`serve` until it answers", *(f"{one.ready_s:.1f} s" for one in both)),
        row("first answer: prompt, tokens/s", *(f"{one.first.prompt_rate:.1f}" for one in both)),
        row(
            f"later: prompt of {record.text_only.prompt_tokens} tokens, tokens/s",
            *(f"{one.prompt_rate:.1f}" for one in both),
        ),
        row(
            f"later: generation of {record.text_only.first.answer_tokens} tokens, tokens/s",
            *(f"{one.answer_rate:.2f}" for one in both),
        ),
        row("encode of a picture, second one", "-", f"{record.pictures.encode_s[-1]:.2f} s"),
        row(
            "a question about a picture, from asking to the last token",
            "-",
            f"{seen.seconds:.1f} s ({seen.prompt_tokens} + {seen.answer_tokens} tokens)" if seen else "-",
        ),
        row("peak resident memory (VmHWM)", *(gb(one.memory.peak) for one in both)),
        row("of it at the end: the process's own (RssAnon)", *(gb(one.memory.own) for one in both)),
        row("of it at the end: pages of mapped files (RssFile)", *(gb(one.memory.mapped) for one in both)),
        row("weights laid out anew (CPU_REPACK), which are its own", *(gb(one.repacked_mb) for one in both)),
        row("what has to stay: its own, and the other weights", *(gb(held_mb(record, one)) for one in both)),
    ]
    return ("", "text only", "with the projector"), rows


def held_mb(record: Record, one: Answered) -> float:
    """Give what it cannot do without, in MB; a projector is its own memory. Pure."""
    return one.memory.own + record.model_bytes / 1e6 - one.repacked_mb


def markdown(record: Record) -> str:
    """Write the page. Pure."""
    machine = record.machine
    done = ", ".join(f"{count} x {name}" for name, count in sorted(record.faults.items())) or "none"
    size = f"{record.model_bytes / 1e9:.2f} GB model and {record.mmproj_bytes / 1e9:.2f} GB projector"
    difference = (record.pictures.memory.peak - record.text_only.memory.peak) / 1000
    facts = (
        f"measured: {record.date}",
        (
            f"machine: {machine.cpu}, {machine.cores} cores, {machine.memory_gb:.0f} GB, {machine.kernel};"
            f" load average before: {machine.load:.2f}; {record.available_mb / 1000:.1f} GB available before serving"
        ),
        f"command: `{record.command}`",
        f"files: {size}, {record.layers} layers",
        f"server: {record.server}, its default settings but `--ignore-memory`",
        f"the hub's faults in {record.requests} requests: {done}",
    )
    parts = (
        INTRODUCTION,
        "\n".join(f"- {fact}" for fact in facts) + "\n",
        "## From the hub to the disk\n",
        markdown_table(*steps_table(record)) + "\n",
        (
            f"The hub is a thread in Python that cuts, stalls ({SILENT_S} s until it is given up), asks to wait and\n"
            "lets its redirects expire, on a disk that holds the pair twice. The time of the fetch is with all of\n"
            "that: it says that bad servers are survived; [Benchmarks](benchmarks.md) has how fast a good one is.\n"
            "\n"
            "The first verification reads all by one core for each file and notes the digests of chunks; the second\n"
            "compares these by all cores; both read from the disk what the page cache has not kept. The last one\n"
            "reads nothing: its time is the start of Python, as most of that of `inspect` is.\n"
        ),
        "## Text only against with the projector\n",
        markdown_table(*serving_table(record)) + "\n",
        "![What has to stay in memory: weights laid out anew, the others, and all else](assets/fullsize.svg)\n",
        (
            f"With the projector the peak is {difference:+.2f} GB. Its own memory can go nowhere. Pages of mapped\n"
            "files are page cache: the kernel takes them back where memory is short, at the price of reading them\n"
            "again, and the peak counts them too. The CPU backend lays most weights out anew for its instructions,\n"
            "and then reads the file's no more; so what has to stay is less than the peak, and is what the memory\n"
            "that `inspect` and `serve` reckon with, below, is to be compared with. They reckon with a full context;\n"
            "memory of keys and values that were never written is not there yet. A rate is the median of 3 answers\n"
            "after the first.\n"
        ),
        f"## The mix, as `inspect` prints it\n\n```\n{record.mix.rstrip()}\n```\n",
    )
    return "\n".join(parts)


def draw(record: Record) -> str:
    """Draw what has to stay in memory, in both manners of serving, as bars. Pure, gives SVG."""
    left, width, height = 150, 520, 24
    most = max(held_mb(record, one) for one in (record.text_only, record.pictures))
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 150" role="img" font-family="sans-serif">',
        "<title>What has to stay in the memory of llama-server</title>",
        '<rect width="760" height="150" fill="#fff"/><g font-size="13">',
        '<text x="16" y="24" font-size="15" font-weight="bold">What has to stay in memory</text>',
    ]
    for at, colour, name in (
        (16, "#0072B2", "weights laid out anew"),
        (196, "#56B4E9", "other weights, of the file"),
        (396, "#E69F00", "keys, values, computing, projector"),
    ):
        lines.append(f'<rect x="{at}" y="36" width="12" height="12" fill="{colour}"/>')
        lines.append(f'<text x="{at + 18}" y="47">{name}</text>')
    for number, (name, one) in enumerate(
        (("text only", record.text_only), ("with pictures", record.pictures))
    ):
        y = 64 + 38 * number
        lines.append(f'<text x="{left - 10}" y="{y + 17}" text-anchor="end">{name}</text>')
        x = float(left)
        for part, colour in (
            (one.repacked_mb, "#0072B2"),
            (record.model_bytes / 1e6 - one.repacked_mb, "#56B4E9"),
            (one.memory.own - one.repacked_mb, "#E69F00"),
        ):
            long = part / most * width
            lines.append(f'<rect x="{x:.1f}" y="{y}" width="{long:.1f}" height="{height}" fill="{colour}"/>')
            x += long
        lines.append(f'<text x="{x + 8:.1f}" y="{y + 17}">{held_mb(record, one) / 1000:.2f} GB</text>')
    return "\n".join((*lines, "</g></svg>")) + "\n"
