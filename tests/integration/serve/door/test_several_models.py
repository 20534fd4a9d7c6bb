"""A door in front of several models, each with a small program for a llama-server of its own."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from recipes.core.log import LOGGER
from recipes.serve.door.admission import Admission
from recipes.serve.door.door import door, listen
from recipes.serve.door.options import DoorOptions
from recipes.serve.door.treatment import BodyRules, ModelLimits
from recipes.serve.lifecycle import Serving
from recipes.serve.server_process import ServerProcess, Service
from tests.support.door_bench import LOOPBACK, TIMEOUT_S, Behind, DoorBench
from tests.support.fake_llama_server import tell, write_server

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    import requests

pytestmark = pytest.mark.timeout(300)
KEY = "a-key-of-more-than-16-letters"
NAMES = ("first", "second", "third")


class Several(DoorBench):
    """An open door, its servers, and what was logged."""

    folder: Path
    processes: tuple[ServerProcess, ...]
    events: Events

    @property
    def starts(self) -> list[str]:
        return (self.folder / "starts.txt").read_text(encoding="utf-8").split()

    @property
    def states(self) -> list[str]:
        return [one["status"]["value"] for one in self.get("/v1/models").json()["data"]]

    def ask(self, model: str | None = None) -> requests.Response:
        return self.post({"messages": [], **({"model": model} if model is not None else {})})

    def tell(self, **does: object) -> None:
        said = {name: {"says": json.dumps({"by": name}), **_of(does, name)} for name in NAMES}
        tell(self.folder, models=said)


def _of(does: dict[str, object], name: str) -> dict[str, object]:
    found = does.get(name, {})
    assert isinstance(found, dict)
    return found


class Events(logging.Handler):
    """What the door logs, and who waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self.said.append(record.getMessage())
            self._changed.notify_all()

    def wait_for(self, text: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: text in self.said, TIMEOUT_S), self.said


@contextmanager
def open_several(folder: Path, *, one_at_a_time: bool, api_key: str | None = None) -> Iterator[Several]:
    program = write_server(folder)
    processes = tuple(
        ServerProcess(Service(name, program, ("--alias", name), TIMEOUT_S, folder / f"{name}.log"))
        for name in NAMES
    )
    listener = listen(LOOPBACK, 0)
    bench = Several(listener.getsockname()[1], Behind())
    bench.folder, bench.processes, bench.events = folder, processes, Events()
    bench.tell()
    rules = BodyRules(tuple(ModelLimits(name, context=(1 << 16) * (name == "third")) for name in NAMES))
    options = DoorOptions(
        Admission(LOOPBACK, bench.port, api_key=api_key), rules, one_at_a_time=one_at_a_time
    )
    LOGGER.addHandler(bench.events)
    level = LOGGER.level
    LOGGER.setLevel(logging.INFO)
    try:
        processes[0].start()
        with listener, door(listener, options, processes):
            while bench.get("/health").status_code != 200:
                assert processes[0].is_alive()
            yield bench
    finally:
        for process in processes:
            process.end()
        LOGGER.removeHandler(bench.events)
        LOGGER.setLevel(level)


@pytest.fixture(params=[False, True], ids=["together", "one at a time"])
def several(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Several]:
    with open_several(tmp_path, one_at_a_time=request.param) as bench:
        yield bench


@pytest.fixture
def together(tmp_path: Path) -> Iterator[Several]:
    with open_several(tmp_path, one_at_a_time=False) as bench:
        yield bench


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Several]:
    with open_several(tmp_path, one_at_a_time=True) as bench:
        yield bench


def test_each_answers_what_names_it_and_the_first_what_names_none(several: Several) -> None:
    assert several.starts == ["first"]
    for model, by in ((None, "first"), ("second", "second"), ("", "first"), ("first", "first")):
        answer = several.ask(model)
        assert (answer.status_code, answer.json()) == (200, {"by": by})
    assert several.post({"messages": [], "model": None}).json() == {"by": "first"}
    large = {"messages": [{"role": "user", "content": "x" * 100_000}], "model": "second"}
    assert several.post(large).json() == {"by": "second"}  # through a worker


