"""Honest clients at once, with a hostile request in every tenth: each must have its own right answer."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from recipes.conformance.hostile.attack import Attack, Fault, Kind, Seen, Target
from recipes.conformance.hostile.drawn import draw
from recipes.conformance.hostile.judge import Question
from recipes.conformance.results.inputs import SURE, messages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recipes.conformance.hostile.judge import Trial
    from recipes.conformance.hostile.supervisor import Supervisor
    from recipes.conformance.results.inputs import CheckInputs

CLIENTS = 8
EVERY = 10
ROUND_S = 30.0  # then the server is judged
ANSWER_S = 120.0  # eight at once on a busy machine
SHORT = 200  # tokens of a prompt


class Crowd:
    """Clients that ask for a while; the faults and the hostile requests before each."""

    def __init__(self, questions: list[Question], seconds: float, number: int) -> None:
        self._questions = questions
        self._seconds = seconds
        self._requests = draw(200, number)
        self._lock = threading.Lock()
        self._sent: list[str] = []
        self._wrong: list[Seen] = []
        self.answers = 0

    def run(self, target: Target) -> Seen:
        """Let all clients ask until the time is over or the server is gone."""
        deadline = time.monotonic() + self._seconds
        with ThreadPoolExecutor(CLIENTS) as pool:
            for future in [pool.submit(self._client, target, index, deadline) for index in range(CLIENTS)]:
                future.result()
        words = f"{self.answers} right answers, {len(self._sent)} hostile requests"
        if self._wrong or target.server.process.status is not None:
            words += f"; the last of them: {' / '.join(self._sent[-CLIENTS:])}"
        return Seen(f"{self._wrong[0].words}; {words}", self._wrong[0].fault) if self._wrong else Seen(words)

    def _client(self, target: Target, index: int, deadline: float) -> None:
        turn = index
        while time.monotonic() < deadline and target.server.process.status is None:
            turn += 1
            if turn % EVERY == 0:
                path, body = self._requests[(turn * CLIENTS + index) % len(self._requests)]
                with self._lock:
                    self._sent.append(f"{path} {body[:200]!r}")
                target.send(path, body)
                continue
            wrong = self._questions[(turn + index) % len(self._questions)].ask(target, ANSWER_S)
            with self._lock:
                if wrong is None:
                    self.answers += 1
                elif target.server.process.status is None:
                    fault = (
                        Fault.MIXED
                        if wrong.fault is Fault.WRONG and "instead of" in wrong.words
                        else wrong.fault
                    )
                    self._wrong.append(Seen(wrong.words, fault))


def crowd(supervisor: Supervisor, inputs: CheckInputs, seconds: float, number: int) -> Iterator[Trial]:
    """Run the clients in rounds, between which the server is judged, for so many seconds."""
    asked = [
        Question(messages(prompt), case.answer)
        for prompt, case in inputs.pairs
        if case.margin >= SURE and case.prompt_tokens < SHORT
    ]
    deadline, done = time.monotonic() + seconds, 0
    while (left := deadline - time.monotonic()) > 0:
        one = Crowd(asked, min(ROUND_S, left), number + done)
        done += 1
        yield supervisor.attempt(Attack(Kind.CROWD, f"{CLIENTS} clients, round {done}", one.run))
