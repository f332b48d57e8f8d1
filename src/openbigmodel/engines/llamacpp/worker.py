"""The worker: one process that loads one model and serves it over HTTP on 127.0.0.1 (engine.md §2.4, §2.5).

Protocol: one JSON line of configuration on stdin, one JSON line back on stdout, `{"ready": URL, …}` or
`{"error": sentence}`; then stdin is only a leash, and its end means exit. Imports nothing of the package, so
that a start costs no more than the engine's own.

Nothing here may depend on Python code running while a model loads: the library holds the interpreter's lock for
the whole load. Hence the kernel's answers: SIGTERM keeps its default action, and the death of the parent kills.
"""

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

CONFIG_BYTES_MAX = 1 << 20

EXIT_OK = 0
EXIT_REFUSED = 3

# From <linux/prctl.h>.
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def main() -> int:
    """Load, report, serve until stdin ends. Returns the exit status."""
    answers = _private_stdout()
    _set_up_process()
    line = sys.stdin.buffer.readline(CONFIG_BYTES_MAX)
    if not line:
        return EXIT_OK  # the parent left before it had said anything
    config = json.loads(line)
    if not _tie_to_parent(int(config["parent"])):
        return EXIT_OK
    try:
        library = importlib.import_module("xllamacpp")
    except ImportError as error:
        return _refuse(answers, import_advice(error))
    try:
        # Bound to a name for as long as it shall serve: the server ends with its object.
        server = library.Server(build_params(library, config))
    except (AttributeError, OSError, RuntimeError, TypeError, ValueError) as error:
        return _refuse(answers, str(error))
    _answer(answers, {"ready": server.listening_address, "pid": os.getpid()})
    while os.read(sys.stdin.fileno(), 4096):
        pass
    # Not through the server's destructor: it waits for requests under way, whose readers are gone by now.
    os._exit(EXIT_OK)


def build_params(library: Any, config: dict[str, Any]) -> Any:
    """The library's parameters. `settings` maps dotted names to plain values; the rest is not plain.

    Raises AttributeError if the installed library does not know a setting, OSError if the template is unreadable.
    """
    params = library.CommonParams()
    for name, value in config["settings"].items():
        owner = params
        *path, attribute = name.split(".")
        for part in path:
            owner = getattr(owner, part)
        setattr(owner, attribute, value)
    params.model_alias = {config["alias"]}
    if config.get("chat_template"):
        params.chat_template = Path(config["chat_template"]).read_text(encoding="utf-8")
    return params


def import_advice(error: ImportError) -> str:
    """What to do about an engine library that does not import."""
    text = str(error)
    if "libgomp" in text or "libstdc++" in text:
        return (
            f"The engine library needs a system library that is missing ({text}). "
            "On Debian and Ubuntu: apt install libgomp1 libstdc++6."
        )
    if isinstance(error, ModuleNotFoundError):
        return "The engine library is not installed. Install it with: pip install xllamacpp"
    return f"The engine library cannot be loaded: {text}"


def _private_stdout() -> int:
    """Keep stdout for our one line: whatever native code prints there goes to stderr instead."""
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _set_up_process() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Ctrl-C reaches the whole process group; when to stop is the platform's decision, which drains first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A core would be as large as the model and hold everybody's prompts.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def _tie_to_parent(parent: int) -> bool:
    """False if the parent is gone already. On other systems than Linux only the end of stdin tells."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _refuse(answers: int, sentence: str) -> int:
    _answer(answers, {"error": sentence})
    return EXIT_REFUSED


def _answer(answers: int, message: dict[str, object]) -> None:
    os.write(answers, json.dumps(message).encode() + b"\n")
    os.close(answers)


if __name__ == "__main__":
    sys.exit(main())
