"""Samples as tensors: length-sorted batches, loss weights, copy drills, position gaps."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from demo_model.corpus.dialogue import Conversation
from demo_model.corpus.mix import conversation, long_conversation
from demo_model.corpus.values import Values
from demo_model.render import render

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
        self._ready: Iterator[Batch] = iter(())

    def next(self) -> Batch:
        """The next batch of ordinary conversations."""
        batch = next(self._ready, None)
        if batch is None:
            self._ready = self._sorted_batches([self._encode(conversation) for _ in range(768)])
            batch = next(self._ready)
        return batch

    def long(self) -> Batch:
        """A batch of conversations with very long prompts."""
        count = 3
        return self._collate([self._encode(long_conversation) for _ in range(count)])

    def copy_drill(self) -> Batch:
        """Random segments repeated: the densest signal for the copy circuits."""
        length, rows = 64, self._batch_tokens // 128
        ids = torch.zeros(rows, length, dtype=torch.long)
        weights = torch.zeros(rows, length)
        digits = [self._tokenizer.token_to_id(str(digit)) for digit in range(10)]
        size = self._tokenizer.get_vocab_size()
        for row in range(rows):
            period = self._rng.randint(3, 24)
            pool = digits if self._rng.random() < 0.15 else range(size)
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

    def _sorted_batches(self, pool: list[Encoded]) -> Iterator[Batch]:
        """Group samples of like length, then shuffle the groups."""
        pool.sort(key=lambda sample: len(sample.ids))
        groups: list[list[Encoded]] = [[]]
        for sample in pool:
            if len(sample.ids) * (len(groups[-1]) + 1) > self._batch_tokens and groups[-1]:
                groups.append([])
            groups[-1].append(sample)
        self._rng.shuffle(groups)
        return (self._collate(group) for group in groups)

    def _collate(self, group: list[Encoded]) -> Batch:
        """Pad to the longest; prompt tokens are learned rarely and weakly."""
        length = max(len(sample.ids) for sample in group)
        length += -length % 16
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
