"""From what the operator wrote as `model` to a file on this disk, downloading it if it is not there yet.

    /models/glm.gguf, models/glm.gguf          a file
    hf:owner/name/folder/file.gguf             Hugging Face, or a mirror of it
    modelscope:owner/name@revision/file.gguf   ModelScope; a revision is possible with both

Rule: a name from a configuration never leaves the models' folder, and a file that has arrived once is used
without asking the network again.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from openbigmodel.engines.download import (
    Patience,
    Progress,
    RemoteFile,
    backoff_s,
    download,
    free_disk_bytes,
)
from openbigmodel.engines.gguf import GgufError, split_parts
from openbigmodel.engines.hub_http import TransientError, WeightsError
from openbigmodel.engines.hubs import Hub, HuggingFace, ModelScope

__all__ = ["Hubs", "HuggingFace", "ModelScope", "Patience", "Progress", "WeightsError", "resolve_weights"]

_REPO_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
# A folder or file name; what is not here would have a meaning to some shell, URL or file system.
_FILE_PART = re.compile(r"[\w][\w .,+=()@-]{0,199}")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+-]+):")
_FORMS = 'a path, "hf:owner/name/file.gguf" or "modelscope:owner/name/file.gguf"'


@dataclass(frozen=True, slots=True)
class Hubs:
    """The hubs as configured: addresses and credentials."""

    hf: HuggingFace
    modelscope: ModelScope


_PATIENCE = Patience()


@dataclass(frozen=True, slots=True)
class RemoteSource:
    """A source on a hub, taken apart."""

    scheme: str
    repo: str
    revision: str
    """Empty for the hub's default."""
    file: str


def _no_progress(progress: Progress) -> None:
    """Nobody watches."""


async def resolve_weights(
    source: str,
    *,
    models_dir: Path,
    hubs: Hubs,
    patience: Patience = _PATIENCE,
    progress: Callable[[Progress], None] = _no_progress,
    free_bytes: Callable[[Path], int] = free_disk_bytes,
) -> Path:
    """The local file for `source`: the first part, if the model is split. Relative paths are taken as they are.

    Raises WeightsError. Cancelling keeps what has arrived; the next call goes on from there.
    """
    remote = parse_source(source)
    if remote is None:
        return _local_file(source)
    hub: Hub = hubs.hf if remote.scheme == "hf" else hubs.modelscope
    names = split_names(remote.file)
    folder = models_dir / hub.folder / (remote.repo + (f"@{remote.revision}" if remote.revision else ""))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        revision = remote.revision or hub.default_revision
        async with patience.client() as client:
            for name in missing:
                found = await _find(client, hub, remote.repo, revision, name, patience)
                report = _reporter(progress, name, names, found.size)
                await download(
                    client, found, folder / name, patience=patience, report=report, free_bytes=free_bytes
                )
    return folder / names[0]


def parse_source(source: str) -> RemoteSource | None:
    """None for a plain path. Raises WeightsError for anything that is neither that nor a well-formed hub source."""
    match = _SCHEME.match(source)
    if match is None:
        return None
    scheme, rest = match[1].lower(), source[match.end() :]
    if scheme not in ("hf", "modelscope"):
        raise WeightsError(f'"{source}" cannot be used as a model: give {_FORMS}.')
    owner, _, tail = rest.partition("/")
    name, _, file = tail.partition("/")
    name, at, revision = name.partition("@")
    if not (_REPO_PART.fullmatch(owner) and _REPO_PART.fullmatch(name)) or (
        at and not _REVISION.fullmatch(revision)
    ):
        raise WeightsError(f'"{source}" names no repository: give {_FORMS}.')
    if not all(_FILE_PART.fullmatch(part) for part in file.split("/")):
        raise WeightsError(f'"{source}" names no file of the repository: give {_FORMS}.')
    if not file.endswith(".gguf"):
        raise WeightsError(
            f'"{source}" is not a GGUF file. Weights in other formats are served by vLLM or SGLang: '
            'connect such a server as an engine of kind "openai".'
        )
    return RemoteSource(scheme, f"{owner}/{name}", revision, file)


def split_names(file: str) -> list[str]:
    """`file` and its sister parts, in order, as names within the repository. Raises WeightsError."""
    try:
        return [part.as_posix() for part in split_parts(Path(file))]
    except GgufError as error:
        raise WeightsError(str(error)) from error


def _local_file(source: str) -> Path:
    try:
        first = split_parts(Path(source).expanduser())[0]
    except GgufError as error:
        raise WeightsError(str(error)) from error
    if first.is_dir():
        raise WeightsError(f"{first} is a folder: name the .gguf file in it.")
    if not first.is_file():
        raise WeightsError(f"There is no file {first}. As a model, give {_FORMS}.")
    return first


async def _find(
    client: httpx.AsyncClient, hub: Hub, repo: str, revision: str, name: str, patience: Patience
) -> RemoteFile:
    failures = 0
    while True:
        try:
            return await hub.find(client, repo, revision, name)
        except TransientError as error:
            failures += 1
            if failures >= patience.attempts_max:
                raise WeightsError(
                    f"{error} Gave up after {failures} attempts. Another hub (hf:, modelscope:), a mirror's address "
                    "or a file brought here by other means may help."
                ) from error
            await asyncio.sleep(backoff_s(patience, failures, error))


def _reporter(
    progress: Callable[[Progress], None], name: str, names: list[str], total_bytes: int
) -> Callable[[int], None]:
    number = names.index(name) + 1

    def report(done_bytes: int) -> None:
        progress(Progress(name, number, len(names), done_bytes, total_bytes))

    return report
