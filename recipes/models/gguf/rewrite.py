"""Rewrites a GGUF file with other tensors or keys: in f32 for exact comparison, or changed for a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from numpy.typing import NDArray

    Tensor: TypeAlias = NDArray[Any]
    Change: TypeAlias = Callable[[str, Tensor], Tensor]

FILE_TYPE = "general.file_type"
HELD_BY_WRITER = frozenset({"general.architecture"})  # GGUFWriter writes this key itself
HALF_TYPES = (GGMLQuantizationType.F16, GGMLQuantizationType.F32)


def unchanged(_name: str, tensor: Tensor) -> Tensor:
    """Return a tensor as it is."""
    return tensor


def rewrite(
    source: Path, target: Path, change: Change = unchanged, keys: Mapping[str, object] | None = None
) -> Path:
    """Rewrite a file of f16 and f32 tensors; return the target.

    `change` returns each tensor's new values; the shape may differ, the dtype is what is stored. `keys` are new
    values of some keys, of the same types. A KeyError is raised if the file has no such key, a ValueError if a tensor
    has another type.
    """
    reader = GGUFReader(source)
    writer = GGUFWriter(target, reader.fields["general.architecture"].contents())
    new = dict(keys or {})
    for name, field in reader.fields.items():
        if name in HELD_BY_WRITER or name.startswith("GGUF."):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind is GGUFValueType.ARRAY else None
        writer.add_key_value(name, new.pop(name, field.contents()), kind, sub_type=inner)
    if new:
        raise KeyError(*new)
    for tensor in reader.tensors:
        if tensor.tensor_type not in HALF_TYPES:
            raise ValueError(f"{tensor.name} is {tensor.tensor_type.name}: only f16 and f32 are rewritten")
        writer.add_tensor(tensor.name, np.ascontiguousarray(change(tensor.name, tensor.data)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def write_f32(source: Path, target: Path) -> Path:
    """Rewrite a file with all tensors in f32: the same numbers, so that no result is rounded to f16."""

    def widen(_name: str, tensor: Tensor) -> Tensor:
        return tensor.astype(np.float32)

    return rewrite(source, target, widen, {FILE_TYPE: int(LlamaFileType.ALL_F32)})
