"""`ask` while `serve` runs, a large photo, and how long `serve` takes to start beside llama-server alone."""

from __future__ import annotations

import os
import random
import sys
import time
from contextlib import suppress
from pathlib import Path

import requests
from PIL import Image

from recipes.core.process import Command, start
from recipes.manifest.load import PROJECT
from recipes.serve.llamacpp.listen_address import LOOPBACK
from tests.benchmarks.comparison import Comparison, Kind, Target
from tests.benchmarks.project import built_bundle, open_job
from tests.benchmarks.report import Measured
from tests.benchmarks.sample_files import room
from tests.benchmarks.turns import Options, Say, UnmeasurableError, run_program, take_turns, time_call
from tests.support.llama_service import PICTURE, QUESTION, service, unused_port

TITLE = "a question with `ask`, and the start of `serve` against llama-server alone"
TURNS = 5
ROOM_BYTES = 200 << 20
WARM_S, PHOTO_S, STARTS_S = 1.0, 5.0, 0.5
SIZE = (4000, 3000)  # 12 megapixels
LONGEST_S = 120.0
LOOK_S = 0.01
NOXFILE = (sys.executable, str(PROJECT / "noxfile.py"), "-s")
SERVE = ("--model", "pocket", "--port")


def measure(options: Options, say: Say) -> Measured:
    job = open_job(options.recipe)
    built_bundle(job)
    turns = options.turns(TURNS)
    with room(options.folder, ROOM_BYTES) as folder:
        port = unused_port()
        with service(*SERVE, str(port), "--recipe", options.recipe) as running:
            argv = command_of(running.server_pid)
            photos = iter(drawn(folder, turns))
            asked = (*NOXFILE, "ask", "--", "--model", "pocket", "--image")
            actions = {
                "warm": lambda: time_call(lambda: run_program((*asked, str(PICTURE), QUESTION), cwd=PROJECT)),
                "photo": lambda: time_call(
                    lambda: run_program((*asked, str(next(photos)), QUESTION), cwd=PROJECT)
                ),
            }
            actions["warm"]()  # the environment is there, and all of it in the page cache
            questions = take_turns(turns, actions, say)
        starts = take_turns(
            turns,
            {
                "serve": lambda: start_serve(options.recipe, folder),
                "llama-server": lambda: start_alone(argv, folder),
            },
            say,
        )
    most = Target(Kind.RATIO_AT_MOST, 1.0)
    warm, photo = questions["warm"], questions["photo"]
    rows = (
        Comparison("ask about an image, serve runs", "the limit", "s", warm, (WARM_S,) * turns, most),
        Comparison("ask about a 12-megapixel photo", "the limit", "s", photo, (PHOTO_S,) * turns, most),
        Comparison(
            "serve, until its port is healthy", "llama-server alone", "s", starts["serve"], starts["llama-server"],
            Target(Kind.DIFFERENCE_AT_MOST, STARTS_S),
        ),
    )  # fmt: skip
    notes = (
        "`python3 noxfile.py -s ask`, the whole command, with the pocket model; each photo is another one",
        "serve: the module, without nox, with the pocket model; it verifies bundle and model each time",
        "llama-server: with the arguments that serve gives it",
    )
    return Measured(rows, notes)


def drawn(folder: Path, count: int) -> list[Path]:
    """Return photos of twelve megapixels, no two alike."""
    grain = random.Random(1)  # what a camera sees, the same each time
    paths = []
    for number in range(count):
        small = Image.frombytes("RGB", (400, 300), grain.randbytes(400 * 300 * 3))
        paths.append(folder / f"{number}.jpg")
        small.resize(SIZE, Image.Resampling.BICUBIC).save(paths[-1], quality=90)
    return paths


def command_of(pid: int) -> tuple[str, ...]:
    """Return how `serve` starts llama-server, but for where it listens."""
    words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")[:-1]
    at = words.index("--host")
    rest = words[at + 2 :]
    return (*words[:at], *(rest[2:] if rest[:1] == ["--port"] else rest))


def healthy_after_s(argv: tuple[str, ...], port: int, folder: Path) -> float:
    """Start a program and return after how many seconds its port says that it is healthy; then it is ended."""
    began = time.perf_counter()
    with start(Command(argv, PROJECT, dict(os.environ)), folder / "log") as running:
        while time.perf_counter() < began + LONGEST_S and running.status is None:
            with suppress(requests.ConnectionError):
                if requests.get(f"http://{LOOPBACK}:{port}/health", timeout=LONGEST_S).ok:
                    return time.perf_counter() - began
            time.sleep(LOOK_S)
    raise UnmeasurableError(f"{argv[0]}: not healthy: {(folder / 'log').read_text(errors='replace')[-2000:]}")


def start_serve(recipe: str, folder: Path) -> float:
    port = unused_port()
    serve = (sys.executable, "-m", "recipes", "serve", *SERVE, str(port), "--recipe", recipe)
    return healthy_after_s(serve, port, folder)


def start_alone(argv: tuple[str, ...], folder: Path) -> float:
    port = unused_port()
    return healthy_after_s((argv[0], "--host", LOOPBACK, "--port", str(port), *argv[1:]), port, folder)
