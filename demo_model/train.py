"""Trains the network on generated conversations: one long phase, then a short polish.

The polish starts from nothing but the weights: with optimizers, a random stream and a falling
learning rate of its own, so it can be run alone from the checkpoint of the first phase.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from demo_model.batches import Batch, BatchSource
from demo_model.induction import initialise
from demo_model.model import DemoModel, ModelConfig

CHECKPOINT, POLISHED = "checkpoint.pt", "polished.pt"
_CHOSEN_STEP = 512


@dataclass(frozen=True)
class Phase:
    """A stretch of training under one learning rate, which is held and then falls to zero.

    ``hard`` is the share of batches from the corpus of the polish.
    """

    tokens: int
    rate: float
    hold: float
    seed: int
    hard: float = 0.0


@dataclass(frozen=True)
class TrainConfig:
    """The recipe. It is counted in tokens, so that it does not depend on the machine.

    ``minutes`` ends a run earlier, each phase at its share: the learning rate then falls with the clock.
    """

    tokens: int = 36_000_000
    polish_tokens: int = 4_000_000
    vocab_size: int = 6400
    batch_tokens: int = 6144
    rate: float = 2e-3
    polish_rate: float = 4e-4
    hold: float = 0.35
    polish_hard: float = 0.3
    seed: int = 20260101
    polish_seed: int = 20260201
    minutes: float = float("inf")
    compile: bool = True

    @property
    def main(self) -> Phase:
        """From initial weights to a model that can do everything on the list."""
        return Phase(self.tokens, self.rate, self.hold, self.seed)

    @property
    def polish(self) -> Phase:
        """The end of the first phase again at a low rate, with what is hard in a part of the batches."""
        return Phase(self.polish_tokens, self.polish_rate, 0.0, self.polish_seed, self.polish_hard)


class Trainer:
    """One phase of a training run: Muon for the matrices of the layers, AdamW for the rest."""

    def __init__(
        self, config: TrainConfig, phase: Phase, model: DemoModel, tokenizer: Tokenizer, device: torch.device
    ) -> None:
        self.phase = phase
        self.device = device
        self.model = model
        self.source = BatchSource(tokenizer, seed=phase.seed, batch_tokens=config.batch_tokens)
        self._minutes = config.minutes * phase.tokens / (config.tokens + config.polish_tokens)
        self._rng = random.Random(phase.seed + 7)
        matrices = [p for p in self.model.blocks.parameters() if p.ndim == 2]
        inside = {id(p) for p in matrices}
        self._others = [p for p in self.model.parameters() if id(p) not in inside]
        self._matrix_optimizer = torch.optim.Muon(
            matrices,
            lr=phase.rate,
            weight_decay=0.02,
            ns_steps=4,
            adjust_lr_fn="match_rms_adamw",
        )
        self._other_optimizer = torch.optim.AdamW(
            self._others, lr=phase.rate, betas=(0.9, 0.98), weight_decay=0.0
        )
        self._loss = torch.compile(self._batch_loss, dynamic=True) if config.compile else self._batch_loss

    def _batch_loss(
        self, ids: Tensor, positions: Tensor, chosen: Tensor, targets: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Weighted cross-entropy at the chosen positions; also each position's own loss."""
        hidden = self.model(ids, positions).flatten(0, 1)[chosen]
        losses = F.cross_entropy(self.model.logits(hidden).float(), targets, reduction="none")
        return (losses * weights).sum() / weights.sum(), losses

    def step(self, batch: Batch, rate: float) -> float:
        """One update; returns the mean loss of the assistant's own tokens."""
        for optimizer in (self._matrix_optimizer, self._other_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = self.phase.rate * rate
        flat = batch.weights.flatten()
        chosen = flat.nonzero().squeeze(1)
        # The last position is never learned, so it may fill up to a common size.
        chosen = F.pad(chosen, (0, -len(chosen) % _CHOSEN_STEP), value=len(flat) - 1)
        targets = batch.ids.flatten().roll(-1)[chosen]
        weights = flat[chosen].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            loss, losses = self._loss(
                batch.ids.to(self.device),
                batch.positions.to(self.device),
                chosen.to(self.device),
                targets.to(self.device),
                weights,
            )
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._others, 1.0)
        for optimizer in (self._matrix_optimizer, self._other_optimizer):
            optimizer.step()  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
        return losses.detach()[weights == 1.0].mean().item()

    def _draw(self, progress: float) -> tuple[str, Batch]:
        """Copy drills mostly at the start, long prompts later, more functions at the end."""
        if self.phase.hard:
            progress = 1.0
        self.source.tool_share = 0.62 if progress < 0.8 else 0.8
        choice = self._rng.random()
        if choice < (0.25 if progress < 0.08 else 0.05):
            return "copy", self.source.copy_drill()
        if progress > 0.25 and choice > 0.965:
            return "long", self.source.long()
        if choice < 0.05 + self.phase.hard:
            return "hard", self.source.hard()
        return "chat", self.source.next()

    def run(self, checkpoint: Path) -> None:
        """Train to the end of the token budget, printing and saving now and then."""
        started, saved = time.monotonic(), time.monotonic()
        seen = steps = 0
        average: dict[str, float] = {}
        while seen < self.phase.tokens:
            passed = time.monotonic() - started
            progress = max(seen / self.phase.tokens, passed / (60 * self._minutes))
            if progress >= 1.0:
                break
            kind, batch = self._draw(progress)
            loss = self.step(batch, self._rate(progress, steps))
            average[kind] = loss if kind not in average else 0.97 * average[kind] + 0.03 * loss
            seen, steps = seen + batch.tokens, steps + 1
            if steps % 50 == 0:
                shown = " ".join(f"{name}={value:.4f}" for name, value in sorted(average.items()))
                print(
                    f"step {steps} tokens {seen / 1e6:.2f}M time {passed:.0f}s speed {seen / passed:.0f}/s loss {shown}",
                    flush=True,
                )
            if time.monotonic() - saved > 120:
                self.save(checkpoint)
                saved = time.monotonic()
        self.save(checkpoint)

    def _rate(self, progress: float, steps: int) -> float:
        """Short warm-up, a plateau, then linearly to zero."""
        warm = min(1.0, (steps + 1) / 30)
        return warm * min(1.0, (1.0 - progress) / (1.0 - self.phase.hold))

    def save(self, checkpoint: Path) -> None:
        """Write weights so that a reader never sees half a file."""
        temporary = checkpoint.with_suffix(".part")
        torch.save(self.model.state_dict(), temporary)
        temporary.replace(checkpoint)


def train(config: TrainConfig, tokenizer: Tokenizer, work: Path, trained: Path | None = None) -> DemoModel:
    """Both phases, each with a checkpoint in ``work``; with ``trained``, the first one's, only the polish."""
    device = pick_device()
    model = DemoModel(ModelConfig(vocab_size=tokenizer.get_vocab_size()))
    if trained is None:
        initialise(model, config.seed)
    else:
        model.load_state_dict(torch.load(trained, map_location="cpu", weights_only=True))
    model.to(device)
    if trained is None:
        Trainer(config, config.main, model, tokenizer, device).run(work / CHECKPOINT)
    if config.polish_tokens:
        Trainer(config, config.polish, model, tokenizer, device).run(work / POLISHED)
    return model


def pick_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
