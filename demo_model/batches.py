"""Samples as tensors: batches of like length, loss weights, copy drills, position gaps."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from demo_model.corpus.dialogue import Conversation
from demo_model.corpus.hard import hard_conversation
from demo_model.corpus.hard_values import HardValues
from demo_model.corpus.mix import conversation, long_conversation
from demo_model.corpus.values import Values
from demo_model.render import render

# Few different shapes: the kernels of each shape are compiled once.
_LENGTH_STEP = 32
_PROMPT_SHARE = 0.06
_PROMPT_WEIGHT = 0.3


@dataclass(frozen=True)
class Batch:
    """Token ids, the weight with which each position's next token is learned, and positions."""

    ids: Tensor
    weights: Tensor
    positions: Tensor

    @property
    def tokens(self) -> int:
        """Tokens processed, padding included."""
        return self.ids.numel()


@dataclass(frozen=True)
class Encoded:
    """One conversation: ids, and for each whether the assistant wrote it."""

    ids: list[int]
    learned: list[bool]


class BatchSource:
    """An endless, seeded stream of batches of about ``batch_tokens`` tokens."""

    def __init__(self, tokenizer: Tokenizer, *, seed: int, batch_tokens: int) -> None:
        self.tool_share = 0.62
        self._tokenizer = tokenizer
        self._rng = random.Random(seed)
        self._values = Values(random.Random(seed + 1))
        self._hard_values = HardValues(random.Random(seed + 3))
        self._generator = torch.Generator().manual_seed(seed + 2)
        self._batch_tokens = batch_tokens
        self._waiting: dict[int, list[Encoded]] = {}
        self._hard_waiting: dict[int, list[Encoded]] = {}

    def next(self) -> Batch:
        """The next full batch of conversations of like length."""
        return self._full(self._waiting, lambda: conversation(self._values, self.tool_share))

    def hard(self) -> Batch:
        """The same of the corpus that only the polish draws from."""
        return self._full(self._hard_waiting, lambda: hard_conversation(self._hard_values))

    def _full(self, waiting: dict[int, list[Encoded]], make: Callable[[], Conversation]) -> Batch:
        """Make samples until those of one length fill a batch."""
        while True:
            sample = self._encode(make())
            length = len(sample.ids) + -len(sample.ids) % _LENGTH_STEP
            group = waiting.setdefault(length, [])
            group.append(sample)
            if len(group) == max(1, self._batch_tokens // length):
                del waiting[length]
                return self._collate(group, length)

    def long(self) -> Batch:
        """Three conversations with very long prompts."""
        group = [self._encode(long_conversation(self._values)) for _ in range(3)]
        longest = max(len(sample.ids) for sample in group)
        return self._collate(group, longest + -longest % (8 * _LENGTH_STEP))

    def copy_drill(self) -> Batch:
        """Marked segments, named again in another order: the densest signal for copying.

        Many segments are made of few different tokens, so that the token before does not tell
        which one comes next.
        """
        length, rows = 96, self._batch_tokens // 128
        ids = torch.zeros(rows, length, dtype=torch.long)
        weights = torch.zeros(rows, length)
        for row in range(rows):
            tokens, copied = self._marked_segments(length)
            ids[row] = torch.tensor(tokens)
            weights[row, : length - 1] = torch.tensor(copied[1:], dtype=torch.float)
        return Batch(ids, weights, torch.arange(length))

    def _marked_segments(self, length: int) -> tuple[list[int], list[bool]]:
        """One row of the drill, and which of its tokens can be known from before."""
        everything = range(self._tokenizer.get_vocab_size())
        digits = self._tokenizer.encode("0123456789").ids
        segments = []
        for _ in range(self._rng.randint(2, 4)):
            kind = self._rng.random()
            few = [self._rng.choice(everything) for _ in range(self._rng.randint(2, 5))]
            pool = digits if kind < 0.25 else few if kind < 0.5 else everything
            size = self._rng.randint(1, 10)
            segments.append([self._rng.choice(everything), *(self._rng.choice(pool) for _ in range(size))])
        tokens = [token for segment in segments for token in segment]
        copied = [False] * len(tokens)
        while len(tokens) < length:
            segment = self._rng.choice(segments)
            tokens += segment
            copied += [False] + [True] * (len(segment) - 1)
        return tokens[:length], copied[:length]

    def _encode(self, made: Conversation) -> Encoded:
        """Render one sample; half of them think in the last turn."""
        spans = render(
            made,
            think_last=self._rng.random() < 0.55,
            keep_reasoning=self._rng.random() < 0.5,
        )
        encoded = Encoded([], [])
        for span, result in zip(spans, self._tokenizer.encode_batch([s.text for s in spans]), strict=True):
            encoded.ids.extend(result.ids)
            encoded.learned.extend([span.learned] * len(result.ids))
        return encoded

    def _collate(self, group: list[Encoded], length: int) -> Batch:
        """Pad to one length; prompt tokens are learned rarely and weakly."""
        ids = torch.zeros(len(group), length, dtype=torch.long)
        weights = torch.zeros(len(group), length)
        for row, sample in enumerate(group):
            size = len(sample.ids)
            ids[row, :size] = torch.tensor(sample.ids)
            learned = torch.tensor(sample.learned[1:])
            sometimes = torch.rand(size - 1, generator=self._generator) < _PROMPT_SHARE
            weights[row, : size - 1] = learned.float() + (~learned & sometimes) * _PROMPT_WEIGHT
        return Batch(ids, weights, self._positions(length))

    def _positions(self, length: int) -> Tensor:
        """Ordinary positions, or with a jump, so that far distances are seen at no cost."""
        positions = torch.arange(length)
        if self._rng.random() < 0.25 and length < 1024:
            positions[self._rng.randrange(length) :] += self._rng.randrange(64, 2500)
        return positions
