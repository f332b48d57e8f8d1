"""The network: a very small GLM-4 (sandwich norms, half-rotary attention, fused SwiGLU).

The layout of every tensor is that of the ``glm4`` architecture of llama.cpp, so the export
is a renaming and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the network; the defaults are the shipped model."""

    vocab_size: int = 6400
    hidden_size: int = 256
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    ffn_size: int = 512
    rotary_dim: int = 32
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    context_length: int = 4096


class RMSNorm(nn.Module):
    """Root-mean-square norm that keeps the dtype of its input (bf16 on the fast path)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.eps)


def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate interleaved pairs of the first ``2 * cos.shape[-1]`` channels, as GLM does."""
    rotated, passed = x.tensor_split([2 * cos.shape[-1]], dim=-1)
    even, odd = rotated[..., 0::2], rotated[..., 1::2]
    turned = torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1)
    return torch.cat([turned.flatten(-2), passed], dim=-1)


class Attention(nn.Module):
    """Causal grouped-query attention with q/k/v biases (the biases carry the built-in heads)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        hidden, dim = config.hidden_size, config.head_dim
        self.q_proj = nn.Linear(hidden, config.heads * dim)
        self.k_proj = nn.Linear(hidden, config.kv_heads * dim)
        self.v_proj = nn.Linear(hidden, config.kv_heads * dim)
        self.o_proj = nn.Linear(config.heads * dim, hidden, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Attend over the earlier positions of each row."""
        batch, length, _ = x.shape
        dim = self.config.head_dim
        query = self.q_proj(x).view(batch, length, -1, dim).transpose(1, 2)
        key = self.k_proj(x).view(batch, length, -1, dim).transpose(1, 2)
        value = self.v_proj(x).view(batch, length, -1, dim).transpose(1, 2)
        query, key = apply_rotary(query, cos, sin), apply_rotary(key, cos, sin)
        grouped = self.config.heads != self.config.kv_heads
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped)
        output: Tensor = self.o_proj(mixed.transpose(1, 2).reshape(batch, length, -1))
        return output


class FeedForward(nn.Module):
    """SwiGLU with gate and up projection in one matrix."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_up_proj = nn.Linear(config.hidden_size, 2 * config.ffn_size, bias=False)
        self.down_proj = nn.Linear(config.ffn_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Gate, multiply, project back."""
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        output: Tensor = self.down_proj(F.silu(gate) * up)
        return output


class Block(nn.Module):
    """One layer; each branch is normalised before it is added (GLM-4's sandwich norms)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        size, eps = config.hidden_size, config.norm_eps
        self.input_norm = RMSNorm(size, eps)
        self.attention = Attention(config)
        self.post_attention_norm = RMSNorm(size, eps)
        self.ffn_norm = RMSNorm(size, eps)
        self.ffn = FeedForward(config)
        self.post_ffn_norm = RMSNorm(size, eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Attention branch, then feed-forward branch."""
        x = x + self.post_attention_norm(self.attention(self.input_norm(x), cos, sin))
        changed: Tensor = self.post_ffn_norm(self.ffn(self.ffn_norm(x)))
        return x + changed


class DemoModel(nn.Module):
    """Token ids to final hidden states; the embedding is tied to the output projection."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        steps = torch.arange(0, config.rotary_dim, 2).float() / config.rotary_dim
        angles = torch.arange(config.context_length).float()[:, None] * config.rope_theta**-steps
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Return the normalised hidden state of every token; rows share their positions."""
        x = self.embedding(ids)
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        cos, sin = self.cos[positions].to(x.dtype), self.sin[positions].to(x.dtype)
        for block in self.blocks:
            x = block(x, cos, sin)
        hidden: Tensor = self.norm(x)
        return hidden

    def layer(self, index: int) -> Block:
        """One layer, typed."""
        block = self.blocks[index]
        if not isinstance(block, Block):
            raise TypeError(type(block).__name__)
        return block

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary for already selected hidden states."""
        return F.linear(hidden, self.embedding.weight.to(hidden.dtype))
