"""Names what a GGUF file is that is no whole model: an imatrix, an adapter, a vocabulary, a part. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.models.gguf.other_formats import shown

if TYPE_CHECKING:
    from recipes.models.gguf.reader import GgufFile

VISION = re.compile(r"(v|mm|a)\.")
PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)
MERGE = "llama-gguf-split --merge FIRST-PART OUT.gguf  # in the bundle's bin/; then name OUT.gguf"


@dataclass(frozen=True)
class OtherKind:
    """What a file is: where it says so, in words, and what to do with it."""

    where: str
    what: str
    fix: str


def name_kind(file: GgufFile) -> OtherKind | None:
    """Return what a file is that is neither a model nor a projector; None if it may be one."""
    return _made_for_a_model(file) or _part(file) or _lacking(file) or _with_encoder(file)


def part_names(name: str) -> tuple[str, ...]:
    """Return the names of all parts of a model, by the name of one of them; () if it is not named as a part."""
    found = PART.search(name)
    if found is None or not 1 <= int(found[2]) <= 1000:  # noqa: PLR2004 - more is no model's
        return ()
    return tuple(f"{name[: found.start()]}-{at:05}-of-{found[2]}.gguf" for at in range(1, int(found[2]) + 1))


def _part(file: GgufFile) -> OtherKind | None:
    count, at = (file.metadata.get(f"split.{name}") for name in ("count", "no"))
    if count is None or count.content in {0, 1}:
        return None
    number = at.content + 1 if at is not None and isinstance(at.content, int) else "?"
    what = f"is {count.content}: this is part {number} of {count.content} of a model, and not a whole one"
    return OtherKind("split.count", what, MERGE)


def _texts(file: GgufFile) -> dict[str, str]:
    return {key: value.content for key, value in file.metadata.items() if isinstance(value.content, str)}


def _made_for_a_model(file: GgufFile) -> OtherKind | None:
    texts = _texts(file)
    kind = texts.get("general.type")
    if kind == "imatrix" or any(key.startswith("imatrix.") for key in file.metadata):
        fix = "use the model itself; llama-quantize takes this file with --imatrix"
        return OtherKind("general.type", "is 'imatrix': an importance matrix, made to quantise a model", fix)
    if kind == "adapter" or "adapter.type" in file.metadata:
        where = "general.type" if kind == "adapter" else "adapter.type"
        fix = "use the model that it was made for; llama-server adds this file to it with --lora"
        return OtherKind(where, f"is {shown(texts.get(where, ''))}: a LoRA adapter, changes of a model", fix)
    architecture = texts.get("general.architecture")
    if architecture == "controlvector" or any(key.startswith("controlvector.") for key in file.metadata):
        fix = "use the model that it was made for; llama-server adds this file to it with --control-vector"
        what = "is 'controlvector': a control vector, made to steer a model"
        return OtherKind("general.architecture", what, fix)
    return None


def _lacking(file: GgufFile) -> OtherKind | None:
    if file.tensors:
        return None
    alone = "a vocabulary" if any(key.startswith("tokenizer.") for key in file.metadata) else "keys"
    return OtherKind("tensors", f"are missing: the file has {alone} alone", "use the whole model's file")


def _with_encoder(file: GgufFile) -> OtherKind | None:
    found = next((tensor.name for tensor in file.tensors if VISION.match(tensor.name)), None)
    if found is None or _texts(file).get("general.architecture", "clip") == "clip":
        return None
    what = "is of a vision or audio encoder: model and encoder in one file, as Ollama keeps some models"
    return OtherKind(found, what, "download the model and its mmproj as two files, made for llama.cpp")
