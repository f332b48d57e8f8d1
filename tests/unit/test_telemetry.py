"""The log loses no line that it can write and stops nobody; the metrics add up."""

import asyncio
import io
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from openbigmodel import telemetry
from openbigmodel.telemetry import BackgroundStream, Metrics, RequestLog, RequestRecord, printable, timestamp

RECORD = RequestRecord(
    time="2026-09-13T02:58:10.940Z",
    id="2026091302581094",
    path="/v1/chat/completions",
    status=200,
    model="glm-4.6",
    engine="gpu",
    finish_reason="stop",
    prompt_tokens=13,
    cached_tokens=2,
    completion_tokens=9,
    reasoning_tokens=5,
    first_token_ms=40,
    duration_ms=300,
)
REFUSED = RequestRecord(time=RECORD.time, id="2", path="/v1/models", status=401, code="1001")


class Out(io.StringIO):
    """A stream that can be told to break."""

    error: Exception | None = None

    def write(self, text: str) -> int:
        if self.error is not None:
            raise self.error
        return super().write(text)


def logged(
    work: Callable[[RequestLog], Any], out: Out | None = None, *, as_json: bool | None = True
) -> list[str]:
    out = out or Out()

    async def main() -> None:
        log = RequestLog(out, as_json=as_json)
        work(log)
        log.flush()

    asyncio.run(main())
    return out.getvalue().removesuffix("\n").split("\n")


def test_a_record_as_json_without_what_is_not_known() -> None:
    (line,) = logged(lambda log: log.write(REFUSED))

    assert json.loads(line) == {
        "time": RECORD.time,
        "id": "2",
        "path": "/v1/models",
        "status": 401,
        "code": "1001",
    }


def test_lines_come_in_order_and_soon() -> None:
    async def main() -> None:
        out = Out()
        log = RequestLog(out, as_json=True)
        log.write(RECORD)
        log.write(REFUSED)
        assert out.getvalue() == ""
        log.event("engine gpu is ready")
        log.write(REFUSED)
        await asyncio.sleep(0.15)  # three times the promised 50 ms
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        assert [line.get("id") for line in lines] == [RECORD.id, "2", None, "2"]
        assert lines[2]["event"] == "engine gpu is ready"

    asyncio.run(main())


def test_a_file_gets_json_and_a_terminal_gets_text() -> None:
    class Terminal(Out):
        def isatty(self) -> bool:
            return True

    assert logged(lambda log: log.write(RECORD), as_json=None)[0].startswith("{")
    assert logged(lambda log: log.write(RECORD), Terminal(), as_json=None)[0].startswith("02:58:10")


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (RECORD, ["\x1b[32m200", "→ gpu", "stop", "13+9 tokens", "first 40 ms", "300 ms"]),
        (REFUSED, ["\x1b[33m401", "code 1001", "/v1/models"]),
        (
            RequestRecord(time=RECORD.time, id="3", path="/", status=500, detail="it broke"),
            ["\x1b[31m500", "it broke"],
        ),
        (RequestRecord(time=RECORD.time, id="3", path="/", status=499, client_left=True), ["client left"]),
    ],
)
def test_a_line_for_a_person(record: RequestRecord, words: list[str]) -> None:
    (line,) = logged(lambda log: log.write(record), as_json=False)

    assert all(word in line for word in words), line


def test_an_event_for_a_person() -> None:
    (line,) = logged(lambda log: log.event("stopping"), as_json=False)

    assert line.endswith("  stopping")


def test_what_callers_write_moves_no_cursor() -> None:
    hostile = "a\x1b[2Jb\r\nc\u2028d\x9be"
    record = RequestRecord(time=RECORD.time, id="1", path=hostile, model=hostile, status=404, detail=hostile)
    text = logged(lambda log: log.write(record), as_json=False)
    as_json = logged(lambda log: log.write(record))

    assert len(text) == 1 and "\x1b[2J" not in text[0] and "\x9b" not in text[0]
    assert json.loads(as_json[0])["path"] == hostile
    assert printable("ünï 智谱") == "ünï 智谱"


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), ValueError("I/O operation on closed file")]
)
def test_a_log_that_cannot_be_written_stops_nobody_and_is_counted(error: Exception) -> None:
    out = Out()

    def work(log: RequestLog) -> None:
        out.error = error
        log.write(RECORD)
        log.write(RECORD)
        log.flush()
        log.event("lost, too")
        out.error = None
        log.write(REFUSED)

    lines = [json.loads(line) for line in logged(work, out)]

    assert lines[0]["id"] == "2"
    assert lines[1] == {"event": "3 log lines dropped"}


def test_what_does_not_fit_into_memory_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "_MAX_PENDING_LINES", 3)

    def work(log: RequestLog) -> None:
        for _ in range(10):
            log.write(RECORD)

    lines = logged(work)

    assert len(lines) == 4
    assert json.loads(lines[3]) == {"event": "7 log lines dropped"}


