"""The look at a model before it is loaded: is it whole, is it known, does it fit into memory.

Rule: what can be said in a sentence is said here, because the engine itself only says that loading failed
(engine.md §2.4 item 13). A check that cannot be made (no /proc, odd metadata) never refuses a model.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from openbigmodel.engines.endpoint import EngineUnavailable
from openbigmodel.engines.gguf import GgufError, GgufHeader, read_header, split_parts
from openbigmodel.engines.llamacpp.machine import Machine
from openbigmodel.engines.llamacpp.spec import LlamaCppSpec

# GLM families whose numbers were compared with the original implementation (engine.md §2.1), and their kin.
GLM_ARCHITECTURES = frozenset(("chatglm", "glm4", "glm4moe", "deepseek2", "glm-dsa", "glm5-next"))

# Working memory beyond the weights (engine.md §4).
_OVERHEAD = 1.1
_WORKER_BYTES = 64 << 20

# Bits per weight, largest first: what could be recommended instead.
_BITS_PER_WEIGHT = {"Q8_0": 8.5, "Q6_K": 6.6, "Q5_K_M": 5.7, "Q4_K_M": 4.9, "Q3_K_M": 3.9, "Q2_K": 3.0}


class ModelUnusable(EngineUnavailable):
    """This model file cannot be served on this machine as configured; trying again at once would not help."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What was found out about a model file."""

    path: Path
    """What to load: the first part, if there are several."""
    header: GgufHeader
    file_bytes: int
    """Of all parts."""
    parameters: int
    warnings: tuple[str, ...]
    """What is odd about the model although it may work: sentences for the operator."""


class Preflight:
    """Checks one spec's files. Headers are read again only when a file has changed, so that restarts stay quick."""

    def __init__(self, spec: LlamaCppSpec, machine: Machine) -> None:
        self._spec = spec
        self._machine = machine
        self._stamp: list[tuple[int, int]] | None = None
        self._facts: ModelFacts | None = None

    async def run(self) -> ModelFacts:
        """Raises ModelUnusable."""
        # Reading a large vocabulary takes tenths of a second.
        facts = await asyncio.to_thread(self._inspect)
        available = self._machine.memory_available()
        needed = memory_needed(facts, self._spec)
        if available is not None and needed > available:
            raise ModelUnusable(_too_large(facts, self._spec, needed, available))
        return facts

    def _inspect(self) -> ModelFacts:
        try:
            parts = split_parts(self._spec.path)
            if self._spec.chat_template is not None:
                self._spec.chat_template.stat()
            stamp = [(part.stat().st_size, part.stat().st_mtime_ns) for part in parts]
            if self._facts is None or stamp != self._stamp:
                self._facts = read_facts(parts)
                self._stamp = stamp
        except FileNotFoundError as error:
            raise ModelUnusable(_missing(self._spec.path, Path(str(error.filename)))) from error
        except GgufError as error:
            raise ModelUnusable(f"{self._spec.path} cannot be loaded. {error}") from error
        except OSError as error:
            raise ModelUnusable(f"{self._spec.path} cannot be read: {error.strerror}.") from error
        return self._facts


def read_facts(parts: list[Path]) -> ModelFacts:
    """Read the headers of all parts. Raises GgufError or OSError."""
    headers = [read_header(part) for part in parts]
    first = headers[0]
    if not first.architecture:
        raise GgufError("It names no architecture: perhaps it is not a model but an adapter or a vocabulary.")
    if first.architecture == "clip":
        raise GgufError("It is the image part of a model: name the file of the language model instead.")
    warnings = []
    if first.architecture not in GLM_ARCHITECTURES:
        warnings.append(f'Architecture "{first.architecture}" is not one of GLM\'s; it is loaded untested.')
    return ModelFacts(
        path=parts[0],
        header=first,
        file_bytes=sum(part.stat().st_size for part in parts),
        parameters=sum(header.parameters for header in headers),
        warnings=tuple(warnings),
    )


def context_per_request(facts: ModelFacts, spec: LlamaCppSpec) -> int:
    """Tokens: what was asked for, capped by what the model was trained for."""
    return min(spec.context_tokens, facts.header.context_length or spec.context_tokens)


def memory_needed(facts: ModelFacts, spec: LlamaCppSpec) -> int:
    """Bytes, about: weights, key-value cache, prompt cache and the worker itself."""
    kv_bytes = max(0, facts.header.kv_bytes_per_token) * pool_tokens(facts, spec)
    return int(facts.file_bytes * _OVERHEAD) + kv_bytes + _WORKER_BYTES


def pool_tokens(facts: ModelFacts, spec: LlamaCppSpec) -> int:
    """Tokens that the key-value cache is made for: what all slots together can use."""
    return context_per_request(facts, spec) * spec.slots


def _missing(model: Path, file: Path) -> str:
    if file != model and file.parent == model.parent and file.suffix == model.suffix and "-of-" in file.name:
        return f"The model is split into several files, and {file} is missing."
    return f"There is no file {file}."


def _too_large(facts: ModelFacts, spec: LlamaCppSpec, needed: int, available: int) -> str:
    text = f"{spec.path} needs about {_gib(needed)} of memory, and {_gib(available)} are available."
    rest = needed - int(facts.file_bytes * _OVERHEAD)
    for name, bits in _BITS_PER_WEIGHT.items():
        file_bytes = facts.parameters * bits / 8
        if file_bytes < 0.95 * facts.file_bytes and file_bytes * _OVERHEAD + rest <= available:
            return f"{text} A smaller quantisation such as {name} (about {_gib(file_bytes)}) would fit."
    if facts.file_bytes * _OVERHEAD + _WORKER_BYTES < available:
        return f"{text} Fewer slots or a smaller context_tokens would fit."
    return (
        f"{text} No common quantisation of it would fit; serve it on another machine or take a smaller model."
    )


def _gib(size: float) -> str:
    return f"{size / (1 << 30):.1f} GiB"
