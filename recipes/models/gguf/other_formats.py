"""Names what a file is that is not GGUF, by its first bytes, and what to do instead. Pure."""

from __future__ import annotations

import re
import string

SHOWN_CHARACTERS = 60
AGAIN = "download it again, and compare its sha256 with the one that its publisher states"
ITSELF = "download the file itself: on a hub, its address has /resolve/ in it, not /blob/"
LOGIN = "log in to the hub, accept the model's terms there, and download the file again"
CONVERT = "convert the model with the pinned llama.cpp's convert_hf_to_gguf.py, or download a GGUF of it"
NEWER = (
    "download a GGUF of the same model, or convert this one with llama.cpp's convert_llama_ggml_to_gguf.py"
)
UNPACK = "unpack it; the model is the .gguf file in it"
JOIN = "join the parts in their order into one file (cat PART1 PART2 > model.gguf), and name that"

LFS_POINTER = re.compile(rb"(?ms)version https://git-lfs\.github\.com/spec/v1\n.*?^size (\d{1,20})$")
PICKLES = tuple(bytes((0x80, version)) for version in range(2, 6))
PIECE = re.compile(r"(?i)(-split-[a-z]|part[-_]?\d+(of\d+)?|\.0\d\d)$")
REFUSALS = ("restricted", "gated", "authenticated", "password", "unauthorized", "forbidden", "access")

# Where a format's bytes are, those bytes, what a file with them is, and what to do with it.
FORMATS = (
    (0, b"lmgg", "an old GGML file, of 2023, from before GGUF", NEWER),
    (0, b"fmgg", "an old GGMF file, of 2023, from before GGUF", NEWER),
    (0, b"tjgg", "an old GGJT file, of 2023, from before GGUF", NEWER),
    (0, b"algg", "an old LoRA adapter in GGLA, of 2023, not a model", "use the model that it was made for"),
    (0, b"\x1f\x8b", "a gzip archive", UNPACK),
    (0, b"PK\x03\x04", "a ZIP archive, in which PyTorch keeps weights", CONVERT),
    (0, b"(\xb5/\xfd", "a Zstandard archive", UNPACK),
    (0, b"\xfd7zXZ\0", "an xz archive", UNPACK),
    (0, b"BZh", "a bzip2 archive", UNPACK),
    (0, b"7z\xbc\xaf'\x1c", "a 7z archive", UNPACK),
    (0, b"\x89HDF\r\n", "an HDF5 file, in which Keras keeps weights", CONVERT),
    (0, b"\x89PNG", "an image (PNG)", "name the model here; an image is asked about with `ask`"),
    (0, b"\xff\xd8\xff", "an image (JPEG)", "name the model here; an image is asked about with `ask`"),
    (0, b"\x7fELF", "a program (ELF)", "name the model's .gguf file"),
    *((0, start, "a Python pickle, which can run code when PyTorch loads it", CONVERT) for start in PICKLES),
    (257, b"ustar", "a tar archive", UNPACK),
    (8, b'{"', "a safetensors file", CONVERT),
)


def name_format(start: bytes) -> tuple[str, str]:
    """Return what a file is whose first bytes are not GGUF's, and the fix."""
    if not start:
        return "an empty file", AGAIN
    if pointer := LFS_POINTER.match(start):
        return f"a Git LFS pointer to a file of {int(pointer[1])} bytes", "git lfs pull, or " + ITSELF
    known = next(((what, fix) for place, first, what, fix in FORMATS if start.startswith(first, place)), None)
    return known or _name_text(start)


def _name_text(start: bytes) -> tuple[str, str]:
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<"):
        return f"a web page: {shown(text)}", _fix_of_text(text)
    if text.startswith((b"{", b"[")):
        return f"JSON: {shown(text)}", _fix_of_text(text)
    if words := _plain_text(text):
        return f"a text: {shown(words)}", _fix_of_text(text)
    return shown(start[:16]), AGAIN


def fix_of_cut(name: str) -> str:
    """Return the fix for a file that ends too early, by its name."""
    return JOIN if PIECE.search(name) else AGAIN


def shown(text: str | bytes) -> str:
    """Return a text of the file in quotes, safe to print: escaped, and not too long."""
    return repr(text[:SHOWN_CHARACTERS]) + "..." * (len(text) > SHOWN_CHARACTERS)


def _fix_of_text(text: bytes) -> str:
    # a hub answers with a text where a model is closed to who asks, and where the address is wrong
    return LOGIN if any(word.encode() in text.lower() for word in REFUSALS) else ITSELF


def _plain_text(text: bytes) -> str:
    try:
        words = text.decode("ascii")
    except UnicodeDecodeError:
        return ""
    shortest = 8  # of a message; fewer letters may be any format's first bytes
    return words if len(words) >= shortest and set(words) <= set(string.printable) else ""
