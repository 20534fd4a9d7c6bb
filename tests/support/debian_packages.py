"""Debian packages, made by hand: an ar archive with a data.tar."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def data_tar(files: Mapping[str, tuple[bytes, int]], compression: str = "xz") -> bytes:
    """Return the data.tar of a package: the content and mode of each file by its name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz" if compression else "w:") as tar:
        for name, (content, mode) in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def package(files: Mapping[str, tuple[bytes, int]], compression: str = "xz") -> bytes:
    """Return a package with these files."""
    data = data_tar(files, compression)
    return ar({"debian-binary": b"2.0\n", "control.tar.xz": b"odd", f"data.tar.{compression}": data})


def ar(members: Mapping[str, bytes]) -> bytes:
    """Return an ar archive."""
    out = b"!<arch>\n"
    for name, content in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        out += content + b"\n" * (len(content) % 2)
    return out
