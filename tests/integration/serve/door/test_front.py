"""The door with real sockets: what it refuses before it reads, who waits, what goes through, and who goes away."""

from __future__ import annotations

import base64
import json
import threading
from contextlib import ExitStack, closing
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
import requests
from PIL import Image

from recipes.serve.door.admission import parse_origin
from tests.support.door_bench import COMPLETION, TIMEOUT_S, DoorBench, Handler, open_door, received

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "a-key-of-more-than-16-letters"
CHAT = "/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DoorBench]:
    with open_door(tmp_path) as bench:
        yield bench


def picture(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    out = BytesIO()
    Image.new("RGB", size, "red").save(out, kind)
    return out.getvalue()


def about(url: object) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": url}, {"type": "text", "text": "what?"}]
    return {"messages": [{"role": "user", "content": parts}]}


def data_url(data: bytes) -> str:
    return f"data:image/any;base64,{base64.b64encode(data).decode()}"


def waits(event: threading.Event) -> None:
    event.wait(TIMEOUT_S)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Host: {host}", "Origin: http://evil.example", "Content-Type: application/json"], 403),
        (["Host: evil.example", "Content-Type: application/json"], 403),
        (["Content-Type: application/json"], 400),
        (["Host: {host}", "Content-Type: text/plain"], 415),
        (["Host: {host}"], 415),
        (["Host: {host}", "Content-Type: application/json", "Content-Encoding: gzip"], 415),
    ],
)
def test_it_is_refused_by_its_headers_before_its_body_is_read(
    bench: DoorBench, lines: list[str], status: int
) -> None:
    host = f"127.0.0.1:{bench.port}"
    first = [f"POST {CHAT} HTTP/1.1", "Content-Length: 1000000", *(line.format(host=host) for line in lines)]
    with closing(bench.connect(*first)) as connection:  # and no body
        answer = received(connection)
    assert answer.startswith((b"HTTP/1.1 %d " % status, b"HTTP/1.0 %d " % status))
    assert not bench.behind.asked


def test_a_body_that_is_too_large_is_refused_by_its_length_or_once_it_is(tmp_path: Path) -> None:
    with open_door(tmp_path, most_body=1000) as bench:
        host = f"Host: 127.0.0.1:{bench.port}"
        kind = "Content-Type: application/json"
        with closing(bench.connect(f"POST {CHAT} HTTP/1.1", host, kind, "Content-Length: 1001")) as one:
            assert received(one).startswith(b"HTTP/1.1 413 ")
        chunked = ("Transfer-Encoding: chunked",)
        with closing(bench.connect(f"POST {CHAT} HTTP/1.1", host, kind, *chunked)) as one:
            one.sendall(b"3e9\r\n" + b"x" * 1001)  # and not all of it
            assert received(one).startswith(b"HTTP/1.1 413 ")
        assert bench.post({**HELLO, "x": "y" * 800}).status_code == 200
    assert len(bench.behind.questions()) == 1


