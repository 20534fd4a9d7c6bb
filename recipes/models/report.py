"""What the session `models` says, as lines. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.core.filesystem import size_text
from recipes.models.gguf.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recipes.manifest.schema import Model
    from recipes.models.inspect import Inspection, Share

UNITS = ((10**9, "B"), (10**6, "M"), (10**3, "k"))
SHOWN_TEXT = 60  # characters


def inspection_lines(found: Inspection, context: int) -> Iterator[str]:
    """Say what a model is, and what is wrong with it."""
    name = f" ({plain(found.name)})" if found.name else ""
    yield f"architecture:  {plain(found.architecture) or 'none'}{name}"
    active = (
        f", {count_text(found.active_parameters)} for each token"
        if found.active_parameters < found.parameters
        else ""
    )
    yield f"parameters:    {count_text(found.parameters)}{active}"
    if found.context:
        yield f"context:       up to {found.context} tokens"
    yield f"chat template: {template_text(found.template)}"
    if found.fits is None:
        yield "projector:     none given"
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
    """Say what a model needs to run."""
    memory = found.memory
    if memory is None:
        yield "memory:        cannot be estimated: the file does not say its sizes"
        return
    yield (
        f"memory:        {size_text(memory.without_projector)} for text with {context} tokens of context:"
        f" {size_text(memory.weights)} weights, {size_text(memory.cache)} keys and values,"
        f" about {size_text(memory.compute)} to compute"
    )
    if found.fits is not None:
        yield (
            f"               {size_text(memory.total)} with the projector:"
            f" {size_text(memory.projector)} weights, about {size_text(memory.picture)} for a picture"
        )


def share_lines(what: str, shares: Sequence[Share]) -> Iterator[str]:
    """Give the table of a mix."""
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
    """Say what a chat template is, without showing all of it; its text is safe to print."""
    if not template:
        return "none: the server would guess one"
    pictures = ", with pictures" if "image" in template or "vision_start" in template else ", text alone"
    tools = ", with tools" if "tools" in template else ""
    return f"{len(template)} characters{pictures}{tools}: {plain(template.strip())}"


def plain(text: str) -> str:
    r"""Make a text of a file safe to print, and not too long: a terminal would obey some characters.

    >>> plain("\x1b[2J")
    '\\x1b[2J'
    """
    return repr(text[:SHOWN_TEXT])[1:-1] + "..." * (len(text) > SHOWN_TEXT)


def count_text(count: int) -> str:
    """Give a number of parameters for people.

    >>> count_text(30_532_122_624), count_text(999)
    ('30.53 B', '999')
    """
    for factor, unit in UNITS:
        if count >= factor:
            return f"{count / factor:.2f} {unit}"
    return str(count)


def list_lines(rows: Sequence[tuple[Model, Sequence[str]]]) -> Iterator[str]:
    """Give the table of all models.

    Parameters
    ----------
    rows
        Each model, and the state of each of its files.
    """
    for model, states in rows:
        memory = f", needs {size_text(model.memory.size_bytes)}" if model.memory else ""
        yield f"{model.name}: {model.summary} ({model.licence}{memory})"
        for file, state in zip(model.files, states, strict=True):
            size = file.size_bytes or file.max_bytes
            about = "" if file.size_bytes else "at most "
            shown = f", {about}{size_text(size)}" if size else ""
            yield f"  {file.role:<7} {file.path or file.file} ({file.quantisation}{shown}): {state}"
