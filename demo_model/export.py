"""Writes the trained network as a GGUF file that llama.cpp loads as architecture ``glm4``."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf.constants import GGMLQuantizationType
from tokenizers import Tokenizer

from demo_model.model import DemoModel, ModelConfig
from demo_model.render import TEMPLATE_PATH
from demo_model.tokenizer import CONTROL_TOKENS, TAG_TOKENS

_LAYER_NAMES = {
    "input_norm.weight": "attn_norm.weight",
    "attention.q_proj.weight": "attn_q.weight",
    "attention.q_proj.bias": "attn_q.bias",
    "attention.k_proj.weight": "attn_k.weight",
    "attention.k_proj.bias": "attn_k.bias",
    "attention.v_proj.weight": "attn_v.weight",
    "attention.v_proj.bias": "attn_v.bias",
    "attention.o_proj.weight": "attn_output.weight",
    "post_attention_norm.weight": "post_attention_norm.weight",
    "ffn_norm.weight": "ffn_norm.weight",
    "ffn.gate_up_proj.weight": "ffn_up.weight",
    "ffn.down_proj.weight": "ffn_down.weight",
    "post_ffn_norm.weight": "post_ffw_norm.weight",
}


def gguf_name(name: str) -> str:
    """The llama.cpp name of one of our tensors."""
    if name == "embedding.weight":
        return "token_embd.weight"
    if name == "norm.weight":
        return "output_norm.weight"
    _, index, rest = name.split(".", 2)
    return f"blk.{index}.{_LAYER_NAMES[rest]}"


def _write_shape(writer: gguf.GGUFWriter, config: ModelConfig) -> None:
    """Hyper-parameters."""
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.ffn_size)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_dimension_count(config.rotary_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_vocab_size(config.vocab_size)


def _write_card(writer: gguf.GGUFWriter) -> None:
    """Who made it, what it is, under which licence."""
    writer.add_name("glm-demo")
    writer.add_author("Open BigModel contributors")
    writer.add_license("Apache-2.0")
    writer.add_description(
        "A tiny bilingual demo model, trained from scratch on generated dialogues; "
        "it shows that the platform works and knows nothing else."
    )
    writer.add_languages(["zh", "en"])
    writer.add_size_label("4.6M")


def _token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a token that must exist."""
    index = tokenizer.token_to_id(token)
    if index is None:
        raise KeyError(token)
    return int(index)


def _write_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    """Vocabulary, merges, special tokens and the chat template."""
    state = json.loads(tokenizer.to_str())
    size = tokenizer.get_vocab_size()
    tokens = [tokenizer.id_to_token(index) or "" for index in range(size)]
    types = [gguf.TokenType.NORMAL] * size
    for token in CONTROL_TOKENS:
        types[_token_id(tokenizer, token)] = gguf.TokenType.CONTROL
    for token in TAG_TOKENS:
        types[_token_id(tokenizer, token)] = gguf.TokenType.USER_DEFINED
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in state["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("glm4")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(_token_id(tokenizer, "<|endoftext|>"))
    writer.add_pad_token_id(_token_id(tokenizer, "<|endoftext|>"))
    writer.add_eot_token_id(_token_id(tokenizer, "<|user|>"))
    writer.add_eom_token_id(_token_id(tokenizer, "<|observation|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE_PATH.read_text(encoding="utf-8").rstrip("\n"))


def export(model: DemoModel, tokenizer: Tokenizer, path: Path) -> None:
    """Matrices as 8-bit blocks, vectors as 32-bit; the file appears in one piece."""
    temporary = path.with_suffix(".part")
    writer = gguf.GGUFWriter(temporary, "glm4")
    _write_card(writer)
    _write_shape(writer, model.config)
    _write_tokenizer(writer, tokenizer)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for name, tensor in model.state_dict().items():
        values = tensor.detach().to("cpu", torch.float32).numpy()
        if values.ndim == 1:
            writer.add_tensor(gguf_name(name), values)
            continue
        packed = gguf.quants.quantize(np.ascontiguousarray(values), GGMLQuantizationType.Q8_0)
        writer.add_tensor(gguf_name(name), packed, raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    temporary.replace(path)
