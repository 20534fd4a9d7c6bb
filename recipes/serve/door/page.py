"""What the door adds to llama-server's built-in page: each image goes through the door before the page sees it.

So the page takes what the door reads, HEIC and TIFF too, shows what the model will see, and sends the pixels that
`ask` and other clients send for the same file. The page itself is llama.cpp's, whatever its version.
"""

from __future__ import annotations

import base64
import json
import re
from functools import cache
from pathlib import Path

from recipes.serve.door.message_images import decode_base64

PAGES = ("/", "/index.html")
SCRIPT = "/door/images.js"
IMAGE = "/door/image"  # posted: a file; answered: the PNG that the model gets
IMAGE_TYPE = "application/octet-stream"  # no page of another site can send it unasked (Fetch, 2.2.2)
TAG = b'<script src="./door/images.js"></script>'
WHERE = "image"
PLACE = re.compile(r"^('messages[^']*'|image 1): ")
# An answer that is not whole, or not the text itself, takes no script.
NOT_ASKED = {"accept-encoding", "if-none-match", "if-modified-since", "range"}


@cache
def script() -> bytes:
    """Return the script that the page loads."""
    return Path(__file__).with_name("page_images.js").read_bytes()


def with_script(page: bytes) -> bytes:
    """Return a page that loads the script before its own; one without a head is left as it is. Pure.

    >>> with_script(b"<html><head></head>")
    b'<html><head><script src="./door/images.js"></script></head>'
    """
    head, mark, rest = page.partition(b"<head>")
    return head + mark + TAG + rest if mark else page


def as_request(data: bytes) -> bytes:
    """Return the body of a request that has a file as its image, so that it is treated as any other client's. Pure."""
    url = f"data:{IMAGE_TYPE};base64,{base64.b64encode(data).decode('ascii')}"
    part = {"type": "image_url", "image_url": {"url": url}}
    return json.dumps({"messages": [{"role": "user", "content": [part]}]}).encode()


def said_of_it(text: str) -> str:
    """Return what is said of the only image without its place in a request that nobody wrote. Pure.

    >>> said_of_it("'messages[0].content[0].image_url': a PDF"), said_of_it("image 1: HEIC"), said_of_it("an error")
    ('a PDF', 'HEIC', 'an error')
    """
    return PLACE.sub("", text)


def image_of(body: bytes) -> bytes:
    """Return the image of such a request once it was treated. Pure."""
    url = json.loads(body)["messages"][0]["content"][0]["image_url"]["url"]
    return decode_base64(url.partition(",")[2], WHERE)
