"""What a run at full size gives: docs/fullsize.json, and the page and picture that are written of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.conformance.report.markup import element, to_xml
from recipes.pocket.reference.markdown import markdown_table
from tests.benchmarks.machine import Machine  # noqa: TC001 - msgspec reads it from the annotation
from tests.benchmarks.report import encode, machine_fact
from tests.fullsize.answering import Answered  # noqa: TC001 - as above
from tests.fullsize.scene import SILENT_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JSON, PAGE, PICTURE = "fullsize.json", "fullsize.md", "assets/fullsize.svg"
INTRODUCTION = """\
# Full size

Written by `python3 noxfile.py -s fullsize -- --write`; do not edit. A pair of files with the shapes, tensor names and
types of Qwen3-VL-30B-A3B in Q4_K_M and its F16 projector, and **random weights**, takes the whole way of a user's
model: from a server that misbehaves to an answer about an image. The answers mean nothing; the costs are those of the
published files, which were never here. Its vocabulary has as many rows as the published one, and the texts of the
pocket model's in them.
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


def write(record: Record, folder: Path) -> None:
    """Write all three into docs/."""
    (folder / "assets").mkdir(parents=True, exist_ok=True)
    (folder / JSON).write_bytes(encode(record))
    (folder / PAGE).write_text(markdown(record), encoding="utf-8")
    (folder / PICTURE).write_text(draw(record), encoding="utf-8")


def steps_table(record: Record) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return header and rows of the steps."""
    rows: list[tuple[str, ...]] = [
        (
            step.name,
            f"{step.seconds:.3g} s" if step.seconds < 1 else f"{step.seconds:.1f} s",
            f"{step.read_bytes / step.seconds / 1e9:.2f} GB/s" if step.read_bytes else "-",
            f"{step.peak_mb:.0f} MB" if step.peak_mb is not None else "-",
        )
        for step in record.steps
    ]
    return ("step", "time", "rate", "peak memory of its process"), rows


def serving_table(record: Record) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return header and rows of text alone against with the projector."""
    both = (record.text_only, record.pictures)

    def row(name: str, form: str, value: Callable[[Answered], float]) -> tuple[str, ...]:
        return (name, *(form.format(value(one)) for one in both))

    seen, took = record.pictures.picture, record.pictures.encode_s
    encoded = f"{took[-1]:.2f} s" if took else "the server does not say"
    prompt, answer = record.text_only.prompt_tokens, record.text_only.first.answer_tokens
    said = f"{seen.seconds:.1f} s ({seen.prompt_tokens} + {seen.answer_tokens} tokens)" if seen else "-"
    gb = "{:.2f} GB"
    rows = [
        row("`serve` until it answers", "{:.1f} s", lambda one: one.ready_s),
        row("first answer: prompt, tokens/s", "{:.1f}", lambda one: one.first.prompt_rate),
        row(f"later: prompt of {prompt} tokens, tokens/s", "{:.1f}", lambda one: one.prompt_rate),
        row(f"later: generation of {answer} tokens, tokens/s", "{:.2f}", lambda one: one.answer_rate),
        ("encode of an image, second one", "-", encoded),
        ("a question about an image, from asking to the last token", "-", said),
        row("peak resident memory (VmHWM)", gb, lambda one: one.memory.peak / 1000),
        row("of it at the end: the process's own (RssAnon)", gb, lambda one: one.memory.own / 1000),
        row("of it at the end: pages of mapped files (RssFile)", gb, lambda one: one.memory.mapped / 1000),
        row("repacked weights (CPU_REPACK), part of its own", gb, lambda one: one.repacked_mb / 1000),
        row("non-reclaimable: its own, and other weights", gb, lambda one: held_mb(record, one) / 1000),
    ]
    return ("", "text only", "with the projector"), rows


def held_mb(record: Record, one: Answered) -> float:
    """Return the non-reclaimable memory, in MB; a projector is part of the process's own. Pure."""
    return one.memory.own + record.model_bytes / 1e6 - one.repacked_mb


def markdown(record: Record) -> str:
    """Write the page. Pure."""
    done = ", ".join(f"{count} x {name}" for name, count in sorted(record.faults.items())) or "none"
    size = f"{record.model_bytes / 1e9:.2f} GB model and {record.mmproj_bytes / 1e9:.2f} GB projector"
    difference = (record.pictures.memory.peak - record.text_only.memory.peak) / 1000
    facts = (
        f"measured: {record.date}",
        f"{machine_fact(record.machine)}; {record.available_mb / 1000:.1f} GB available before serving",
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
        "![Non-reclaimable memory: repacked weights, the others, and all else](assets/fullsize.svg)\n",
        (
            f"With the projector the peak is {difference:+.2f} GB. The process's own memory cannot be reclaimed.\n"
            "Pages of mapped files are page cache: the kernel reclaims them where memory is short, at the price of\n"
            "reading them again; the peak counts them too. The CPU backend repacks most weights for its\n"
            "instructions, and then reads the file's no more. So the non-reclaimable memory is less than the peak;\n"
            "compare it with the estimate of `inspect` and `serve`, below, which is for a full context: memory of\n"
            "keys and values that were never written is not there yet. A rate is the median of 3 answers after the\n"
            "first.\n"
        ),
        f"## The mix, as `inspect` prints it\n\n```\n{record.mix.rstrip()}\n```\n",
    )
    return "\n".join(parts)


def draw(record: Record) -> str:
    """Draw the non-reclaimable memory of both ways to serve as bars, in SVG. Pure."""
    left, width = 150, 520
    both = (("text only", record.text_only), ("with images", record.pictures))
    most = max(held_mb(record, one) for _, one in both)
    blue, sky, orange = "#0072B2", "#56B4E9", "#E69F00"
    parts = [element("rect", width=760, height=150, fill="#fff")]

    def text(x: float, y: float, words: str, **more: str) -> None:
        parts.append(element("text", words, x=x, y=y, font_size="13", **more))

    text(16, 24, "Non-reclaimable memory", font_weight="bold")
    for at, colour, name in (
        (16, blue, "repacked weights"),
        (196, sky, "other weights, of the file"),
        (396, orange, "keys, values, computing, projector"),
    ):
        parts.append(element("rect", x=at, y=36, width=12, height=12, fill=colour))
        text(at + 18, 47, name)
    for number, (name, one) in enumerate(both):
        x, y = float(left), 64 + 38 * number
        text(x - 10, y + 17, name, text_anchor="end")
        weights_mb = record.model_bytes / 1e6 - one.repacked_mb
        bars = ((one.repacked_mb, blue), (weights_mb, sky), (one.memory.own - one.repacked_mb, orange))
        for part, colour in bars:
            parts.append(element("rect", x=x, y=y, width=part / most * width, height=24, fill=colour))
            x += part / most * width
        text(x + 8, y + 17, f"{held_mb(record, one) / 1000:.2f} GB")
    title = element("title", "Non-reclaimable memory of llama-server")
    frame = {"viewBox": "0 0 760 150", "role": "img", "font_family": "sans-serif"}
    return to_xml(element("svg", title, *parts, xmlns="http://www.w3.org/2000/svg", **frame))
