"""The Anthropic surface beside messages: lists of models, counts of tokens, and errors in its own shape."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, cast

import httpx
import msgspec
import pytest
import uvloop
from starlette.applications import Starlette
from starlette.middleware import Middleware

from openbigmodel.api.access_log import AccessLog
from openbigmodel.api.anthropic import (
    ANTHROPIC,
    ANTHROPIC_PLAN,
    COUNTS_AT_ONCE,
    AnthropicApi,
    MessagesRoute,
    anthropic_dialect,
    surface_for,
)
from openbigmodel.api.chat import BODY_LIMIT
from openbigmodel.auth.api_keys import Principal
from openbigmodel.edge.head import read_head
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import Gate, Step, error_answer, json_answer
from openbigmodel.engines.profiles import OPENAI, VLLM, Profile
from openbigmodel.engines.registry import Registry
from openbigmodel.inference.anthropic.dialect import AnthropicDialect
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.reading import BURST_VALUES
from openbigmodel.limits import ModelLimits
from openbigmodel.room import Room
from tests.unit.api.api_bench import CODING_USER, CREATED_S, PRINCIPALS, RESTRICTED_USER, USER, ApiBench
from tests.unit.inference.pipeline_bench import Bench, RecordingSink, until

MODELS = "/api/anthropic/v1/models"
COUNT = "/api/anthropic/v1/messages/count_tokens"
QUESTION = {"model": "glm-4.6", "messages": [{"role": "user", "content": "word " * 100}]}
LANGUAGE = {"accept-language": "en"}


class Api:
    """Built on a running loop."""

    def __init__(self, engine: FakeEngine, profile: Profile, **options: Any) -> None:
        self.api = ApiBench(Bench(engine, profile=profile, **options))
        bench = self.api.bench
        self.room = Room(3 << 20)
        made = self.made = AnthropicApi(
            bench.pipeline.registry,
            self.api.callers,
            bench.limits,
            bench.pipeline.reading,
            self.room,
            CREATED_S,
        )
        self.app = Starlette(
            routes=made.routes(), middleware=[Middleware(AccessLog, callers=self.api.callers)]
        )

    def client(self, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, client=("127.0.0.1", 1))
        headers = {"x-api-key": str(USER)} if headers is None else headers
        return httpx.AsyncClient(
            transport=transport, base_url="http://platform", headers={**LANGUAGE, **headers}
        )


def run(
    test: Callable[[Api], Awaitable[None]], *scripts: list[Step], profile: Profile = OPENAI, **options: Any
) -> list[dict[str, Any]]:
    """Runs a test; returns the log."""
    records: list[dict[str, Any]] = []

    async def main() -> None:
        async with FakeEngine() as engine:
            engine.play(*scripts)
            api = Api(engine, profile, **options)
            await test(api)
            records.extend(api.api.bench.records)
            await api.api.bench.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 20))
    return records


def test_the_list_of_models() -> None:
    async def test(api: Api) -> None:
        async with api.client() as client:
            body = (await client.get(MODELS + "?limit=1000&beta=true")).json()
        listed = [model.id for model in api.api.bench.pipeline.registry.models() if model.listed]
        assert [entry["id"] for entry in body["data"]] == listed
        assert (body["hasMore"], body["has_more"]) == (False, False)
        assert (body["first_id"], body["last_id"]) == (listed[0], listed[-1])
        entry = next(entry for entry in body["data"] if entry["id"] == "glm-4.6")
        assert (entry["type"], entry["display_name"]) == ("model", "GLM-4.6")
        assert entry["created_at"].endswith("Z") and entry["max_tokens"] == 131072

    run(test)


def test_one_model() -> None:
    async def test(api: Api) -> None:
        async with api.client() as client:
            found = await client.get(MODELS + "/GLM-4.6")
            missing = await client.get(MODELS + "/glm-9")
        assert (found.status_code, found.json()["id"]) == (200, "glm-4.6")
        assert found.headers["request-id"] == found.headers["x-log-id"]
        body = missing.json()
        assert (missing.status_code, body["error"]["type"]) == (404, "not_found_error")
        assert body["request_id"] == missing.headers["x-log-id"] == missing.headers["request-id"]

    assert [record["code"] for record in run(test) if "code" in record] == ["1211"]


@pytest.mark.parametrize("path", [MODELS, MODELS + "/glm-4.6", COUNT])
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "1001"),
        ({"x-api-key": "nonsense"}, "1002"),
        ({"x-api-key": f"{USER.id}.{CODING_USER.secret}"}, "1000"),
        ({"x-api-key": str(USER), "authorization": f"Bearer {CODING_USER}"}, "1002"),
        ({"x-api-key": str(USER), "authorization": f"Bearer {USER}"}, None),
        ({"authorization": f"Bearer {USER}"}, None),
        ({"authorization": str(USER)}, None),
        ({"x-api-key": str(CODING_USER)}, None),
    ],
)
def test_who_is_told(path: str, headers: dict[str, str], code: str | None) -> None:
    async def test(api: Api) -> None:
        async with api.client(headers) as client:
            response = await (client.post(path, json=QUESTION) if path == COUNT else client.get(path))
        if code is None:
            assert response.status_code == 200
        else:
            error = response.json()["error"]
            assert (response.status_code, error["type"]) == (401, "authentication_error")
            assert error["code"] == code

    run(test)


def test_a_key_for_some_models_sees_those() -> None:
    async def test(api: Api) -> None:
        async with api.client({"x-api-key": str(RESTRICTED_USER)}) as client:
            listed = (await client.get(MODELS)).json()["data"]
            refused = await client.get(MODELS + "/glm-4.7")
            counted = await client.post(COUNT, json=QUESTION)
            uncounted = await client.post(COUNT, json={**QUESTION, "model": "glm-4.7"})
        assert [entry["id"] for entry in listed] == ["glm-4.6"]
        assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")
        assert (counted.status_code, uncounted.status_code) == (200, 403)

    run(test)


def test_tokens_are_counted_by_the_engine() -> None:
    async def test(api: Api) -> None:
        async with api.client() as client:
            response = await client.post(COUNT + "?beta=true", json={**QUESTION, "system": "s"})
        assert response.json() == {"input_tokens": 123}
        assert response.headers["x-bigmodel-counted-by"] == "engine"
        asked = api.api.bench.engine.requests[0]
        assert asked.target.endswith("/tokenize")
        assert asked.json["messages"][0] == {"role": "system", "content": "s"}

    run(test, json_answer(200, {"count": 123}), profile=VLLM)


@pytest.mark.parametrize("profile", [OPENAI, VLLM])
def test_tokens_are_estimated_where_no_engine_counts(profile: Profile) -> None:
    async def test(api: Api) -> None:
        async with api.client() as client:
            response = await client.post(COUNT, json=QUESTION)
        assert response.headers["x-bigmodel-counted-by"] == "estimate"
        assert 100 <= response.json()["input_tokens"] <= 150
        assert len(api.api.bench.engine.requests) == (profile is VLLM)

    run(test, error_answer(404, "no such page"), profile=profile)


@pytest.mark.parametrize(
    ("fields", "code", "named"),
    [
        ({"model": "glm-9"}, "1211", ""),
        ({"messages": []}, "1214", "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "1213",
            "messages.0.content.0.text",
        ),
        ({"stop_sequences": list("12345")}, "1214", "stop_sequences"),
        (
            {
                "system": "s",
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image", "source": {"type": "url", "url": "https://a.example/b"}}
                        ],
                    }
                ],
            },
            "1210",
            "messages.0.content.0",
        ),
    ],
)
def test_what_would_be_refused_is_not_counted(fields: dict[str, Any], code: str, named: str) -> None:
    async def test(api: Api) -> None:
        async with api.client() as client:
            response = await client.post(COUNT, json={**QUESTION, **fields})
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (400, code)
        assert named in error["message"]

    run(test)


def test_a_body_without_end_is_not_read() -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(BODY_LIMIT // 65536 + 2):
            yield b" " * 65536

    async def test(api: Api) -> None:
        api.room.most = 1 << 29
        async with api.client() as client:
            response = await client.post(COUNT, content=body())
            assert (response.status_code, response.json()["error"]["type"]) == (413, "request_too_large")
            announced = {"content-length": str(BODY_LIMIT + 1)}
            response = await client.post(COUNT, content=unread(), headers=announced)
            assert response.status_code == 413
        assert not api.room.taken

    run(test)


async def unread() -> AsyncIterator[bytes]:
    """Who waits for it waits for ever."""
    await asyncio.Event().wait()
    yield b""


def unfinished(release: asyncio.Event, size: int) -> AsyncIterator[bytes]:
    """A question of which `size` bytes come, and the end only when it may."""

    async def body() -> AsyncIterator[bytes]:
        yield b" " * size
        await release.wait()
        yield msgspec.json.encode(QUESTION)

    return body()


def test_bodies_of_counts_that_are_not_whole_take_room_and_who_has_much_is_refused() -> None:
    async def test(api: Api) -> None:
        release = asyncio.Event()
        async with api.client() as client, api.client({"x-api-key": str(CODING_USER)}) as other:
            send = partial(client.post, COUNT)
            counts = [asyncio.ensure_future(send(content=unfinished(release, 300_000))) for _ in range(5)]
            await until(lambda: sum(count.done() for count in counts) == 2)
            assert 900_000 < api.room.taken <= api.room.most_for_one
            refused = [count.result() for count in counts if count.done()]
            assert [(answer.status_code, answer.json()["error"]["code"]) for answer in refused] == [
                (529, "1305")
            ] * 2

            released = asyncio.Event()
            released.set()
            response = await other.post(COUNT, content=unfinished(released, 100_000))
            assert response.status_code == 200
            release.set()
            answers = await asyncio.gather(*counts)
            assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 529, 529]
        assert not api.room.taken and not api.made._asked

    run(test)


@pytest.mark.parametrize("in_flight", [0, 10])
def test_no_more_bodies_of_counts_are_read_at_once_than_any_model_allows(in_flight: int) -> None:
    most = in_flight or COUNTS_AT_ONCE

    async def test(api: Api) -> None:
        release = asyncio.Event()
        async with api.client() as client:
            send = partial(client.post, COUNT)
            counts = [asyncio.ensure_future(send(content=unfinished(release, 10))) for _ in range(most)]
            await until(lambda: api.made._asked == {"account": most})
            response = await send(content=unread())
            assert (response.status_code, response.json()["error"]["code"]) == (429, "1302")
            release.set()
            assert [answer.status_code for answer in await asyncio.gather(*counts)] == [200] * most
        assert not api.made._asked

    run(test, limits_of={"*": ModelLimits(in_flight=in_flight)})


def test_a_key_of_the_plan_is_served_by_the_plans_rules() -> None:
    assert surface_for(PRINCIPALS[USER]) is ANTHROPIC
    assert surface_for(PRINCIPALS[CODING_USER]) is ANTHROPIC_PLAN
    assert not ANTHROPIC.coding and ANTHROPIC_PLAN.coding
    assert ANTHROPIC.prefix + ANTHROPIC.path == "/api/anthropic/v1/messages"


def accepted(api: Api, *lines: str) -> Caller | RecordingSink:
    """What the hot route makes of a head: a caller, or an answer."""
    bench = api.api.bench
    route = MessagesRoute(bench.pipeline.registry, bench.pipeline, api.api.callers)
    head = (
        "POST /api/anthropic/v1/messages?beta=true HTTP/1.1",
        "host: a",
        "accept-language: en",
        *lines,
        "\r\n",
    )
    found = read_head("\r\n".join(head).encode())
    assert found is not None
    sink = RecordingSink([], "hot")
    return route.accept(found[0], sink) or sink


def test_messages_are_served_by_the_rules_of_the_key() -> None:
    async def test(api: Api) -> None:
        usual = accepted(api, f"x-api-key: {USER}")
        plan = accepted(api, f"authorization: Bearer {CODING_USER}")
        assert isinstance(usual, Caller) and isinstance(plan, Caller)
        assert (usual.surface, plan.surface) == (ANTHROPIC, ANTHROPIC_PLAN)
        assert usual.path == "/api/anthropic/v1/messages"
        assert isinstance(plan.dialect, AnthropicDialect) and isinstance(usual.dialect, AnthropicDialect)
        assert plan.dialect._thinking_optional and not usual.dialect._thinking_optional

    run(test)


def test_nobody_is_served_without_a_key() -> None:
    async def test(api: Api) -> None:
        refused = accepted(api)
        assert isinstance(refused, RecordingSink)
        assert (refused.status, refused.code) == (401, "1001")
        assert b"authentication_error" in refused.body

    run(test)


def test_messages_are_posted() -> None:
    async def test(api: Api) -> None:
        async with api.client() as client:
            assert (await client.get("/api/anthropic/v1/messages")).status_code == 405

    run(test)


def test_the_dialect_knows_what_the_platform_serves() -> None:
    async def test(api: Api) -> None:
        registry = api.api.bench.pipeline.registry
        body = b'{"model":"GLM-4.6","max_tokens":99999999,"messages":[]}'
        for surface in (ANTHROPIC, ANTHROPIC_PLAN):
            asked = anthropic_dialect(registry, surface).read(body, "account")
            assert asked.request.max_tokens == 131072

    run(test)


async def refused_count(client: httpx.AsyncClient, status: int, code: str) -> dict[str, Any]:
    response = await client.post(COUNT, json=QUESTION)
    error: dict[str, Any] = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert response.headers["x-should-retry"] == "true"
    return error


def test_counts_are_requests_of_the_minute() -> None:
    async def test(api: Api) -> None:
        async with api.client() as client:
            for _ in range(2):
                wrong = await client.post(COUNT, json={**QUESTION, "stop_sequences": list("12345")})
                assert wrong.status_code == 400
            for _ in range(2):
                assert (await client.post(COUNT, json=QUESTION)).status_code == 200
            await refused_count(client, 429, "1303")
            api.api.bench.now_s += 30
            assert (await client.post(COUNT, json=QUESTION)).status_code == 200
        assert not api.api.bench.limits.total and not api.made._counts

    # Neither tokens nor requests of the day are used.
    run(test, limits_of={"*": ModelLimits(in_flight=1, rpm=2, tpm=1, daily=1)})


def test_counting_reads_no_more_values_than_chatting() -> None:
    async def test(api: Api) -> None:
        reading = api.api.bench.pipeline.reading
        body = {**QUESTION, "unknown": [0] * (BURST_VALUES // 10)}
        async with api.client() as client:
            answers = [await client.post(COUNT, json=body) for _ in range(11)]
            assert {answer.status_code for answer in answers[:-1]} == {200}
            assert (answers[-1].status_code, answers[-1].json()["error"]["code"]) == (429, "1303")
            assert answers[-1].headers["retry-after"] == "1"
            # What is small is read all the same.
            assert (await client.post(COUNT, json=QUESTION)).status_code == 200
        assert len(reading) == 1

    run(test)


def test_counts_and_chats_share_the_places_of_a_model() -> None:
    limited = ModelLimits(in_flight=1)

    async def test(api: Api) -> None:
        limits = api.api.bench.limits
        place = limits.enter("account", "glm-4.6", limited)
        async with api.client() as client:
            error = await refused_count(client, 429, "1302")
            assert error["type"] == "rate_limit_error"
            limits.leave(place)
            assert (await client.post(COUNT, json=QUESTION)).status_code == 200

    run(test, limits_of={"V0": limited})


def test_a_full_platform_does_not_count() -> None:
    async def test(api: Api) -> None:
        api.api.bench.limits.enter("another", "glm-4.6")
        async with api.client() as client:
            assert (await refused_count(client, 529, "1305"))["type"] == "overloaded_error"

    run(test, platform_limit=1)


def test_an_account_counts_a_few_prompts_at_once() -> None:
    async def test(api: Api) -> None:
        bench = api.api.bench
        requests = bench.engine.requests
        # What it asks for at the same time is no count.
        chats = [bench.limits.enter("account", "glm-4.6", ModelLimits()) for _ in range(COUNTS_AT_ONCE)]
        async with api.client() as client:
            counts = [asyncio.ensure_future(client.post(COUNT, json=QUESTION)) for _ in range(COUNTS_AT_ONCE)]
            await until(lambda: len(requests) == COUNTS_AT_ONCE)
            error = await refused_count(client, 429, "1302")
            assert str(COUNTS_AT_ONCE) in error["message"]
            counts.pop().cancel()
            await until(lambda: len(api.made._counts) == 1 and api.made._counts["account"] < COUNTS_AT_ONCE)
            for request in list(requests):
                request.open_gate()
            assert all(response.status_code == 200 for response in await asyncio.gather(*counts))
            assert (await client.post(COUNT, json=QUESTION)).status_code == 200
        assert not api.made._counts
        for place in chats:
            bench.limits.leave(place)
        assert not bench.limits.total

    slow = [Gate(), *json_answer(200, {"count": 5})]
    run(test, *[slow] * COUNTS_AT_ONCE, json_answer(200, {"count": 5}), profile=VLLM)


def test_an_exempt_account_has_the_platforms_limit_alone() -> None:
    async def test(api: Api) -> None:
        model = api.api.bench.pipeline.registry.models()[0]
        principal = Principal("account", "key", exempt=True)
        with ExitStack() as places:
            for _ in range(COUNTS_AT_ONCE + 1):
                places.enter_context(api.made._place(principal, model))
            assert api.api.bench.limits.total == COUNTS_AT_ONCE + 1
        assert not api.api.bench.limits.total

    run(test, limits_of={"*": ModelLimits(in_flight=1, rpm=1)})


@pytest.mark.parametrize("path", [MODELS, COUNT])
def test_a_fault_of_ours_is_told_in_anthropics_shape(path: str) -> None:
    faults: list[BaseException] = []

    async def test(api: Api) -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: faults.append(context["exception"])
        )
        # Nothing has this attribute: the first that looks for a model fails.
        api.made._registry = cast("Registry", None)
        async with api.client() as client:
            response = await (client.post(path, json=QUESTION) if path == COUNT else client.get(path))
        body = response.json()
        assert (response.status_code, body["type"], body["error"]["type"]) == (500, "error", "api_error")
        assert body["error"]["code"] == "500" and "NoneType" not in body["error"]["message"]
        assert body["request_id"] == response.headers["x-log-id"] == response.headers["request-id"]

    assert [(record["status"], record["code"]) for record in run(test)] == [(500, "500")]
    assert [type(fault) for fault in faults] == [AttributeError]
