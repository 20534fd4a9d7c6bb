"""What bytes are that a server sent in a file's place, by how they start. Pure."""

from __future__ import annotations

import re

SNIFF_BYTES = 512
WEB_PAGE = "a web page"
PAGE_MARKS = (b"<!doctype html", b"<html", b"<?xml", b"<error")
_POINTER = re.compile(
    rb"(?ms)version https://git-lfs\.github\.com/spec/v1\n.*?^oid sha256:([0-9a-f]{64})\n.*?^size (\d{1,20})$"
)
SHOWN_CHARACTERS = 80


def name_wrong_start(start: bytes) -> str | None:
    """Return what these first SNIFF_BYTES are instead of the file: a page, an error, a pointer; None where unclear."""
    if not start:
        return "nothing, an empty file"
    if pointer := _POINTER.match(start):
        return f"a Git LFS pointer to a file of {int(pointer[2])} bytes, not the file"
    text = _without_space(start)
    if is_web_page(start):
        return f"{WEB_PAGE}: {shown_start(text)}"
    if text.startswith((b"{", b"[")):
        return f"JSON, as servers put an error in: {shown_start(text)}"
    if not text.strip(b"\0"):
        return "zeros, as a disk gives them where nothing was written"
    return None


def is_web_page(start: bytes) -> bool:
    """Whether a file that starts so is a web page, such as a login page saved under a file's name."""
    return _without_space(start[:SNIFF_BYTES]).lower().startswith(PAGE_MARKS)


def shown_start(text: bytes) -> str:
    """Return the first characters in one printable line."""
    shown = repr(text[:SHOWN_CHARACTERS])[1:]
    return shown + "..." * (len(text) > SHOWN_CHARACTERS)


def _without_space(start: bytes) -> bytes:
    return start.lstrip(b"\xef\xbb\xbf \t\r\n")
