import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import xllamacpp

from openbigmodel.engines.llamacpp import worker
from openbigmodel.engines.llamacpp.process import WORKER_COMMAND
from openbigmodel.engines.llamacpp.spec import LlamaCppSpec, WorkerTerms, worker_config

MODEL = Path("/models/glm.gguf")


def config(**change: Any) -> dict[str, Any]:
    terms = WorkerTerms(
        model=MODEL,
        alias="glm",
        api_key="key",
        threads=3,
        context_tokens=64,
        pool_tokens=256,
        parent=os.getpid(),
    )
    return {**worker_config(LlamaCppSpec(path=MODEL, **change), terms)}


def run(library: Path | None, line: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the real worker with another engine library in front of the installed one."""
    if library is not None:
        environment["PYTHONPATH"] = str(library)
    return subprocess.run(
        WORKER_COMMAND, input=line, capture_output=True, text=True, timeout=30, env=environment, check=False
    )


def library(folder: Path, code: str) -> Path:
    (folder / "xllamacpp.py").write_text(code)
    return folder


def test_the_library_knows_every_setting() -> None:
    params = worker.build_params(xllamacpp, config())
    assert params.model.path == str(MODEL)
    assert params.model_alias == {"glm"}
    assert params.cpuparams_batch.n_threads == 3
    assert params.kv_unified_per_slot == 64
    assert params.sampling.min_p == 0


def test_a_template_replaces_the_models(tmp_path: Path) -> None:
    template = tmp_path / "t.jinja"
    template.write_text("{{ messages }} 你好", encoding="utf-8")
    assert (
        worker.build_params(xllamacpp, config(chat_template=template)).chat_template == "{{ messages }} 你好"
    )


def test_a_setting_that_the_library_does_not_know() -> None:
    with pytest.raises(AttributeError, match="no_such_setting"):
        worker.build_params(xllamacpp, {**config(), "settings": {"no_such_setting": 1}})
    with pytest.raises(AttributeError):
        worker.build_params(SimpleNamespace(CommonParams=object), config())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError("libgomp.so.1: cannot open shared object file"), "apt install libgomp1"),
        (ImportError("libstdc++.so.6: version `GLIBCXX_3.4.32' not found"), "libstdc++6"),
        (ModuleNotFoundError("No module named 'xllamacpp'"), "pip install xllamacpp"),
        (ImportError("bad ELF"), "cannot be loaded: bad ELF"),
    ],
)
def test_an_engine_that_does_not_import_says_how_to_mend_it(error: ImportError, words: str) -> None:
    assert words in worker.import_advice(error)


def test_a_missing_system_library_is_told_on_stdout(tmp_path: Path) -> None:
    code = "raise ImportError('libgomp.so.1: cannot open shared object file: No such file or directory')"
    done = run(library(tmp_path, code), json.dumps(config()) + "\n")
    assert done.returncode == worker.EXIT_REFUSED
    assert "apt install libgomp1" in json.loads(done.stdout)["error"]


def test_an_error_while_loading_is_told_on_stdout(tmp_path: Path) -> None:
    code = """
import os
from types import SimpleNamespace
os.write(1, b"native code prints to stdout\\n")
def CommonParams(): return SimpleNamespace()
def Server(params): raise RuntimeError("Failed to init server")
"""
    done = run(library(tmp_path, code), json.dumps({**config(), "settings": {}}) + "\n")
    assert json.loads(done.stdout) == {"error": "Failed to init server"}
    assert "native code prints to stdout" in done.stderr


def test_without_a_configuration_it_leaves() -> None:
    done = run(None, "")
    assert (done.returncode, done.stdout, done.stderr) == (worker.EXIT_OK, "", "")


def test_it_leaves_when_its_parent_is_not_the_one_it_was_told() -> None:
    done = run(None, json.dumps({**config(), "parent": 1 << 22}) + "\n")
    assert (done.returncode, done.stdout) == (worker.EXIT_OK, "")


def test_the_end_of_stdin_ends_it_and_no_core_is_left(tmp_path: Path) -> None:
    code = """
import resource, sys
from types import SimpleNamespace
def CommonParams(): return SimpleNamespace()
def Server(params):
    print("core limit", resource.getrlimit(resource.RLIMIT_CORE), file=sys.stderr)
    return SimpleNamespace(listening_address="http://127.0.0.1:1")
"""
    done = run(library(tmp_path, code), json.dumps({**config(), "settings": {}}) + "\n")
    assert done.returncode == worker.EXIT_OK
    assert json.loads(done.stdout)["ready"] == "http://127.0.0.1:1"
    assert "core limit (0, 0)" in done.stderr


def test_it_imports_nothing_of_the_package() -> None:
    code = f"import runpy, sys; runpy.run_path({WORKER_COMMAND[-1]!r}); print([m for m in sys.modules if 'bigmodel' in m])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "[]"
