"""Serves the pair as a user does, asks it, and takes the server's own figures."""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import requests

from tests.benchmarks.turns import UnmeasurableError
from tests.fullsize.running import Resident, resident
from tests.fullsize.scene import NAME
from tests.support.llama_service import PICTURE, QUESTION, service, unused_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.turns import Say
    from tests.fullsize.scene import Scene

REPACKED = re.compile(r"CPU_REPACK model buffer size = +([\d.]+) MiB")
ENCODED = re.compile(r"slice encoded in (\d+) ms")
TURNS = 3
ASK_S = 900.0


@dataclass(frozen=True)
class Load:
    """What is asked for: repetitions of a question, and tokens of the answer."""

    repeats: int = 64
    answer_tokens: int = 64


@dataclass(frozen=True)
class Timing:
    """What the server says of one answer; `seconds` is what the client waited."""

    prompt_tokens: int
    prompt_rate: float
    answer_tokens: int
    answer_rate: float
    seconds: float


@dataclass(frozen=True)
class Answered:
    """What became of one manner of serving.

    `first` is the first answer, for which weights may still come from the disk; rates are medians of those after it.
    `encode_s` is what the vision tower took for each picture, the first one first. `repacked_mb` are the weights that
    the CPU backend repacked for its instructions: memory of its own, after which it reads the file's no more.
    """

    ready_s: float
    first: Timing
    prompt_tokens: int
    prompt_rate: float
    answer_rate: float
    memory: Resident
    repacked_mb: float
    picture: Timing | None = None
    encode_s: tuple[float, ...] = ()


def serve_and_ask(scene: Scene, bundle: Path, load: Load, say: Say, *, text_only: bool) -> Answered:
    """Start the session `serve`, ask, and end it; UnmeasurableError where it does not start, or does not answer."""
    port = unused_port()
    words = (
        *("--project", scene.project, "--bundle", bundle, "--model", NAME, "--port", str(port)),
        "--ignore-memory",  # what there was is in the report
        *(("--text-only",) if text_only else ()),
    )
    started = time.perf_counter()
    try:
        with service(*words, env=scene.environment()) as running:
            ready_s = time.perf_counter() - started
            say(f"  ready after {ready_s:.1f} s")
            timings = [ask(running.base, load, QUESTION * load.repeats) for _ in range(1 + TURNS)]
            pictures = () if text_only else [ask(running.base, load, QUESTION, PICTURE) for _ in range(2)]
            memory = resident(running.server_pid)
    except AssertionError as error:
        raise UnmeasurableError(f"serve did not start: {error}") from error
    log = (scene.store / "v1" / "logs" / f"serve-{port}.log").read_text(encoding="utf-8", errors="replace")
    encoded = tuple(int(ms) / 1000 for ms in ENCODED.findall(log))
    if encoded and len(encoded) != len(pictures):  # newer ones do not say
        raise UnmeasurableError(f"{len(pictures)} images were asked about, the server encoded {len(encoded)}")
    first, *warm = timings
    return Answered(
        ready_s=ready_s,
        first=first,
        prompt_tokens=first.prompt_tokens,
        prompt_rate=median(timing.prompt_rate for timing in warm),
        answer_rate=median(timing.answer_rate for timing in warm),
        memory=memory,
        repacked_mb=parse_repacked(log),
        picture=pictures[-1] if pictures else None,
        encode_s=encoded,
    )


def parse_repacked(log: str) -> float:
    """Read how many MB of weights the server repacked; none on a processor that gains nothing. Pure."""
    return sum(float(mib) for mib in REPACKED.findall(log)) * 2**20 / 1e6


def ask(base: str, load: Load, question: str, picture: Path | None = None) -> Timing:
    """Ask once, with nothing kept of what was asked before; UnmeasurableError where there is no whole answer."""
    content: list[dict[str, Any]] = [{"type": "text", "text": question}]
    if picture is not None:
        url = f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
        content.insert(0, {"type": "image_url", "image_url": {"url": url}})
    body = {
        "messages": [{"role": "user", "content": content}],
        "max_tokens": load.answer_tokens,
        "temperature": 0,
        "ignore_eos": True,  # random weights would end whenever they like
        "cache_prompt": False,
    }
    started = time.perf_counter()
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(f"{base}/v1/chat/completions", json=body, timeout=ASK_S)
    seconds = time.perf_counter() - started
    if answer.status_code != requests.codes.ok:
        raise UnmeasurableError(f"status {answer.status_code}: {answer.text[:500]}")
    return parse_timing(answer.json(), load.answer_tokens, seconds)


def parse_timing(answer: dict[str, Any], wanted: int, seconds: float) -> Timing:
    """Read an answer. Pure; UnmeasurableError where it says no timings, or is shorter than what was asked for."""
    try:
        said = answer["timings"]
        timing = Timing(
            int(said["prompt_n"]),
            float(said["prompt_per_second"]),
            int(said["predicted_n"]),
            float(said["predicted_per_second"]),
            seconds,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnmeasurableError(f"an answer without timings: {json.dumps(answer)[:500]}") from error
    if timing.answer_tokens != wanted:
        raise UnmeasurableError(f"{timing.answer_tokens} tokens of {wanted} were answered")
    return timing
