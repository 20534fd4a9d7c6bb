"""A real browser with a page of another origin, and with a name that leads to the server: neither reads nor changes."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from recipes.conformance.checks.browser import find_browser
from recipes.conformance.hostile.attack import Attack, Fault, Kind, Seen, Target
from recipes.conformance.hostile.canary import canary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

FOREIGN, REBOUND = "foreign.example", "rebound.example"  # both lead to loopback in this browser alone
PAGE = b"<!doctype html><title>a page of another origin</title>"
LOADS_MS = 60_000
FIRST_ERROR = 400
# Each way in which a page can send without asking first, and those for which the browser asks: what it read, and where.
TRIES = """async (base) => {
    const chat = JSON.stringify({messages: [{role: 'user', content: 'What is 1 plus 2?'}], max_tokens: 2});
    const asked = [
        ['GET', '/props'], ['GET', '/v1/models'], ['GET', '/slots'], ['GET', '/health'], ['GET', '/'],
        ['POST', '/v1/chat/completions', 'text/plain'], ['POST', '/completion', 'text/plain'],
        ['POST', '/v1/chat/completions', 'application/x-www-form-urlencoded'],
        ['POST', '/v1/chat/completions', 'application/json'], ['POST', '/tokenize', 'text/plain'],
        ['POST', '/slots/0?action=erase', 'text/plain'], ['POST', '/props', 'text/plain'],
    ];
    const read = [];
    for (const mode of ['cors', 'no-cors', 'same-origin'])
        for (const [method, path, kind] of asked) {
            const sent = kind ? {method, mode, body: chat, headers: {'Content-Type': kind}} : {method, mode};
            try {
                const answer = await fetch(base + path, sent);
                const text = await answer.text();
                if (answer.ok && text) read.push([`${method} ${path} (${mode})`, text.slice(0, 60)]);
            } catch (error) { /* the browser refuses: as it should */ }
        }
    return read;
}"""


def attacks() -> Iterator[Attack]:
    """Return the attacks by a browser; none where no browser is installed."""
    browser = find_browser()
    if browser is not None:
        yield Attack(Kind.ASKERS, "a page of another origin in a browser", partial(foreign, browser))
        yield Attack(Kind.ASKERS, "a name that leads to the server in a browser", partial(rebound, browser))


def foreign(browser: Path, target: Target) -> Seen:
    """Open a page of another origin that sends all it can: it reads nothing, and no POST is executed."""
    done: list[str] = []
    with canary(PAGE, "text/html") as other, _opened(browser) as page:
        page.on(
            "response", lambda answer: done.append(f"{answer.request.method} {answer.status} {answer.url}")
        )
        page.goto(other.url(FOREIGN, "/"))
        read: list[list[str]] = page.evaluate(TRIES, target.base)
    return _seen(read, [line for line in done if line.startswith("POST") and target.base in line])


def rebound(browser: Path, target: Target) -> Seen:
    """Open the server by a foreign name, as DNS rebinding does: the page is of that origin, and must read nothing."""
    done: list[str] = []
    base = f"http://{REBOUND}:{target.address[1]}"
    with _opened(browser) as page:
        page.on(
            "response", lambda answer: done.append(f"{answer.request.method} {answer.status} {answer.url}")
        )
        opened = page.goto(f"{base}/props")
        read: list[list[str]] = page.evaluate(TRIES, base)
        if opened is not None and opened.ok:
            read.insert(0, ["GET /props as a page", page.content()[:60]])
    return _seen(read, [line for line in done if line.startswith("POST")])


def _seen(read: list[list[str]], posts: list[str]) -> Seen:
    executed = [line for line in posts if int(line.split()[1]) < FIRST_ERROR]
    if read:
        return Seen(f"it read {len(read)} answers, as {read[0][0]}: {read[0][1]!r}", Fault.OPEN)
    if executed:
        return Seen(f"{len(executed)} of its requests were executed, as {executed[0]}", Fault.OPEN)
    return Seen(f"it read nothing; {len(posts)} requests were refused by the server, others by the browser")


@contextmanager
def _opened(browser: Path) -> Iterator[Page]:
    # drives a browser through a package that a machine without one need not have
    from playwright.sync_api import sync_playwright

    from recipes.conformance.checks.web_page import QUIET

    leads = ", ".join(f"MAP {name} 127.0.0.1" for name in (FOREIGN, REBOUND))
    rules = f"--host-resolver-rules={leads}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    with TemporaryDirectory(prefix="pinned-llama-browser-") as home, sync_playwright() as playwright:
        environment: dict[str, Any] = {"HOME": home, "TMPDIR": home, "LC_ALL": "C.UTF-8", "PATH": os.defpath}
        chromium = playwright.chromium.launch(executable_path=browser, args=(*QUIET, rules), env=environment)
        try:
            page = chromium.new_page()
            page.set_default_timeout(LOADS_MS)
            yield page
        finally:
            chromium.close()