class Held(io.StringIO):
    """A pipe that nobody reads until `reader` is there."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = threading.Event()
        self.entered = threading.Event()
        self.failures: list[Exception] = []

    def write(self, text: str) -> int:
        self.entered.set()
        assert self.reader.wait(10)
        if self.failures:
            raise self.failures.pop()
        return super().write(text)


def test_a_stream_in_the_background_writes_in_order() -> None:
    stream = Held()
    background = BackgroundStream(stream)
    lines = [f"{number}\n" for number in range(100)]
    for line in lines:
        background.write(line)
    stream.reader.set()
    background.close()

    assert stream.getvalue() == "".join(lines)
    assert not background.isatty()


def test_a_stream_in_the_background_refuses_what_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "_MAX_PENDING_WRITES", 3)
    stream = Held()
    background = BackgroundStream(stream)
    background.write("0")
    assert stream.entered.wait(10)
    for text in "123":
        background.write(text)
    with pytest.raises(BlockingIOError):
        background.write("4")

    started_s = time.monotonic()
    background.close(patience_s=0.05)
    assert time.monotonic() - started_s < 1

    stream.reader.set()
    while stream.getvalue() != "0123":
        time.sleep(0.005)
    background.close()
    assert not background._thread.is_alive()


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O operation on closed file")])
def test_a_stream_in_the_background_outlives_an_error(error: Exception) -> None:
    stream = Held()
    stream.failures.append(error)
    stream.reader.set()
    background = BackgroundStream(stream)
    background.write("lost")
    background.write("written")
    background.close()

    assert stream.getvalue() == "written"


@pytest.mark.parametrize(
    ("unix_s", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1789239490.5, "2026-09-12T18:58:10.500Z"),
        (1789239490.9999, "2026-09-12T18:58:10.999Z"),
    ],
)
def test_timestamps(unix_s: float, text: str) -> None:
    assert timestamp(unix_s) == text


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def labels(**pairs: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(pairs.items()))


def test_metrics_add_up() -> None:
    metrics = Metrics()
    for _ in range(3):
        metrics.count(RECORD, "glm-4.6")
    metrics.count(REFUSED, "")
    found = samples(metrics)
    of_gpu = {"model": "glm-4.6", "engine": "gpu"}

    assert found["bigmodel_requests_total", labels(**of_gpu, status="200", code="")] == 3
    assert found["bigmodel_requests_total", labels(model="", engine="", status="401", code="1001")] == 1
    tokens = {
        kind: found["bigmodel_tokens_total", labels(**of_gpu, kind=kind)] for kind in ("prompt", "completion")
    }
    assert tokens == {"prompt": 39, "completion": 27}
    assert found["bigmodel_tokens_total", labels(**of_gpu, kind="cached")] == 6
    assert found["bigmodel_tokens_total", labels(**of_gpu, kind="reasoning")] == 15
    assert found["bigmodel_request_duration_seconds_count", labels(**of_gpu)] == 3
    assert found["bigmodel_request_duration_seconds_sum", labels(**of_gpu)] == pytest.approx(0.9)
    assert found["bigmodel_first_token_seconds_count", labels(**of_gpu)] == 3


def test_buckets_are_cumulative_and_include_their_bound() -> None:
    metrics = Metrics()
    for duration_ms in (9, 10, 11, 300_000, 300_001):
        metrics.count(
            RequestRecord(time="", id="", path="", status=200, engine="e", duration_ms=duration_ms), "m"
        )
    found = samples(metrics)
    name = "bigmodel_request_duration_seconds_bucket"
    at_most = {
        le: found[name, labels(model="m", engine="e", le=le)] for le in ("0.01", "0.025", "300.0", "+Inf")
    }

    assert at_most == {"0.01": 2, "0.025": 3, "300.0": 4, "+Inf": 5}
    assert found["bigmodel_first_token_seconds_count", labels(model="m", engine="e")] == 0


def test_a_request_that_used_nothing_makes_no_token_series() -> None:
    metrics = Metrics()
    metrics.count(REFUSED, "")

    assert not [name for name, _ in samples(metrics) if name.startswith("bigmodel_tokens")]


def test_gauges_are_read_when_somebody_asks() -> None:
    metrics = Metrics()
    states: dict[tuple[str, ...], float] = {("gpu", "ready"): 1.0}
    metrics.add_gauge("bigmodel_engine_state", "The state.", ["engine", "state"], lambda: states)
    metrics.add_gauge("bigmodel_under_way", "Under way.", [], lambda: {(): 5.0})
    assert samples(metrics)["bigmodel_engine_state", labels(engine="gpu", state="ready")] == 1
    states.clear()
    found = samples(metrics)

    assert found == {("bigmodel_under_way", ()): 5.0}


def test_counters_are_read_when_somebody_asks() -> None:
    metrics = Metrics()
    seen: dict[tuple[str, ...], float] = {("body",): 0.0}
    metrics.add_counter("bigmodel_keys_seen", "Keys.", ["where"], lambda: seen)
    seen["body",] += 2

    assert samples(metrics) == {("bigmodel_keys_seen_total", labels(where="body")): 2.0}
    assert b"# TYPE bigmodel_keys_seen_total counter" in metrics.render()


def test_labels_with_quotes_and_newlines_stay_one_line() -> None:
    metrics = Metrics()
    metrics.count(REFUSED, 'a"b\n\\c')

    assert samples(metrics)[
        "bigmodel_requests_total", labels(model='a"b\n\\c', engine="", status="401", code="1001")
    ]
