"""Keeps a server running for the attacks: a dead one, or one that no longer answers, is started again."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, suppress
from typing import TYPE_CHECKING, Self

from recipes.conformance.hostile.attack import Fault, Target
from recipes.conformance.hostile.judge import attack_and_judge
from recipes.conformance.hostile.memory_watch import MemoryWatch, watched
from recipes.serve.llamacpp.server import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from recipes.conformance.hostile.attack import Attack
    from recipes.conformance.hostile.canary import Canary
    from recipes.conformance.hostile.judge import Question, Trial
    from recipes.serve.llamacpp.server import Server

TRIES = 3  # of a start
# after these a server is another one than before: what follows must not be blamed on the next attack
BROKEN = {
    Fault.REPORTED,
    Fault.DEAD,
    Fault.SILENT,
    Fault.MEMORY,
    Fault.LATE,
    Fault.WRONG,
    Fault.UNANSWERED,
    Fault.BUSY,
}


class Supervisor:
    """A server under attack, within a `with` block; `starts` counts how often it was started."""

    def __init__(
        self,
        launch: Callable[[], AbstractContextManager[Server]],
        canary: Canary,
        questions: Sequence[Question],
        patience: float = 1.0,
        memory: float = 1.0,
    ) -> None:
        self._launch = launch
        self._canary = canary
        self._limits = (patience, memory)
        self._stack = ExitStack()
        self.questions = questions
        self.starts = 0
        self.idle = 0
        self.target: Target
        self.watch: MemoryWatch

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self) -> None:
        """Start the server, again where it runs; a ServerError is raised where it does not start."""
        self._stack.close()
        self._stack = ExitStack()
        server = self._started()
        self.watch = self._stack.enter_context(watched(server.process.pid))
        self.target = Target(server, self._canary, *self._limits)
        self.starts += 1
        for question in self.questions:  # what a first question allocates is not an attack's
            question.ask(self.target)
        self.idle = self.watch.look()

    def _started(self) -> Server:
        for _ in range(TRIES - 1):
            with suppress(ServerError):  # on a busy machine a start can take longer than it may
                return self._stack.enter_context(self._launch())
        return self._stack.enter_context(self._launch())

    def attempt(self, attack: Attack) -> Trial:
        """Attack, judge, and start the server again where it is broken."""
        trial = attack_and_judge(attack, self.target, self.watch, self.questions, self.idle)
        if trial.fault in BROKEN:
            self.start()
        return trial
