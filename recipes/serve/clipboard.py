"""The image on the system's clipboard, as the bytes of a file; Pillow knows the systems' ways."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from recipes.serve.door.image_decode import MOST_BYTES

COPY = "copy an image first, or name its file with --image"


class ClipboardError(Exception):
    """No image on the clipboard, or no clipboard; `fix` says what helps."""

    def __init__(self, found: str, fix: str = COPY) -> None:
        super().__init__(found)
        self.fix = fix


def read_clipboard() -> bytes:
    """Return the bytes of the image, or of the first file, on the clipboard; a ClipboardError if there is neither."""
    from PIL import ImageGrab

    try:
        copied = ImageGrab.grabclipboard()
        if isinstance(copied, list) and copied:
            with Path(copied[0]).open("rb") as file:
                return file.read(MOST_BYTES + 1)
    except NotImplementedError as error:
        fix = "install wl-clipboard (Wayland) or xclip (X11), or name a file with --image"
        raise ClipboardError("no program that reads it", fix) from error
    except OSError as error:  # without a display too
        raise ClipboardError((str(error).splitlines() or [type(error).__name__])[0][:200]) from error
    if not copied or isinstance(copied, list):
        raise ClipboardError("no image is copied")
    out = BytesIO()
    copied.save(out, "PNG", compress_level=1)
    return out.getvalue()
