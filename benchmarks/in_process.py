"""What one chat request costs in this process, without the kernel: the whole path, then its steps.

    python benchmarks/in_process.py

Everything is real but the two sockets and the disk: bytes go into the edge's connection and into the engine's, and
what is written to either is thrown away. A figure is the least CPU time of many short runs, in µs, because another
program on the same core can only add to it. `--only whole` leaves the steps out, `--profile` shows where it goes.
"""

import argparse
import asyncio
import cProfile
import io
import json
import pstats
import time
from collections.abc import Callable
from typing import Any

import apsw
from uvicorn.server import ServerState

from openbigmodel.api.callers import Callers
from openbigmodel.api.chat import ChatRoute
from openbigmodel.api.routes import hot_routes
from openbigmodel.api.surfaces import PAAS
from openbigmodel.auth.api_keys import Authenticator, KnownKey, Principal
from openbigmodel.billing.store import UsageLine
from openbigmodel.catalog import Model
from openbigmodel.db.migrations import migrate
from openbigmodel.db.queries import QUERIES
from openbigmodel.edge import Edge, EdgeProtocol, uvicorn_config
from openbigmodel.edge.head import read_head, repeated
from openbigmodel.engines.connection import _Connection
from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.registry import Registry, Route
from openbigmodel.engines.remote import RemoteEngine
from openbigmodel.engines.translate import OPENAI, to_openai
from openbigmodel.ids import IdSource
from openbigmodel.inference.chat_request import check_chat_request, read_chat_request, read_messages
from openbigmodel.inference.engine_reader import EngineReader
from openbigmodel.inference.pipeline import Pipeline
from openbigmodel.inference.reply import BodyWriter, ReplyHead
from openbigmodel.limits import InFlight
from openbigmodel.telemetry import Metrics, RequestLog, RequestRecord, timestamp

RUNS, ROUNDS = 100, 200
TEXT = "What does a gateway do, and in which order? Please explain it step by step. " * 2
KEY = b"0123456789abcdef0123456789abcdef.secret"
CHUNKS_IN_A_BURST = 100


def request_body(*, stream: bool) -> bytes:
    """About 2 KB: 14 messages and the usual settings."""
    messages = [{"role": ("user", "assistant")[index % 2], "content": TEXT} for index in range(13)]
    messages.append({"role": "user", "content": "Go on."})
    settings = {"temperature": 0.7, "top_p": 0.95, "max_tokens": 1024, "stream": stream}
    return json.dumps({"model": "glm-4.6", "messages": messages, **settings}, separators=(",", ":")).encode()


def request(body: bytes) -> bytes:
    """The bytes that a client sends."""
    return (
        b"POST /api/paas/v4/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (KEY, len(body), body)
    )


def engine_answer() -> bytes:
    """What vLLM answers to a request without stream: 640 bytes of body."""
    message = {"role": "assistant", "content": TEXT * 2, "reasoning_content": None}
    usage = {"prompt_tokens": 412, "total_tokens": 467, "completion_tokens": 55}
    usage |= {"prompt_tokens_details": {"cached_tokens": 128}}  # type: ignore[dict-item]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop", "stop_reason": None}
    reply = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return json.dumps({**reply, "usage": usage}, separators=(",", ":")).encode()


def engine_chunk(text: str) -> bytes:
    """One event of vLLM's stream in one HTTP chunk."""
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
    }
    event = b"data: %b\n\n" % json.dumps(chunk, separators=(",", ":")).encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


