"""A request of the Responses surface through the whole pipeline."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import Model
from openbigmodel.db.connection import Database
from openbigmodel.engines.fake_script import Close, Head, Reply, Step
from openbigmodel.engines.translate import Generation
from openbigmodel.errors import ApiError
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.chat_request import Surface
from openbigmodel.inference.dialect import Asked, Dialect, ReplyFacts
from openbigmodel.inference.responses.dialect import ResponsesDialect
from openbigmodel.inference.responses.store import ResponseStore
from tests.unit.inference.pipeline_bench import PRINCIPAL, Bench, RecordingSink
from tests.unit.inference.pipeline_bench import run as run_bench
from tests.unit.inference.responses.event_rules import follow

SURFACE = Surface(prefix="/api/v1")
ANSWER = Reply(reasoning=("hm", "m"), content=("fi", "ne"), prompt_tokens=5)
CALLS = Reply(
    content=(),
    calls=(("get_weather", ('{"city": "北', '京"}')), ("get_time", ())),
    finish_reason="tool_calls",
)
TOOLS = [{"type": "function", "name": name} for name in ("get_weather", "get_time")]


class Desk:
    """The bench, and a store on a file of its own."""

    def __init__(self, bench: Bench, database: Database) -> None:
        self.bench = bench
        self.database = database
        self.log: list[str] = []
        self.store = ResponseStore(database, self.log.append, now_ms=lambda: 1_790_000_000_000)
        self.dialect: Dialect = ResponsesDialect(self.store)

    async def ask(self, **fields: Any) -> RecordingSink:
        body = json.dumps({"model": "glm-4.6", "input": "hi", **fields}).encode()
        sink = RecordingSink(self.bench.trace, "request")
        caller = Caller(PRINCIPAL, SURFACE, SURFACE.prefix + "/responses", "en", dialect=self.dialect)
        self.bench.pipeline.chat(body, caller, sink)
        await asyncio.wait_for(sink.over.wait(), 5)
        # The bench's usage is not in this database; that it comes after the response is the store's own test.
        await self.database.write(lambda _connection: None)
        return sink


def run(path: Path, test: Callable[[Desk], Awaitable[None]], *scripts: list[Step], **options: Any) -> None:
    async def main(bench: Bench) -> None:
        database = Database.open(path / "platform.db")
        try:
            await test(Desk(bench, database))
        finally:
            database.close()

    run_bench(main, *scripts, **options)


def test_a_body_and_its_usage(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        sink = await desk.ask(instructions="be brief")
        assert (sink.status, sink.headers["content-type"]) == (200, "application/json; charset=UTF-8")
        response = json.loads(sink.body)
        assert response["id"] == "resp_" + sink.headers["x-log-id"]
        assert [item["type"] for item in response["output"]] == ["reasoning", "message"]
        assert response["usage"]["total_tokens"] == 9
        asked = desk.bench.engine.requests[0].json
        assert [message["role"] for message in asked["messages"]] == ["system", "user"]
        assert desk.store.find("account", response["id"]) is None
        (line,) = desk.bench.cashier.lines
        assert line.usage.completion_tokens == 4

    run(tmp_path, test, ANSWER.body())


def test_a_stream(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        sink = await desk.ask(stream=True, tools=TOOLS)
        assert sink.headers["content-type"] == "text/event-stream;charset=UTF-8"
        _, response = follow(bytes(sink.body))
        assert [(item["name"], item["arguments"]) for item in response["output"]] == [
            ("get_weather", '{"city": "北京"}'),
            ("get_time", "{}"),
        ]

    run(tmp_path, test, CALLS.stream())


def test_a_stored_answer_can_be_followed_up(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        first = json.loads((await desk.ask(store=True, input="one?", instructions="brief")).body)
        stored = desk.store.find("account", first["id"])
        assert stored is not None and json.loads(stored.response) == first
        second = await desk.ask(store=True, stream=True, input="two?", previous_response_id=first["id"])
        _, response = follow(bytes(second.body))
        assert response["previous_response_id"] == first["id"]
        kept = desk.store.find("account", response["id"])
        assert kept is not None and json.loads(kept.response) == response
        messages = desk.bench.engine.requests[1].json["messages"]
        # Instructions are the request's own.
        assert [(message["role"], message["content"]) for message in messages] == [
            ("user", "one?"),
            ("assistant", "fine"),
            ("user", "two?"),
        ]
        refused = await desk.ask(previous_response_id="resp_unknown")
        assert refused.status == 400
        assert json.loads(refused.body)["error"]["param"] == "previous_response_id"
        assert desk.log == []

    run(tmp_path, test, ANSWER.body(), ANSWER.stream())


def test_an_engine_s_death_in_mid_answer(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        sink = await desk.ask(stream=True, store=True)
        _, response = follow(bytes(sink.body))
        assert response["status"] == "failed"
        assert response["output"][0]["content"][0]["text"] == "half"
        assert desk.store.find("account", response["id"]) is not None

    run(tmp_path, test, [Head(), *Reply(content=("half",)).events(), Close()])


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"model": "glm-none"}, 400, "model_not_found", None),
        ({"input": []}, 400, "invalid_request", "input"),
        ({"temperature": 7}, 400, "invalid_request", "temperature"),
        ({"tools": [{"type": "function"}]}, 400, "invalid_request", "tools[0].name"),
    ],
)
def test_refusals(tmp_path: Path, fields: dict[str, Any], status: int, code: str, param: str | None) -> None:
    async def test(desk: Desk) -> None:
        sink = await desk.ask(**fields)
        error = json.loads(sink.body)["error"]
        assert (sink.status, error["code"], error["type"], error["param"]) == (status, code, code, param)

    run(tmp_path, test)


def test_what_only_later_checks_find_is_told_in_the_caller_s_words(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        for fields, field in (
            ({"max_output_tokens": 10**8}, "max_output_tokens"),
            ({"user": "x" * 1000}, "user"),
            ({"input": [{"role": "system", "content": "x"}]}, "input"),
        ):
            error = json.loads((await desk.ask(**fields)).body)["error"]
            assert error["message"].startswith(field) or f" {field} " in error["message"], error
            assert "messages" not in error["message"]

    run(tmp_path, test)


def facts(asked: Asked, **changes: Any) -> ReplyFacts:
    model = Model(id="glm-x", **changes)
    generation = Generation(None, False, None, None, 10, False, None, None)
    return ReplyFacts("1" * 30, "r", 1, "glm-x", model, asked.request, generation, 0, Usage)


def test_a_model_s_counts_are_those_that_it_shows(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        asked = desk.dialect.read(b'{"model":"m","input":"x"}', "a")
        usage = Usage(10, 5, 10, 5)
        for changes, expected in (
            ({"cached_tokens": True, "reasoning_tokens": "always"}, (5, 5)),
            ({"cached_tokens": False, "reasoning_tokens": "never"}, (0, 0)),
            ({"cached_tokens": False, "reasoning_tokens": "thinking"}, (0, 5)),
        ):
            writer = desk.dialect.writer(facts(asked, **changes), asked)
            told = json.loads(writer.finish("stop", usage, 2))["usage"]
            assert (
                told["input_tokens_details"]["cached_tokens"],
                told["output_tokens_details"]["reasoning_tokens"],
            ) == expected

    run(tmp_path, test)


def test_a_full_account_stores_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openbigmodel.inference.responses.store.STORED_BYTES_MAX", 1)

    async def test(desk: Desk) -> None:
        assert (await desk.ask(store=True)).status == 200
        refused = await desk.ask(store=True)
        assert (refused.status, json.loads(refused.body)["error"]["param"]) == (400, "store")

    run(tmp_path, test, ANSWER.body())


def test_errors_have_status_lines_and_body(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        status, lines, body = desk.dialect.error(ApiError("1305"), "en", "log")
        assert (status, lines) == (429, b"x-should-retry: true\r\nretry-after: 1\r\n")
        assert json.loads(body)["error"]["code"] == "overloaded"

    run(tmp_path, test)
