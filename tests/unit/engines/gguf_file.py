"""Writes small GGUF files for tests, right and wrong ones."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_FORMATS = {0: "<B", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY, U32, I32, F32, BOOL, U64 = 8, 9, 4, 5, 6, 7, 10

GLM4 = {
    "general.architecture": (STRING, "glm4"),
    "general.name": (STRING, "Tiny"),
    "general.file_type": (U32, 7),
    "glm4.block_count": (U32, 5),
    "glm4.context_length": (U32, 4096),
    "glm4.embedding_length": (U32, 256),
    "glm4.attention.head_count": (U32, 4),
    "glm4.attention.head_count_kv": (U32, 2),
}

Pair = tuple[int, object]


@dataclass(frozen=True)
class Tensor:
    name: str = "token_embd.weight"
    shape: Sequence[int] = (256, 4)
    kind: int = 8
    offset: int = 0
    data: bytes = bytes(1088)


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def value(kind: int, content: object) -> bytes:
    if kind == STRING:
        assert isinstance(content, str)
        return string(content)
    if kind == ARRAY:
        assert isinstance(content, tuple)
        item_kind, items = content
        return struct.pack("<IQ", item_kind, len(items)) + b"".join(value(item_kind, item) for item in items)
    return struct.pack(_FORMATS[kind], content)


def gguf_bytes(
    pairs: Mapping[str, Pair] = GLM4,
    tensors: Sequence[Tensor] = (Tensor(),),
    *,
    version: int = 3,
    align: int = 32,
) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs))
    for key, (kind, content) in pairs.items():
        head += string(key) + struct.pack("<I", kind) + value(kind, content)
    for tensor in tensors:
        head += string(tensor.name) + struct.pack("<I", len(tensor.shape))
        head += b"".join(struct.pack("<Q", size) for size in tensor.shape)
        head += struct.pack("<IQ", tensor.kind, tensor.offset)
    head += bytes(-len(head) % align)
    return head + b"".join(tensor.data for tensor in tensors)


def write_gguf(path: Path, pairs: Mapping[str, Pair] = GLM4) -> Path:
    path.write_bytes(gguf_bytes(pairs))
    return path