def test_who_asks_with_expect_sends_the_body_once_it_is_wanted(bench: DoorBench) -> None:
    body = json.dumps(HELLO).encode()
    head = (f"Host: 127.0.0.1:{bench.port}", "Content-Type: application/json", f"Content-Length: {len(body)}")
    with closing(
        bench.connect(f"POST {CHAT} HTTP/1.1", *head, "Expect: 100-continue", "Connection: close")
    ) as one:
        assert one.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        one.sendall(body)
        assert received(one).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 10_000 + b"\r\n\r\n", 400),
        (b"GET /" + b"y" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100 + b"\r\n", 400),
        (b"GET http://localhost/props HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /x/../props HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_for_it_is_refused(bench: DoorBench, request_: bytes, status: int) -> None:
    with closing(bench.connect(end=False)) as one:
        one.sendall(request_)
        answer = one.recv(65536)
    assert answer.startswith((b"HTTP/1.1 %d " % status, b"HTTP/1.0 %d " % status))
    assert not bench.behind.asked


def test_who_never_ends_the_headers_or_the_body_is_closed(tmp_path: Path) -> None:
    with open_door(tmp_path, header_s=0.2, body_idle_s=0.2) as bench:
        with closing(bench.connect("GET / HTTP/1.1", "Host: localhost", end=False)) as one:
            assert received(one) == b""
        head = ("Host: localhost", "Content-Type: application/json", "Content-Length: 100")
        with closing(bench.connect(f"POST {CHAT} HTTP/1.1", *head)) as one:
            assert received(one).startswith(b"HTTP/1.1 408 ")
        assert not bench.behind.asked


def test_connections_that_only_wait_keep_nobody_out(tmp_path: Path) -> None:
    with open_door(tmp_path, most_connections=8) as bench, ExitStack() as stack:
        halves = [
            stack.enter_context(closing(bench.connect("POST / HTTP/1.1", "Host: localhost", end=False)))
            for _ in range(40)
        ]
        assert bench.get("/health").status_code == 200
        assert bench.post(HELLO).json() == COMPLETION
        assert received(halves[0]) == b""  # the oldest made room


def test_a_client_that_reads_and_asks_slowly_does_not_hold_the_server(bench: DoorBench) -> None:
    head = ("Host: localhost", "Content-Type: application/json", "Content-Length: 100")
    with ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(closing(bench.connect(f"POST {CHAT} HTTP/1.1", *head)))
        assert bench.post(HELLO).json() == COMPLETION
    assert len(bench.behind.questions()) == 1


def test_health_is_the_server_s_own_answer_or_that_it_runs_and_is_busy(tmp_path: Path) -> None:
    alive, go_on = [True], threading.Event()
    with open_door(tmp_path, is_alive=lambda: alive[0]) as bench:
        bench.behind.does["/health"] = lambda handler: handler.answer(503, b'{"error": "Loading"}')
        assert (bench.get("/health").status_code, bench.get("/v1/health").status_code) == (503, 503)
        bench.behind.does["/health"] = lambda _: waits(go_on)
        busy = bench.get("/health")
        assert (busy.status_code, busy.json()) == (200, {"status": "ok"})
        alive[0] = False
        gone = bench.get("/health")
        go_on.set()
    assert (gone.status_code, "ended" in gone.text) == (503, True)


def test_more_requests_than_the_server_takes_wait_here_and_everything_else_is_answered(
    tmp_path: Path,
) -> None:
    begun, go_on, answers = threading.Semaphore(0), threading.Event(), []

    def work(handler: Handler) -> None:
        begun.release()
        go_on.wait(TIMEOUT_S)
        handler.answer(200, json.dumps(COMPLETION).encode())

    with open_door(tmp_path, working=2) as bench:
        bench.behind.does[CHAT] = work
        threads = [
            threading.Thread(target=lambda: answers.append(bench.post(HELLO).status_code)) for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for _ in range(2):
            assert begun.acquire(timeout=TIMEOUT_S)
        assert bench.get("/health").status_code == 200
        assert bench.get("/props").json() == {"total_slots": 4}
        assert len(bench.behind.questions()) == 2
        go_on.set()
        for thread in threads:
            thread.join()
    assert answers == [200] * 5


def test_a_stream_comes_as_it_is_sent(bench: DoorBench) -> None:
    go_on = threading.Event()

    def stream(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.chunk(b"data: first\n\n")
        go_on.wait(TIMEOUT_S)
        handler.chunk(b"data: second\n\n")
        handler.chunk(b"")

    bench.behind.does[CHAT] = stream
    body = {**HELLO, "stream": True}
    with requests.post(f"{bench.base}{CHAT}", json=body, stream=True, timeout=TIMEOUT_S) as response:
        lines = response.iter_lines(chunk_size=1)
        assert next(lines) == b"data: first"  # the second was not sent yet
        go_on.set()
        assert [line for line in lines if line] == [b"data: second"]
        assert response.headers["Content-Type"] == "text/event-stream"


@pytest.mark.parametrize("begun", [True, False])
def test_who_goes_away_ends_the_request_at_once(bench: DoorBench, begun: bool) -> None:  # noqa: FBT001
    asked, ended = threading.Event(), threading.Event()

    def work(handler: Handler) -> None:
        if begun:
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.chunk(b"data: first\n\n")
        asked.set()
        handler.wait_for_its_end()
        ended.set()

    bench.behind.does[CHAT] = work
    body = json.dumps(HELLO).encode()
    head = ("Host: localhost", "Content-Type: application/json", f"Content-Length: {len(body)}")
    with closing(bench.connect(f"POST {CHAT} HTTP/1.1", *head)) as one:
        one.sendall(body)
        assert asked.wait(TIMEOUT_S)
        if begun:
            assert one.recv(1000)
    assert ended.wait(TIMEOUT_S)


def test_a_server_that_dies_is_a_502_and_in_the_middle_a_cut_answer(bench: DoorBench) -> None:
    def hang_up(handler: Handler) -> None:
        handler.wfile.close()

    def half(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.chunk(b"data: first\n\n")

    bench.behind.does[CHAT] = hang_up
    dead = bench.post(HELLO)
    assert (dead.status_code, "ended" in dead.json()["error"]["message"]) == (502, True)
    assert bench.post({**HELLO, "n": 2}).status_code == 502
    bench.behind.does["/v1/models"] = hang_up
    assert bench.get("/v1/models/x").status_code == 502
    bench.behind.does[CHAT] = half
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        bench.post({**HELLO, "stream": True})


def test_the_server_sees_what_was_judged_and_nothing_of_who_asks(tmp_path: Path) -> None:
    with open_door(tmp_path, api_key=KEY) as bench:
        host = f"http://127.0.0.1:{bench.port}"
        asked = bench.post(
            b' {"messages" : [], "max_completion_tokens": 5, "max_tokens": 9, "t": "\\u00e9"} ',
            path=f"{CHAT}?a=%2F",
            Authorization=f"Bearer {KEY}",
            Origin=host,
            Cookie="a=b",
            Referer="x",
            User_Agent="me",
        )
        (seen,) = bench.behind.questions()
    assert asked.status_code == 200
    assert "Access-Control-Allow-Origin" not in asked.headers
    assert seen.path == f"{CHAT}?a=%2F"
    assert seen.body == '{"messages":[],"max_tokens":5,"t":"é"}'.encode()
    assert KEY not in str(seen.headers)
    assert not {"Origin", "Cookie", "Referer"} & set(seen.headers)
    assert (seen.headers["User-Agent"], seen.headers["Content-Type"]) == ("me", "application/json")


def test_with_a_key_only_health_and_the_page_are_open(tmp_path: Path) -> None:
    with open_door(tmp_path, api_key=KEY) as bench:
        bench.behind.does["/"] = lambda handler: handler.answer(200, b"<html>")
        assert [bench.get(path).status_code for path in ("/health", "/")] == [200, 200]
        for path in ("/props", "/v1/models", "/v1/models/x", "/slots", "/nothing"):
            assert bench.get(path).status_code == 401, path
        assert bench.post(HELLO).status_code == 401
        assert bench.get("/props", X_Api_Key=KEY).status_code == 200
        assert all(asked.path in {"/health", "/", "/props"} for asked in bench.behind.asked)


def test_another_origin_that_is_allowed_gets_its_preflight_and_its_answer(tmp_path: Path) -> None:
    origin = parse_origin("https://app.example")
    assert origin
    with open_door(tmp_path, api_key=KEY, origins=frozenset({origin})) as bench:
        for asked, allowed in (("https://app.example", True), ("https://evil.example", False)):
            answer = requests.options(
                f"{bench.base}{CHAT}",
                headers={
                    "Origin": asked,
                    "Access-Control-Request-Method": "POST",
                    "Access-Control-Request-Headers": "authorization,content-type",
                },
                timeout=TIMEOUT_S,
            )
            assert answer.ok is allowed
            assert answer.headers.get("Access-Control-Allow-Origin") == (asked if allowed else None)
            assert ("authorization" in answer.headers.get("Access-Control-Allow-Headers", "")) is allowed
        answer = bench.post(HELLO, Origin="https://app.example", Authorization=f"Bearer {KEY}")
        refused = bench.post(HELLO, Origin="https://app.example")
        named = bench.get("/health", Host="app.example")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert answer.headers["Vary"] == "Origin"
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (
        401,
        "https://app.example",
    )
    assert named.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"a":1,"a":2}',
        b'{"messages":' + b"[" * 70 + b"]" * 70 + b"}",
        {"messages": [], "n_probs": 10**9},
        {"messages": [], "id_slot": 4},
        {**HELLO, "n": 2, "stream": True},
        about({"url": "http://127.0.0.1:1/x"}),
        about({"url": "https://example.org/x.png"}),
        about({"url": "file:///etc/passwd"}),
        about({"url": data_url(b"no picture")}),
        about({"url": "data:image/png;base64,@@@"}),
        about({"url": data_url(picture("PNG")), "detail": "huge"}),
        about({}),
        about(None),
        {"messages": [about({"url": data_url(picture("PNG"))})["messages"][0]] * 33},
        {"messages": [{"content": [{"type": "input_audio", "input_audio": {"url": "http://x/"}}]}]},
        {"messages": [{"content": [{"type": "video_url", "video_url": "file:///x"}]}]},
        {"messages": [{"content": [{"type": "image", "source": {"type": "url", "url": "http://x/"}}]}]},
        {"input": [{"content": [{"type": "input_image", "image_url": "http://x/"}]}]},
        {"prompt": {"prompt_string": "x", "multimodal_data": ["bm8gcGljdHVyZQ=="]}},
        {"prompt": [{"prompt_string": "x", "multimodal_data": ["http://127.0.0.1/"]}]},
        *(
            {name: value}
            for name in ("messages", "input", "prompt", "content", "system", "tools", "something_new")
            for value in ([{"content": "x" * 4_200_000}], ["x" * 2_100_000] * 2)
        ),
    ],
)
def test_what_is_wrong_in_a_body_is_a_400_and_never_reaches_the_server(
    bench: DoorBench, body: object
) -> None:
    answer = bench.post(body)
    assert (answer.status_code, bool(answer.json()["error"]["message"])) == (400, True)
    assert not bench.behind.questions()


def test_images_of_each_api_arrive_as_the_same_png(bench: DoorBench) -> None:
    data = picture("WEBP", (3000, 2000))
    coded = base64.b64encode(data).decode()
    url = data_url(data)
    low = bench.post(about({"url": url, "detail": "low"}))
    bench.post(about(url))
    part = {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": coded}}
    bench.post({"messages": [{"role": "user", "content": [part]}]}, path="/v1/messages")
    bench.post({"input": [{"content": [{"type": "input_image", "image_url": url}]}]}, path="/v1/responses")
    bench.post({"prompt": {"prompt_string": "x", "multimodal_data": [coded]}}, path="/completion")
    bodies = [asked.json for asked in bench.behind.questions()]
    shown = [
        bodies[0]["messages"][0]["content"][0]["image_url"]["url"],
        bodies[1]["messages"][0]["content"][0]["image_url"]["url"],
        "data:image/png;base64," + bodies[2]["messages"][0]["content"][0]["source"]["data"],
        bodies[3]["input"][0]["content"][0]["image_url"],
        "data:image/png;base64," + bodies[4]["prompt"]["multimodal_data"][0],
    ]
    assert shown[1] == shown[2] == shown[3] == shown[4]
    sizes = []
    for text in shown[:2]:
        with Image.open(BytesIO(base64.b64decode(text.removeprefix("data:image/png;base64,")))) as image:
            sizes.append((image.format, image.size))
    assert sizes == [("PNG", (627, 418)), ("PNG", (1254, 836))]
    assert low.headers["X-Image-Notes"] == "image 1: WebP, 3000x2000 scaled to 627x418"


def test_several_answers_are_asked_for_one_by_one(bench: DoorBench) -> None:
    answer = bench.post({**HELLO, "n": 3, "seed": 7})
    assert [choice["index"] for choice in answer.json()["choices"]] == [0, 1, 2]
    assert answer.json()["usage"] == {"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9}
    assert sorted(asked.json["seed"] for asked in bench.behind.questions()) == [7, 8, 9]
    assert all("n" not in asked.json for asked in bench.behind.questions())


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("tools param requires --jinja flag", 400),
        ("[json.exception.type_error.302] type must be string", 400),
        ("Context size has been exceeded.", 500),
        ("failed to process image", 500),
        ("std::bad_alloc", 500),
    ],
)
def test_a_client_s_mistake_is_not_the_server_s(bench: DoorBench, said: str, status: int) -> None:
    body = json.dumps({"error": {"code": 500, "message": said, "type": "server_error"}}).encode()
    bench.behind.does[CHAT] = lambda handler: handler.answer(500, body)
    answer = bench.post(HELLO)
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, said)


