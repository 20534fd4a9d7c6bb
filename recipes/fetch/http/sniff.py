"""What bytes are that are not the model they should be, by how they start. Pure."""

from __future__ import annotations

import re

from recipes.fetch.http.response_rules import is_web_page

GGUF_MAGIC = b"GGUF"
_POINTER = re.compile(
    rb"(?ms)version https://git-lfs\.github\.com/spec/v1\n.*?^oid sha256:([0-9a-f]{64})\n.*?^size (\d{1,20})$"
)
SHOWN_CHARACTERS = 80


def name_strange_start(start: bytes) -> str | None:  # noqa: PLR0911 - one answer for each kind
    """Say what a file is that starts so; None of a GGUF file, and of bytes that tell nothing.

    Parameters
    ----------
    start
        Its first bytes, some hundreds at least where it has them.
    """
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start:
        return "nothing, an empty file"
    if start.startswith(GGUF_MAGIC):
        return None
    if pointer := _POINTER.match(start):
        return f"a Git LFS pointer to a file of {int(pointer[2])} bytes, not the file"
    if is_web_page(start) or text.startswith((b"<?xml", b"<Error")):
        return f"a web page: {_shown(text)}"
    if text.startswith((b"{", b"[")):
        return f"JSON, as servers put an error in: {_shown(text)}"
    if start[8:10] == b'{"':
        return "a safetensors file, not GGUF"
    if not text.strip(b"\0"):
        return "zeros, as a disk gives them where nothing was written"
    return f"not a GGUF file: it starts with {_shown(start[:16])}"


def _shown(text: bytes) -> str:
    shown = repr(text[:SHOWN_CHARACTERS])[1:]
    return shown + "..." * (len(text) > SHOWN_CHARACTERS)
