"""What operators see: one log line a request, and metrics for Prometheus.

Neither ever holds a secret or a word of a prompt or an answer: a record has no field for them.
Every request has both, so a record is kept, and encoded and written with its neighbours a moment later; metrics are
plain counters that are turned into Prometheus' form only when it asks.
"""

import asyncio
import contextlib
import queue
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import IO, Protocol

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

# Seconds; a first token takes 10 ms on the demo model and a minute on a busy cluster.
LATENCY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_FLUSH_INTERVAL_S = 0.05
# Lines kept in memory when the log's reader is slow or the disk is full; later ones are counted and dropped.
_MAX_PENDING_LINES = 20_000
# Each is what gathered in 50 ms.
_MAX_PENDING_WRITES = 200
_ENCODE = msgspec.json.Encoder().encode


class RequestRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """One finished request. Times are milliseconds; `code` is the GLM error code, empty when all went well."""

    time: str
    id: str
    path: str
    status: int
    request_id: str = ""
    account: str = ""
    api_key: str = ""
    model: str = ""
    engine: str = ""
    stream: bool = False
    code: str = ""
    finish_reason: str = ""
    client_left: bool = False
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    first_token_ms: int | None = None
    duration_ms: int = 0
    detail: str = ""


class Output(Protocol):
    """Where lines go. Writing may raise OSError or ValueError; the lines are then lost, and counted."""

    def write(self, text: str, /) -> object:
        """Write, or hand over to be written."""

    def flush(self) -> None:
        """Have everything out."""

    def isatty(self) -> bool:
        """Whether a person is watching."""


class BackgroundStream:
    """A stream whose writes never wait: a thread does them, and what it cannot keep up with is refused.

    A program that starts the platform with a pipe and does not read it would else stop every request.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._queue: queue.Queue[str | None] = queue.Queue(_MAX_PENDING_WRITES)
        # A daemon: a pipe that is never read must not keep the process alive.
        self._thread = threading.Thread(target=self._write_all, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Hand over. Raises OSError when too much is waiting already."""
        try:
            self._queue.put_nowait(text)
        except queue.Full:
            raise BlockingIOError("the log's reader is too slow") from None

    def flush(self) -> None:
        """Writes are flushed one by one."""

    def isatty(self) -> bool:
        """Whether a person is watching."""
        return self._stream.isatty()

    def close(self, patience_s: float = 1.0) -> None:
        """Write what is waiting, for at most `patience_s` seconds."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        self._thread.join(patience_s)

    def _write_all(self) -> None:
        while (text := self._queue.get()) is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(text)
                self._stream.flush()


class RequestLog:
    """Writes records to `out`: JSON lines, or coloured text for a person at a terminal."""

    def __init__(self, out: Output, *, as_json: bool | None = None) -> None:
        self._out = out
        self._as_json = not self._out.isatty() if as_json is None else as_json
        self._pending: list[RequestRecord] = []
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None
        self._sources: list[Callable[[], None]] = []

    def before_flush(self, gather: Callable[[], None]) -> None:
        """Have `gather` called before anything is written: it adds what has waited elsewhere."""
        self._sources.append(gather)

    def write(self, record: RequestRecord) -> None:
        """Note one request; the line is out within 50 ms. Must be called on the event loop."""
        for gather in self._sources:
            gather()
        self.add([record])

    def add(self, records: list[RequestRecord]) -> None:
        """The same for what was gathered."""
        room = _MAX_PENDING_LINES - len(self._pending)
        self._pending += records[:room]
        self._dropped += max(0, len(records) - room)
        if self._pending:
            self.flush_soon()

    def flush_soon(self) -> None:
        """Flush within 50 ms. Must be called on the event loop."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_INTERVAL_S, self.flush)

    def event(self, message: str) -> None:
        """Note something that is no request: an engine's state, a start, a stop."""
        self.flush()
        if self._as_json:
            self._write_lines([_ENCODE({"time": timestamp(time.time()), "event": message}).decode()], 1)
        else:
            self._write_lines([f"{timestamp(time.time())[11:19]}  {message}"], 1)

    def flush(self) -> None:
        """Write what is pending. A log that cannot be written must not stop the platform."""
        for gather in self._sources:
            gather()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        records, self._pending = self._pending, []
        if self._as_json:
            lines = [_ENCODE(record).decode() for record in records]
        else:
            lines = [_text_line(record) for record in records]
        dropped, self._dropped = self._dropped, 0
        if dropped:
            lines.append(_ENCODE({"event": f"{dropped} log lines dropped"}).decode())
        if lines:
            self._write_lines(lines, len(records) + dropped)

    def _write_lines(self, lines: list[str], worth: int) -> None:
        try:
            self._out.write("\n".join(lines) + "\n")
            self._out.flush()
        except (OSError, ValueError):
            self._dropped += worth


def timestamp(unix_s: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    whole = int(unix_s)
    return f"{_second(whole)}.{int((unix_s - whole) * 1000):03d}Z"


@lru_cache(maxsize=4)
def _second(unix_s: int) -> str:
    # strftime costs ten times the rest of a timestamp, and a busy second asks thousands of times.
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_s))