def test_a_model_is_found_by_its_name(bench: DoorBench) -> None:
    assert bench.get("/v1/models/hub/pocket").json() == {"id": "hub/pocket"}
    assert bench.get("/v1/models/hub%2Fpocket").status_code == 200
    assert bench.get("/v1/models/other").status_code == 404


def test_an_error_that_comes_in_pieces_is_passed_back_whole(bench: DoorBench) -> None:
    long = json.dumps({"error": {"message": "x" * 900_000}}).encode()  # more than one look at a socket gives
    bench.behind.does[CHAT] = lambda handler: handler.answer(400, long)
    answer = bench.post(HELLO)
    assert (answer.status_code, answer.content) == (400, long)


def test_the_page_gets_a_script_that_sends_its_images_through_the_door(bench: DoorBench) -> None:
    html = b"<!doctype html><html><head><title>x</title></head></html>"
    bench.behind.does["/"] = lambda handler: handler.answer(
        200, html, ETag='"x"', **{"Content-Type": "text/html; charset=utf-8"}
    )
    answer = bench.get("/", Accept_Encoding="gzip, br", If_None_Match='"x"')
    assert answer.content == html.replace(b"<head>", b'<head><script src="./door/images.js"></script>')
    assert "ETag" not in answer.headers
    asked = bench.behind.asked[-1].headers
    assert (asked["Accept-Encoding"], "If-None-Match" in asked) == ("identity", False)
    script = bench.get("/door/images.js")
    assert script.headers["Content-Type"].startswith("text/javascript")
    assert b"./door/image" in script.content


