"""Reads the header of a GGUF file: what the model is and how large, without loading it.

Rule: the file is an untrusted upload. Every count and length is checked before it is used, at most
HEADER_BYTES_MAX are read whatever the file says, and every fault is a GgufError with a sentence for the operator.

Layout (GGUF specification, versions 2 and 3, little-endian): magic, version, counts, key-value pairs, then one
record per tensor, then aligned tensor data.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

HEADER_BYTES_MAX = 64 << 20
PAIRS_MAX = 65_536
TENSORS_MAX = 262_144
PARTS_MAX = 1_000

_KEY_BYTES_MAX = 65_535
_TENSOR_DIMENSIONS_MAX = 4
# Longer values (templates, vocabularies) are stepped over: nobody here needs them.
_KEPT_STRING_BYTES_MAX = 256
_KEPT_ARRAY_ITEMS_MAX = 1_024
_ALIGNMENT = 32

_STRING, _ARRAY = 8, 9
# Value type: struct format.
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}

# ggml tensor type: (weights per block, bytes per block).
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66),
    17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54),
    35: (256, 66), 39: (32, 17),
}  # fmt: skip

_PART_NAME = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$")

Value = int | float | bool | str | list[int]


class GgufError(ValueError):
    """The file is not a usable GGUF file; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a file says about its model."""

    version: int
    values: Mapping[str, Value]
    """The short ones: no vocabularies, no templates."""
    tensors: int
    parameters: int
    """Weights in this file."""
    data_end: int
    """Offset in bytes just after the last tensor: the size that a complete file has at least."""

    @property
    def architecture(self) -> str:
        """llama.cpp's name for it: glm4, glm4moe, deepseek2 …; empty if the file has none."""
        return self._string("general.architecture")

    @property
    def name(self) -> str:
        """The model's name according to whoever made the file."""
        return self._string("general.name")

    @property
    def context_length(self) -> int:
        """Tokens that the model was trained for; 0 if the file does not say."""
        return self._integer(f"{self.architecture}.context_length", 0)

    @property
    def kv_bytes_per_token(self) -> int:
        """Size of one token in the key-value cache at 16 bits, about; 0 if the file does not say enough."""
        prefix = self.architecture
        layers = self._integer(f"{prefix}.block_count", 0)
        heads = self._integer(f"{prefix}.attention.head_count", 0)
        width = self._integer(f"{prefix}.embedding_length", 0) // max(1, heads)
        key = self._integer(f"{prefix}.attention.key_length", width)
        value = self._integer(f"{prefix}.attention.value_length", width)
        heads_kv = self.values.get(f"{prefix}.attention.head_count_kv", heads)
        if isinstance(heads_kv, list):
            return 2 * sum(heads_kv) * (key + value)
        return 2 * layers * int(heads_kv) * (key + value) if isinstance(heads_kv, int) else 0

    def _string(self, key: str) -> str:
        value = self.values.get(key, "")
        return value if isinstance(value, str) else ""

    def _integer(self, key: str, default: int) -> int:
        value = self.values.get(key, default)
        return value if isinstance(value, int) and value >= 0 else default


def read_header(path: Path) -> GgufHeader:
    """Read and check one file. Raises GgufError, or OSError if it cannot be read."""
    with path.open("rb") as file:
        file_bytes = file.seek(0, 2)
        file.seek(0)
        header = _read(_Cursor(file, min(file_bytes, HEADER_BYTES_MAX)))
    if header.data_end > file_bytes:
        raise GgufError(
            f"{path.name} is incomplete: it has {file_bytes:,} bytes of {header.data_end:,}. Download it again."
        )
    return header


def split_parts(path: Path) -> list[Path]:
    """All parts of a model split into several files, `path` being any of them; else `path` alone.

    Raises GgufError if the name promises more parts than anybody splits into.
    """
    match = _PART_NAME.match(path.name)
    if match is None:
        return [path]
    count = int(match["count"])
    if not 1 <= count <= PARTS_MAX or not 1 <= int(match["number"]) <= count:
        raise GgufError(f"{path.name} is not a part that can be: expected 00001 to at most {PARTS_MAX:05d}.")
    return [
        path.with_name(f"{match['stem']}-{number:05d}-of-{count:05d}.gguf") for number in range(1, count + 1)
    ]


