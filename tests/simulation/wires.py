"""The wires of the simulated world: what passes between the platform and its engines and callers, byte for byte."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from openbigmodel.billing.usage import Usage
from openbigmodel.engines.connection import ChunkTaker, EngineConsumer
from openbigmodel.engines.endpoint import EngineUnavailable
from openbigmodel.engines.profiles import Profile
from tests.simulation import caller
from tests.simulation.engine import Call, Engine, EngineAway
from tests.simulation.requests import Ask

NUMBER = re.compile(rb"number (\d+)")
# Of requests that no engine was asked. 1210 is for a file that cannot be fetched.
REFUSALS = {"1113", "1210", "1231", "1301", "1302", "1303", "1304", "1305", "1308", "1309", "1310", "1311"}
# One chunk is this text. Five bytes, so that it is one token where tokens are estimated by the size of the text.
WORD = b"word "


class Wire:
    """What an engine makes, in the words of OpenAI's protocol, as a stream or as one body."""

    headers: Mapping[bytes, bytes] = {}

    def __init__(self, consumer: EngineConsumer, ask: Ask, *, stream: bool) -> None:
        self.call: Call | None = None
        self._consumer = consumer
        self._ask = ask
        self._stream = stream
        self._started = False
        self._cancelled = False
        self._usage: dict[str, Any] | None = None

    def ask_first(self, taker: ChunkTaker) -> None:
        """There are no chunks here."""

    def pause(self) -> None:
        """Nobody here reads slowly."""

    def resume(self) -> None:
        """Nobody here reads slowly."""

    def cancel(self) -> None:
        self._cancelled = True
        assert self.call is not None
        self.call.cancel()

    def engine_chunk(self) -> None:
        if self._stream:
            self._send(b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % WORD)

    def engine_usage(self, usage: Usage, *, final: bool) -> None:
        said = {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        }
        if self._stream:
            self._send(b"data: %b\n\n" % msgspec.json.encode({"choices": [], "usage": said}))
        elif final:
            self._usage = said
        else:
            self._ask.reported = None

    def engine_ended(self) -> None:
        if self._stream:
            self._send(
                b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
            )
        else:
            message = {"role": "assistant", "content": (WORD * self._ask.chunks).decode()}
            body: dict[str, Any] = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
            if self._usage is not None:
                body["usage"] = self._usage
            self._send(msgspec.json.encode(body))
        if not self._cancelled:
            self._consumer.engine_ended()

    def engine_failed(self) -> None:
        self._consumer.engine_failed("it died")

    def _send(self, data: bytes) -> None:
        if not self._started:
            self._started = True
            self._consumer.engine_started(200)
        if not self._cancelled:
            self._consumer.engine_data(data)


class TokenCounter:
    """An engine's answer to how long a prompt is."""

    headers: Mapping[bytes, bytes] = {}

    def __init__(self, consumer: EngineConsumer, count: int | None) -> None:
        self._consumer = consumer
        self._count = count
        self._cancelled = False

    def ask_first(self, taker: ChunkTaker) -> None:
        """It is too short for that."""

    def pause(self) -> None:
        """It is too short for that."""

    def resume(self) -> None:
        """It is too short for that."""

    def cancel(self) -> None:
        self._cancelled = True

    def answer(self) -> None:
        if self._cancelled:
            return
        if self._count is None:
            self._consumer.engine_failed("it died")
            return
        self._consumer.engine_started(200)
        self._consumer.engine_data(b'{"input_tokens": %d}' % self._count)
        self._consumer.engine_ended()


class WiredEngine:
    """The world's engine, as the platform knows engines."""

    name = "engine"
    kind = "openai"
    state = "ready"
    keys: tuple[str, ...] = ()

    def __init__(
        self, engine: Engine, profile: Profile, asks: dict[int, Ask], whose: Callable[[], Ask]
    ) -> None:
        """`asks` are requests by their number; `whose` is the one that the platform is at work on."""
        self.profile = profile
        self._engine = engine
        self._asks = asks
        self._whose = whose
        # Who is asked again still asks for the same, whatever is at work then.
        self._asked: dict[EngineConsumer, Ask] = {}

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def post(
        self, path: str, body: bytes, consumer: EngineConsumer, key: str | None = None
    ) -> "Wire | TokenCounter":
        engine = self._engine
        if path != "/chat/completions":
            found = NUMBER.search(body)
            assert found is not None
            ask = self._asks[int(found[1])]
            counter = TokenCounter(consumer, None if engine.random.random() < 0.3 else max(1, ask.prompt))
            engine.scope.after(engine.random.randrange(2_000_000), counter.answer)
            return counter
        ask = self._asked.setdefault(consumer, self._whose())
        wire = Wire(consumer, ask, stream=b'"stream":true' in body)
        try:
            wire.call = engine.ask(ask, wire)
        except EngineAway:
            raise EngineUnavailable("it is away") from None
        return wire


class Socket:
    """The caller's end of a connection, as the platform knows sinks."""

    peer = "127.0.0.1"

    def __init__(self, connection: caller.Connection, *, whole: bool) -> None:
        """`whole`: the engine makes whole answers for this request, of which the platform sees one piece."""
        self._connection = connection
        self._whole = whole

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        if status == 200:
            replayed = b"x-idempotent-replay: true" in headers
            words = body.count(WORD)
            self._connection.ended(body, min(words, 1) if self._whole else words, replayed=replayed)
            return
        code = json.loads(body)["error"]["code"]
        if code in REFUSALS:
            self._connection.refused(code)
        else:
            self._connection.broken()

    def start(self, headers: bytes) -> None:
        """The head of a stream tells nothing here."""

    def write(self, data: bytes) -> None:
        for _ in range(data.count(WORD)):
            self._connection.chunk()

    def end(self, data: bytes = b"") -> None:
        self.write(data)
        if b"network_error" in data:
            self._connection.broken()
        else:
            self._connection.ended(b"", 0)

    def abort(self) -> None:
        self._connection.broken()