def _text_line(record: RequestRecord) -> str:
    colour = "32" if record.status < 400 else "33" if record.status < 500 else "31"
    words = [
        record.time[11:19],
        f"\x1b[{colour}m{record.status}\x1b[0m",
        printable(record.path),
        printable(record.model),
        record.engine and f"→ {record.engine}",
        record.code and f"\x1b[33mcode {record.code}\x1b[0m",
        record.finish_reason,
        "client left" if record.client_left else "",
        f"{record.prompt_tokens}+{record.completion_tokens} tokens" if record.prompt_tokens else "",
        f"first {record.first_token_ms} ms" if record.first_token_ms is not None else "",
        f"{record.duration_ms} ms",
        printable(record.detail),
        f"\x1b[2m{record.id}\x1b[0m",
    ]
    return "  ".join(word for word in words if word)


def printable(text: str) -> str:
    """Text from outside without anything that could move the cursor or begin a new line."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class _Histogram:
    """Bucket counts that are not yet cumulative."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BUCKETS_S) + 1)
        self.total_s = 0.0

    def buckets(self) -> list[tuple[str, float]]:
        result, cumulative = [], 0
        for bound, count in zip((*map(str, LATENCY_BUCKETS_S), "+Inf"), self.counts, strict=True):
            cumulative += count
            result.append((bound, float(cumulative)))
        return result


class _Totals:
    """What one model on one engine has done: a request finds it with one look-up and then only adds."""

    __slots__ = ("cached", "completion", "duration", "first_token", "prompt", "reasoning")

    def __init__(self) -> None:
        self.duration = _Histogram()
        self.first_token = _Histogram()
        self.prompt = 0
        self.cached = 0
        self.completion = 0
        self.reasoning = 0


class Metrics(Collector):
    """The platform's metrics.

    Labels are bounded by what the operator configured: a model that is not served is counted as `unknown`.
    `gauges` gives (name, help, label names, {label values: value}) of what is known elsewhere, at each scrape.
    """

    def __init__(self) -> None:
        # By model, engine, HTTP status and GLM code.
        self._requests: dict[tuple[str, str, int, str], int] = {}
        self._totals: dict[tuple[str, str], _Totals] = {}
        self._reports: list[Callable[[], Metric]] = []
        self._sources: list[Callable[[], None]] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def before_reading(self, gather: Callable[[], None]) -> None:
        """Have `gather` called before anything is read: it counts what has waited elsewhere."""
        self._sources.append(gather)

    def count(self, record: RequestRecord, model: str) -> None:
        """Count one finished request under the label `model`."""
        engine = record.engine
        request = (model, engine, record.status, record.code)
        self._requests[request] = self._requests.get(request, 0) + 1
        if not engine:
            # What never reached an engine took no time worth comparing with what did.
            return
        totals = self._totals.get((model, engine))
        if totals is None:
            totals = self._totals[model, engine] = _Totals()
        seconds = record.duration_ms / 1000
        totals.duration.counts[bisect_left(LATENCY_BUCKETS_S, seconds)] += 1
        totals.duration.total_s += seconds
        if record.first_token_ms is not None:
            seconds = record.first_token_ms / 1000
            totals.first_token.counts[bisect_left(LATENCY_BUCKETS_S, seconds)] += 1
            totals.first_token.total_s += seconds
        totals.prompt += record.prompt_tokens
        totals.cached += record.cached_tokens
        totals.completion += record.completion_tokens
        totals.reasoning += record.reasoning_tokens

    def add_gauge(
        self, name: str, text: str, labels: list[str], read: Callable[[], dict[tuple[str, ...], float]]
    ) -> None:
        """Report what `read` gives: label values to a value, at each scrape."""

        def collect() -> Metric:
            family = GaugeMetricFamily(name, text, labels=labels)
            for values, value in read().items():
                family.add_metric(list(values), value)
            return family

        self._reports.append(collect)

    def add_counter(
        self, name: str, text: str, labels: list[str], read: Callable[[], dict[tuple[str, ...], float]]
    ) -> None:
        """The same for what only ever grows; `name` is without `_total`."""

        def collect() -> Metric:
            family = CounterMetricFamily(name, text, labels=labels)
            for values, value in read().items():
                family.add_metric(list(values), value)
            return family

        self._reports.append(collect)

    def collect(self) -> Iterator[Metric]:
        """Prometheus' view, made when it asks."""
        for gather in self._sources:
            gather()
        requests = CounterMetricFamily(
            "bigmodel_requests", "Finished requests.", labels=["model", "engine", "status", "code"]
        )
        for (model, engine, status, code), count in self._requests.items():
            requests.add_metric([model, engine, str(status), code], count)
        yield requests
        tokens = CounterMetricFamily("bigmodel_tokens", "Tokens by kind.", labels=["model", "engine", "kind"])
        for labels, totals in self._totals.items():
            if not totals.prompt and not totals.completion:
                continue
            for kind in ("prompt", "cached", "completion", "reasoning"):
                tokens.add_metric([*labels, kind], getattr(totals, kind))
        yield tokens
        durations = HistogramMetricFamily(
            "bigmodel_request_duration_seconds",
            "From the whole request to the end of its answer.",
            labels=["model", "engine"],
        )
        first_tokens = HistogramMetricFamily(
            "bigmodel_first_token_seconds",
            "From the whole request to the first token.",
            labels=["model", "engine"],
        )
        for labels, totals in self._totals.items():
            durations.add_metric(list(labels), totals.duration.buckets(), totals.duration.total_s)
            first_tokens.add_metric(list(labels), totals.first_token.buckets(), totals.first_token.total_s)
        yield durations
        yield first_tokens
        for report in self._reports:
            yield report()

    def render(self) -> bytes:
        """The text that `GET /metrics` answers."""
        return generate_latest(self._registry)
