"""Initial weights with working copy circuits.

A random start needs millions of tokens before attention learns to copy. Here the last head of
layer 0 looks at the previous token and writes its code into a reserved subspace; the last head of
layer 1 looks for the place whose previous token equals the current one and proposes the token
found there. Training starts from a model that already continues repeated text and refines it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from demo_model.model import Attention, DemoModel

_EMBEDDING_STD = 0.2
_PREVIOUS_SHARPNESS = 7.75
_MATCH_GAIN = 2.0


@torch.no_grad()
def initialise(model: DemoModel, seed: int) -> None:
    """Random weights, then the two built-in heads."""
    torch.manual_seed(seed)
    config = model.config
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.02)
        else:
            nn.init.zeros_(parameter)
    nn.init.normal_(model.embedding.weight, std=_EMBEDDING_STD)
    nn.init.constant_(model.norm.weight, 0.5)
    for block in map(model.layer, range(config.layers)):
        nn.init.ones_(block.input_norm.weight)
        nn.init.ones_(block.ffn_norm.weight)
        nn.init.constant_(block.post_attention_norm.weight, 0.2)
        nn.init.constant_(block.post_ffn_norm.weight, 0.15)
    basis, _ = torch.linalg.qr(torch.randn(config.hidden_size, config.hidden_size))
    code = basis[:, : config.head_dim].T.contiguous()
    reserved = basis[:, config.head_dim : 2 * config.head_dim].contiguous()
    weight = model.embedding.weight
    weight -= weight @ reserved @ reserved.T
    _previous_token_head(model, code, reserved)
    _induction_head(model, code, reserved)


def _last_head(attention: Attention) -> tuple[slice, slice]:
    """Rows of the last query head and of the key/value group it reads."""
    config = attention.config
    query_end, group_end = config.heads * config.head_dim, config.kv_heads * config.head_dim
    return slice(query_end - config.head_dim, query_end), slice(group_end - config.head_dim, group_end)


def _previous_token_head(model: DemoModel, code: Tensor, reserved: Tensor) -> None:
    """Constant keys and queries that, once rotated, agree at a distance of one."""
    block, config = model.layer(0), model.config
    attention = block.attention
    head, group = _last_head(attention)
    angles = config.rope_theta ** -(torch.arange(0, config.rotary_dim, 2) / config.rotary_dim)
    key, query = torch.zeros(config.head_dim), torch.zeros(config.head_dim)
    key[0 : config.rotary_dim : 2] = _PREVIOUS_SHARPNESS
    query[0 : config.rotary_dim : 2] = _PREVIOUS_SHARPNESS * torch.cos(angles)
    query[1 : config.rotary_dim : 2] = -_PREVIOUS_SHARPNESS * torch.sin(angles)
    attention.k_proj.bias[group], attention.q_proj.bias[head] = key, query
    attention.k_proj.weight[group] *= 0.05
    attention.q_proj.weight[head] *= 0.05
    attention.v_proj.weight[group] = code
    attention.o_proj.weight[:, head] = reserved
    block.post_attention_norm.weight.fill_(0.3)


def _induction_head(model: DemoModel, code: Tensor, reserved: Tensor) -> None:
    """Match the current token with earlier previous-token codes; propose what followed there."""
    block, config = model.layer(1), model.config
    attention = block.attention
    head, group = _last_head(attention)
    free = config.head_dim - config.rotary_dim
    content = slice(config.rotary_dim, config.head_dim)
    attention.k_proj.weight[group] *= 0.05
    attention.q_proj.weight[head] *= 0.05
    attention.k_proj.weight[group][content] = reserved[:, :free].T * _MATCH_GAIN
    attention.q_proj.weight[head][content] = code[:free] * _MATCH_GAIN
    attention.v_proj.weight[group] = code
    attention.o_proj.weight[:, head] = code.T
    block.post_attention_norm.weight.fill_(0.5)
