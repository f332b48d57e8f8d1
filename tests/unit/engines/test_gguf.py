import contextlib
import random
import struct
import time
from pathlib import Path

import pytest

from openbigmodel.engines import gguf
from openbigmodel.engines.gguf import GgufError, read_header, split_parts
from tests.unit.engines.gguf_file import (
    ARRAY,
    BOOL,
    F32,
    GLM4,
    I32,
    STRING,
    U32,
    U64,
    Tensor,
    gguf_bytes,
    string,
    write_gguf,
)

DEMO = Path(gguf.__file__).with_name("demo") / "glm-demo.gguf"


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_reads_what_the_file_says(tmp_path: Path) -> None:
    header = read_header(write_gguf(tmp_path / "a.gguf"))
    assert (header.architecture, header.name) == ("glm4", "Tiny")
    assert (header.version, header.tensors, header.parameters) == (3, 1, 1024)
    assert header.context_length == 4096
    # 5 layers, 2 heads, keys and values of 64 numbers, 2 bytes each.
    assert header.kv_bytes_per_token == 5 * 2 * (64 + 64) * 2
    assert header.data_end == (tmp_path / "a.gguf").stat().st_size


def test_reads_the_demo_model() -> None:
    header = read_header(DEMO)
    assert header.architecture == "glm4"
    assert header.context_length >= 4096
    assert header.tensors > 10
    assert header.kv_bytes_per_token > 0
    assert header.data_end == DEMO.stat().st_size


def test_every_kind_of_value(tmp_path: Path) -> None:
    pairs = {
        "a": (0, 7),
        "b": (I32, -7),
        "c": (F32, 0.5),
        "d": (BOOL, True),
        "e": (U64, 1 << 40),
        "f": (ARRAY, (I32, [1, -2])),
        "g": (ARRAY, (STRING, ["x", "y"])),
        "h": (ARRAY, (F32, [0.5])),
        "i": (ARRAY, (U32, list(range(2000)))),
        "j": (STRING, "z" * 300),
        "k": (STRING, "模型"),
    }
    header = read_header(written(tmp_path / "a.gguf", gguf_bytes(pairs)))
    # Vocabularies and other long things are stepped over.
    assert header.values == {"a": 7, "b": -7, "c": 0.5, "d": True, "e": 1 << 40, "f": [1, -2], "k": "模型"}


def test_a_file_that_says_nothing(tmp_path: Path) -> None:
    header = read_header(written(tmp_path / "a.gguf", gguf_bytes({}, ())))
    assert (header.architecture, header.name) == ("", "")
    assert (header.context_length, header.kv_bytes_per_token, header.parameters) == (0, 0, 0)


def test_values_of_another_type_than_expected(tmp_path: Path) -> None:
    pairs = {
        **GLM4,
        "general.name": (U32, 3),
        "glm4.context_length": (STRING, "long"),
        "glm4.block_count": (I32, -1),
    }
    pairs["glm4.attention.head_count_kv"] = (STRING, "two")
    header = read_header(written(tmp_path / "a.gguf", gguf_bytes(pairs)))
    assert (header.name, header.context_length, header.kv_bytes_per_token) == ("", 0, 0)


def test_cache_size_with_a_head_count_per_layer(tmp_path: Path) -> None:
    pairs = {**GLM4, "glm4.attention.head_count_kv": (ARRAY, (I32, [2, 2, 4]))}
    assert read_header(written(tmp_path / "a.gguf", gguf_bytes(pairs))).kv_bytes_per_token == 8 * 128 * 2


def test_cache_size_with_given_widths(tmp_path: Path) -> None:
    pairs = {**GLM4, "glm4.attention.key_length": (U32, 576), "glm4.attention.value_length": (U32, 512)}
    header = read_header(written(tmp_path / "a.gguf", gguf_bytes(pairs)))
    assert header.kv_bytes_per_token == 5 * 2 * (576 + 512) * 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cut off"),
        (b"PK\x03\x04 a zip file, not a model", "not a GGUF file"),
        (b"<!DOCTYPE html><html>", "not a GGUF file"),
        (b"GGUF", "cut off"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(16), "version 1"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(16), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "tensors cannot be"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "settings"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 62), "name is longer"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("a") + struct.pack("<I", 99), "type 99"),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("a") + struct.pack("<IQ", STRING, 1 << 62),
            "cut off",
        ),
        (
            b"GGUF"
            + struct.pack("<IQQ", 3, 0, 1)
            + string("a")
            + struct.pack("<IIQ", ARRAY, STRING, 1 << 62),
            "cut off",
        ),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("a") + struct.pack("<IIQ", ARRAY, U64, 1 << 62),
            "cut off",
        ),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("a") + struct.pack("<IIQ", ARRAY, ARRAY, 9),
            "lists of type",
        ),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", 1 << 62), "tensor's name"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + string("t") + struct.pack("<I", 1000), "1000 dimensions"),
        (gguf_bytes({"general.alignment": (U32, 0)}), "alignment"),
        (gguf_bytes({"general.alignment": (STRING, "x")}), "alignment"),
        (gguf_bytes()[:-1], "incomplete"),
        (gguf_bytes(tensors=[Tensor(offset=1 << 50)]), "incomplete"),
    ],
)
def test_a_bad_file_is_explained(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(GgufError, match=words):
        read_header(written(tmp_path / "a.gguf", content))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "a.gguf")


def test_a_tensor_type_of_the_future(tmp_path: Path) -> None:
    content = gguf_bytes(tensors=[Tensor(kind=200, data=b"")])
    assert read_header(written(tmp_path / "a.gguf", content)).parameters == 1024


def test_cut_anywhere_or_with_any_byte_changed_it_ends_well(tmp_path: Path) -> None:
    whole = gguf_bytes()
    chance = random.Random(20)
    path = tmp_path / "a.gguf"
    for _ in range(200):
        damaged = bytearray(whole[: chance.randrange(len(whole))])
        for _ in range(chance.randrange(3)):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        # A change may go unnoticed; what must not happen is any other error, a long wait or much memory.
        with contextlib.suppress(GgufError):
            read_header(written(path, bytes(damaged)))


def test_a_huge_header_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "HEADER_BYTES_MAX", 1000)
    pairs = {"a": (ARRAY, (STRING, ["" for _ in range(200)]))}
    began = time.monotonic()
    with pytest.raises(GgufError, match="cut off"):
        read_header(written(tmp_path / "a.gguf", gguf_bytes(pairs)))
    assert time.monotonic() - began < 1


def test_parts_of_a_split_model(tmp_path: Path) -> None:
    names = [path.name for path in split_parts(tmp_path / "GLM-Q4-00002-of-00003.gguf")]
    assert names == ["GLM-Q4-00001-of-00003.gguf", "GLM-Q4-00002-of-00003.gguf", "GLM-Q4-00003-of-00003.gguf"]
    assert split_parts(tmp_path / "GLM-Q4.gguf") == [tmp_path / "GLM-Q4.gguf"]


@pytest.mark.parametrize("name", ["a-00000-of-00002.gguf", "a-00003-of-00002.gguf", "a-00001-of-99999.gguf"])
def test_parts_that_cannot_be(name: str) -> None:
    with pytest.raises(GgufError, match="not a part"):
        split_parts(Path(name))
