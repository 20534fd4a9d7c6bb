"""Treats large bodies in a process of its own: what decodes other people's files can be ended, and has a bound.

It reads a frame from standard input and answers with one on standard output, until there are no more. A frame is two
lengths, JSON, and bytes. Run as a program by `worker_pool`.
"""

from __future__ import annotations

import json
import struct
import sys
from contextlib import suppress
from typing import IO, Any

from recipes.serve.door.image_decode import Detail, load_decoders
from recipes.serve.door.refusal import TOO_LARGE, RefusedError
from recipes.serve.door.treatment import BodyRules, ModelLimits, Treated, treat

LENGTHS = struct.Struct(">IQ")
MOST_MEMORY = 3 << 29  # bytes of address space; 1.5 GB: an image of 64 megapixels twice, and a body


def write_frame(out: IO[bytes], says: dict[str, Any], data: bytes) -> None:
    """Write a frame."""
    text = json.dumps(says).encode()
    out.write(LENGTHS.pack(len(text), len(data)) + text)
    out.write(data)
    out.flush()


def read_frame(source: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Read a frame; an EOFError is raised where the other side is gone."""
    lengths = LENGTHS.unpack(_read(source, LENGTHS.size))
    says: dict[str, Any] = json.loads(_read(source, lengths[0]))
    return says, _read(source, lengths[1])


def question(path: str, rules: BodyRules) -> dict[str, Any]:
    """Return what is said beside a body."""
    return {
        "path": path,
        "models": [[model.name, model.slots, model.context] for model in rules.models],
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
    )


def main() -> None:
    """Answer frames until there are no more."""
    source, out = sys.stdin.buffer, sys.stdout.buffer
    _bound_memory()
    load_decoders()
    with suppress(EOFError):
        while True:
            says, body = read_frame(source)
            models = tuple(
                ModelLimits(str(name), int(slots), int(context)) for name, slots, context in says["models"]
            )
            rules = BodyRules(models, Detail(says["detail"]), bool(says["url_images"]))
            reply: tuple[dict[str, Any], bytes]
            try:
                done = treat(body, str(says["path"]), rules)
                more = {"notes": done.notes, "model": done.model}
                reply = {"answers": done.answers, "seed": done.seed, **more}, done.body
            except RefusedError as error:
                reply = {"status": error.status, "message": error.message, "param": error.param}, b""
            except MemoryError:
                reply = {"status": TOO_LARGE, "message": "it needs too much memory", "param": ""}, b""
            write_frame(out, *reply)
            del body, reply


def _read(source: IO[bytes], size: int) -> bytes:
    data = source.read(size)
    if len(data) < size:
        raise EOFError
    return data


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
