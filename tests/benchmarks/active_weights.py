"""How many bytes of a model's weights are read for each token that it generates, from its GGUF file."""

from __future__ import annotations

import sys
from pathlib import Path

import gguf

EMBEDDING = "token_embd.weight"  # one row of it is read


def active_bytes(path: Path) -> float:
    """Return the bytes a token: every tensor whole, of experts the used share, of the embedding one row.

    Parameters
    ----------
    path
        A language model; one without an output matrix multiplies by its whole embedding.
    """
    reader = gguf.GGUFReader(path)
    architecture = reader.fields["general.architecture"].contents()

    def number(name: str) -> int:
        field = reader.fields.get(f"{architecture}.{name}")
        return int(field.contents()) if field else 0

    experts, used = number("expert_count"), number("expert_used_count")
    has_output = any(tensor.name == "output.weight" for tensor in reader.tensors)
    total = 0.0
    for tensor in reader.tensors:
        share = 1.0
        if tensor.name.endswith("_exps.weight"):
            share = used / experts
        elif tensor.name == EMBEDDING and has_output:
            share = 1 / int(tensor.shape[-1])
        total += share * int(tensor.n_bytes)
    return total


if __name__ == "__main__":
    print(round(active_bytes(Path(sys.argv[1]))))