def test_those_that_fit_together_stay(together: Several) -> None:
    for model in ("second", "first", "third", "second"):
        assert together.ask(model).json() == {"by": model}
    assert together.starts == ["first", "second", "third"]
    assert together.states == ["loaded", "loaded", "loaded"]


def test_one_at_a_time_the_others_are_unloaded(alone: Several) -> None:
    for model in ("second", "first", "third"):
        assert alone.ask(model).json() == {"by": model}
        assert [process.model for process in alone.processes if process.is_alive()] == [model]
    assert alone.starts == ["first", "second", "first", "third"]
    assert alone.states == ["unloaded", "unloaded", "loaded"]
    assert alone.get("/health").json() == {"status": "ok"}  # the first is loaded when it is asked for
    assert "page first" in alone.get("/props").text
    assert alone.states == ["loaded", "unloaded", "unloaded"]


def test_all_are_listed_and_found_and_none_is_loaded_for_it(together: Several) -> None:
    listed = together.get("/v1/models").json()
    assert (listed["object"], [one["id"] for one in listed["data"]]) == ("list", list(NAMES))
    assert together.states == ["loaded", "unloaded", "unloaded"]
    assert together.get("/v1/models/second").json()["id"] == "second"
    assert together.get("/v1/models/fourth").status_code == 404
    assert together.starts == ["first"]


@pytest.mark.parametrize("padding", ["", "x" * 100_000])
def test_a_model_that_is_not_there_is_404_with_those_that_are(together: Several, padding: str) -> None:
    answer = together.post({"messages": [{"role": "user", "content": padding}], "model": "fourth"})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["type"]) == (404, "model", "not_found_error")
    assert error["message"] == "there is no model 'fourth' here; there are: first, second, third"
    assert together.get("/props?model=fourth").status_code == 404
    assert together.post({"messages": [], "model": 4}).status_code == 400


def test_a_model_has_its_own_context(together: Several) -> None:
    long = {"messages": [{"role": "user", "content": "x" * ((1 << 22) + 1)}]}
    assert together.post({**long, "model": "second"}).status_code == 400
    assert together.post({**long, "model": "third"}).status_code == 200


def test_what_has_no_body_names_its_model_in_its_address(together: Several) -> None:
    assert "page second" in together.get("/props?model=second").text
    assert "page first" in together.get("/props").text


def test_the_page_which_needs_no_key_loads_and_unloads_nothing(tmp_path: Path) -> None:
    with open_several(tmp_path, one_at_a_time=True, api_key=KEY) as bench:
        asked = bench.post({"messages": [], "model": "second"}, Authorization=f"Bearer {KEY}")
        assert asked.json() == {"by": "second"}
        for path in ("/", "/bundle.js", "/bundle.js?model=third"):
            assert bench.get(path).text == "no page second"
        for path in ("/props", "/props?model=third"):
            assert bench.get(path).status_code == 401
        assert bench.starts == ["first", "second"]
        bench.processes[1].end()
        assert bench.get("/").text == "no page first"  # nothing runs that would be ended for it


def test_many_that_ask_at_once_start_it_once(several: Several) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(several.ask, ["second"] * 12))
    assert [answer.json() for answer in answers] == [{"by": "second"}] * 12
    assert several.starts == ["first", "second"]


def test_several_answers_to_one_request_are_of_its_model(together: Several) -> None:
    says = json.dumps({"choices": [{"index": 0, "message": {"content": "two"}}]})
    together.tell(second={"says": says})
    answer = together.post({"messages": [], "n": 3, "model": "second"}).json()
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["two"] * 3


def test_an_answer_that_goes_on_keeps_its_model_loaded(alone: Several, tmp_path: Path) -> None:
    go_on = tmp_path / "go_on"
    alone.tell(second={"holds": str(go_on)})
    with ThreadPoolExecutor() as pool, closing(_half_answered(alone, "second")) as answering:
        waiting = pool.submit(alone.ask, "third")
        alone.events.wait_for("loading third")
        assert alone.states == ["unloaded", "loaded", "unloaded"]
        assert "unloading second" not in alone.events.said
        go_on.touch()
        rest = b""
        while piece := answering.recv(1000):
            rest += piece
        assert rest.endswith(b'second"}')
        assert waiting.result().json() == {"by": "third"}
    assert alone.states == ["unloaded", "unloaded", "loaded"]