class _Cursor:
    """Reads forward, never past the limit."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._left = limit
        self.offset = 0

    def take(self, size: int) -> bytes:
        self._spend(size)
        data = self._file.read(size)
        if len(data) != size:
            raise GgufError("The file ended while it was read.")
        return data

    def skip(self, size: int) -> None:
        self._spend(size)
        self._file.seek(size, 1)

    def number(self, form: str) -> int:
        value = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        assert isinstance(value, int)
        return value

    def _spend(self, size: int) -> None:
        if size > self._left:
            raise GgufError("The file's header is cut off or damaged: it claims more than there is.")
        self._left -= size
        self.offset += size


def _read(cursor: _Cursor) -> GgufHeader:
    magic = cursor.take(4)
    if magic != b"GGUF":
        raise GgufError(f"This is not a GGUF file: it begins with {magic!r} instead of b'GGUF'.")
    version = cursor.number("<I")
    if version not in (2, 3):
        big_endian = int.from_bytes(version.to_bytes(4, "little"), "big") in (2, 3)
        hint = "It is big-endian" if big_endian else f"It has version {version}"
        raise GgufError(
            f"This kind of GGUF file is not supported: {hint}; versions 2 and 3, little-endian, are."
        )
    tensors, pairs = cursor.number("<Q"), cursor.number("<Q")
    if pairs > PAIRS_MAX or tensors > TENSORS_MAX:
        raise GgufError(
            f"The file's header is damaged: {pairs:,} settings and {tensors:,} tensors cannot be."
        )
    values = dict(pair for pair in (_pair(cursor) for _ in range(pairs)) if pair is not None)
    parameters, data_bytes = 0, 0
    for _ in range(tensors):
        weights, end = _tensor(cursor)
        parameters += weights
        data_bytes = max(data_bytes, end)
    alignment = values.get("general.alignment", _ALIGNMENT)
    if not isinstance(alignment, int) or not 1 <= alignment <= 65_536:
        raise GgufError(f"The file's header is damaged: an alignment of {alignment} cannot be.")
    data_start = -(-cursor.offset // alignment) * alignment
    return GgufHeader(
        version, values, tensors, parameters, data_start + data_bytes if tensors else cursor.offset
    )


def _pair(cursor: _Cursor) -> tuple[str, Value] | None:
    key_bytes = cursor.number("<Q")
    if key_bytes > _KEY_BYTES_MAX:
        raise GgufError("The file's header is damaged: a setting's name is longer than names may be.")
    key = cursor.take(key_bytes).decode("utf-8", "replace")
    value = _value(cursor, cursor.number("<I"))
    return None if value is None else (key, value)


def _value(cursor: _Cursor, kind: int) -> Value | None:
    """One value, or None if it is too long to be kept."""
    if kind == _STRING:
        size = cursor.number("<Q")
        if size > _KEPT_STRING_BYTES_MAX:
            cursor.skip(size)
            return None
        return cursor.take(size).decode("utf-8", "replace")
    if kind == _ARRAY:
        return _array(cursor, cursor.number("<I"), cursor.number("<Q"))
    return _scalar(cursor, kind)


def _scalar(cursor: _Cursor, kind: int) -> int | float | bool:
    form = _SCALARS.get(kind)
    if form is None:
        raise GgufError(f"The file's header is damaged: values of type {kind} do not exist.")
    value: int | float | bool = struct.unpack(form, cursor.take(struct.calcsize(form)))[0]
    return value


def _array(cursor: _Cursor, kind: int, count: int) -> list[int] | None:
    if kind == _STRING:
        for _ in range(count):
            cursor.skip(cursor.number("<Q"))
        return None
    form = _SCALARS.get(kind)
    if form is None:
        raise GgufError(f"The file's header is damaged: lists of type {kind} do not exist.")
    if count > _KEPT_ARRAY_ITEMS_MAX:
        cursor.skip(count * struct.calcsize(form))
        return None
    values = [_scalar(cursor, kind) for _ in range(count)]
    return [int(value) for value in values] if kind not in (6, 12) else None


def _tensor(cursor: _Cursor) -> tuple[int, int]:
    """Number of weights, and the offset of the tensor's end from the start of the data."""
    name_bytes = cursor.number("<Q")
    if name_bytes > _KEY_BYTES_MAX:
        raise GgufError("The file's header is damaged: a tensor's name is longer than names may be.")
    cursor.skip(name_bytes)
    dimensions = cursor.number("<I")
    if dimensions > _TENSOR_DIMENSIONS_MAX:
        raise GgufError(f"The file's header is damaged: a tensor with {dimensions} dimensions cannot be.")
    weights = 1
    for _ in range(dimensions):
        weights *= cursor.number("<Q")
    kind, offset = cursor.number("<I"), cursor.number("<Q")
    # Of a type that is newer than this table only the start is known.
    per_block, block_bytes = _BLOCKS.get(kind, (1, 0))
    return weights, offset + -(-weights // per_block) * block_bytes
