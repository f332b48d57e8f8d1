"""A model hub on this machine that speaks both protocols, behaves as told, and remembers what it was asked."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

_RANGE = re.compile(r"bytes=(\d+)-$")
_HUGGING_FACE = re.compile(r"^/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)$")
_MODELSCOPE = re.compile(r"^/api/v1/models/(?P<repo>[^/]+/[^/]+)/repo(?P<files>/files)?$")


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    target: str
    headers: dict[str, str]


@dataclass
class HubServer:
    """The hub. Files are named owner/name/file. The knobs may be turned between requests."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    credential: str = ""
    storage: str = ""
    """Another hub to which downloads are redirected."""
    statuses: list[int] = field(default_factory=list)
    """Answer the next requests with these instead."""
    refusal: dict[str, str] = field(default_factory=dict)
    """Headers of such an answer."""
    only_for: str = "GET"
    """The method that `statuses` is for."""
    cuts: list[int] = field(default_factory=list)
    """Break the next downloads off after so many bytes."""
    ranges: bool = True
    range_shift: int = 0
    etag: str = '"v1"'
    alter: Callable[[bytes], bytes] = bytes
    """What goes over the line instead of the file."""
    checksum: bool = True
    announced_size: int | None = None
    lengths: bool = True
    pause_s: float = 0.0
    """Before each 64 KiB."""
    listing: bytes | None = None

    def downloads(self) -> list[Asked]:
        return [one for one in self.asked if one.method == "GET" and "/repo/files" not in one.target]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await self._head(reader):
                self.asked.append(head)
                await self._answer(head, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _head(self, reader: asyncio.StreamReader) -> Asked | None:
        raw = await reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").strip().split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        return Asked(method, target, {name.lower(): value.strip() for name, _, value in pairs})

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        url = urlsplit(asked.target)
        if self.statuses and asked.method == self.only_for:
            _respond(writer, self.statuses.pop(0), self.refusal)
        elif self.credential and asked.headers.get("authorization") != f"Bearer {self.credential}":
            _respond(writer, 401, {})
        elif match := _MODELSCOPE.match(url.path):
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            if match["files"]:
                self._list(match["repo"], writer)
            else:
                await self._send(f"{match['repo']}/{query['FilePath']}", asked, writer)
        elif match := _HUGGING_FACE.match(url.path):
            await self._send(f"{match['repo']}/{unquote(match['file'])}", asked, writer)
        else:
            await self._send(unquote(url.path[1:]), asked, writer)

    def _list(self, repo: str, writer: asyncio.StreamWriter) -> None:
        entries: list[dict[str, object]] = [{"Path": "folder", "Type": "tree", "Size": 0}]
        for name, content in self.files.items():
            if name.startswith(f"{repo}/"):
                entry = {"Path": name.removeprefix(f"{repo}/"), "Type": "blob", "Size": self._size(content)}
                entries.append({**entry, "Sha256": _sha256(content) if self.checksum else ""})
        answer = json.dumps({"Code": 200, "Data": {"Files": entries}, "Success": True}).encode()
        _respond(
            writer, 200 if len(entries) > 1 else 404, {}, answer if self.listing is None else self.listing
        )

    async def _send(self, name: str, asked: Asked, writer: asyncio.StreamWriter) -> None:
        content = self.files.get(name)
        if content is None:
            _respond(writer, 404, self.refusal or {"X-Error-Code": "EntryNotFound"})
            return
        if asked.method == "HEAD" or self.storage:
            headers = {"X-Linked-Size": str(self._size(content)), "X-Repo-Commit": "c0ffee"}
            headers["X-Linked-Etag"] = f'"{_sha256(content) if self.checksum else "0123abcd"}"'
            headers["Location"] = f"{self.storage or self.url}/{name}?signature=abc"
            _respond(writer, 302, headers)
            return
        await self._send_bytes(self.alter(content), asked, writer)

    async def _send_bytes(self, content: bytes, asked: Asked, writer: asyncio.StreamWriter) -> None:
        wanted = _RANGE.match(asked.headers.get("range", ""))
        same = asked.headers.get("if-range", self.etag) == self.etag
        headers = {"ETag": self.etag} if self.etag else {}
        status, start = 200, 0
        if wanted and self.ranges and same:
            start = int(wanted[1]) + self.range_shift
            if start >= len(content):
                _respond(writer, 416, {})
                return
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        if self.lengths:
            headers["Content-Length"] = str(len(body))
        else:
            headers["Connection"] = "close"
        writer.write(_head_of(status, headers))
        cut = self.cuts.pop(0) if self.cuts else None
        for offset in range(0, len(body[:cut]), 65_536):
            writer.write(body[offset : min(offset + 65_536, len(body) if cut is None else cut)])
            await writer.drain()
            if self.pause_s:
                await asyncio.sleep(self.pause_s)
        if cut is not None or not self.lengths:
            raise ConnectionAbortedError

    def _size(self, content: bytes) -> int:
        return len(content) if self.announced_size is None else self.announced_size


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _head_of(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def _respond(writer: asyncio.StreamWriter, status: int, headers: dict[str, str], body: bytes = b"") -> None:
    writer.write(_head_of(status, {**headers, "Content-Length": str(len(body))}) + body)


@asynccontextmanager
async def hub_server() -> AsyncIterator[HubServer]:
    hub = HubServer()
    server = await asyncio.start_server(hub.serve, "127.0.0.1", 0)
    hub.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield hub
    finally:
        server.close()
