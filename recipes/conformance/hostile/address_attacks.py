"""Addresses of images that the server must not fetch, and pages of other origins that it must not serve."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from recipes.conformance.hostile.attack import (
    CHAT,
    COMPLETION,
    SAY,
    Attack,
    Fault,
    Kind,
    Seen,
    Target,
    chat,
    completion,
    encode,
    judge_reply,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from recipes.conformance.hostile.canary import Canary

MARK = "root:"  # how the file begins that is asked for
ADDRESSES: dict[str, Callable[[Canary], str]] = {
    "loopback": lambda canary: canary.url(),
    "localhost": lambda canary: canary.url("localhost"),
    "a redirect": lambda canary: canary.url(path="/redirect"),
    "loopback as a number": lambda canary: canary.url(str(0x7F000001)),
    "loopback in hexadecimal": lambda canary: canary.url("0x7f.1"),
    "loopback of IPv6": lambda canary: canary.url("[::ffff:127.0.0.1]"),
    "all addresses": lambda canary: canary.url("0.0.0.0"),  # noqa: S104 - asked, not listened on
    "a user's name before it": lambda canary: canary.url("example.org@127.0.0.1"),
    "large letters": lambda canary: canary.url().replace("http", "HTTP"),
    "white space before it": lambda canary: " \t\n" + canary.url(),
    "a line end in it": lambda canary: canary.url(path="/a\r\nX-Injected: 1\r\n\r\nGET /b"),
    "https": lambda canary: canary.url().replace("http", "https"),
    "a file": lambda _: "file:///etc/passwd",
    "a file by localhost": lambda _: "file://localhost/etc/passwd",
    "a file by dots": lambda _: "file://../../../../../../etc/passwd",
    "a file's plain path": lambda _: "/etc/passwd",
    "a device": lambda _: "file:///dev/zero",
    "ftp": lambda canary: canary.url().replace("http", "ftp"),
    "gopher": lambda canary: canary.url().replace("http", "gopher"),
    "a command": lambda canary: f"|curl {canary.url()}",
    "a playlist": lambda canary: f"concat:{canary.url()}",
}
QUICK = {"loopback", "a redirect", "a file", "a device"}
FOREIGN = "https://foreign.example"
TEXT, FORM = "text/plain", "application/x-www-form-urlencoded"


def attacks() -> Iterator[Attack]:
    """Return the attacks by addresses, and by who asks."""
    for name, address in ADDRESSES.items():
        yield Attack(
            Kind.ADDRESSES, f"image at {name}", partial(fetch, address, image_part, CHAT), name in QUICK
        )
    for name in sorted(QUICK):
        yield Attack(
            Kind.ADDRESSES,
            f"image at {name}, address as a text",
            partial(fetch, ADDRESSES[name], text_part, CHAT),
        )
        yield Attack(Kind.ADDRESSES, f"sound at {name}", partial(fetch, ADDRESSES[name], sound_part, CHAT))
        yield Attack(Kind.ADDRESSES, f"video at {name}", partial(fetch, ADDRESSES[name], video_part, CHAT))
        yield Attack(
            Kind.ADDRESSES,
            f"image at {name}, in a completion",
            partial(fetch, ADDRESSES[name], multimodal, COMPLETION),
        )
        yield Attack(
            Kind.ADDRESSES,
            f"image at {name}, messages",
            partial(fetch, ADDRESSES[name], source, "/v1/messages"),
        )
    for name, headers in FOREIGN_HEADERS.items():
        yield Attack(
            Kind.ASKERS, f"{name} asks", partial(ask_as, headers, "POST", CHAT), name in QUICK_FOREIGN
        )
        yield Attack(
            Kind.ASKERS, f"{name} reads", partial(ask_as, headers, "GET", "/props"), name in QUICK_FOREIGN
        )
    for path in ("/slots", "/v1/models", "/tokenize", "/apply-template", "/slots/0?action=erase"):
        method = "GET" if path in {"/slots", "/v1/models"} else "POST"
        yield Attack(
            Kind.ASKERS,
            f"another origin at {path}",
            partial(ask_as, FOREIGN_HEADERS["another origin"], method, path),
        )
    yield Attack(Kind.ASKERS, "another origin asks beforehand", preflight, is_quick=True)


def image_part(url: str) -> dict[str, Any]:
    """Return a chat with an image by its address."""
    return content({"type": "image_url", "image_url": {"url": url}})


def text_part(url: str) -> dict[str, Any]:
    """Return a chat with an image by its address as a plain text, as some clients send it."""
    return content({"type": "image_url", "image_url": url})


def sound_part(url: str) -> dict[str, Any]:
    """Return a chat with sound by its address."""
    return content({"type": "input_audio", "input_audio": {"url": url, "data": url, "format": "wav"}})


def video_part(url: str) -> dict[str, Any]:
    """Return a chat with a video by its address."""
    return content({"type": "input_video", "input_video": {"url": url}})


def multimodal(url: str) -> dict[str, Any]:
    """Return a completion with an image by its address."""
    return completion(prompt={"prompt_string": "<__media__>", "multimodal_data": [url]})


def source(url: str) -> dict[str, Any]:
    """Return a chat in the words of another company's interface."""
    return content({"type": "image", "source": {"type": "url", "url": url}})


