"""One of several workers that share a repository and nothing else: it claims a stage, says that it lives, and lets go.

What a claim saves is time. Who holds one can lose it to a worker that took it for dead; then two make the same stage,
and `recipes.registry.publish` compares what they made.
"""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import msgspec

from recipes.core.digest import Sha256
from recipes.fetch.http.network_errors import OriginError
from recipes.registry.claims import (
    BEATS,
    LEASE_S,
    Claim,
    State,
    Verdict,
    Watch,
    claims_by_stage,
    decide,
    decode_claim,
    encode_claim,
)
from recipes.registry.client import DELETE, Client, RegistryFaultError
from recipes.registry.documents import EMPTY, MANIFEST_TYPE
from recipes.registry.names import WORKER_DIGITS, claim_tag
from recipes.registry.publish import refusal
from recipes.registry.tree import read_tree
from recipes.registry.upload import Blob, push_blob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from recipes.fetch.http.retry import Tempo
    from recipes.registry.caches import Wanted
    from recipes.registry.reference import Repository
    from recipes.registry.tree import TreeArtifact
    from recipes.store.context import Context

LOOKS = 24  # of a lease: how often a worker with nothing to do looks at the registry at least
FIRST_LOOK_S = 0.5
LONGEST_LOOK_S = 10.0
CONTEST_S = 0.2  # between two looks where two want one stage at the same moment


@dataclass
class Held:
    """A stage that this worker may make; `is_lost` once others took it for dead."""

    claim: Claim
    digest: Sha256
    is_lost: bool = False
    ended: threading.Event = field(default_factory=threading.Event)