def _half_answered(bench: Several, model: str) -> socket.socket:
    body = json.dumps({"messages": [], "model": model})
    lines = ("Host: localhost", "Content-Type: application/json", f"Content-Length: {len(body)}")
    connection = bench.connect("POST /v1/chat/completions HTTP/1.1", *lines, "Connection: close")
    connection.sendall(body.encode())
    came = b""
    while b'{"by"' not in came:
        piece = connection.recv(1000)
        assert piece, came
        came += piece
    return connection


@pytest.mark.parametrize(
    ("does", "why"),
    [({"dies": 3}, "exit status 3"), ({"killed": 9}, "signal 9"), ({"ends": 4, "health": [503, 200]}, "")],
)
def test_one_that_does_not_start_is_an_error_to_who_asked_and_to_nobody_else(
    several: Several, does: dict[str, object], why: str
) -> None:
    several.tell(second=does)
    answer = several.ask("second")
    if why:
        message = f"'second' did not start: {why}; the log of its server says more"
        assert (answer.status_code, answer.json()["error"]["message"]) == (503, message)
    else:  # it was healthy, and died before it answered
        assert answer.status_code in {502, 503}
    assert several.ask("first").json() == {"by": "first"}
    several.tell()
    assert several.ask("second").json() == {"by": "second"}


def test_one_that_is_never_healthy_is_given_up_and_ended(tmp_path: Path) -> None:
    with open_several(tmp_path, one_at_a_time=False) as bench:
        bench.tell(second={"health": [503]})
        bench.processes[1].start_s = 0.5
        answer = bench.ask("second")
        assert answer.status_code == 503
        assert "'second' did not start: it was not healthy within 0.5 s" in answer.json()["error"]["message"]
        assert not bench.processes[1].is_alive()


def test_a_program_that_is_not_there_is_an_error_to_who_asked(together: Several) -> None:
    (together.folder / "llama-server").unlink()
    answer = together.ask("second")
    assert (answer.status_code, "FileNotFoundError" in answer.text) == (503, True)
    assert together.ask("first").json() == {"by": "first"}


@pytest.mark.parametrize("model", ["first", "second"])
def test_one_that_died_is_started_again(several: Several, model: str) -> None:
    several.ask(model)
    process = several.processes[NAMES.index(model)].process
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert several.get("/health").status_code == 200
    assert several.ask(model).json() == {"by": model}
    assert several.starts.count(model) == 2


def test_health_is_that_of_the_first(several: Several) -> None:
    several.tell(first={"dies": 3}, second={"dies": 3})
    assert several.ask("second").status_code == 503
    assert several.get("/health").status_code == 200
    several.processes[0].end()
    assert several.ask("first").status_code == 503
    health = several.get("/health")
    assert health.status_code == 503
    assert health.json()["error"]["message"].startswith("'first' did not start: exit status 3")
    several.tell()
    assert several.ask().json() == {"by": "first"}
    assert several.get("/health").status_code == 200


def test_who_goes_away_leaves_it_loading_for_the_next_one(several: Several, tmp_path: Path) -> None:
    until = tmp_path / "until"
    several.tell(second={"until": str(until)})
    body = b'{"messages": [], "model": "second"}'
    lines = ("Host: localhost", "Content-Type: application/json", f"Content-Length: {len(body)}")
    with closing(several.connect("POST /v1/chat/completions HTTP/1.1", *lines)) as connection:
        connection.sendall(body)
        several.events.wait_for("loading second")
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(several.ask, "second")
        until.touch()
        assert asking.result().json() == {"by": "second"}
    assert several.starts == ["first", "second"]
    assert several.ask("third").json() == {"by": "third"}  # nobody holds the second


def test_all_are_ended_even_one_that_loads_and_none_is_started_after(tmp_path: Path) -> None:
    with open_several(tmp_path, one_at_a_time=False) as bench, ThreadPoolExecutor() as pool:
        bench.tell(second={"health": [503]})
        asking = pool.submit(bench.ask, "second")
        bench.events.wait_for("loading second")
        assert Serving(bench.base, bench.processes).end() == 0
        assert not any(process.is_alive() for process in bench.processes)
        assert asking.result().status_code == 503
        assert bench.ask("third").status_code == 503  # none is started any more
    assert "third" not in bench.starts
