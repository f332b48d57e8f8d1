import asyncio
from pathlib import Path

import pytest

from openbigmodel.engines.llamacpp.machine import Machine
from openbigmodel.engines.llamacpp.preflight import (
    ModelFacts,
    ModelUnusable,
    Preflight,
    context_per_request,
    memory_needed,
    pool_tokens,
)
from openbigmodel.engines.llamacpp.spec import LlamaCppSpec
from tests.unit.engines.gguf_file import GLM4, STRING, write_gguf


def machine(root: Path, available_bytes: int = 1 << 40) -> Machine:
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/meminfo").write_text(f"MemAvailable: {available_bytes // 1024} kB\n")
    return Machine(root)


def inspect(spec: LlamaCppSpec, on: Machine) -> ModelFacts:
    return asyncio.run(Preflight(spec, on).run())


def test_a_good_model(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf")
    facts = inspect(LlamaCppSpec(path=path), machine(tmp_path))
    assert facts.path == path
    assert facts.file_bytes == path.stat().st_size
    assert facts.warnings == ()


def test_context_is_capped_by_training(tmp_path: Path) -> None:
    spec = LlamaCppSpec(path=write_gguf(tmp_path / "a.gguf"), context_tokens=16_384, slots=3)
    facts = inspect(spec, machine(tmp_path))
    assert context_per_request(facts, spec) == 4096
    assert pool_tokens(facts, spec) == 3 * 4096
    small = LlamaCppSpec(path=spec.path, context_tokens=2048, slots=3)
    assert context_per_request(facts, small) == 2048
    assert pool_tokens(facts, small) == 3 * 2048


def test_context_of_a_model_that_does_not_tell(tmp_path: Path) -> None:
    pairs = {"general.architecture": (STRING, "glm4")}
    spec = LlamaCppSpec(path=write_gguf(tmp_path / "a.gguf", pairs), context_tokens=16_384)
    assert context_per_request(inspect(spec, machine(tmp_path)), spec) == 16_384


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"path": "none.gguf"}, "There is no file .*none.gguf"),
        (
            {"path": "b-00001-of-00002.gguf"},
            "split into several files, and .*b-00002-of-00002.gguf is missing",
        ),
        ({"path": "b-00009-of-00002.gguf"}, "not a part"),
        ({"path": "page.gguf"}, "page.gguf cannot be loaded. This is not a GGUF file"),
        ({"path": "folder"}, "folder cannot be read: Is a directory"),
        ({"path": "clip.gguf"}, "image part of a model: name the file of the language model"),
        ({"path": "adapter.gguf"}, "no architecture"),
        ({"path": "a.gguf", "chat_template": "none.jinja"}, "There is no file .*none.jinja"),
    ],
)
def test_unusable_models_are_explained(tmp_path: Path, change: dict[str, str], words: str) -> None:
    write_gguf(tmp_path / "a.gguf")
    write_gguf(tmp_path / "b-00001-of-00002.gguf")
    write_gguf(tmp_path / "clip.gguf", {"general.architecture": (STRING, "clip")})
    write_gguf(tmp_path / "adapter.gguf", {})
    (tmp_path / "page.gguf").write_text("<html>404</html>")
    (tmp_path / "folder").mkdir()
    paths = {name: tmp_path / value for name, value in change.items()}
    with pytest.raises(ModelUnusable, match=words):
        inspect(LlamaCppSpec(**paths), machine(tmp_path))  # type: ignore[arg-type]  # all of them are paths


def test_an_unknown_architecture_is_only_a_warning(tmp_path: Path) -> None:
    pairs = {**GLM4, "general.architecture": (STRING, "llama")}
    facts = inspect(LlamaCppSpec(path=write_gguf(tmp_path / "a.gguf", pairs)), machine(tmp_path))
    assert ['"llama"' in warning for warning in facts.warnings] == [True]


def test_all_parts_count(tmp_path: Path) -> None:
    first = write_gguf(tmp_path / "m-00001-of-00002.gguf")
    second = write_gguf(tmp_path / "m-00002-of-00002.gguf")
    # Whichever part is named, the engine wants the first.
    facts = inspect(LlamaCppSpec(path=second), machine(tmp_path))
    assert facts.path == first
    assert facts.file_bytes == first.stat().st_size * 2
    assert facts.parameters == 2048


def test_memory_counts_weights_and_cache(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf")
    spec = LlamaCppSpec(path=path, slots=2)
    facts = inspect(spec, machine(tmp_path))
    cache = 2 * 4096 * 5 * 2 * 128 * 2
    assert cache < memory_needed(facts, spec) < cache + (65 << 20)


def big_model(path: Path, size: int) -> Path:
    """A file as large as a model, without its bytes: the rest is a hole."""
    write_gguf(path)
    with path.open("r+b") as file:
        file.truncate(size)
    return path


def test_too_little_memory_says_how_much(tmp_path: Path) -> None:
    path = big_model(tmp_path / "a.gguf", 10 << 30)
    spec = LlamaCppSpec(path=path, context_tokens=512, slots=1)
    with pytest.raises(
        ModelUnusable, match=r"needs about 11\.1 GiB of memory, and 8\.0 GiB are available"
    ) as caught:
        inspect(spec, machine(tmp_path, 8 << 30))
    assert "such as" in caught.value.reason
    inspect(spec, machine(tmp_path, 12 << 30))


def test_fewer_slots_may_be_enough(tmp_path: Path) -> None:
    spec = LlamaCppSpec(path=write_gguf(tmp_path / "a.gguf"), slots=1000)
    with pytest.raises(ModelUnusable, match="Fewer slots or a smaller context_tokens"):
        inspect(spec, machine(tmp_path, 1 << 30))


def test_nothing_would_fit(tmp_path: Path) -> None:
    spec = LlamaCppSpec(path=write_gguf(tmp_path / "a.gguf"))
    with pytest.raises(ModelUnusable, match="another machine"):
        inspect(spec, machine(tmp_path, 1 << 20))


def test_unknown_memory_refuses_nothing(tmp_path: Path) -> None:
    inspect(LlamaCppSpec(path=write_gguf(tmp_path / "a.gguf")), Machine(tmp_path / "nowhere"))


def test_a_file_is_read_again_only_after_a_change(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf")
    preflight = Preflight(LlamaCppSpec(path=path), machine(tmp_path))
    facts = asyncio.run(preflight.run())
    assert asyncio.run(preflight.run()) is facts
    path.write_bytes(path.read_bytes() + b"more")
    assert asyncio.run(preflight.run()) is not facts
