"""Workers whose every request to their registry is a step of its own, taken in an order that a test draws."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from recipes.core.digest import Sha256
from recipes.registry.client import Found
from recipes.registry.documents import parse_document
from recipes.registry.reference import parse_repository
from recipes.registry.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from recipes.registry.client import Client
    from recipes.registry.reference import Reference
    from recipes.store.context import Context

REPOSITORY = parse_repository("registry.example/team/llama")


class KilledError(BaseException):
    """The worker is no more."""


@dataclass
class Order:
    """Lets one thread go on at a time, as `draw` chooses of those that want to make a request or have slept."""

    draw: Callable[[list[str]], str]
    now_s: float = 0.0
    manifests: dict[str, bytes] = field(default_factory=dict)
    killed: set[str] = field(default_factory=set)
    faults: list[Exception] = field(default_factory=list)
    _waiting: dict[str, threading.Event] = field(default_factory=dict)
    _running: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def step(self, name: str) -> None:
        """Wait for the turn of a worker."""
        event = threading.Event()
        with self._changed:
            self._waiting[name] = event
            self._running -= 1
            self._changed.notify()
        event.wait()
        if name in self.killed:
            raise KilledError

    def run(self, act: Callable[[Worker], None], workers: Iterable[Worker]) -> None:
        """Let each worker act, to its end or its death; raise the first fault that one met."""

        def one(worker: Worker) -> None:
            try:
                self.step(worker.name)
                act(worker)
            except KilledError:
                pass
            except Exception as error:  # noqa: BLE001 - raised below
                self.faults.append(error)
            finally:
                with self._changed:
                    self._running -= 1
                    self._changed.notify()

        every = tuple(workers)
        self._running = len(every)
        for worker in every:
            threading.Thread(target=one, args=(worker,), daemon=True).start()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._running == 0)
                if not self._waiting:
                    break
                chosen = self.draw(sorted(self._waiting))
                self._running = 1
                self._waiting.pop(chosen).set()
        if self.faults:
            raise self.faults[0]

    def sleep(self, name: str, wait_s: float) -> None:
        self.step(name)
        self.now_s += wait_s


@dataclass
class Registry:
    """What a worker asks for of a registry; each request is atomic."""

    order: Order
    name: str

    def tags(self) -> tuple[str, ...]:
        self.order.step(self.name)
        return tuple(self.order.manifests)

    def find_manifest(self, reference: Reference) -> Found | None:
        self.order.step(self.name)
        data = self.order.manifests.get(str(reference.name))
        return Found(parse_document(data), data) if data else None

    def put_manifest(self, reference: Reference, data: bytes, _media_type: str) -> None:
        self.order.step(self.name)
        self.order.manifests[str(reference.name)] = data

    def delete(self, sha: Sha256) -> None:
        self.order.step(self.name)
        for tag in [tag for tag, data in self.order.manifests.items() if Sha256.of_bytes(data) == sha]:
            del self.order.manifests[tag]


def worker_of(order: Order, name: str, context: Context, lease_s: float = 120.0) -> Worker:
    worker = Worker(
        context,
        REPOSITORY,
        lease_s,
        name=name,
        sleep=lambda wait_s: order.sleep(name, wait_s),
        clock=lambda: order.now_s,
    )
    worker._client = cast("Client", Registry(order, name))
    worker._is_ready = True
    return worker
