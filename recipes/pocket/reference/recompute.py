"""Computes all reference values again, and compares them with what is committed.

`nox -s reference` compares; with `-- --write` it commits what came out, with `-- --accuracy N` it asks how good the
model is.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch

from recipes.core.cores import usable_cores
from recipes.core.digest import hash_file
from recipes.core.errors import VerifyError
from recipes.evalset.golden import AGAIN, Golden, HeldOut, read_golden
from recipes.evalset.held_out import EVERY_TASK
from recipes.evalset.mrope_sections import blocked, interleaved
from recipes.evalset.prompts import compared, compared_clips, digest, everything, held_out
from recipes.pocket.model.files import GOLDEN, MMPROJ, MODEL, VISION
from recipes.pocket.model.import_gguf import load
from recipes.pocket.reference.held_out import examine, table
from recipes.pocket.reference.known_deviations import ALL, OF_CLIPS, WITH_CLIPS
from recipes.pocket.reference.reference import NEAR, Reference, versions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAME = 0.002  # what another processor's order of summing may change in a logarithm


def compute(model: Path, mmproj: Path) -> tuple[Golden, dict[str, np.ndarray[Any, Any]]]:
    """Return the golden values, and what the vision tower and the positions are for one prompt each."""
    reference = Reference(*load(model, mmproj))
    golden = Golden(
        made_with=versions(),
        model=hash_file(model).hex,
        mmproj=hash_file(mmproj).hex,
        prompts=digest(everything()),
        sections=tuple(reference.model.config.text_config.rope_parameters["mrope_section"]),
        deviations=ALL,
        clip_deviations=(*WITH_CLIPS, *OF_CLIPS),
        cases=tuple(map(reference.case, compared())),
        clips=tuple(map(reference.case, compared_clips())),
        held_out=tuple(_held_out(reference, task) for task in EVERY_TASK),
    )
    return golden, dict(_arrays(reference))


def _held_out(reference: Reference, task: str) -> HeldOut:
    answers, margins = zip(*map(reference.answer, held_out(task)), strict=True)
    return HeldOut(task=task, answers=answers, margins=margins)


def _arrays(reference: Reference) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Yield the vision tower's outputs for a small image, positions of several prompts, and the channels' axes."""
    by_name = {prompt.name: prompt for prompt in compared()}
    batch = reference.prepare(by_name["where, wide"])
    merged, levels = reference.see(batch)
    yield "vision/merger", merged.numpy()
    for index, level in enumerate(levels):
        yield f"vision/deepstack {index}", level.numpy()
    by_name |= {prompt.name: prompt for prompt in compared_clips()}
    names = ("where, wide", "two images of other sizes", "three turns about an image", "text, then an image")
    for name in (*names, "five frames", "an image, then a clip"):
        yield f"positions/{name}", reference.prepare(by_name[name]).positions[:, 0].numpy().astype(np.int32)
    sections = reference.model.config.text_config.rope_parameters["mrope_section"]
    for layout, axes in (("blocked", blocked(sections)), ("interleaved", interleaved(sections))):
        yield f"channels/{layout}", np.frombuffer("".join(axes).encode(), np.uint8)


def compare(found: Golden, committed: Golden) -> float:
    """Return the largest difference of a logarithm between two runs; a VerifyError names what else does not agree."""
    for name in ("model", "mmproj", "prompts", "sections", "deviations", "clip_deviations"):
        _demand(name, getattr(committed, name), getattr(found, name))
    largest = 0.0
    both = ((*some.cases, *some.clips) for some in (committed, found))
    for old, new in zip(*both, strict=True):
        for name in ("name", "prompt_tokens", "answer", "tokens"):
            _demand(f"{old.name}: {name}", getattr(old, name), getattr(new, name))
        _demand(f"{old.name}: combinations", set(old.logprobs), set(new.logprobs))
        pairs = [(values, new.logprobs[key]) for key, values in old.logprobs.items()]
        kept = {(tie.layer, tie.token): tie.logprobs for tie in new.ties}
        # whether others are near enough to be kept is a matter of rounding
        clear = {(tie.layer, tie.token) for tie in old.ties if tie.gap < NEAR / 2}
        _demand(f"{old.name}: near-ties", clear, clear & kept.keys())
        for tie in old.ties:
            again = kept.get((tie.layer, tie.token), {})
            pairs += [(tie.logprobs[key], again[key]) for key in tie.logprobs.keys() & again.keys()]
        largest = max(largest, *(float(np.abs(np.subtract(*pair)).max()) for pair in pairs))
    for before, after in zip(committed.held_out, found.held_out, strict=True):
        _demand(f"held-out {before.task}", before.answers, after.answers)
    if largest > SAME:
        _demand("logprobs", f"at most {SAME} off", f"{largest:.5f} off")
    return largest


def _demand(what: str, expected: object, found: object) -> None:
    if expected != found:
        raise VerifyError(
            where=f"{GOLDEN}: {what}",
            expected=str(expected),
            found=str(found),
            fix=f"{AGAIN}  # if the change is intended; else undo it",
        )


def main(argv: list[str]) -> int:
    """Compute everything, and compare or write."""
    parser = argparse.ArgumentParser(prog="nox -s reference --", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write what came out to tests/data/pocket")
    parser.add_argument(
        "--accuracy",
        type=int,
        metavar="N",
        help="only ask N questions of each task, on images never trained on",
    )
    chosen = parser.parse_args(argv)
    torch.set_num_threads(usable_cores())
    if chosen.accuracy:
        print(table(examine(Reference(*load(MODEL, MMPROJ)), chosen.accuracy)))
        return 0
    golden, arrays = compute(MODEL, MMPROJ)
    if chosen.write:
        GOLDEN.write_bytes(msgspec.json.format(msgspec.json.encode(golden), indent=1) + b"\n")
        np.savez_compressed(VISION, **arrays)
        print(f"written: {GOLDEN}, {VISION}")
        return 0
    try:
        largest = compare(golden, read_golden(GOLDEN))
    except VerifyError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"the committed values are those of {', '.join(f'{k} {v}' for k, v in golden.made_with.items())}")
    print(f"largest difference of a logarithm: {largest:.5f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
