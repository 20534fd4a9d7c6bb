"""What the reference says to each prompt of one model, with deviations, and where its routers nearly tie."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from recipes.pocket.fidelity.image_batching import LEFT_OUT, left_out
from recipes.pocket.fidelity.rotary import FOURTH, left_over, unturned
from recipes.pocket.fidelity.summary import apart
from recipes.pocket.model.replaced import replaced
from recipes.pocket.model.router_ties import Tie, decided_otherwise, watched
from recipes.pocket.reference.known_deviations import ALL, HALF
from recipes.pocket.reference.reference import can_change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recipes.evalset.prompts import Prompt
    from recipes.pocket.reference.reference import Reference, Seen

NARROWEST = 12  # choices of a router that are tried the other way, the narrowest first
NARROW = 0.003  # the gap, a difference of probability, beyond which no rounding to 16 bits decides
MOST_TURNED = 3  # of them at once
# times that a deviation which rounds to 16 bits is done again, with pixels that are a millionth off
TREMBLES = 16


@dataclass(frozen=True)
class Changes:
    """What is changed in a reference: the names of deviations, and the routers' choices that go the other way.

    `batch` is how many tokens a server takes at once; it matters to one deviation.
    """

    names: frozenset[str] = frozenset()
    batch: int = 1
    turned: tuple[Tie, ...] = ()


NOTHING = Changes()


class Oracle:
    """A reference that remembers what it was asked about one prompt."""

    def __init__(self, reference: Reference, prompt: Prompt) -> None:
        self._reference = reference
        self._prompt = prompt
        self._seen: dict[frozenset[str], Seen] = {}
        self._said: dict[tuple[frozenset[str], frozenset[int], bool, tuple[Tie, ...]], tuple[float, ...]] = {}
        first = reference.first(prompt, frozenset(), self._seen)
        self._listed = reference.listed(first)
        self.tokens = tuple(reference.tokenizer.decode([token]) for token in self._listed)
        self.length = int(reference.prepare(prompt).ids.shape[1])

    @property
    def likeliest(self) -> int:
        """The number of the likeliest token that a server can list."""
        return self._listed[0]

    @property
    def _language(self) -> Any:  # noqa: ANN401 - transformers' module
        return self._reference.model.model.language_model

    @contextmanager
    def _changed(self, changes: Changes) -> Iterator[None]:
        """Change the language model in what `Reference` does not know, within the block."""
        with ExitStack() as stack:
            if self._is_short(changes):
                stack.enter_context(unturned(self._language))
            stack.enter_context(decided_otherwise(self._language, changes.turned))
            yield

    def _is_short(self, changes: Changes) -> bool:
        """Whether frequencies are left over that are turned by nothing."""
        return FOURTH in changes.names and bool(left_over(self._language.rotary_emb.mrope_section))

    def _touching(self, changes: Changes) -> tuple[frozenset[str], frozenset[int]]:
        """Return the deviations of `Reference` that can change the prompt, and the tokens that are left out."""
        names = frozenset(
            item.name for item in ALL if item.name in changes.names and can_change(item, self._prompt)
        )
        if LEFT_OUT not in changes.names:
            return names, frozenset()
        ids = self._reference.prepare(self._prompt, names).ids[0]
        is_image = (ids == self._reference.model.config.image_token_id).tolist()
        return names, left_out(is_image, changes.batch)

    def logprobs(self, changes: Changes = NOTHING) -> tuple[float, ...]:
        """Return the natural logarithms of probability of the listed tokens."""
        names, hidden = self._touching(changes)
        key = (names, hidden, self._is_short(changes), changes.turned)
        if key not in self._said:
            with self._changed(changes):
                first = self._reference.first(self._prompt, names, self._seen, hidden)
            self._said[key] = tuple(float(value) for value in first[self._listed])
        return self._said[key]

    def ties(self, changes: Changes = NOTHING) -> list[Tie]:
        """Return the narrowest choices of the routers, over all layers and tokens; none of a dense model."""
        names, hidden = self._touching(changes)
        found: list[Tie] = []
        with self._changed(changes), watched(self._language, found):
            self._reference.first(self._prompt, names, self._seen, hidden)
        return [tie for tie in found if tie.token not in hidden][:NARROWEST]

    def trembling(self, changes: Changes) -> tuple[tuple[float, ...], ...]:
        """Return the logarithms of the deviations done again and again, with pixels that are a millionth off.

        Where sums are kept in 16 bits, rounding in 32 bits decides which way a value is rounded, and a router's
        choice can hang by that: then what comes out depends on the order in which a processor adds. There are none
        where no deviation rounds to 16 bits in the vision tower.
        """
        names, hidden = self._touching(changes)
        if HALF.name not in names:
            return ()
        found = []
        with self._changed(changes):
            for seed in range(TREMBLES):
                generator = torch.Generator().manual_seed(seed)
                with replaced(self._reference, tremor=generator):
                    first = self._reference.first(self._prompt, names, {}, hidden)
                found.append(tuple(float(value) for value in first[self._listed]))
        return tuple(found)

    def turned(
        self, measured: tuple[float, ...], changes: Changes, limit: float
    ) -> tuple[tuple[Tie, ...], float]:
        """Return narrow choices that, decided the other way, give what was measured; and what difference they leave.

        Each of the narrowest is tried, and the one that comes closest kept, until the difference is within the limit,
        the largest that needs no explanation, or nothing comes closer.
        """
        chosen: tuple[Tie, ...] = ()
        left = apart(measured, self.logprobs(changes))
        open_ties = [tie for tie in self.ties(changes) if tie.gap < NARROW]
        while open_ties and left > limit and len(chosen) < MOST_TURNED:
            tried = [
                (apart(measured, self.logprobs(replace(changes, turned=(*chosen, tie)))), tie)
                for tie in open_ties
            ]
            least, best = min(tried)
            if least >= left:
                break
            chosen, left = (*chosen, best), least
            open_ties.remove(best)
        return chosen, left