class Worker:
    """Use it as a context manager. Its methods raise RegistryError where the registry does not answer as it must.

    `name` is drawn by chance, and tells workers apart. `sleep` and `clock` are those of tests.
    """

    def __init__(  # noqa: PLR0913 - the place, and what tests replace
        self,
        context: Context,
        repository: Repository,
        lease_s: float = LEASE_S,
        *,
        tempo: Tempo | None = None,
        name: str = "",
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.context, self.repository, self.lease_s = context, repository, lease_s
        self.name = name or secrets.token_hex(WORKER_DIGITS // 2)
        self.tempo, self.sleep, self.clock = tempo, sleep, clock
        self._client = Client(repository, context, DELETE, tempo=tempo)
        self._watch = Watch()
        self._is_ready = False
        self._dead: set[Sha256] = set()  # what was said of a dead worker

    def __enter__(self) -> Self:
        self._client.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.__exit__()

    def rest(self, looks: int) -> None:
        """Wait before another look at what others do, after so many in a row: each time twice as long as before."""
        longest_s = min(self.lease_s / LOOKS, LONGEST_LOOK_S)
        self.sleep(min(FIRST_LOOK_S * (1 << min(looks, 20)), longest_s))

    def tags(self) -> frozenset[str]:
        """Return all tags of the repository: what is there, and what is claimed."""
        with self._refusing():
            return frozenset(self._client.tags())

    def is_free(self, stage: str, tags: frozenset[str]) -> bool:
        """Whether nobody alive has a claim on a stage, as far as these tags tell; what is dead is removed."""
        with self._refusing():
            return not self._others(stage, tags)

    def find(self, wanted: Wanted) -> TreeArtifact | None:
        """Return what the registry has of a stage; None where that is not all there, or not the pinned tree."""
        reference = self.repository.at(wanted.name)
        with self._refusing():
            found = self._client.find_manifest(reference)
            if found is None:
                return None
            try:
                there = read_tree(self._client, reference, found, wanted.kind)
            except RegistryFaultError as error:
                self.context.console.warn(f"not used: {error}")
                return None
            is_right = wanted.tree is None or there.facts.tree == wanted.tree.hex
            return there if is_right and self._client.has_blob(there.layer.sha256, there.layer.size) else None

    @contextmanager
    def claim(self, stage: str) -> Iterator[Held | None]:
        """Hold a stage for as long as the block runs; None where another worker has it."""
        with self._refusing():
            held = self._win(stage)
        if held is None:
            yield None
            return
        beating = threading.Thread(target=self._beat, args=(held,), daemon=True)
        beating.start()
        try:
            yield held
        finally:
            held.ended.set()
            beating.join()
            # whoever ends because of an error says that one; without this the claim dies by itself
            with suppress(OriginError):
                self._release(self._client, held)

    @contextmanager
    def turn(self, stage: str, is_there: Callable[[], bool]) -> Iterator[bool]:
        """Wait until a stage is there, or this worker's to make; yield whether it is to be made.

        `is_there` looks whether the stage was made, and takes it then.
        """
        looks = 0
        while True:
            with self.claim(stage) as held:
                if is_there():
                    yield False
                    return
                if held:
                    yield True
                    return
            if not looks:
                self.context.console.say(f"waiting for another worker, which makes {stage}")
            self.rest(looks)
            looks += 1

    def _win(self, stage: str) -> Held | None:
        """Say that this worker wants a stage, and look at who else does until it is decided."""
        if not self._is_ready:
            push_blob(self._client, Blob.of_bytes(EMPTY))
            self._is_ready = True
        wanted = Claim(stage=stage, worker=self.name, state=State.WANTED, beat=0, lease_s=self.lease_s)
        held = self._put(self._client, wanted)
        try:
            while (verdict := decide(self.name, self._others(stage))) is Verdict.WAIT:
                self.sleep(min(CONTEST_S, self.lease_s / LOOKS))
                held = self._again(self._client, held)
            if verdict is Verdict.HOLD:
                return self._again(self._client, held, State.HELD)
        except BaseException:
            with suppress(OriginError):
                self._release(self._client, held)
            raise
        self._release(self._client, held)
        return None

    def _others(self, stage: str, tags: frozenset[str] | None = None) -> list[Claim]:
        """Return the live claims of others on a stage; the dead ones are removed."""
        claimed: Mapping[str, tuple[str, ...]] = claims_by_stage(
            self._client.tags() if tags is None else tags
        )
        found = []
        for worker in claimed.get(stage, ()):
            if worker == self.name:
                continue
            tag = claim_tag(stage, worker)
            answer = self._client.find_manifest(self.repository.at(tag))
            claim = decode_claim(answer.document, tag) if answer else None
            if answer is None or claim is None or claim.state is State.RELEASED:
                continue
            if not self._watch.is_dead(claim, answer.digest, self.clock()):
                found.append(claim)
                continue
            if answer.digest not in self._dead:
                self._dead.add(answer.digest)
                silence = f"worker {worker} was silent for {claim.lease_s:g} s"
                self.context.console.say(f"{silence}: its claim on {stage} has ended")
                with suppress(RegistryFaultError):  # one that lets nobody remove keeps a dead claim
                    self._client.delete(answer.digest)
        return found

    def _put(self, client: Client, claim: Claim) -> Held:
        data = encode_claim(claim)
        client.put_manifest(self.repository.at(claim.tag), data, MANIFEST_TYPE)
        return Held(claim, Sha256.of_bytes(data))

    def _again(self, client: Client, held: Held, state: State | None = None) -> Held:
        """Say once more what this worker does with a stage, in the place of what it said before."""
        claim = msgspec.structs.replace(held.claim, state=state or held.claim.state, beat=held.claim.beat + 1)
        after = self._put(client, claim)
        with suppress(RegistryFaultError):
            client.delete(held.digest)
        return after

    def _release(self, client: Client, held: Held) -> None:
        if held.is_lost:
            return
        there = client.find_manifest(self.repository.at(held.claim.tag))
        if there is None:
            return
        try:
            client.delete(there.digest)
        except RegistryFaultError:  # it lets nobody remove
            self._again(client, held, State.RELEASED)

    def _beat(self, held: Held) -> None:
        """Say until the stage is made that this worker lives; where its claim was taken away, stop."""
        stage = held.claim.stage
        with Client(self.repository, self.context, DELETE, tempo=self.tempo) as client:
            while not held.ended.wait(self.lease_s / BEATS):
                with suppress(OriginError):
                    there = client.find_manifest(self.repository.at(held.claim.tag))
                    if there is None:
                        held.is_lost = True
                        self.context.console.warn(
                            f"others took this worker for dead, and may make {stage} too"
                        )
                        return
                    after = self._again(client, held)
                    held.claim, held.digest = after.claim, after.digest

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except OriginError as error:
            raise refusal(self.repository, error, "build") from error
