"""Asks llama-server's built-in web page a question about an image, in a real browser, as a person does.

The server must answer greedily: start it with `--temp 0`. The page takes that from the server (/props), but sends a
temperature of its own until it has, so that it is set in the page's storage too.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from playwright.sync_api import Error as BrowserError
from playwright.sync_api import TimeoutError as BrowserTimeout
from playwright.sync_api import ViewportSize, sync_playwright

from recipes.conformance.checks.browser import INSTALL
from recipes.conformance.results.outcome import CheckVerdict, Outcome, Part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page, Request, Route

NAME = "question about an image"
# A browser that asks nobody anything: no updates, no reports, no proxy.
QUIET = (
    *("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-domain-reliability", "--no-proxy-server", "--no-pings"),
)
VIEW: ViewportSize = {"width": 1100, "height": 1000}  # the image and the answer fit in
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
NOT_FOUND = 404
READY_S = 20.0  # how long the page may take to show what needs no model
SHOWN_S = 5.0  # how long it may take to show what has come
# How the page names its parts, from September 2025 on; an older one belongs to a server that knows no qwen3vlmoe.
FIELD = "textarea:visible, [contenteditable=true]:visible"
FILES = "input[type=file]"
ATTACHED = "img[src^='data:'], img[src^='blob:']"
ANSWER = "[aria-label='Assistant message with actions']"
DIALOG = "[role=alertdialog], [role=dialog]"
GREEDY = {
    "LlamaCppWebui.config": json.dumps({"temperature": 0}),
    "LlamaCppWebui.userOverrides": json.dumps(["temperature"]),
}
# The answer without the page's own buttons, statistics and name of the model.
READ_ANSWER = """element => {
    const copy = element.cloneNode(true);
    copy.querySelectorAll('.info, button, style, script').forEach(part => part.remove());
    return copy.textContent.split(/\\s+/).filter(Boolean).join(' ');
}"""
THE_PAGE = "the built-in web page"
THE_REQUEST = "the server, or what its web page sends"


class PageError(Exception):
    """The page does not do what a person needs: what, and who is suspect."""

    def __init__(self, words: str, suspect: str) -> None:
        super().__init__(words)
        self.suspect = suspect


def look_at_page(  # noqa: PLR0913, PLR0917 - a person needs as much
    base_url: str,
    image_png: bytes,
    question: str,
    expected: str,
    screenshot_path: Path,
    browser: Path | None,
    *,
    answer_s: float = 60.0,
    ready_s: float = READY_S,
) -> Outcome:
    """Attach a PNG image, ask, and compare the answer that the page shows; the page as it looks at the end is kept.

    The answer may take `answer_s`, each other step `ready_s` seconds.
    """
    if browser is None:
        return _outcome(CheckVerdict.NOT_RUN, f"No browser was found: {INSTALL}.")
    try:
        with _open(browser, ready_s) as page:
            outcome = _use(page, base_url, image_png, question, expected, answer_s)
            with suppress(BrowserError):  # a page that died has no screenshot
                page.screenshot(path=screenshot_path)
            return outcome
    except BrowserError as error:
        return _outcome(CheckVerdict.NOT_RUN, f"{browser} does not start ({_first_line(error)}): {INSTALL}.")


def read_stream(body: str) -> str:
    r"""Return the text of a chat completion, whole or as server-sent events.

    >>> read_stream('data: {"choices":[{"delta":{"content":"re"}}]}\n\ndata: [DONE]\n')
    're'
    """
    lines = (line.removeprefix("data:").strip() for line in body.splitlines())
    choices = [
        choice for line in lines if line.startswith("{") for choice in json.loads(line).get("choices", ())
    ]
    return "".join((item.get("delta") or item.get("message") or {}).get("content") or "" for item in choices)


@contextmanager
def _open(browser: Path, ready_s: float) -> Iterator[Page]:
    """Start the browser with a home of its own, and yield a page that reaches nothing but loopback."""
    with TemporaryDirectory(prefix="pinned-llama-browser-") as home, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser,
            args=QUIET,
            env={"HOME": home, "TMPDIR": home, "LC_ALL": "C.UTF-8", "PATH": os.defpath},
        )
        try:
            # Service workers are blocked, since their requests would pass the route by.
            context = chromium.new_context(viewport=VIEW, locale="en-GB", service_workers="block")
            context.route("**/*", _only_loopback)
            context.add_init_script(
                "".join(f"localStorage.setItem({key!r}, {value!r});" for key, value in GREEDY.items())
            )
            page = context.new_page()
            page.set_default_timeout(ready_s * 1000)
            yield page
        finally:
            chromium.close()


def _only_loopback(route: Route) -> None:
    if urlsplit(route.request.url).hostname in LOOPBACK:
        route.continue_()
    else:
        route.abort()


def _use(  # noqa: PLR0913, PLR0917 - as look_at_page
    page: Page, base_url: str, image_png: bytes, question: str, expected: str, answer_s: float
) -> Outcome:
    try:
        found = page.goto(base_url)
        if found and found.status == NOT_FOUND:  # a choice of who built it, not a fault of what is there
            return _outcome(
                CheckVerdict.NOT_RUN, "The server has no built-in web page: it answers with status 404."
            )
        _attach(page, image_png)
        request, served = _ask(page, question, answer_s)
        given = _read(page, served)
    except PageError as error:
        return _outcome(CheckVerdict.FAILED, f"{error}{_complaints(page)}", error.suspect)
    except BrowserError as error:
        words = f"The page cannot be used: {_first_line(error)}.{_complaints(page)}"
        return _outcome(CheckVerdict.FAILED, words, THE_PAGE)
    sent: dict[str, Any] = request.post_data_json or {}
    figures = {"temperature sent": str(sent.get("temperature", "none")), "given": given, "expected": expected}
    if "data:image/" not in (request.post_data or ""):
        words = "The page sent the question without the image."
        return _outcome(CheckVerdict.FAILED, words, THE_PAGE, figures)
    if given != " ".join(expected.split()):
        words = f"Asked {question!r} with an image, the page shows {given!r} instead of {expected!r}."
        suspect = "what the web page sends; or, if image prompts fail elsewhere too, what is suspect there"
        return _outcome(CheckVerdict.FAILED, words, suspect, figures)
    return _outcome(
        CheckVerdict.PASSED, f"Asked {question!r} with an image, the page shows {given!r}.", figures=figures
    )


def _attach(page: Page, image_png: bytes) -> None:
    with _demanding("The page has no field for a question.", THE_PAGE):
        page.locator(FIELD).first.wait_for()
    # It takes images only once the server has told it that the model does; then it falls silent.
    with _demanding("The page never stops loading.", THE_PAGE):
        page.wait_for_load_state("networkidle")
    if not page.locator(FILES).count():
        raise PageError("The page takes text alone: it has no field for an image.", THE_PAGE)
    with _demanding("The page does not take the image.", f"{THE_PAGE}, or what /props says of the model"):
        image = {"name": "image.png", "mimeType": "image/png", "buffer": image_png}
        page.locator(FILES).first.set_input_files([image])
        page.locator(ATTACHED).first.wait_for()


def _ask(page: Page, question: str, answer_s: float) -> tuple[Request, str]:
    """Send the question, wait for the end of the answer, and return it as the server sent it."""
    field = page.locator(FIELD).first
    field.fill(question)
    with (
        _demanding(f"No answer ended within {answer_s:g} s.", THE_REQUEST),
        page.expect_event("requestfinished", _is_question, timeout=answer_s * 1000) as event,
    ):
        field.press("Enter")
    request: Request = event.value
    response = request.response()
    if response is None or not response.ok:
        status = response.status if response else "no"
        raise PageError(f"The server refuses what the page sends with status {status}.", THE_REQUEST)
    return request, " ".join(read_stream(response.text()).split())


def _read(page: Page, served: str) -> str:
    """Wait until the page shows what the server sent, and return that."""
    with _demanding("The page shows no answer.", THE_PAGE):
        answer = page.locator(ANSWER).last
        answer.wait_for()
    shows_all = f"([element, served]) => ({READ_ANSWER})(element) === served"
    arguments = [answer.element_handle(), served]
    try:
        page.wait_for_function(shows_all, arg=arguments, timeout=SHOWN_S * 1000)
    except BrowserTimeout as error:
        shown = str(answer.evaluate(READ_ANSWER))
        if not served.isascii():  # the browser's tools take events for Latin-1: believe the page
            return shown
        raise PageError(f"The server answers {served!r}, but the page shows {shown!r}.", THE_PAGE) from error
    return served


def _is_question(request: Request) -> bool:
    return bool(request.method == "POST" and request.url.endswith("/chat/completions"))


@contextmanager
def _demanding(words: str, suspect: str) -> Iterator[None]:
    """Raise PageError with these words where a step does not end in time."""
    try:
        yield
    except BrowserTimeout as error:
        raise PageError(words, suspect) from error


def _complaints(page: Page) -> str:
    """Return the errors that the page itself shows."""
    with suppress(BrowserError):  # a page that died says nothing
        said = [*page.locator(DIALOG).all_inner_texts(), *(error.message for error in page.page_errors())]
        if said:
            return f" It says: {' / '.join(' '.join(text.split()) for text in said)}"
    return ""


def _first_line(error: BrowserError) -> str:
    return str(error.message).strip().splitlines()[0]


def _outcome(
    verdict: CheckVerdict, words: str, suspect: str = "", figures: dict[str, str] | None = None
) -> Outcome:
    return Outcome(Part.PAGE, NAME, verdict, words, suspect, figures or {})
