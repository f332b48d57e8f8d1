"""`POST …/chat/completions`: by the hot route, and by ASGI for the rare request without Content-Length."""

import asyncio

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from openbigmodel.api.callers import Callers
from openbigmodel.api.errors import respond_error
from openbigmodel.edge import Exchange, RequestHead, Sink
from openbigmodel.errors import ApiError
from openbigmodel.inference.chat_request import Surface
from openbigmodel.inference.pipeline import Caller, Pipeline

# Bytes. A prompt of a million tokens is about 4 MiB; files and images travel elsewhere.
BODY_LIMIT = 10 * 1024 * 1024


class ChatRoute:
    """The hot route for one surface."""

    body_limit = BODY_LIMIT

    def __init__(self, surface: Surface, pipeline: Pipeline, callers: Callers) -> None:
        self._surface = surface
        self._pipeline = pipeline
        self._callers = callers

    def accept(self, head: RequestHead, sink: Sink) -> Caller | None:
        """See HotRoute: judge the credential before a byte of the body is read."""
        return self.judge(
            head.path.decode("ascii"), head.get(b"authorization"), head.get(b"accept-language"), sink
        )

    def judge(
        self, path: str, authorization: bytes | None, accept_language: bytes | None, sink: Sink
    ) -> Caller | None:
        """The caller, or None after the sink was told why not."""
        language = self._callers.language(accept_language)
        try:
            principal = self._callers.authenticate(authorization)
        except ApiError as error:
            respond_error(sink, error, language)
            self._callers.note_refusal(path, error)
            return None
        return Caller(principal, self._surface, path, language)

    def run(self, accepted: object, head: RequestHead, body: bytes, sink: Sink) -> Exchange | None:
        """See HotRoute."""
        assert isinstance(accepted, Caller)
        return self.chat(accepted, body, sink)

    def chat(self, caller: Caller, body: bytes, sink: Sink) -> Exchange | None:
        """Serve an accepted request."""
        return self._pipeline.chat(body, caller, sink)


class AsgiChat:
    """The same for a request that comes through ASGI, with a chunked body."""

    def __init__(self, route: ChatRoute) -> None:
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        request = Request(scope, receive)
        sink = AsgiSink()
        headers = {name: value for name, value in scope["headers"]}
        path: str = scope["path"]
        accepted = self._route.judge(path, headers.get(b"authorization"), headers.get(b"accept-language"), sink)
        exchange: Exchange | None = None
        if accepted is not None:
            body = await _read_body(request, self._route.body_limit)
            if body is None:
                respond_error(sink, too_large(self._route.body_limit), accepted.language)
            else:
                exchange = self._route.chat(accepted, body, sink)
        await sink.pump(exchange, receive, send)


async def _read_body(request: Request, limit: int) -> bytes | None:
    """The body, None when it is larger than `limit` bytes."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
    return b"".join(parts)


def too_large(limit: int) -> ApiError:
    """413 for a body of more than `limit` bytes."""
    return ApiError(
        "1210",
        status=413,
        detail_zh=f"请求体超过{limit}字节。",
        detail_en=f"The request body is larger than {limit} bytes.",
    )


class AsgiSink:
    """A sink that an ASGI task empties: holds one answer's bytes until `send` has taken them."""

    _HIGH_WATER_BYTES = 64 * 1024

    def __init__(self) -> None:
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._pending = bytearray()
        self._ended = False
        self._aborted = False
        self._changed = asyncio.Event()

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        """See Sink."""
        self._begin(status, headers)
        self._headers.append((b"content-length", str(len(body)).encode()))
        self.end(body)

    def start(self, headers: bytes) -> None:
        """See Sink."""
        self._begin(200, headers)

    def _begin(self, status: int, headers: bytes) -> None:
        self._status = status
        for line in headers.split(b"\r\n"):
            name, colon, value = line.partition(b": ")
            if colon:
                self._headers.append((name, value))
        self._changed.set()

    def write(self, data: bytes) -> None:
        """See Sink."""
        self._pending += data
        self._changed.set()

    def end(self, data: bytes = b"") -> None:
        """See Sink."""
        self._pending += data
        self._ended = True
        self._changed.set()

    def abort(self) -> None:
        """See Sink."""
        self._aborted = True
        self._changed.set()

    async def pump(self, exchange: Exchange | None, receive: Receive, send: Send) -> None:
        """Move the answer to the client; stop the exchange when the client leaves."""
        gone = asyncio.create_task(_until_disconnected(receive))
        try:
            await self._move(exchange, gone, send)
        finally:
            gone.cancel()

    async def _move(self, exchange: Exchange | None, gone: "asyncio.Task[None]", send: Send) -> None:
        begun = False
        while True:
            waiter = asyncio.create_task(self._changed.wait())
            await asyncio.wait((waiter, gone), return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()
            if gone.done() and not self._ended:
                if exchange is not None:
                    exchange.client_left()
                return
            self._changed.clear()
            if self._aborted:
                raise ConnectionAbortedError("the answer was broken off")
            if not begun and self._status:
                begun = True
                await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
            ended, data = self._ended, bytes(self._pending)
            self._pending.clear()
            if exchange is not None and len(data) > self._HIGH_WATER_BYTES and not ended:
                exchange.pause()
            if begun and (data or ended):
                await send({"type": "http.response.body", "body": data, "more_body": not ended})
            if ended:
                return
            if exchange is not None and len(data) > self._HIGH_WATER_BYTES:
                exchange.resume()


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
