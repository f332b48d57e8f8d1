"""The two model hubs: how each one names a file, says its size and checksum, and refuses.

Rule: a hub turns (repository, revision, file) into a RemoteFile and nothing else; bytes are download.py's work.

    Hugging Face  HEAD {endpoint}/{repo}/resolve/{revision}/{file}: X-Linked-Size and X-Linked-Etag (the SHA-256 of
                  a large file) on the redirect to its storage; X-Error-Code says what is missing
    ModelScope    GET {endpoint}/api/v1/models/{repo}/repo/files?Revision=&Recursive=true: Data.Files[] with Path,
                  Size, Sha256; the bytes are at …/repo?Revision=&FilePath=
"""

import re
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

import httpx
import msgspec

from openbigmodel.engines.download import RemoteFile
from openbigmodel.engines.hub_http import WeightsError, check_status, request

FILE_BYTES_MAX = 4 << 40
_DECODE = msgspec.json.Decoder(float_hook=float).decode
_LISTING_BYTES_MAX = 32 << 20
_SHA256 = re.compile(r"^[0-9a-f]{64}$")


class Hub(Protocol):
    """Where weights are published."""

    @property
    def folder(self) -> str:
        """Name of its folder among the models."""

    @property
    def default_revision(self) -> str:
        """What a source without a revision means."""

    async def find(self, client: httpx.AsyncClient, repo: str, revision: str, file: str) -> RemoteFile:
        """Raises WeightsError, or TransientError if asking again may help."""


def _checked_endpoint(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        # Reading the port checks it.
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise WeightsError(
            f"{endpoint!r} is not an address of a model hub: it must begin with https:// or http://."
        )
    return endpoint.rstrip("/")


def _checked_size(size: object, file: str) -> int:
    if isinstance(size, str) and size.isdigit():
        size = int(size)
    if not isinstance(size, int) or not 0 < size <= FILE_BYTES_MAX:
        raise WeightsError(f"The hub gives {file} a size that cannot be: {size!r}.")
    return size


def _sha256(text: object) -> str:
    """A checksum in the hub's answer, or "" if that is no SHA-256 (a small file's tag is a Git hash)."""
    plain = text.removeprefix("W/").strip('"').lower() if isinstance(text, str) else ""
    return plain if _SHA256.match(plain) else ""


@dataclass(frozen=True, slots=True)
class HuggingFace:
    """huggingface.co or a mirror that speaks its protocol."""

    endpoint: str
    credential: str = ""
    folder: str = "hf"
    default_revision: str = "main"

    async def find(self, client: httpx.AsyncClient, repo: str, revision: str, file: str) -> RemoteFile:
        """See Hub."""
        url = f"{_checked_endpoint(self.endpoint)}/{quote(repo)}/resolve/{quote(revision, safe='')}/{quote(file)}"
        headers = {"authorization": f"Bearer {self.credential}"} if self.credential else {}
        async with request(client, "HEAD", url, headers, stop_at="x-linked-size") as response:
            if response.status_code >= 400:
                self._refuse(response, repo, revision, file)
            size = response.headers.get("x-linked-size") or response.headers.get("content-length")
            tag = response.headers.get("x-linked-etag") or response.headers.get("etag")
            return RemoteFile(url, _checked_size(size, file), _sha256(tag), headers)

    def _refuse(self, response: httpx.Response, repo: str, revision: str, file: str) -> None:
        page = f"{self.endpoint.rstrip('/')}/{repo}"
        code = response.headers.get("x-error-code", "")
        if code == "GatedRepo":
            raise WeightsError(
                f"{repo} is gated: accept its terms at {page} and set hf_token to an access token of that account."
            )
        if code == "EntryNotFound":
            raise WeightsError(
                f"{repo} has no file {file} in revision {revision}. Its files are at {page}/tree/{revision}."
            )
        if code == "RevisionNotFound":
            raise WeightsError(f"{repo} has no revision {revision}.")
        if response.status_code in (401, 403):
            hint = "hf_token may not read it" if self.credential else "it may be private and need an hf_token"
            raise WeightsError(
                f"{page} is refused ({response.status_code}): there is no such repository, or {hint}."
            )
        if response.status_code == 404:
            raise WeightsError(f"There is no {page} with a file {file}.")
        check_status(response, f"{repo}/{file}")


@dataclass(frozen=True, slots=True)
class ModelScope:
    """modelscope.cn."""

    endpoint: str
    credential: str = ""
    folder: str = "modelscope"
    default_revision: str = "master"

    async def find(self, client: httpx.AsyncClient, repo: str, revision: str, file: str) -> RemoteFile:
        """See Hub."""
        base = f"{_checked_endpoint(self.endpoint)}/api/v1/models/{quote(repo)}/repo"
        headers: dict[str, str] = {}
        if self.credential:
            # Older parts of that API know it only as a session cookie.
            headers = {
                "authorization": f"Bearer {self.credential}",
                "cookie": f"m_session_id={self.credential}",
            }
        listing = f"{base}/files?{urlencode({'Revision': revision, 'Recursive': 'true'})}"
        async with request(client, "GET", listing, headers) as response:
            if response.status_code in (401, 403, 404):
                raise WeightsError(
                    f"{self.endpoint.rstrip('/')}/models/{repo} is refused ({response.status_code}): there is no such "
                    f"repository or revision {revision}, or it is private and needs a modelscope_token."
                )
            check_status(response, f"the files of {repo}")
            entries = _entries(await _read_bounded(response), repo)
        entry = next((one for one in entries if one.get("Path") == file and one.get("Type") != "tree"), None)
        if entry is None:
            raise WeightsError(f"{repo} has no file {file} in revision {revision}.{_similar(entries)}")
        url = f"{base}?{urlencode({'Revision': revision, 'FilePath': file})}"
        return RemoteFile(url, _checked_size(entry.get("Size"), file), _sha256(entry.get("Sha256")), headers)


async def _read_bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _LISTING_BYTES_MAX:
                raise WeightsError(f"{response.url.host} answered with an endless list of files.")
    except httpx.RequestError as error:
        raise WeightsError(f"The connection to {response.url.host} broke.") from error
    return bytes(body)


def _entries(body: bytes, repo: str) -> list[dict[str, Any]]:
    try:
        files = _DECODE(body)["Data"]["Files"]
        return [entry for entry in files if isinstance(entry, dict)]
    except (msgspec.MsgspecError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(f"The hub's list of the files of {repo} cannot be read.") from error


def _similar(entries: list[dict[str, Any]]) -> str:
    names = [str(entry.get("Path")) for entry in entries if str(entry.get("Path")).endswith(".gguf")]
    return f" It has: {', '.join(names[:20])}." if names else ""
