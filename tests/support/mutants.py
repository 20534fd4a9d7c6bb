"""Pocket files in which one part is wrong, each in a way that loads without an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from gguf import GGUFReader

from recipes.conformance.checks.loading import keys_of
from recipes.models.gguf.rewrite import rewrite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

Pair = tuple["Path", "Path"]  # model and projector
CLIP_MEAN, CLIP_DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
STEPS = 4  # how finely the staircase of positions repeats each


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Parameters
    ----------
    name
        What is wrong.
    make
        Writes the files that are wrong into a folder, and returns the pair.
    suspect
        A word that the report must say of where to look.
    """

    name: str
    make: Callable[[Path, Path, Path], Pair]
    suspect: str


def _permuted_sections(model: Path, mmproj: Path, into: Path) -> Pair:
    t, h, w, rest = keys_of(model)["qwen3vlmoe.rope.dimension_sections"]
    return rewrite(
        model, into / "model.gguf", keys={"qwen3vlmoe.rope.dimension_sections": [h, w, t, rest]}
    ), mmproj


def _theta(model: Path, mmproj: Path, into: Path) -> Pair:
    return rewrite(model, into / "model.gguf", keys={"qwen3vlmoe.rope.freq_base": 10_000.0}), mmproj


def _rolled_experts(model: Path, mmproj: Path, into: Path) -> Pair:
    def roll(name: str, tensor: NDArray[Any]) -> NDArray[Any]:
        return np.roll(tensor, 1, axis=0) if name.endswith("_exps.weight") else tensor

    return rewrite(model, into / "model.gguf", roll), mmproj


def _of_projector(change: Callable[[str, NDArray[Any]], NDArray[Any]]) -> Callable[[Path, Path, Path], Pair]:
    return lambda model, mmproj, into: (model, rewrite(mmproj, into / "mmproj.gguf", change))


def _no_deepstack(name: str, tensor: NDArray[Any]) -> NDArray[Any]:
    return np.zeros_like(tensor) if name.startswith("v.deepstack.") and ".fc2." in name else tensor


def _swapped_deepstack(model: Path, mmproj: Path, into: Path) -> Pair:
    flags = keys_of(mmproj)["clip.vision.is_deepstack_layers"]
    first, second = (str(block) for block, flag in enumerate(flags) if flag)
    other = {first: second, second: first}

    def swap(name: str, tensor: NDArray[Any]) -> NDArray[Any]:
        if not name.startswith("v.deepstack."):
            return tensor
        block, rest = name.removeprefix("v.deepstack.").split(".", 1)
        other_name = f"v.deepstack.{other[block]}.{rest}"
        return next(each.data for each in GGUFReader(mmproj).tensors if each.name == other_name)

    return model, rewrite(mmproj, into / "mmproj.gguf", swap)


def _normalisation(model: Path, mmproj: Path, into: Path) -> Pair:
    keys = {"clip.vision.image_mean": list(CLIP_MEAN), "clip.vision.image_std": list(CLIP_DEVIATION)}
    return model, rewrite(mmproj, into / "mmproj.gguf", keys=keys)


def _red_and_blue(name: str, tensor: NDArray[Any]) -> NDArray[Any]:
    return tensor[:, ::-1] if name.startswith("v.patch_embd.weight") else tensor


def _another_projector(name: str, tensor: NDArray[Any]) -> NDArray[Any]:
    """Another model's merger writes to other directions: here the same ones in another order."""
    return np.roll(tensor, 17, axis=0) if name.startswith("mm.2.") else tensor


def _staircase(model: Path, mmproj: Path, into: Path) -> Pair:
    """Learned positions so finely repeated that interpolating them finds the nearest one of the original."""

    def repeat(name: str, tensor: NDArray[Any]) -> NDArray[Any]:
        if name != "v.position_embd.weight":
            return tensor
        side = int(len(tensor) ** 0.5)
        square = tensor.reshape(side, side, -1).repeat(STEPS, axis=0).repeat(STEPS, axis=1)
        return square.reshape(-1, tensor.shape[1])

    size = keys_of(mmproj)["clip.vision.image_size"] * STEPS
    return model, rewrite(mmproj, into / "mmproj.gguf", repeat, {"clip.vision.image_size": size})


def _swapped_frames(model: Path, mmproj: Path, into: Path) -> Pair:
    """Read the first frame of each pair with the weights of the second: a still image has both of them alike."""
    first, second = "v.patch_embd.weight", "v.patch_embd.weight.1"
    other = {first: second, second: first}

    def swap(name: str, tensor: NDArray[Any]) -> NDArray[Any]:
        found = other.get(name, name)
        return next((each.data for each in GGUFReader(mmproj).tensors if each.name == found), tensor)

    return model, rewrite(mmproj, into / "mmproj.gguf", swap)


MUTANTS = (
    Mutant("mrope sections permuted", _permuted_sections, "rope.dimension_sections"),
    Mutant("rope theta wrong", _theta, "rope.freq_base"),
    Mutant("experts permuted without their router", _rolled_experts, "ffn_*_exps"),
    Mutant("deepstack zeroed", _of_projector(_no_deepstack), "v.deepstack"),
    Mutant("deepstack in the wrong order", _swapped_deepstack, "v.deepstack"),
    Mutant("image mean and deviation wrong", _normalisation, "image_mean"),
    Mutant("red and blue swapped", _of_projector(_red_and_blue), "v.patch_embd"),
    Mutant("projector of another model", _of_projector(_another_projector), "projector"),
    Mutant("positions not interpolated", _staircase, "projector"),
    Mutant("frames of a pair swapped", _swapped_frames, "v.patch_embd.weight.1"),
)
