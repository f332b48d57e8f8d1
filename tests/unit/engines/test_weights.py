import asyncio
from pathlib import Path

import pytest

from openbigmodel.engines.weights import (
    Hubs,
    HuggingFace,
    ModelScope,
    RemoteSource,
    WeightsError,
    parse_source,
    resolve_weights,
    split_names,
)


@pytest.mark.parametrize(
    ("source", "parsed"),
    [
        ("hf:zai-org/GLM-4.7/glm.gguf", RemoteSource("hf", "zai-org/GLM-4.7", "", "glm.gguf")),
        ("HF:a/b@v1.0/q4/глм (1).gguf", RemoteSource("hf", "a/b", "v1.0", "q4/глм (1).gguf")),
        ("modelscope:智/b/c.gguf", None),
        ("modelscope:_a/b/c d/e+f=g@h,i.gguf", RemoteSource("modelscope", "_a/b", "", "c d/e+f=g@h,i.gguf")),
    ],
)
def test_sources_on_hubs(source: str, parsed: RemoteSource | None) -> None:
    if parsed is None:
        with pytest.raises(WeightsError, match="names no repository"):
            parse_source(source)
    else:
        assert parse_source(source) == parsed


@pytest.mark.parametrize(
    "path", ["glm.gguf", "/models/glm.gguf", "~/glm.gguf", "./hf:a/b/c.gguf", "C:\\glm.gguf"]
)
def test_plain_paths(path: str) -> None:
    assert parse_source(path) is None


@pytest.mark.parametrize(
    "source",
    [
        "hf:",
        "hf:glm.gguf",
        "hf:a/b",
        "hf:a/b/",
        "hf:a/b/c/",
        "hf:../b/c.gguf",
        "hf:a/../c.gguf",
        "hf:a/b/../../../../etc/cron.gguf",
        "hf:a/b//etc/passwd.gguf",
        "hf:a/b/.hidden.gguf",
        "hf:a/b/c\\d.gguf",
        "hf:a/b/c?x=.gguf",
        "hf:a/b/c#.gguf",
        "hf:a/b/%2e%2e/c.gguf",
        "hf:a/b/c\n/d.gguf",
        "hf:a/b/c\x00.gguf",
        "hf:a/b@/c.gguf",
        "hf:a/b@../c.gguf",
        "hf:a/b@refs/pr/1/c.gguf/",
        "hf:a\n/b/c.gguf",
        "hf:" + "a" * 200 + "/b/c.gguf",
        "hf:a/b/" + "c" * 300 + ".gguf",
        "https://example.com/glm.gguf",
        "file:/etc/passwd.gguf",
        "ollama:glm4",
    ],
)
def test_sources_that_are_none(source: str) -> None:
    with pytest.raises(WeightsError, match=r"owner/name/file\.gguf"):
        parse_source(source)


def test_weights_of_another_format_are_sent_elsewhere() -> None:
    with pytest.raises(WeightsError, match="vLLM or SGLang"):
        parse_source("hf:zai-org/GLM-4.7/model-00001-of-00092.safetensors")


def test_parts() -> None:
    assert split_names("q/a-00002-of-00002.gguf") == ["q/a-00001-of-00002.gguf", "q/a-00002-of-00002.gguf"]
    assert split_names("q/a.gguf") == ["q/a.gguf"]
    with pytest.raises(WeightsError, match="not a part"):
        split_names("a-00003-of-00002.gguf")


HUBS = Hubs(HuggingFace("https://hf.example"), ModelScope("https://modelscope.example"))


def local(source: Path) -> Path:
    return asyncio.run(resolve_weights(str(source), models_dir=Path("/nowhere"), hubs=HUBS))


def test_a_local_file_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "glm.gguf"
    path.write_bytes(b"")
    assert local(path) == path


def test_any_part_of_a_local_split_model_leads_to_the_first(tmp_path: Path) -> None:
    first = tmp_path / "glm-00001-of-00002.gguf"
    first.write_bytes(b"")
    assert local(tmp_path / "glm-00002-of-00002.gguf") == first


@pytest.mark.parametrize(
    ("name", "words"),
    [("none.gguf", "There is no file"), ("", "is a folder"), ("a-00009-of-00002.gguf", "not a part")],
)
def test_local_files_that_are_none(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        local(tmp_path / name)
