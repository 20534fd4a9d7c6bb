"""Loads the model, and compares what the program says of it with what the file says."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
from gguf import GGUFReader

from recipes.conformance.results.inputs import Findings, images_of, messages, pass_or_fail
from recipes.conformance.results.outcome import CheckVerdict, Outcome, Part
from recipes.serve.llamacpp.server import ServerError, user

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.conformance.results.inputs import CheckInputs
    from recipes.serve.llamacpp.server import Server

# What the API says of a model (/v1/models, meta), and the key it comes from.
TOLD = {"n_ctx_train": "{arch}.context_length", "n_embd": "{arch}.embedding_length"}
# What llama.cpp prints of a model when it loads it (llama-model.cpp, print_info), and the key it comes from; from
# build 11669 on, or some time before, only where it is asked to print more.
PRINTED = {
    "arch": "general.architecture",
    "n_ctx_train": "{arch}.context_length",
    "n_embd": "{arch}.embedding_length",
    "n_layer": "{arch}.block_count",
    "n_head": "{arch}.attention.head_count",
    "n_head_kv": "{arch}.attention.head_count_kv",
    "n_expert": "{arch}.expert_count",
    "n_expert_used": "{arch}.expert_used_count",
    "freq_base_train": "{arch}.rope.freq_base",
    "mrope sections": "{arch}.rope.dimension_sections",
}


def keys_of(path: Path) -> dict[str, Any]:
    """Return a file's keys as Python values."""
    return {name: field.contents() for name, field in GGUFReader(path).fields.items()}


def check(inputs: CheckInputs, server: Server) -> Findings:
    """Compare what the server says of the model with the file, and the file with the reference's."""
    keys = keys_of(inputs.model)
    arch = keys["general.architecture"]
    log = server.log.read_text(encoding="utf-8", errors="replace")
    listed = server.get("/v1/models").json().get("data") or []
    said = {label: str(value) for label, value in ((listed[0].get("meta") if listed else None) or {}).items()}
    said = {label: value for label, value in said.items() if label in TOLD}
    for label in PRINTED:
        if found := re.search(rf"print_info: {re.escape(label)}\s+= (.+)", log):
            said[label] = found[1].strip()
    wanted = {label: keys[(TOLD | PRINTED)[label].format(arch=arch)] for label in said}
    wrong = [
        f"{label} is {value}, the file says {wanted[label]}"
        for label, value in said.items()
        if not is_same(value, wanted[label])
    ]
    words = "; ".join(wrong) or f"{len(said)} figures that it reports of the model are the file's"
    is_told, is_listed = not wrong and bool(said), len(listed) == 1
    demand = partial(pass_or_fail, Part.LOAD)
    return Findings(
        (
            demand("loads qwen3vlmoe", is_right=True, words=f"{arch} is loaded and the server is healthy"),
            demand("what it says of the model", is_right=is_told, words=words, suspect="loading"),
            shape_outcome(inputs, keys, arch),
            demand(
                "model list", is_right=is_listed, words=f"/v1/models lists {len(listed)}", suspect="server"
            ),
        )
    )


def shape_outcome(inputs: CheckInputs, keys: dict[str, Any], arch: str) -> Outcome:
    """Compare the model's M-RoPE sections with those that the reference was asked with.

    No answer tells them apart: sections end where frequencies turn by less than a hundredth over any image.
    """
    wanted, found = list(inputs.golden.sections), list(keys[f"{arch}.rope.dimension_sections"])[:3]
    shares = ", ".join(map(str, found))
    return pass_or_fail(
        Part.POSITIONS,
        "sections",
        is_right=found == wanted,
        words=f"t, h and w have {shares} frequencies; the reference has {', '.join(map(str, wanted))}",
        suspect="rope.dimension_sections of the model",
    )


def is_same(said: str, wanted: object) -> bool:
    """Return whether a printed value is a key's: numbers by value, lists by their numbers."""
    if isinstance(wanted, (list, tuple)):
        return [int(part) for part in re.findall(r"-?\d+", said)] == [int(part) for part in wanted]
    if isinstance(wanted, (int, float)):
        try:
            return abs(float(said) - float(wanted)) <= 1e-6 * abs(float(wanted))
        except ValueError:
            return False
    return said == str(wanted)


def check_text_only(inputs: CheckInputs, with_projector_bytes: int | None) -> Findings:
    """Run without the projector: text is answered, an image refused in words, and memory is saved.

    `with_projector_bytes` is the memory of the server with the projector before its first question, None if unknown.
    """
    with inputs.server(text_only=True) as server:
        before = resident_bytes(server.process.pid)
        outcomes = [memory_outcome(inputs, before, with_projector_bytes)]
        asked = [(prompt, case) for prompt, case in inputs.pairs if not case.with_images]
        given = [(case, server.chat(messages(prompt)).text) for prompt, case in asked]
        wrong = [
            f"`{case.name}`: {text!r} instead of {case.answer!r}"
            for case, text in given
            if text != case.answer
        ]
        outcomes.append(
            pass_or_fail(
                Part.TEXT,
                "answers without the projector",
                is_right=not wrong,
                words="; ".join(wrong) or f"{len(given)} answers equal the reference's",
                suspect="the language model, its tokenizer or its chat template",
            )
        )
        prompt, _ = inputs.case("shape, square")
        outcomes.append(refusal_outcome(server, images_of(prompt)[0]))
    return Findings(tuple(outcomes))


def refusal_outcome(server: Server, image: bytes) -> Outcome:
    """Demand that an image is refused in words where there is no projector, and that the server lives on."""
    try:
        reply = server.chat([user(image, "What shape is this?")])
    except ServerError as error:
        words, is_clear = str(error), "mmproj" in str(error) or "image" in str(error).lower()
    else:
        words, is_clear = f"it answered {reply.text!r}", False
    try:
        lives = bool(server.chat([user("What is 1 plus 2?")]).text)
    except ServerError:
        lives = False
    return pass_or_fail(
        Part.TEXT,
        "an image without the projector",
        is_right=is_clear and lives,
        words=words.splitlines()[0] + ("" if lives else "; then the server is gone"),
        suspect="the server's check for a projector",
    )


def memory_outcome(inputs: CheckInputs, without: int | None, with_projector: int | None) -> Outcome:
    """Compare the memory of a server without the projector with that of one with it."""
    name = "memory without the projector"
    if inputs.subject.is_offloaded:
        words = "the projector is in a GPU's memory, which cannot be measured here"
        return Outcome(Part.TEXT, name, CheckVerdict.NOT_RUN, words)
    if without is None or with_projector is None:
        return Outcome(Part.TEXT, name, CheckVerdict.NOT_RUN, "this system does not tell a program's memory")
    size, saved = inputs.mmproj.stat().st_size, with_projector - without
    return pass_or_fail(
        Part.TEXT,
        name,
        is_right=saved >= size // 2,
        words=f"{saved / 1e6:.1f} MB less than with it; the projector's file is {size / 1e6:.1f} MB",
        suspect="the server loads a projector that nobody asked for",
        without_mb=round(without / 1e6, 1),
        with_mb=round(with_projector / 1e6, 1),
    )


def resident_bytes(pid: int) -> int | None:
    """Return how much memory a program holds, in bytes; None where the system does not tell."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
