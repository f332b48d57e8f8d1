"""Samples as tensors: batches of like length, loss weights, copy drills, position gaps."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from demo_model.corpus.dialogue import Conversation
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
        self._tokenizer = tokenizer
        self._rng = random.Random(seed)
        self._values = Values(random.Random(seed + 1))
        self._generator = torch.Generator().manual_seed(seed + 2)
        self._batch_tokens = batch_tokens
        self._waiting: dict[int, list[Encoded]] = {}

    def next(self) -> Batch:
        """The next full batch of conversations of like length."""
        while True:
            sample = self._encode(conversation)
            length = len(sample.ids) + -len(sample.ids) % _LENGTH_STEP
            waiting = self._waiting.setdefault(length, [])
            waiting.append(sample)
            if len(waiting) == max(1, self._batch_tokens // length):
                del self._waiting[length]
                return self._collate(waiting, length)

    def long(self) -> Batch:
        """Three conversations with very long prompts."""
        group = [self._encode(long_conversation) for _ in range(3)]
        longest = max(len(sample.ids) for sample in group)
        return self._collate(group, longest + -longest % (8 * _LENGTH_STEP))

    def copy_drill(self) -> Batch:
        """Random segments repeated: the densest signal for the copy circuits."""
        length, rows = 64, self._batch_tokens // 128
        ids = torch.zeros(rows, length, dtype=torch.long)
        weights = torch.zeros(rows, length)
        digits = [self._tokenizer.token_to_id(str(digit)) for digit in range(10)]
        size = self._tokenizer.get_vocab_size()
        for row in range(rows):
            period = self._rng.randint(3, 24)
            pool = digits if self._rng.random() < 0.35 else range(size)
            segment = [self._rng.choice(pool) for _ in range(period)]
            ids[row] = torch.tensor((segment * (length // period + 1))[:length])
            weights[row, period : length - 1] = 1.0
        return Batch(ids, weights, torch.arange(length))

    def _encode(self, make: Callable[[Values], Conversation]) -> Encoded:
        """Render one sample; half of them think in the last turn."""
        spans = render(
            make(self._values),
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