def content(part: dict[str, Any]) -> dict[str, Any]:
    """Return a chat with one part and a question."""
    return chat() | {"messages": [{"role": "user", "content": [part, {"type": "text", "text": SAY}]}]}


def fetch(
    address: Callable[[Canary], str], make: Callable[[str], dict[str, Any]], path: str, target: Target
) -> Seen:
    """Ask about something at an address: nobody may be asked for it, no file read."""
    before = len(target.canary.asked)
    reply = target.send(path, encode(make(address(target.canary))))
    if asked := target.canary.asked[before:]:
        return Seen(f"it asked for {', '.join(asked)}: {reply.words}", Fault.ASKED)
    if MARK in reply.text:
        return Seen(f"it showed a file: {reply.words}", Fault.ASKED)
    return judge_reply(reply, must_refuse=True)


FOREIGN_HEADERS: dict[str, Mapping[str, str]] = {
    "another origin": {"Content-Type": TEXT, "Origin": FOREIGN},
    "another origin with JSON": {"Content-Type": "application/json", "Origin": FOREIGN},
    "another port of localhost": {"Content-Type": TEXT, "Origin": "http://localhost:1"},
    "a page of no origin": {"Content-Type": TEXT, "Origin": "null"},
    "another site, as fetch says": {"Content-Type": TEXT, "Origin": FOREIGN, "Sec-Fetch-Site": "cross-site"},
    "a form": {"Content-Type": FORM},
    "plain text": {"Content-Type": TEXT},
    "no content type": {"Content-Type": ""},
    "another host": {"Content-Type": "application/json", "Host": "rebound.example"},
    "another host of this port": {"Content-Type": "application/json", "Host": "rebound.example:{port}"},
    "a host that begins like ours": {
        "Content-Type": "application/json",
        "Host": "127.0.0.1.example.org:{port}",
    },
    "a host with a user's name": {"Content-Type": "application/json", "Host": "localhost@rebound.example"},
}
QUICK_FOREIGN = {"another origin", "another host of this port", "plain text"}
WITHOUT_BODY = {"a form", "plain text", "no content type"}  # what they say is of the body: a GET has none


def ask_as(headers: Mapping[str, str], method: str, path: str, target: Target) -> Seen:
    """Ask with the headers of a foreign page: refused, and no page of another origin can read the answer."""
    named = {name: value.format(port=target.address[1]) for name, value in headers.items()}
    body = encode(chat()) if method == "POST" else None
    reply = target.send(path, body, named, method=method)
    allowed = reply.headers.get("Access-Control-Allow-Origin")
    is_answered = 200 <= reply.status < 400  # noqa: PLR2004 - of HTTP
    if method == "GET" and "Origin" not in headers and "Host" not in headers:
        return Seen(reply.words)
    if is_answered:
        return Seen(f"{reply.words}; allowed origin: {allowed}", Fault.OPEN)
    return judge_reply(reply)


def preflight(target: Target) -> Seen:
    """Ask as a browser does before a page of another origin may send JSON."""
    headers = {
        "Origin": FOREIGN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    reply = target.send(CHAT, None, headers, method="OPTIONS")
    allowed = reply.headers.get("Access-Control-Allow-Origin")
    fault = Fault.OPEN if allowed in {"*", FOREIGN} else None
    return Seen(f"status {reply.status}, allowed origin: {allowed}", fault)
