"""The clients' own environments: made on demand from hash-pinned lock files, at `.venv-contract/NAME`.

A stamp with the lock file's digest says that an environment is complete, so a second call does nothing.
`python -m tests.contract.environments` prepares all of them; `make test` does that before it runs anything.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".venv-contract"
PYTHON_ENVIRONMENTS = ("zai", "zhipuai", "openai-langchain", "anthropic")
NODE_MAJOR_MIN = 20
NODE_SOURCES = Path(__file__).parent / "node"
STAMP = ".installed"


class NodeMissingError(RuntimeError):
    """No Node.js or no npm on this machine, or one that the clients are too new for."""


def python_of(name: str) -> Path:
    """The interpreter of a Python environment, which is made if need be."""
    lock = ROOT / "requirements" / f"contract-{name}.txt"
    folder = FOLDER / name
    interpreter = folder / "bin" / "python"
    with _locked(name):
        digest = _digest(lock)
        if not _complete(folder, digest) or not interpreter.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", "--without-pip", folder)
            _run(*_PIP, "--python", interpreter, "install", "--require-hashes", "-r", lock)
            (folder / STAMP).write_text(digest)
    return interpreter


# The one of the tests' own environment: a pip for each would take longer to install than most of the clients.
_PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")


def node_folder() -> Path:
    """The folder whose `node_modules` holds the Node clients. Raises NodeMissingError."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None or _node_major(node) < NODE_MAJOR_MIN:
        raise NodeMissingError(f"Node.js {NODE_MAJOR_MIN} or newer with npm is not installed")
    sources = [NODE_SOURCES / name for name in ("package.json", "package-lock.json")]
    folder = FOLDER / "node"
    with _locked("node"):
        digest = _digest(*sources)
        if not _complete(folder, digest):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for source in sources:
                shutil.copy(source, folder)
            _run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", cwd=folder)
            (folder / STAMP).write_text(digest)
    return folder


def _node_major(node: str) -> int:
    said = subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout
    return int(said.removeprefix("v").split(".")[0])


def _digest(*files: Path) -> str:
    # The interpreter is part of it: an environment made by a Python that is gone is of no use.
    content = b"".join(file.read_bytes() for file in files) + sys.version.encode()
    return hashlib.sha256(content).hexdigest()


def _complete(folder: Path, digest: str) -> bool:
    stamp = folder / STAMP
    return stamp.exists() and stamp.read_text() == digest


def _run(*command: str | Path, cwd: Path = ROOT) -> None:
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        words = " ".join(str(part) for part in command)
        raise RuntimeError(f"{words} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """Two test runs at once must not both make this environment."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f".lock-{name}").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def prepare_all() -> None:
    with ThreadPoolExecutor() as threads:
        made = [threads.submit(python_of, name) for name in PYTHON_ENVIRONMENTS]
        node = threads.submit(_prepare_node)
    for each in made:
        each.result()
    node.result()


def _prepare_node() -> None:
    try:
        node_folder()
    except NodeMissingError as error:
        if os.environ.get("CI") == "true":
            raise
        sys.stderr.write(f"{error}: the tests of Node clients will be skipped.\n")


if __name__ == "__main__":
    prepare_all()
