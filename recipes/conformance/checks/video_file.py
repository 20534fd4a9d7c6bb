"""Sends the frames of a clip as a video file without loss, to a llama.cpp that decodes videos itself.

The file has the rate at which upstream reads one, so that it reads every frame.
"""

from __future__ import annotations

import base64
import io
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

from recipes.conformance.results.inputs import messages
from recipes.evalset.clips import Clip
from recipes.evalset.render import draw

if TYPE_CHECKING:
    from PIL import Image

    from recipes.evalset.prompts import Prompt

READ_AT = 4  # frames a second: the default of upstream's --video-fps


def file_messages(prompt: Prompt) -> list[dict[str, Any]]:
    """Return a prompt as the OpenAI API takes it, each clip as a file."""
    sent = messages(prompt)
    for message, turn in zip(sent[::2], prompt.turns, strict=True):
        for part, shown in zip(message["content"], turn.parts, strict=True):
            if isinstance(shown, Clip):
                part["input_video"] = {"data": base64.b64encode(lossless(shown)).decode("ascii")}
    return sent


def _frame(image: Image.Image) -> av.VideoFrame:
    frame: av.VideoFrame = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]
    return frame


def lossless(clip: Clip) -> bytes:
    """Return a clip as a Matroska file whose frames are exact."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=READ_AT)
        stream.width, stream.height = clip.frames[0].width, clip.frames[0].height
        stream.pix_fmt, stream.time_base = "bgr0", Fraction(1, READ_AT)
        for scene in clip.frames:
            for packet in stream.encode(_frame(draw(scene))):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return file.getvalue()
