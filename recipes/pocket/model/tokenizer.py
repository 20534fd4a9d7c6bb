"""A byte-level BPE of a few hundred tokens, split as Qwen2 splits, with Qwen's special tokens and a chat template.

Its merges are learned from the questions about images; behind them come those that make one token of each word that
only questions about clips have, so that what is asked about images has the tokens that it had before there were clips.

The pattern is Qwen2's own (its tokenizer.json), which llama.cpp knows as the pre-tokenizer `qwen2`: digits stand
alone, words take one leading blank.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, cast

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from recipes.evalset.clip_tasks import clip_lines
from recipes.evalset.questions import vocabulary_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

LEARNED = 512  # tokens, the special ones among them, before the words about clips
VOCABULARY = 544  # rows of the embedding; the last ones are of no token
SPECIAL_TOKENS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    *("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"),
    *("<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
)
END_OF_TEXT, START, END = SPECIAL_TOKENS[:3]
IMAGE_START, IMAGE_END, IMAGE_PAD = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"
VIDEO_PAD = "<|video_pad|>"

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# Qwen3-VL's, without tools: the parts of a message stand next to each other.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% elif part['type'] == 'video' %}{{ '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{% else %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{{ '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def assemble(vocabulary: dict[str, int], merges: Sequence[tuple[str, str]]) -> Tokenizer:
    """Make a tokenizer of its vocabulary, special tokens included, and its merges."""
    plain = {token: number for token, number in vocabulary.items() if token not in SPECIAL_TOKENS}
    tokenizer = Tokenizer(models.BPE(vocab=plain, merges=list(merges)))
    set_rules(tokenizer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL_TOKENS])
    return tokenizer


def set_rules(tokenizer: Tokenizer) -> None:
    """Normalise and split as Qwen2 does."""
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()


@functools.lru_cache(maxsize=1)
def train_tokenizer() -> Tokenizer:
    """Learn merges from the wordings about images, until so many tokens are known; then those about clips."""
    tokenizer = Tokenizer(models.BPE())
    set_rules(tokenizer)
    trainer = trainers.BpeTrainer(
        vocab_size=LEARNED - len(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(vocabulary_lines(), trainer)
    vocabulary, merges = contents(tokenizer)
    return grown(vocabulary, merges, clip_lines())


def grown(vocabulary: dict[str, int], merges: list[tuple[str, str]], lines: Sequence[str]) -> Tokenizer:
    """Make a tokenizer that has a token for each word of some lines too, merged from its left, behind all merges."""
    tokenizer = assemble(vocabulary, merges)
    vocabulary, merges = dict(vocabulary), [*merges]
    for word in dict.fromkeys(word for line in lines for word in words_of(tokenizer, line)):
        while len(tokens := tokenizer.model.tokenize(word)) > 1:
            pair = (tokens[0].value, tokens[1].value)
            merges.append(pair)
            vocabulary["".join(pair)] = len(vocabulary)
            tokenizer = assemble(vocabulary, merges)
    return tokenizer


def words_of(tokenizer: Tokenizer, text: str) -> list[str]:
    """Return the pieces that a text is split into before merging, as the vocabulary spells them."""
    splitter = tokenizer.pre_tokenizer
    assert splitter is not None  # noqa: S101 - set in `set_rules`
    return [word for word, _ in splitter.pre_tokenize_str(text)]


def contents(tokenizer: Tokenizer) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return the vocabulary and the merges, in order."""
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    return model["vocab"], cast("list[tuple[str, str]]", merges)
