"""Opens a video: what it is is told by its first bytes. A video that is cut or damaged is refused, as an image is."""

from __future__ import annotations

import importlib
import pkgutil
from typing import IO, TYPE_CHECKING

from recipes.serve.door.clip_plan import ClipError, Cure
from recipes.serve.door.image_decode import ISO_BRANDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from recipes.serve.door.video_facts import Video

READ = "MP4, MOV, WebM, Matroska, GIF or WebP"
HEAD = 64  # bytes that tell what a file is
EMPTY, SOUND, JPEG, PNG = "an empty file", "sound", "an image (JPEG)", "an image (PNG)"
OTHERS = {
    b"#EXTM3U": "a playlist",
    b"ffconcat": "a list of files",
    b"<?xml": "a playlist, or other XML",
    b"OggS": "an Ogg",
    b"FLV": "a Flash video",
    b"\x30\x26\xb2\x75": "a Windows Media file",
    b"\0\0\1\xba": "an MPEG program stream",
    b"\x47": "an MPEG transport stream, or text",
    b"\xff\xd8\xff": JPEG,
    b"\x89PNG": PNG,
    b"ID3": SOUND,
    b"fLaC": SOUND,
}
CURES = {EMPTY: Cure.ANOTHER, SOUND: Cure.ANOTHER, JPEG: Cure.IMAGE, PNG: Cure.IMAGE}


def open_video(source: IO[bytes], tick: Callable[[], None]) -> Video:
    """Open a video, which is looked at whole; a ClipError is raised if it is none that can be read.

    `tick` is called between two steps of the work; what it raises ends it.
    """
    kind = kind_of(source.read(HEAD))
    source.seek(0)
    from recipes.serve.door import animation, film  # here: who treats no videos starts sooner

    reader = animation.Animation if kind in animation.FORMATS else film.Film
    return reader(source, kind, tick)


def load_readers() -> None:
    """Load all that reads videos; PyAV loads parts of itself late, when no file may be opened any more."""
    import av

    for name in ("recipes.serve.door.animation", "recipes.serve.door.film"):
        importlib.import_module(name)
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def kind_of(head: bytes) -> str:
    r"""Return what a file is by its first bytes; a ClipError is raised if no such videos are read. Pure.

    >>> kind_of(b"\0\0\0\x14ftypqt  "), kind_of(b"GIF89a")
    ('MOV', 'GIF')
    """
    box, brand = head[4:8], head[8:12]
    if box == b"ftyp":
        if brand in ISO_BRANDS:
            raise ClipError("an image (HEIC or AVIF)", Cure.IMAGE)
        return "MOV" if brand == b"qt  " else "MP4"
    if box in {b"moov", b"mdat", b"wide"}:
        return "MOV"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "WebM" if b"webm" in head else "Matroska"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"RIFF"):
        if brand == b"WEBP":
            return "WebP"
        raise ClipError("an AVI") if brand == b"AVI " else ClipError(SOUND, Cure.ANOTHER)
    unknown = "a file of an unknown format" if head else EMPTY
    found = next((title for start, title in OTHERS.items() if head.startswith(start)), unknown)
    raise ClipError(found, CURES.get(found, Cure.CONVERT))
