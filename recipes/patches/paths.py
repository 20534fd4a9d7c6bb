"""Which paths a patch may name: files below the tree, and nothing of git's own."""

from __future__ import annotations

import unicodedata


def path_trouble(path: bytes) -> str:
    """Return what is wrong with a path; "" where nothing is."""
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return "not UTF-8"
    if strange := next((character for character in text if unicodedata.category(character) == "Cc"), None):
        return f"the character {strange!r}"
    parts = text.split("/")
    rules = (
        ("an absolute path", text.startswith("/")),
        ("a path with `..`", ".." in parts),
        ("a path with `.` or an empty part", "." in parts or "" in parts),
        ("a path with a backslash", "\\" in text),
        ("git's own folder", any(part.casefold() == ".git" for part in parts)),
    )
    return next((trouble for trouble, holds in rules if holds), "")
