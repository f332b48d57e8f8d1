"""What one chat request costs in this process, without the kernel: the whole path, then its steps.

    python benchmarks/in_process.py

Everything is real but the two sockets and the disk: bytes go into the edge's connection and into the engine's, and
what is written to either is thrown away. A figure is the least CPU time of many short runs, in µs, because another
program on the same core can only add to it. `--only whole` leaves the steps out, `--profile` shows where it goes,
`--rounds 1` only shows that it runs.

The whole path is measured for an account without price and limits, and for one that pays and has every limit.
"""

import argparse
import asyncio
import cProfile
import io
import json
import pstats
import time
from collections.abc import Callable, Sequence
from typing import Any

import apsw
import msgspec
from uvicorn.server import ServerState

from openbigmodel.api.callers import Callers
from openbigmodel.api.chat import ChatRoute
from openbigmodel.api.routes import hot_routes
from openbigmodel.api.surfaces import PAAS
from openbigmodel.auth.api_keys import Authenticator, KnownKey, Principal, credential_digest, unix_ms
from openbigmodel.billing.cashier import Cashier
from openbigmodel.billing.entries import Settlement
from openbigmodel.billing.ledger import Charge
from openbigmodel.billing.pricing import Band, Price
from openbigmodel.billing.store import Books, Cause, UsageLine, usage_row
from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import Model
from openbigmodel.db.migrations import migrate
from openbigmodel.db.queries import QUERIES
from openbigmodel.edge import Edge, EdgeProtocol, uvicorn_config
from openbigmodel.edge.head import read_head, repeated
from openbigmodel.engines.connection import _Connection
from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.profiles import OPENAI
from openbigmodel.engines.registry import Registry, Route, Target
from openbigmodel.engines.remote import RemoteEngine
from openbigmodel.engines.translate import to_openai
from openbigmodel.ids import IdSource
from openbigmodel.inference.admission import Admissions
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.chat_request import check_chat_request, read_chat_request, read_messages
from openbigmodel.inference.engine_reader import EngineReader
from openbigmodel.inference.finished import Finished, FinishedRequests
from openbigmodel.inference.pipeline import Pipeline
from openbigmodel.inference.reply import BodyWriter, ReplyHead
from openbigmodel.limits import Limits, ModelLimits
from openbigmodel.telemetry import Metrics, RequestLog

RUNS, ROUNDS = 100, 200
ACCOUNT = "a" * 32
# As on bigmodel.cn, cheap enough that no balance ends before the benchmark does.
PRICE = Price("glm-4.6", 1, (Band(input=2000, output=8000, cached=400),))
LIMITS = {"*": ModelLimits(in_flight=1000, rpm=10**7, tpm=10**10, daily=10**9)}
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

    def __init__(self, *, exempt: bool) -> None:
        self._exempt = exempt

    def find_key(self, key_id: str) -> KnownKey:
        """See KeySource."""
        who = Principal(ACCOUNT, key_id, operator=self._exempt, exempt=self._exempt)
        return KnownKey(who, "secret", active=True)

    def on_change(self, listener: Callable[[str], None]) -> None:
        """See KeySource."""

    def on_account_change(self, listener: Callable[[str], None]) -> None:
        """See KeySource."""


