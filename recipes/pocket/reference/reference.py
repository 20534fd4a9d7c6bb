"""The reference: transformers in fp32 on the CPU, asked a prompt, with each known deviation."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch

from recipes.evalset.golden import JOIN, Deviation, GoldenCase, NearTie
from recipes.pocket.model.batches import Batch, collate, frames
from recipes.pocket.model.preprocess import JOINT, Writer
from recipes.pocket.model.replaced import replaced
from recipes.pocket.model.router_ties import Tie, decided_otherwise, watched
from recipes.pocket.model.tokenizer import END, END_OF_TEXT, VIDEO_PAD
from recipes.pocket.reference import deviations
from recipes.pocket.reference import known_deviations as known
from recipes.pocket.reference.clip_pieces import pieces_with
from recipes.pocket.reference.frame_pairs import has_pair, pair

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import TypeAlias

    from tokenizers import Tokenizer
    from torch import Tensor

    from recipes.evalset.prompts import Prompt
    from recipes.evalset.tasks import Turn
    from recipes.pocket.reference.frame_pairs import Paired

    Seen: TypeAlias = tuple[Tensor, list[Tensor]]

LISTED = 5  # first tokens whose probabilities are kept
MOST_ANSWER_TOKENS = 16
DIGITS = 5  # of a logarithm, behind the point
NEAR = 5e-4  # of probability: products of 16 bits turn choices of the router that are closer
TREMOR = 1e-6  # of a pixel's value: what rounding in 32 bits may do
SHOWS = 0.005  # of a logarithm: near-ties that change less are not kept


class Reference:
    """A model of transformers, with its tokenizer, that answers prompts."""

    def __init__(self, model: Any, tokenizer: Tokenizer) -> None:  # noqa: ANN401 - transformers' model
        self.model = model
        self.tokenizer = tokenizer
        self.writer = Writer(tokenizer)
        self.tremor: torch.Generator | None = None  # with one, pixels are a millionth off, at random

    def prepare(self, prompt: Prompt, names: Collection[str] = ()) -> Batch:
        """Return a prompt without its last answer, its images and clips with or without a deviation."""
        turns: Sequence[Turn | Paired] = prompt.turns
        joint = JOINT if known.JOINED.name in names else ""
        if known.PAIRED.name in without_pairs_apart(names):
            turns = pair(prompt.turns)
        prepared = self.writer.prepare(
            turns,
            joint=joint,
            fitting=lambda image, size: deviations.fitted(image, names, size),
            pieces=pieces_with(names),
        )
        end = prepared.answers[-1][1]
        whole = collate([prepared], self.writer.special(END_OF_TEXT))
        positions = whole.positions[:, :, :end]
        if known.SAME_TIME.name in names:
            positions = deviations.at_one_time(
                positions, whole.ids[0, :end] == self.writer.special(VIDEO_PAD)
            )
        return replace(
            whole,
            ids=whole.ids[:, :end],
            labels=whole.labels[:, :end],
            kept=whole.kept[:, :end],
            positions=positions,
        )

    @torch.no_grad()
    def see(self, batch: Batch, names: Collection[str] = ()) -> Seen:
        """Return what the vision tower makes of the images: the merger's output, and each DeepStack level's."""
        visual = self.model.model.visual
        more: dict[str, Tensor] = {}
        positions = visual.pos_embed
        if known.INTERPOLATION.name in names or known.NEAREST.name in names:
            look_up = (
                deviations.nearest_positions
                if known.NEAREST.name in names
                else deviations.positions_between_centres
            )
            grids = [(int(rows), int(columns)) for _, rows, columns in batch.grids]
            mixed = torch.cat([look_up(positions.weight, *grid) for grid in grids])
            positions = torch.nn.Embedding.from_pretrained(mixed)
            more = {
                "interp_indices": torch.arange(len(mixed))[:, None],
                "interp_weights": torch.ones(len(mixed), 1),
            }
        later = None if batch.later is None else deviations.changed_pixels(batch.later, names)
        pixels = self._trembling(frames(deviations.changed_pixels(batch.patches, names), later))
        with replaced(visual, pos_embed=positions), deviations.vision_with(visual, names):
            seen = visual(pixels, grid_thw=batch.grids, return_dict=True, **more)
        return seen.pooler_output, deviations.changed_levels(seen.deepstack_features, names)

    def _trembling(self, pixels: Tensor) -> Tensor:
        """Return pixels as they are, or each off by about a millionth of itself."""
        if self.tremor is None:
            return pixels
        return pixels * (1 + TREMOR * torch.randn(pixels.shape, generator=self.tremor))

    @torch.no_grad()
    def logits(
        self,
        batch: Batch,
        seen: Seen | None,
        said: list[int],
        names: Collection[str] = (),
        hidden: Collection[int] = (),
    ) -> Tensor:
        """Return the logits of the token after a prompt and the beginning of an answer; shape (vocabulary,).

        `seen` is what `see` gave of it, None without images; no other token sees those whose numbers are `hidden`.
        """
        inner = self.model.model
        ids = torch.cat([batch.ids, torch.tensor([said], dtype=torch.long)], dim=1)
        after = batch.positions.max() + 1 + torch.arange(len(said))
        positions = torch.cat([batch.positions, after.expand(3, 1, -1)], dim=2)
        embedded = inner.get_input_embeddings()(ids)
        mask = (ids == self.model.config.image_token_id) | (ids == self.model.config.video_token_id)
        images: dict[str, Any] = {}
        if seen is not None:
            embedded = embedded.masked_scatter(mask[..., None], seen[0])
            images = {"visual_pos_masks": mask, "deepstack_visual_embeds": seen[1]}
        with deviations.language_with(inner.language_model, names):
            states = inner.language_model(
                inputs_embeds=embedded,
                attention_mask=deviations.without(deviations.text_mask(mask[0], names), hidden),
                position_ids=positions,
                use_cache=False,
                **images,
            ).last_hidden_state
        result: Tensor = self.model.lm_head(states[:, -1])[0]
        return result

    def answer(self, prompt: Prompt) -> tuple[str, float]:
        """Return the greedy answer, and by how much its least certain token leads the runner-up."""
        batch = self.prepare(prompt)
        seen = self.see(batch) if len(batch.grids) else None
        said: list[int] = []
        margin = float("inf")
        end = self.writer.special(END)
        while len(said) < MOST_ANSWER_TOKENS:
            best = self.logits(batch, seen, said).log_softmax(-1).topk(2)
            margin = min(margin, float(best.values[0] - best.values[1]))
            if int(best.indices[0]) == end:
                break
            said.append(int(best.indices[0]))
        return self.tokenizer.decode(said), round(margin, DIGITS)

    def case(self, prompt: Prompt) -> GoldenCase:
        """Return all that is compared of one prompt."""
        batch = self.prepare(prompt)
        answer, margin = self.answer(prompt)
        seen: dict[frozenset[str], Seen] = {}
        likeliest = self.listed(self.first(prompt, frozenset(), seen))
        logprobs = {
            JOIN.join(sorted(chosen)): rounded(self.first(prompt, chosen, seen)[likeliest])
            for chosen in (looked_at_clips if prompt.is_of_clips else looked_at)(prompt)
        }
        return GoldenCase(
            name=prompt.name,
            with_images=bool(prompt.scenes or prompt.clips),
            resized=prompt.is_resized,
            prompt_tokens=batch.ids.shape[1],
            answer=answer,
            margin=margin,
            tokens=tuple(self.tokenizer.decode([token]) for token in likeliest),
            logprobs=logprobs,
            ties=self.ties(prompt, likeliest, seen),
        )

    def ties(
        self, prompt: Prompt, likeliest: list[int], seen: dict[frozenset[str], Seen]
    ) -> tuple[NearTie, ...]:
        """Return the near-ties of the router that show in the first token, the closest first."""
        language = self.model.model.language_model
        found: dict[tuple[int, int], tuple[float, dict[str, tuple[float, ...]]]] = {}
        for names in (frozenset[str](), frozenset({known.HALF_TEXT.name})):
            choices: list[Tie] = []
            with watched(language, choices):
                plain = self.first(prompt, names, seen)[likeliest]
            for choice in choices:
                if choice.gap >= NEAR:
                    break
                with decided_otherwise(language, [choice]):
                    other = self.first(prompt, names, seen)[likeliest]
                if float((other - plain).abs().max()) > SHOWS:
                    _, logprobs = found.setdefault((choice.layer, choice.token), (choice.gap, {}))
                    logprobs[JOIN.join(names)] = rounded(other)
        listed = (
            NearTie(layer=layer, token=token, gap=gap, logprobs=logprobs)
            for (layer, token), (gap, logprobs) in found.items()
        )
        return tuple(sorted(listed, key=lambda tie: tie.gap))

    def listed(self, logprobs: Tensor) -> list[int]:
        """Return the likeliest tokens that a server can list: each with a text of its own."""
        texts: dict[str, int] = {}
        for token in map(int, logprobs.argsort(descending=True)):
            text = self.tokenizer.decode([token])
            if text and "\ufffd" not in text and text not in texts:  # special tokens are shown as nothing
                texts[text] = token
            if len(texts) == LISTED:
                break
        return list(texts.values())

    def first(
        self,
        prompt: Prompt,
        names: frozenset[str],
        seen: dict[frozenset[str], Seen],
        hidden: Collection[int] = (),
    ) -> Tensor:
        """Return the logarithms of probability of the first token of the answer; shape (vocabulary,).

        `seen` keeps what the vision tower gave for this prompt, by the deviations that it has; `hidden` is as in
        `logits`.
        """
        names = without_pairs_apart(names)
        batch = self.prepare(prompt, names)
        if not len(batch.grids):
            return self.logits(batch, None, [], names, hidden).log_softmax(-1)
        of_vision = names - {deviation.name for deviation in (*known.OF_LANGUAGE, *known.OF_TEXT_OF_CLIPS)}
        if of_vision not in seen:
            seen[of_vision] = self.see(batch, names)
        return self.logits(batch, seen[of_vision], [], names, hidden).log_softmax(-1)


def without_pairs_apart(names: Collection[str]) -> frozenset[str]:
    """Return deviations that go together: where a line end joins the parts, no two images are in a row."""
    return frozenset(names) - ({known.PAIRED.name} if known.JOINED.name in names else set())


def rounded(logarithms: Tensor) -> tuple[float, ...]:
    """Return logarithms as they are kept."""
    return tuple(round(value, DIGITS) for value in logarithms.tolist())


def looked_at(prompt: Prompt) -> tuple[frozenset[str], ...]:
    """Return the combinations of deviations whose probabilities are kept: those that can change a prompt's.

    All of grades; and each fault alone and with the usual grades.
    """
    grades, usual, faults = (
        [item.name for item in some if can_change(item, prompt)]
        for some in (known.GRADES, known.USUAL, known.FAULTS)
    )
    return (*subsets(grades), *(chosen | {fault} for fault in faults for chosen in subsets(usual)))


def subsets(names: list[str]) -> tuple[frozenset[str], ...]:
    """Return every set of some names, the empty one first, without those that exclude each other."""
    every = (frozenset(chosen) for count in range(len(names) + 1) for chosen in combinations(names, count))
    return tuple(chosen for chosen in every if not chosen >= {deviation.name for deviation in known.OF_SIZE})


def can_change(deviation: Deviation, prompt: Prompt) -> bool:
    """Whether a deviation can change a prompt's probabilities."""
    if deviation in known.OF_TEXT:
        return True
    if deviation is known.PAIRED:
        return has_pair(prompt.turns)
    if deviation is known.JOINED:
        return any(len(turn.parts) > 1 for turn in prompt.turns)
    return bool(prompt.scenes) and (deviation not in known.OF_SIZE or prompt.is_resized)


def looked_at_clips(prompt: Prompt) -> tuple[frozenset[str], ...]:
    """Return the combinations of deviations whose probabilities are kept of a prompt with clips.

    Each deviation of clips alone, and with the grades that upstream has.
    """
    grades = [item.name for item in known.WITH_CLIPS if item is not known.PADDED or prompt.is_resized]
    own = [
        item.name
        for item in known.OF_CLIPS
        if (has_pair(prompt.turns) if item is known.PAIRED else prompt.clips)
    ]
    return tuple(chosen | more for chosen in subsets(grades) for more in ({*()}, *({name} for name in own)))


def versions() -> dict[str, str]:
    """Return the versions of what the reference is computed with, by name."""
    packages = ("torch", "transformers", "tokenizers", "pillow", "numpy", "gguf")
    return {name: version(name) for name in packages}
