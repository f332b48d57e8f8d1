"""A byte-level BPE tokenizer with GLM's special tokens, fitted to the corpus.

Every common Han character and every digit is one token, and no merge crosses the blank before a
word, so that the model copies an unseen name by copying tokens.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from demo_model.corpus.mix import conversation
from demo_model.corpus.values import Values
from demo_model.corpus.words import HAN
from demo_model.render import render

# The split of llama.cpp's "glm4" pre-tokenizer.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Only while fitting: characters that must stand alone, so that no merge crosses them.
_ALONE = r"\p{N}|[\u4e00-\u9fff]|[，。？！：“”、；]|[^\r\n\p{L}\p{N}](?=\p{L})"

CONTROL_TOKENS = (
    "<|endoftext|>",
    "[MASK]",
    "[gMASK]",
    "[sMASK]",
    "<sop>",
    "<eop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
)
TAG_TOKENS = (
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<arg_key>",
    "</arg_key>",
    "<arg_value>",
    "</arg_value>",
)


def _texts(seed: int, samples: int) -> Iterator[str]:
    """Corpus text without special tokens, then each Han character often enough to be merged."""
    special = re.compile("|".join(re.escape(token) for token in CONTROL_TOKENS + TAG_TOKENS))
    values = Values(random.Random(seed))
    for _ in range(samples):
        spans = render(conversation(values), think_last=True)
        yield special.sub("\n", "".join(span.text for span in spans))
    for char in HAN:
        yield f"{char}\n" * (samples // 20)


def fit_tokenizer(vocab_size: int, *, seed: int, samples: int = 12000) -> Tokenizer:
    """Fit merges on generated text; the result is the same for the same arguments."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    split = pre_tokenizers.Split(Regex(_SPLIT), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alone = pre_tokenizers.Split(Regex(_ALONE), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, alone, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    special = list(CONTROL_TOKENS + TAG_TOKENS)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[],
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(seed, samples), trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.add_special_tokens(special)
    if tokenizer.get_vocab_size() != vocab_size:
        raise ValueError(f"the corpus gives only {tokenizer.get_vocab_size()} tokens")
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a fitted tokenizer."""
    return Tokenizer.from_file(str(path))
