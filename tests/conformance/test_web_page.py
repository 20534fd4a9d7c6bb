"""The check of the web page, on pages that go wrong: run in the environment of the conformance suite, with Chromium.

PYTHON -m pytest tests/conformance/test_web_page.py, where PYTHON has manifests/python/conformance.lock installed.
"""

from __future__ import annotations

import json
import threading
from base64 import b64decode
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recipes.conformance.checks.browser import find_browser
from recipes.conformance.checks.web_page import look_at_page, read_stream
from recipes.conformance.results.outcome import CheckVerdict, Outcome, Part

if TYPE_CHECKING:
    from collections.abc import Iterator

PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
# The least that does what llama-server's page does, with its names for the parts.
PAGE = """<!DOCTYPE html><meta charset="utf-8"><title>a page</title><main></main>
<input type="file" hidden><textarea></textarea>
<script>
const main = document.querySelector('main'), field = document.querySelector('textarea');
let image = '';
document.querySelector('input').onchange = event => {
    const reader = new FileReader();
    reader.onload = () => {
        image = reader.result;
        main.innerHTML = `<img src="${image}">`;
    };
    reader.readAsDataURL(event.target.files[0]);
};
field.onkeydown = async event => {
    if (event.key !== 'Enter') return;
    const temperature = JSON.parse(localStorage.getItem('LlamaCppWebui.config')).temperature;
    const content = [{type: 'text', text: field.value}, {type: 'image_url', image_url: {url: image}}];
    const body = JSON.stringify({messages: [{role: 'user', content}], temperature, stream: true});
    const response = await fetch('/v1/chat/completions', {method: 'POST', body});
    const lines = (await response.text()).split('\\n').filter(line => line.startsWith('data: {'));
    const answer = lines.map(line => JSON.parse(line.slice(6)).choices[0].delta.content).join('');
    main.innerHTML += `<div aria-label="Assistant message with actions"><p>${answer}</p>
        <div class="info">7 tokens/s</div><button>Copy</button></div>`;
};
</script>"""


