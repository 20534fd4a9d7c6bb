"""The output of the session `models`, as lines. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.core.filesystem import size_text
from recipes.models.gguf.findings import Severity
from recipes.models.gguf.hybrid import COPIES, REQUESTS
from recipes.models.gguf.kinds import is_covered
from recipes.models.gguf.reader import escaped
from recipes.models.own_manifest import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recipes.manifest.schema import Model
    from recipes.models.inspect import Inspection, MemoryEstimate, Share

NOT_COVERED = ", not covered by conformance"
UNITS = ((10**9, "B"), (10**6, "M"), (10**3, "k"))


def inspection_lines(found: Inspection, context: int) -> Iterator[str]:
    """Yield the description of a model, and its errors and warnings."""
    name = f" ({escaped(found.name)})" if found.name else ""
    beyond = "" if is_covered(found.architecture) else NOT_COVERED
    yield f"architecture:  {escaped(found.architecture) or 'none'}{name}{beyond}"
    is_sparse = found.active_parameters < found.parameters
    active = f", {count_text(found.active_parameters)} active per token" if is_sparse else ""
    yield f"parameters:    {count_text(found.parameters)}{active}"
    if found.context:
        yield f"context:       up to {found.context} tokens"
    yield f"chat template: {template_text(found.template)}"
    if found.fits is None:
        yield "projector:     none named"
    else:
        yield f"projector:     {'fits the model' if found.fits else 'does NOT fit the model'}"
    yield from memory_lines(found, context)
    yield ""
    yield from share_lines("model", found.model_shares)
    if found.mmproj_shares:
        yield ""
        yield from share_lines("projector", found.mmproj_shares)
    yield ""
    for where, finding in found.findings:
        yield f"{finding.severity.value}: {where}: {finding.where} {finding.what}"
    errors = sum(finding.severity is Severity.ERROR for _, finding in found.findings)
    yield f"lint: {errors} errors, {len(found.findings) - errors} warnings"


def memory_lines(found: Inspection, context: int) -> Iterator[str]:
    """Yield the memory that a model needs."""
    memory = found.memory
    if memory is None:
        yield "memory:        cannot be estimated: the file does not state its sizes"
        return
    text = ", ".join(memory_parts(memory, images=False))
    yield f"memory:        {size_text(memory.without_projector)} for text with {context} tokens of context: {text}"
    if found.fits is not None:
        images = ", ".join(memory_parts(memory, images=True)[len(memory_parts(memory, images=False)) :])
        yield f"               {size_text(memory.total)} with images: {images}"
    if memory.state:
        each = size_text(memory.state // REQUESTS)
        yield f"               not counted: up to {COPIES} copies of each request's state, {each} each"


def memory_parts(memory: MemoryEstimate, *, images: bool) -> list[str]:
    """Return what the memory is for: three parts for text, four with linear attention; two more for images."""
    text = [f"{size_text(memory.weights)} weights", f"{size_text(memory.cache)} KV cache"]
    if memory.state:
        text.append(f"{size_text(memory.state)} state of linear attention")
    text.append(f"about {size_text(memory.compute)} compute buffers")
    more = [f"{size_text(memory.projector)} projector", f"about {size_text(memory.image)} for an image"]
    return text + more if images else text


def share_lines(what: str, shares: Sequence[Share]) -> Iterator[str]:
    """Yield the table of a file's tensor types by part."""
    head = (what, "type", "tensors", "parameters", "size", "bits")
    rows = [
        (s.group, s.type, str(s.tensors), count_text(s.parameters), size_text(s.size_bytes), f"{s.bits:.2f}")
        for s in shares
    ]
    total = sum(share.size_bytes for share in shares)
    count = sum(share.parameters for share in shares)
    tensors = str(sum(share.tensors for share in shares))
    rows.append(("all", "", tensors, count_text(count), size_text(total), f"{total * 8 / max(1, count):.2f}"))
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        yield "  ".join((*left, *right)).rstrip()


def template_text(template: str) -> str:
    """Return the start of a chat template, safe to print, and what it supports."""
    if not template:
        return "none: the server would guess one"
    images = ", with images" if "image" in template or "vision_start" in template else ", text only"
    tools = ", with tools" if "tools" in template else ""
    return f"{len(template)} characters{images}{tools}: {escaped(template.strip())}"


def count_text(count: int) -> str:
    """Return a number of parameters with a unit.

    >>> count_text(30_532_122_624), count_text(999)
    ('30.53 B', '999')
    """
    for factor, unit in UNITS:
        if count >= factor:
            return f"{count / factor:.2f} {unit}"
    return str(count)


def list_lines(rows: Sequence[tuple[Model, Sequence[str]]]) -> Iterator[str]:
    """Yield the table of all models, each with the state of each of its files."""
    for model, states in rows:
        memory = f", needs {size_text(model.memory.size_bytes)}" if model.memory else ""
        known = is_covered(model.architecture) or model.architecture == UNKNOWN
        beyond = "" if known else NOT_COVERED
        yield f"{model.name}: {model.summary} ({model.licence}{memory}{beyond})"
        for file, state in zip(model.files, states, strict=True):
            size = file.size_bytes or file.max_bytes
            about = "" if file.size_bytes else "at most "
            shown = f", {about}{size_text(size)}" if size else ""
            yield f"  {file.role:<7} {file.path or file.file} ({file.quantisation}{shown}): {state}"
