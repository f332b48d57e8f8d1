import json
from pathlib import Path
from typing import Any, cast

import pytest
import xllamacpp

from openbigmodel.engines.llamacpp.spec import EngineTimings, LlamaCppSpec, WorkerTerms, worker_config

MODEL = Path("/models/glm.gguf")
TERMS = WorkerTerms(
    model=MODEL, alias="glm", api_key="key", threads=3, context_tokens=4096, pool_tokens=16384, parent=7
)


def config(spec: LlamaCppSpec) -> dict[str, Any]:
    # Through JSON, as the worker gets it.
    return cast("dict[str, Any]", json.loads(json.dumps(worker_config(spec, TERMS))))


@pytest.mark.parametrize(
    "wrong",
    [
        {"context_tokens": 0},
        {"slots": 0},
        {"max_output": 0},
        {"batch_tokens": 0},
        {"threads": 0},
        {"prompt_cache_mib": -1},
    ],
)
def test_senseless_specs_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LlamaCppSpec(path=MODEL, **wrong)  # type: ignore[arg-type]  # the values are all integers


def test_harmful_defaults_of_the_library_are_overridden() -> None:
    settings = config(LlamaCppSpec(path=MODEL))["settings"]
    library = xllamacpp.CommonParams()
    for name in (
        "n_ctx",
        "cache_ram_mib",
        "n_predict",
        "n_batch",
        "n_ubatch",
        "ui",
        "cors_origins",
        "verbosity",
    ):
        assert settings[name] != getattr(library, name), name
    assert settings["hostnames"] == ["127.0.0.1"]
    assert settings["port"] == 0
    assert settings["api_keys"] == ["key"]
    assert settings["endpoint_metrics"] is False
    assert settings["offline"] is True
    assert settings["n_batch"] == settings["n_ubatch"] <= 128
    assert (settings["n_ctx"], settings["kv_unified_per_slot"], settings["n_parallel"]) == (16384, 4096, 4)
    assert settings["cpuparams.n_threads"] == settings["cpuparams_batch.n_threads"] == 3
    assert (settings["sampling.top_p"], settings["sampling.min_p"], settings["sampling.top_k"]) == (
        1.0,
        0.0,
        0,
    )


def test_what_is_no_parameter_of_the_library() -> None:
    told = config(LlamaCppSpec(path=MODEL))
    assert (told["alias"], told["parent"], told["chat_template"]) == ("glm", 7, None)
    with_template = config(LlamaCppSpec(path=MODEL, chat_template=Path("/m/t.jinja")))
    assert with_template["chat_template"] == "/m/t.jinja"


def test_patience_grows_with_the_file() -> None:
    timings = EngineTimings(load_s=10, load_s_per_gib=5)
    assert timings.load_timeout_s(2 << 30) == 20