@dataclass
class FakeServer:
    """A page and its server, with what was asked of it."""

    page: str = PAGE
    answer: str = "red"
    page_status: int = 200
    status: int = 200
    answers: bool = True
    asked: list[bytes] = field(default_factory=list)
    got: list[str] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(fake: FakeServer, address: str = "127.0.0.1") -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.got.append(self.path)
            self.reply(fake.page_status, "text/html", fake.page.encode())

        def do_POST(self) -> None:
            fake.asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            if not fake.answers:
                fake.ending.wait()
                return
            halves = fake.answer[:2], fake.answer[2:]
            chunks = [{"choices": [{"delta": {"content": half}}]} for half in halves]
            events = [json.dumps(chunk, ensure_ascii=False) for chunk in chunks]
            text = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])
            self.reply(fake.status, "text/event-stream", text.encode())

        def reply(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer((address, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://{address}:{server.server_address[1]}"
    finally:
        fake.ending.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def browser() -> Path:
    found = find_browser()
    assert found, "this test needs a browser: apt-get install chromium"
    return found


def look(fake: FakeServer, browser: Path | None, folder: Path, answer_s: float = 10.0) -> Outcome:
    with serving(fake) as base:
        outcome = look_at_page(
            base,
            PNG,
            "What colour is it?",
            "red",
            folder / "shot.png",
            browser,
            answer_s=answer_s,
            ready_s=2.0,
        )
    assert (outcome.part, outcome.name) == (Part.PAGE, "question about an image")
    return outcome


def test_the_right_answer_passes_and_is_photographed(browser: Path, tmp_path: Path) -> None:
    fake = FakeServer()
    outcome = look(fake, browser, tmp_path)
    assert (outcome.verdict, outcome.suspect) == (CheckVerdict.PASSED, "")
    assert outcome.figures == {"temperature sent": "0", "given": "red", "expected": "red"}
    assert (tmp_path / "shot.png").read_bytes().startswith(b"\x89PNG")
    (asked,) = fake.asked
    text, image = json.loads(asked)["messages"][0]["content"]
    assert text["text"] == "What colour is it?"
    assert b64decode(image["image_url"]["url"].removeprefix("data:image/png;base64,")) == PNG


@pytest.mark.parametrize(
    ("fake", "answer_s", "key_word"),
    [
        (FakeServer(answer="reddish"), 10.0, "'reddish'"),
        (FakeServer(answer="réd"), 10.0, "'réd'"),  # not ASCII: what the page shows
        (FakeServer(answers=False), 0.5, "within 0.5 s"),
        (FakeServer(status=500), 10.0, "status 500"),
    ],
    ids=["wrong", "wrong and not ASCII", "without an end", "refused"],
)
def test_any_other_answer_fails_and_is_photographed(
    browser: Path, tmp_path: Path, fake: FakeServer, answer_s: float, key_word: str
) -> None:
    outcome = look(fake, browser, tmp_path, answer_s=answer_s)
    assert outcome.verdict is CheckVerdict.FAILED
    assert key_word in outcome.words
    assert outcome.suspect
    assert (tmp_path / "shot.png").exists()


@pytest.mark.parametrize(
    ("good", "bad", "key_words"),
    [
        ("<textarea></textarea>", "", "no field for a question"),
        ('type="file"', 'type="text"', "no field for an image"),
        (
            "main.innerHTML = `<img",
            "main.innerHTML = `<p role='dialog'>Images need a projector</p><br",
            "It says: Images need a projector",
        ),
        ('"Assistant message with actions"', '"other"', "shows no answer"),
        ("${answer}", "blue", "but the page shows 'blue'"),
        ("{url: image}", "{}", "without the image"),
    ],
)
def test_what_the_page_cannot_do_fails_in_words(
    browser: Path, tmp_path: Path, good: str, bad: str, key_words: str
) -> None:
    assert good in PAGE
    page = PAGE.replace("const main", "var main").replace(good, bad)
    if "textarea" in good:
        page = page.replace("field.onkeydown", "window.onkeydown")  # so that nothing else is wrong with it
    outcome = look(FakeServer(page=page), browser, tmp_path)
    assert outcome.verdict is CheckVerdict.FAILED
    assert key_words in outcome.words
    assert "web page" in outcome.suspect


def test_a_script_that_breaks_is_quoted(browser: Path, tmp_path: Path) -> None:
    broken = PAGE.replace("<textarea></textarea>", "")
    outcome = look(FakeServer(page=broken), browser, tmp_path)
    assert "onkeydown" in outcome.words


def test_the_page_of_a_server_without_one_is_not_run(browser: Path, tmp_path: Path) -> None:
    outcome = look(FakeServer(page_status=404), browser, tmp_path)
    assert outcome.verdict is CheckVerdict.NOT_RUN
    assert "no built-in web page" in outcome.words


def test_a_server_that_is_gone_fails(browser: Path, tmp_path: Path) -> None:
    with serving(FakeServer()) as base:
        pass
    outcome = look_at_page(base, PNG, "What?", "red", tmp_path / "shot.png", browser)
    assert outcome.verdict is CheckVerdict.FAILED
    assert "ERR_CONNECTION_REFUSED" in outcome.words


def test_nothing_but_loopback_is_reached(browser: Path, tmp_path: Path) -> None:
    # 127.0.0.2 is this machine too, so that the test itself reaches nobody; but it is not named as loopback.
    outside = FakeServer()
    with serving(outside, "127.0.0.2") as other:
        reaching = PAGE.replace(
            "<main>", f'<img src="{other}/image.png"><script src="{other}/x.js"></script><main>'
        )
        outcome = look(FakeServer(page=reaching), browser, tmp_path)
    assert outcome.verdict is CheckVerdict.PASSED
    assert outside.got == []


def test_without_a_browser_it_is_not_run_and_says_what_to_install(tmp_path: Path) -> None:
    outcome = look(FakeServer(), None, tmp_path)
    assert outcome.verdict is CheckVerdict.NOT_RUN
    assert "apt-get install chromium" in outcome.words


def test_a_browser_that_does_not_start_is_not_the_server_s_fault(tmp_path: Path) -> None:
    outcome = look(FakeServer(), Path("/bin/false"), tmp_path)
    assert outcome.verdict is CheckVerdict.NOT_RUN
    assert "/bin/false" in outcome.words


def test_a_completion_is_read_whole_and_streamed() -> None:
    assert read_stream('{"choices":[{"message":{"content":"red"}}]}') == "red"
    events = ("re", None, "d")
    body = "".join(f"data: {json.dumps({'choices': [{'delta': {'content': text}}]})}\n\n" for text in events)
    assert read_stream(f'{body}data: {{"choices":[],"usage":{{}}}}\n\ndata: [DONE]\n\n') == "red"
