"""Asks a server of OpenAI's API what a person with a picture may send it: `python -m tests.clients.peers ADDRESS`.

Any server that has loaded the pocket model; docs/explanation/peers.md has what came out.
"""

from __future__ import annotations

import base64
import sys
import time
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pillow_heif
import requests
from PIL import Image, ImageDraw

from recipes.manifest.load import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable

PICTURE = PROJECT / "docs" / "assets" / "shapes.png"
COLOUR, SHAPE = "What colour is the ring?", "What shape is this?"
WHERE = "Where is the ring relative to the triangle?"
CHAT = "/v1/chat/completions"
PAGE = "http://page.example"
BLACK = (20, 20, 20)
LARGE = (4000, 3000)  # 12 megapixels
TRIES = 3
TIMEOUT_S = 300.0
TOOL = {
    "type": "function",
    "function": {
        "name": "paint",
        "parameters": {
            "type": "object",
            "properties": {"colour": {"enum": ["green", "red"]}},
            "required": ["colour"],
        },
    },
}


def encoded(image: Image.Image, kind: str, **more: Any) -> bytes:  # noqa: ANN401 - pillow's options
    """Return the bytes of an image's file."""
    out = BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def turned(image: Image.Image) -> bytes:
    """Return a photo as a telephone stores it that was held upright: on its side, with a note in EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif)


def transparent() -> bytes:
    """Return a black triangle on nothing; what is transparent is stored as black, as most programs do."""
    image = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
    ImageDraw.Draw(image).polygon([(80, 30), (30, 125), (130, 125)], fill=(*BLACK, 255))
    return encoded(image, "PNG")


def ask(base: str, file: bytes, kind: str, question: str, **more: Any) -> requests.Response:  # noqa: ANN401 - JSON
    """Ask about an image."""
    url = f"data:image/{kind};base64,{base64.b64encode(file).decode()}"
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]
    body = {"messages": [{"role": "user", "content": parts}], "temperature": 0, "max_tokens": 200, **more}
    return requests.post(base + CHAT, json=body, timeout=TIMEOUT_S)


def said(answer: requests.Response) -> str:
    """Return the answers, or the error, of a server."""
    if not answer.ok:
        return f"{answer.status_code}: {answer.json()['error']['message']}"
    choices = answer.json()["choices"]
    texts = [
        choice["message"]["content"] or str(choice["message"]["tool_calls"][0]["function"])
        for choice in choices
    ]
    return f"{', '.join(texts)}; {answer.json()['usage']['prompt_tokens']} tokens read"


def large(base: str, file: bytes) -> str:
    """Ask about a large photo a few times, each time as a new one, and return the shortest time to a first token."""
    took, answer = [], None
    for number in range(TRIES):
        began = time.monotonic()
        answer = ask(base, file + bytes(number), "jpeg", COLOUR, cache_prompt=False, max_tokens=1)
        took.append(time.monotonic() - began)
    assert answer is not None
    return f"{said(answer)}; {min(took):.1f} s"


def from_a_page(base: str) -> str:
    """Ask as a web page of somebody else can: without a preflight, for something to read, by a name of its own."""
    body = b'{"messages":[{"role":"user","content":"Repeat: badeg"}],"max_tokens":8}'
    plain = {"Origin": PAGE, "Content-Type": "text/plain"}
    sent = requests.post(base + CHAT, data=body, headers=plain, timeout=TIMEOUT_S)
    read = requests.get(f"{base}/v1/models", headers={"Origin": PAGE}, timeout=TIMEOUT_S)
    named = requests.get(f"{base}/v1/models", headers={"Host": "page.example"}, timeout=TIMEOUT_S)
    shown = read.headers.get("Access-Control-Allow-Origin", "nobody")
    return (
        f"a question {sent.status_code}; a look {read.status_code}, readable by {shown};"
        f" by the page's own name {named.status_code}"
    )


def main() -> None:
    """Print a line for each try."""
    base = sys.argv[1]
    pillow_heif.register_heif_opener()
    with Image.open(PICTURE) as opened:
        picture = opened.convert("RGB")
    png, photo = encoded(picture, "PNG"), encoded(picture.resize(LARGE), "JPEG", quality=90)
    tries: dict[str, Callable[[], str]] = {
        "PNG": lambda: said(ask(base, png, "png", COLOUR)),
        "HEIC": lambda: said(ask(base, encoded(picture, "HEIF", quality=95), "heic", COLOUR)),
        "where": lambda: said(ask(base, png, "png", WHERE)),
        "turned": lambda: said(ask(base, turned(picture), "jpeg", WHERE)),
        "transparent": lambda: said(ask(base, transparent(), "png", SHAPE)),
        "tool": lambda: said(ask(base, png, "png", COLOUR, tools=[TOOL], tool_choice="required")),
        "n=2": lambda: said(ask(base, png, "png", COLOUR, n=2)),
        "page": lambda: from_a_page(base),
        "12 megapixels": lambda: large(base, photo),
    }
    for name, one in tries.items():
        print(f"{name:14} {one()}", flush=True)


if __name__ == "__main__":
    main()
