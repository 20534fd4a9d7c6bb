"""Treats large bodies in a process of its own: what decodes other people's files can be ended, and has a bound.

It reads a frame from standard input and answers with one on standard output, until there are no more. Once its decoders
are loaded it opens no file and no socket any more. Run as a program by `worker_pool` and `video_input`.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from recipes.core.confinement.seal import seal
from recipes.serve.door.clip_plan import ClipError
from recipes.serve.door.image_decode import Detail, load_decoders
from recipes.serve.door.pipe_frames import read_frame, write_frame
from recipes.serve.door.refusal import BAD_REQUEST, TOO_LARGE, RefusedError
from recipes.serve.door.treatment import BodyRules, ModelLimits, Treated, treat
from recipes.serve.door.video_files import load_readers
from recipes.serve.door.video_worker import VIDEO, Clock, read_video

MOST_MEMORY = (
    1 << 31
)  # bytes of address space; an image of 64 megapixels twice and a body, or 8K video of 10 bits
VIDEO_S = 60.0  # of processor time for the videos of one body


def question(path: str, rules: BodyRules) -> dict[str, Any]:
    """Return what is said beside a body."""
    return {
        "path": path,
        "models": [[model.name, model.slots, model.context, model.videos] for model in rules.models],
        "detail": rules.detail.value,
        "url_images": rules.url_images,
    }


def answer(says: dict[str, Any], data: bytes) -> Treated:
    """Return what a worker's frame has, or raise the RefusedError that it has."""
    if "status" in says:
        raise RefusedError(int(says["status"]), str(says["message"]), str(says["param"]))
    seed = says["seed"]
    return Treated(
        data,
        int(says["answers"]),
        None if seed is None else int(seed),
        tuple(map(str, says["notes"])),
        str(says["model"]),
        bool(says["videos"]),
    )


def main() -> None:
    """Answer frames until there are no more: bodies, or the one video that `video_worker` asks about."""
    source, out = sys.stdin.buffer, sys.stdout.buffer
    _bound_memory()
    load_decoders()
    load_readers()
    seal()
    with suppress(EOFError):
        while True:
            says, body = read_frame(source)
            if VIDEO in says:
                read_video(says, source, out)
                continue
            models = tuple(
                ModelLimits(str(name), int(slots), int(context), videos)
                for name, slots, context, videos in says["models"]
            )
            rules = BodyRules(models, Detail(says["detail"]), bool(says["url_images"]))
            reply: tuple[dict[str, Any], bytes]
            try:
                done = treat(body, str(says["path"]), rules, Clock(VIDEO_S, out).tick)
                more = {"notes": done.notes, "model": done.model, "videos": done.videos}
                reply = {"answers": done.answers, "seed": done.seed, **more}, done.body
            except RefusedError as error:
                reply = {"status": error.status, "message": error.message, "param": error.param}, b""
            except ClipError as error:
                reply = {"status": BAD_REQUEST, "message": f"the videos: {error}", "param": "messages"}, b""
            except MemoryError:
                reply = {"status": TOO_LARGE, "message": "it needs too much memory", "param": ""}, b""
            write_frame(out, *reply)
            del body, reply


def _bound_memory() -> None:
    """Set the bound where the system has one; elsewhere the limits of an image's size are the only one."""
    try:
        import resource
    except ImportError:  # Windows
        return
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))


if __name__ == "__main__":
    main()
