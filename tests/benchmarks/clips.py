"""A clip against as many images of its size, and a video file against upstream's own way to read one."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import shutil
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import av
from PIL import Image

from recipes.build.source_tree import ensure_unpatched
from recipes.build.toolchain.toolchain import ensure_toolchain
from recipes.core.console import Silent
from recipes.core.cores import usable_cores
from recipes.serve.door.clip_plan import ClipWish
from recipes.serve.door.image_decode import Detail
from recipes.serve.llamacpp.installation import SERVER
from recipes.serve.llamacpp.server import serve, user
from recipes.serve.video_input import open_videos
from tests.benchmarks.comparison import Comparison, Kind, Target
from tests.benchmarks.native_build import compiler_version, ensure_native_build
from tests.benchmarks.project import built_bundle, open_job
from tests.benchmarks.report import Measured
from tests.benchmarks.sample_files import room
from tests.benchmarks.synthetic_model import TINY as TINY_LANGUAGE
from tests.benchmarks.synthetic_model import Shape
from tests.benchmarks.synthetic_vision import TINY, VOCABULARY, VisionShape, write_pair
from tests.benchmarks.turns import Options, Say, UnmeasurableError, run_program, take_turns

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from recipes.build.context import Job
    from recipes.serve.llamacpp.server import Server

TITLE = "a clip against images of its size, and against upstream's own way to read a video"
TURNS = 5
CONTEXT = 4096  # tokens
ROOM_BYTES = 3 << 30
PAIRS = 4
SIZES = ((256, 256), (512, 512))  # 64 and 256 tokens a pair; smaller images are enlarged, and clips are not
MOST = 1.05  # of the images' time
LEAST = 1.0  # of upstream's frame pairs a second
UPSTREAM_FPS = 4  # it reads so many frames a second
STARTS_S, ANSWERS_S = 120.0, 600.0


def measure(options: Options, say: Say) -> Measured:
    job = open_job(options.recipe)
    programs = {
        "ours": built_bundle(job).entry.path / "bin" / SERVER,
        "upstream": upstream_server(job, options, say),
    }
    shape = replace(TINY_LANGUAGE, layers=2) if options.quick else Shape(vocabulary=VOCABULARY)
    rows: list[Comparison] = []
    with room(options.folder, ROOM_BYTES) as folder, ExitStack() as stack:
        model, mmproj = folder / "model.gguf", folder / "mmproj.gguf"
        write_pair(model, mmproj, shape, TINY if options.quick else VisionShape())
        arguments = ("-m", str(model), "--mmproj", str(mmproj), "-c", str(CONTEXT), "-np", "1", "--no-warmup",
                     "-t", str(usable_cores()))  # fmt: skip
        servers = {
            name: stack.enter_context(serve(program, arguments, folder, timeout_s=STARTS_S))
            for name, program in programs.items()
        }
        turns = options.turns(TURNS)
        for size in SIZES:
            rows.append(against_images(servers["ours"], size, turns, say))
            rows.append(against_upstream(servers, size, folder, turns, say))
    ffmpeg = run_program(("ffmpeg", "-version")).split(" Copyright")[0]
    notes = (
        "random weights, the 30B-A3B's whole vision tower, 4 layers of its language model; to the first token",
        f"ours: the pinned bundle; both: default settings, -t {usable_cores()}, no prompt cache",
        "frames are noise: as PNG files in the request, or as a file of H.264 that is decoded first",
        f"upstream: the same commit without patches, MTMD_VIDEO, GGML_NATIVE, OpenMP; {compiler_version()}; {ffmpeg}",
        f"upstream leaves the first frame alone: it is sent {2 * PAIRS - 1} frames, so that both encode {PAIRS} times",
    )
    return Measured(tuple(rows), notes)


def upstream_server(job: Job, options: Options, say: Say) -> Path:
    """Return upstream's own server of the recipe's commit, built so that it reads videos."""
    if shutil.which("ffmpeg") is None:
        raise UnmeasurableError("ffmpeg is not installed (Debian, Ubuntu: apt-get install ffmpeg)")
    return ensure_native_build(
        ensure_unpatched(job).path,
        job.recipe.source.tree,
        ensure_toolchain(job.toolchain, job).path,
        options.folder / f"pinned-llama-bench-{os.getuid()}",
        say,
        program=SERVER,
        options=("-DMTMD_VIDEO=ON",),
    )


def against_images(server: Server, size: tuple[int, int], turns: int, say: Say) -> Comparison:
    files = []
    for frame in drawn(size, 2 * PAIRS):
        file = io.BytesIO()
        frame.save(file, "PNG")
        files.append(file.getvalue())
    frames = [base64.b64encode(file).decode("ascii") for file in files]
    clip = {"role": "user", "content": [video({"frames": frames, "fps": 2}), {"type": "text", "text": "?"}]}
    actions = {
        "clip": partial(asked_s, server, clip),
        "images": partial(asked_s, server, user(*files[::2], "?")),
    }
    took = take_turns(turns, actions, say)
    return Comparison(
        f"a clip of {PAIRS} pairs of {size[0]}x{size[1]}", f"{PAIRS} images of that size", "s",
        took["clip"], took["images"], Target(Kind.RATIO_AT_MOST, MOST),
    )  # fmt: skip


def against_upstream(
    servers: dict[str, Server], size: tuple[int, int], folder: Path, turns: int, say: Say
) -> Comparison:
    console = Silent()
    frames = drawn(size, 2 * PAIRS)
    whole, shorter = folder / "ours.mp4", folder / "upstream.mp4"
    write_video(frames, whole)
    write_video(frames[:-1], shorter)
    data = base64.b64encode(shorter.read_bytes()).decode("ascii")
    theirs = {"role": "user", "content": [video({"data": data}), {"type": "text", "text": "?"}]}

    def ours() -> float:
        began = time.perf_counter()
        with open_videos() as opened:
            read = opened(whole, ClipWish(UPSTREAM_FPS), console).read(CONTEXT, Detail.HIGH, console)
        message = {"role": "user", "content": [read.part(Detail.HIGH), {"type": "text", "text": "?"}]}
        asked_s(servers["ours"], message)
        return PAIRS / (time.perf_counter() - began)

    actions = {"ours": ours, "upstream": lambda: PAIRS / asked_s(servers["upstream"], theirs)}
    rates = take_turns(turns, actions, say, "pairs/s")
    return Comparison(
        f"a video file of {PAIRS} pairs of {size[0]}x{size[1]}", "upstream's MTMD_VIDEO with ffmpeg", "pairs/s",
        rates["ours"], rates["upstream"], Target(Kind.RATIO_AT_LEAST, LEAST),
    )  # fmt: skip


def drawn(size: tuple[int, int], count: int) -> list[Image.Image]:
    """Return frames of noise, the same each time."""
    grain = random.Random(1)
    return [Image.frombytes("RGB", size, grain.randbytes(size[0] * size[1] * 3)) for _ in range(count)]


def write_video(frames: list[Image.Image], path: Path) -> None:
    """Write frames as an MP4 with the rate at which upstream reads one."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=UPSTREAM_FPS)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            shown: av.VideoFrame = av.VideoFrame.from_image(frame)  # type: ignore[no-untyped-call] # PyAV's
            container.mux(stream.encode(shown))
        container.mux(stream.encode(None))


def video(inner: dict[str, Any]) -> dict[str, Any]:
    return {"type": "input_video", "input_video": inner}


def asked_s(server: Server, message: dict[str, Any]) -> float:
    """Return how long the first token takes after a message."""
    body = {"messages": [message], "max_tokens": 1, "temperature": 0, "cache_prompt": False}
    began = time.perf_counter()
    answer = server.post("/v1/chat/completions", json.dumps(body).encode(), ANSWERS_S)
    if not answer.ok:
        raise UnmeasurableError(f"status {answer.status_code}: {answer.text[:500]}")
    return time.perf_counter() - began
