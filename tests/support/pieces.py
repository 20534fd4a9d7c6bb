"""What an earlier run left of a download: its pieces, and the note of them."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from recipes.fetch.download.piece_file import PieceFile
from recipes.fetch.download.piece_map import PieceLayout, Version

if TYPE_CHECKING:
    from pathlib import Path


def leave_pieces(path: Path, data: bytes, size_bytes: int, piece_bytes: int) -> None:
    """Leave the whole pieces of what had arrived of a file of that size, from elsewhere."""
    with PieceFile(path, PieceLayout(size_bytes, piece_bytes)) as file:
        version = file.version(Version("elsewhere"))
        file.write(0, data)
        for index in range(file.layout.count):
            if file.layout.end(index) <= len(data):
                piece = data[file.layout.start(index) : file.layout.end(index)]
                file.note(index, zlib.crc32(piece), version)