class NoDisk:
    """A database that has stored whatever it is told, at once."""

    def read(self, sql: str, params: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Nothing was ever written."""
        return []

    def submit(
        self, sql: str, params: Sequence[object], done: Callable[[BaseException | None], None]
    ) -> None:
        """See Database."""
        done(None)

    def submit_prepared(self, item: object, done: Callable[[BaseException | None], None]) -> None:
        """See Database."""
        done(None)


class OnePrice:
    """The same for every model."""

    def get(self, model_id: str) -> Price:
        """See Prices."""
        return PRICE


class Platform:
    """The parts of a server that a chat request meets, with one client's connection and one engine's."""

    def __init__(self, *, exempt: bool) -> None:
        self.engine = RemoteEngine("engine", Endpoint("127.0.0.1", 1), OPENAI)
        self.model = Model(
            id="glm-4.6",
            thinking="dynamic",
            cached_tokens=True,
            reasoning_tokens="thinking",
            limits={} if exempt else LIMITS,
        )
        registry = Registry([self.engine], {"glm-4.6": Route(self.model, (Target(self.engine, "glm-4.6"),))})
        self.log, self.metrics, self.ids = RequestLog(io.StringIO(), as_json=True), Metrics(), IdSource()
        self.authenticator = Authenticator(OneKey(exempt=exempt))
        no_disk: Any = NoDisk()
        no_plans: Any = None
        cashier = Cashier(no_disk, OnePrice(), no_plans, now_ms=unix_ms, new_id=self.ids.request_id)
        cashier.ledger.credit(ACCOUNT, 10**18)
        pipeline = Pipeline(
            registry=registry,
            admissions=Admissions(Limits(1000), cashier),
            request_log=self.log,
            metrics=self.metrics,
            ids=self.ids,
        )
        callers = Callers(self.authenticator, self.log, self.metrics, self.ids)
        edge = Edge(hot_routes([ChatRoute(PAAS, pipeline, callers)]))
        config = uvicorn_config(edge, None)
        config.load()
        self.client = EdgeProtocol(config, ServerState(), {}, asyncio.get_running_loop(), edge=edge)
        self.client.connection_made(Nowhere())
        self.upstream = _Connection(self.engine._pool)  # noqa: SLF001
        self.upstream.connection_made(Nowhere())
        self.engine._pool.keep(self.upstream)  # noqa: SLF001


class Stopwatch:
    """Measures so many rounds."""

    rounds = ROUNDS


def least_us(step: Callable[[], object], after: Callable[[], object] = lambda: None) -> float:
    """CPU time of one `step` in µs; `after` ends each run and counts."""
    least = float("inf")
    for _ in range(Stopwatch.rounds):
        begun = time.thread_time_ns()
        for _ in range(RUNS):
            step()
        after()
        least = min(least, time.thread_time_ns() - begun)
    return least / RUNS / 1000


FREE_OF_CHARGE = "free and unlimited"


def show(name: str, microseconds: float) -> None:
    """One line of the table."""
    print(f"{name:46}{microseconds:8.2f} µs")


def measure_whole(platform: Platform, *, profile: bool, who: str) -> None:
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
    show(f"JSON request, whole path, {who}", least_us(json_request, platform.log.flush))
    if who != FREE_OF_CHARGE:
        return
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
    digest = credential_digest(credential)
    show(
        "credential, proved before",
        least_us(lambda: platform.authenticator.authenticate(credential, digest)),
    )
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
    show("answer: write", least_us(lambda: writer.finish("stop", usage, 1_800_000_000)))

    finished = FinishedRequests(platform.log, platform.metrics)
    caller = Caller(Principal(ACCOUNT, "b" * 32), PAAS, "/api/paas/v4/chat/completions", "zh")

    def note() -> None:
        log_id = "20000101000000" + "0" * 16
        told = (log_id, log_id, caller, "glm-4.6", "gpu", usage, 200, "", "stop", False, False, "")
        finished.add(Finished(*told, time.time(), 1.0, None, time.monotonic()))

    show("log line and metrics", least_us(note, platform.log.flush))
    measure_disk()


def measure_disk() -> None:
    """What is written of a request, without its share of a commit."""
    database = apsw.Connection(":memory:")
    migrate(database)
    line = UsageLine(
        log_id="0" * 30,
        request_id="0" * 30,
        account_id=ACCOUNT,
        api_key_id="b" * 32,
        model="glm-4.6",
        engine="engine",
        usage=Usage(412, 128, 55, 0),
        finish_reason="stop",
        code="",
        started_ms=1,
        ended_ms=2,
    )
    database.execute("BEGIN")
    insert = QUERIES["insert_usage"]
    show("usage row", least_us(lambda: database.execute(insert, usage_row(line))))
    books, log_ids = Books(), IdSource()
    books.open_book(database, ACCOUNT, "cash", "nano")
    books.post(database, "topup", ACCOUNT, "cash", 10**18, 1, Cause(0, "0" * 30))

    def charge() -> None:
        log_id = log_ids.request_id()
        charged = msgspec.structs.replace(line, log_id=log_id, request_id=log_id, charge=1234)
        Settlement(books, charged, Charge(1234), 0, lambda _: None, lambda: None).write(database)

    show("usage row with its charge", least_us(charge))


async def main() -> None:
    """Measure on a loop, as the server does."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--only", choices=["whole", "steps"])
    options.add_argument("--profile", action="store_true", help="also cProfile's view of the whole path")
    options.add_argument("--rounds", type=int, default=ROUNDS, help="how often each step is measured")
    chosen = options.parse_args()
    Stopwatch.rounds = chosen.rounds
    platform, paying = Platform(exempt=True), Platform(exempt=False)
    if chosen.only != "steps":
        measure_whole(platform, profile=chosen.profile, who=FREE_OF_CHARGE)
        measure_whole(paying, profile=chosen.profile, who="charged and limited")
        paying.log.flush()
    if chosen.only != "whole":
        measure_way_in(platform)
        measure_way_out(platform)
    platform.log.flush()


if __name__ == "__main__":
    asyncio.run(main())
