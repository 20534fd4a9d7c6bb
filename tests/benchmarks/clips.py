"""A clip of n pairs of frames against n images of their size, through one server with a whole vision tower."""

from __future__ import annotations

import base64
import io
import json
import random
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from PIL import Image

from recipes.core.cores import usable_cores
from recipes.serve.llamacpp.installation import SERVER
from recipes.serve.llamacpp.server import serve
from tests.benchmarks.comparison import Comparison, Kind, Target
from tests.benchmarks.image_speed import programs_of
from tests.benchmarks.report import Measured
from tests.benchmarks.sample_files import room
from tests.benchmarks.synthetic_model import TINY as TINY_LANGUAGE
from tests.benchmarks.synthetic_model import Shape
from tests.benchmarks.synthetic_vision import TINY, VOCABULARY, VisionShape, write_pair
from tests.benchmarks.turns import Options, Say, UnmeasurableError, take_turns

if TYPE_CHECKING:
    from typing import Any

    from recipes.serve.llamacpp.server import Server

TITLE = "a clip of n pairs of frames against n images of their size"
TURNS = 5
ROOM_BYTES = 3 << 30
PAIRS = 4
SIZES = ((96, 96), (512, 512))  # 9 and 256 tokens a pair
MOST = 1.05  # of the time
STARTS_S, ANSWERS_S = 120.0, 600.0


def measure(options: Options, say: Say) -> Measured:
    shape = replace(TINY_LANGUAGE, layers=2) if options.quick else Shape(vocabulary=VOCABULARY)
    rows: list[Comparison] = []
    with room(options.folder, ROOM_BYTES) as folder:
        model, mmproj = folder / "model.gguf", folder / "mmproj.gguf"
        write_pair(model, mmproj, shape, TINY if options.quick else VisionShape())
        arguments = ("-m", str(model), "--mmproj", str(mmproj), "-c", "4096", "-np", "1", "--no-warmup",
                     "-t", str(usable_cores()))  # fmt: skip
        program = programs_of(options.recipe) / SERVER
        with serve(program, arguments, folder, timeout_s=STARTS_S) as server:
            for width, height in SIZES:
                frames = drawn(width, height)
                clip = [{"type": "input_video", "input_video": {"frames": frames, "fps": 2}}]
                images = [picture(frame) for frame in frames[::2]]
                took = take_turns(
                    options.turns(TURNS),
                    {
                        "clip": partial(asked_s, server, clip),
                        "images": partial(asked_s, server, images),
                    },
                    say,
                )
                what = f"a clip of {PAIRS} pairs of {width}x{height}"
                target = Target(Kind.RATIO_AT_MOST, MOST)
                rows.append(
                    Comparison(
                        what, f"{PAIRS} images of that size", "s", took["clip"], took["images"], target
                    )
                )
    notes = (
        "random weights, the 30B-A3B's whole vision tower, 4 layers of its language model; to the first token",
        f"the pinned bundle, default settings, -t {usable_cores()}, no prompt cache; all are PNG files of noise",
    )
    return Measured(tuple(rows), notes)


def drawn(width: int, height: int) -> list[str]:
    """Return frames of noise, as base64 of PNG files."""
    grain = random.Random(1)  # the same each time
    frames = []
    for _ in range(2 * PAIRS):
        file = io.BytesIO()
        Image.frombytes("RGB", (width, height), grain.randbytes(width * height * 3)).save(file, "PNG")
        frames.append(base64.b64encode(file.getvalue()).decode())
    return frames


def picture(frame: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{frame}"}}


def asked_s(server: Server, parts: list[dict[str, Any]]) -> float:
    """Return how long the first token takes after a message of these parts."""
    message = {"role": "user", "content": [*parts, {"type": "text", "text": "?"}]}
    body = {"messages": [message], "max_tokens": 1, "temperature": 0, "cache_prompt": False}
    began = time.perf_counter()
    answer = server.post("/v1/chat/completions", json.dumps(body).encode(), ANSWERS_S)
    if not answer.ok:
        raise UnmeasurableError(f"status {answer.status_code}: {answer.text[:500]}")
    return time.perf_counter() - began