ANSWER = engine_answer()
ANSWER_HEAD = b"HTTP/1.1 200 OK\r\ndate: Sat, 01 Jan 2000 00:00:00 GMT\r\nserver: uvicorn\r\n"
WHOLE_ANSWER = b"%bcontent-length: %d\r\ncontent-type: application/json\r\n\r\n%b" % (
    ANSWER_HEAD,
    len(ANSWER),
    ANSWER,
)
STREAM_BEGINS = ANSWER_HEAD + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Nowhere(asyncio.Transport):
    """A socket without a kernel."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Throw away."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As a socket on loopback."""
        return ("127.0.0.1", 1) if name in {"peername", "sockname"} else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Never full."""

    def is_closing(self) -> bool:
        """Never."""
        return False


class OneKey:
    """A key that is known."""

    def find_key(self, key_id: str) -> KnownKey:
        """See KeySource."""
        return KnownKey(Principal("a" * 32, key_id, operator=True), "secret", active=True)

    def on_change(self, listener: Callable[[str], None]) -> None:
        """See KeySource."""


class NoDisk:
    """Settles at once."""

    def record(self, line: UsageLine, done: Callable[[BaseException | None], None]) -> None:
        """See Settlement."""
        done(None)


class Platform:
    """The parts of a server that a chat request meets, with one client's connection and one engine's."""

    def __init__(self) -> None:
        self.engine = RemoteEngine("engine", Endpoint("127.0.0.1", 1), OPENAI)
        self.model = Model(id="glm-4.6", thinking="dynamic", cached_tokens=True, reasoning_tokens="thinking")
        registry = Registry([self.engine], {"glm-4.6": Route(self.model, self.engine, "glm-4.6")})
        self.log, self.metrics, self.ids = RequestLog(io.StringIO(), as_json=True), Metrics(), IdSource()
        self.authenticator = Authenticator(OneKey())
        pipeline = Pipeline(
            registry=registry,
            in_flight=InFlight(1000),
            settlement=NoDisk(),
            request_log=self.log,
            metrics=self.metrics,
            ids=self.ids,
        )
        callers = Callers(self.authenticator, self.log, self.metrics, self.ids)
        edge = Edge(hot_routes({PAAS: ChatRoute(PAAS, pipeline, callers)}))
        config = uvicorn_config(edge, None)
        config.load()
        self.client = EdgeProtocol(config, ServerState(), {}, asyncio.get_running_loop(), edge=edge)
        self.client.connection_made(Nowhere())
        self.upstream = _Connection(self.engine._pool)  # noqa: SLF001
        self.upstream.connection_made(Nowhere())
        self.engine._pool.keep(self.upstream)  # noqa: SLF001


def least_us(step: Callable[[], object], after: Callable[[], object] = lambda: None) -> float:
    """CPU time of one `step` in µs; `after` ends each run and counts."""
    least = float("inf")
    for _ in range(ROUNDS):
        begun = time.thread_time_ns()
        for _ in range(RUNS):
            step()
        after()
        least = min(least, time.thread_time_ns() - begun)
    return least / RUNS / 1000


def show(name: str, microseconds: float) -> None:
    """One line of the table."""
    print(f"{name:46}{microseconds:8.2f} µs")


def measure_whole(platform: Platform, *, profile: bool) -> None:
    """A JSON request from its first byte to its log line; a chunk that comes alone; chunks that come together."""
    client, upstream = platform.client, platform.upstream
    asked = request(request_body(stream=False))

    def json_request() -> None:
        client.data_received(asked)
        upstream.data_received(WHOLE_ANSWER)

    if profile:
        with cProfile.Profile() as profiler:
            for _ in range(3000):
                json_request()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(40)
    show("JSON request, whole path", least_us(json_request, platform.log.flush))
    client.data_received(request(request_body(stream=True)))
    upstream.data_received(STREAM_BEGINS + engine_chunk("hello"))
    alone, burst = engine_chunk(" word"), engine_chunk(" word") * CHUNKS_IN_A_BURST
    show("chunk that comes alone", least_us(lambda: upstream.data_received(alone)))
    show("chunk in a burst of 100", least_us(lambda: upstream.data_received(burst)) / CHUNKS_IN_A_BURST)


def measure_way_in(platform: Platform) -> None:
    """The steps up to the question to the engine."""
    body = request_body(stream=False)
    raw = request(body)
    found = read_head(raw)
    assert found is not None
    earlier = repeated(found[0], raw[: found[1]])
    assert earlier is not None
    show("head: read anew", least_us(lambda: read_head(raw)))
    show("head: repeated on the connection", least_us(lambda: earlier.read(raw)))
    credential = b"Bearer " + KEY
    show("credential, proved before", least_us(lambda: platform.authenticator.authenticate(credential)))
    show("request id", least_us(platform.ids.request_id))
    show("body: decode", least_us(lambda: read_chat_request(body)))
    decoded = read_chat_request(body)
    show("body: prove 14 messages plain", least_us(lambda: read_messages(decoded, platform.model)))
    show("body: judge the rest", least_us(lambda: check_chat_request(decoded, platform.model, PAAS)))
    generation = check_chat_request(decoded, platform.model, PAAS)
    show(
        "question in the engine's words", least_us(lambda: to_openai(decoded, None, "m", generation, OPENAI))
    )


def measure_way_out(platform: Platform) -> None:
    """The steps from the engine's answer on."""
    head = ReplyHead("id", "id", 1, "glm-4.6")

    def read() -> tuple[BodyWriter, EngineReader]:
        writer = BodyWriter(head, 0)
        reader = EngineReader(writer)
        reader.feed_body(ANSWER)
        return writer, reader

    show("answer: read", least_us(read))
    writer, reader = read()
    usage = reader.usage()
    show("answer: usage", least_us(reader.usage))
    show("answer: write", least_us(lambda: writer.finish("stop", usage)))

    def note() -> None:
        record = RequestRecord(
            time=timestamp(time.time()),
            id="20000101000000" + "0" * 16,
            path="/api/paas/v4/chat/completions",
            status=200,
            account="a" * 32,
            api_key="b" * 32,
            model="glm-4.6",
            engine="engine",
            prompt_tokens=412,
            completion_tokens=55,
            duration_ms=3,
        )
        platform.log.write(record)
        platform.metrics.count(record, "glm-4.6")

    show("log line and metrics", least_us(note, platform.log.flush))
    database = apsw.Connection(":memory:")
    migrate(database)
    row = ("0" * 30, "a" * 32, "b" * 32, "glm-4.6", "engine", 412, 128, 55, 0, "stop", "", 1, 2)
    database.execute("BEGIN")
    insert = QUERIES["insert_usage"]
    show("usage row, without its share of a commit", least_us(lambda: database.execute(insert, row)))


async def main() -> None:
    """Measure on a loop, as the server does."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--only", choices=["whole", "steps"])
    options.add_argument("--profile", action="store_true", help="also cProfile's view of the whole path")
    chosen = options.parse_args()
    platform = Platform()
    if chosen.only != "steps":
        measure_whole(platform, profile=chosen.profile)
    if chosen.only != "whole":
        measure_way_in(platform)
        measure_way_out(platform)
    platform.log.flush()


if __name__ == "__main__":
    asyncio.run(main())