def test_an_image_of_the_page_comes_back_as_the_model_will_see_it(bench: DoorBench) -> None:
    data = picture("TIFF", (3000, 2000))
    kind = "application/octet-stream"
    answer = bench.post(data, "/door/image", Content_Type=kind)
    assert answer.headers["X-Image-Notes"] == "TIFF, 3000x2000 scaled to 1254x836"
    with Image.open(BytesIO(answer.content)) as image:
        assert (image.format, image.size) == ("PNG", (1254, 836))
    refused = bench.post(b"%PDF-1.7", "/door/image", Content_Type=kind)
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith("a PDF")
    assert bench.post(data, "/door/image", Content_Type="image/tiff").status_code == 415
    assert bench.post(data, "/door/image", Content_Type=kind, Origin="http://evil.example").status_code == 403
    assert not bench.behind.questions()


def test_with_a_key_the_script_is_open_and_images_are_not(tmp_path: Path) -> None:
    with open_door(tmp_path, api_key=KEY) as bench:
        assert bench.get("/door/images.js").status_code == 200
        kind = "application/octet-stream"
        assert bench.post(picture("PNG"), "/door/image", Content_Type=kind).status_code == 401
        shown = f"Bearer {KEY}"
        answer = bench.post(picture("PNG"), "/door/image", Content_Type=kind, Authorization=shown)
        assert answer.status_code == 200
