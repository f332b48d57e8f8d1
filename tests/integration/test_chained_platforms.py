"""Nobody can tell from an answer whether one Open BigModel gave it, or one in front of another.

caller → outer ──(engine of kind glm)──→ inner ──(kind openai)──→ scripted engine      chained
caller ─────────────────────────────────→ inner ─────────────────→ scripted engine      direct
caller → outer ──(kind glm)──→ scripted engine that speaks GLM, and more than we know   upstream
"""

import contextlib
import http.client
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from openbigmodel.engines.fake_script import (
    DONE,
    Close,
    Data,
    End,
    Gate,
    Head,
    Reply,
    Reset,
    Step,
    error_answer,
)
from openbigmodel.sse import EventParser
from tests.integration.fake_engine_thread import ThreadedFakeEngine, fake_engine
from tests.integration.server_process import ServerProcess, server, wait_until

MODELS = ("glm-4.6", "glm-4.7", "glm-5.3", "house-model")
UPSTREAM_MODEL = "glm-upstream"
LOG_ID = re.compile(r"\d{14}[0-9a-f]{16}")
USER = {"role": "user", "content": "你好"}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def events(self) -> list[bytes]:
        """The data of each event; of a whole body, that body."""
        if not self.headers["content-type"].startswith("text/event-stream"):
            return [self.body]
        return EventParser().feed(self.body)


class Platforms(NamedTuple):
    engine: ThreadedFakeEngine
    inner: ServerProcess
    outer: ServerProcess

    def direct(self, body: bytes, path: str = "/api/paas/v4") -> Answer:
        return _post(self.inner, path, body)

    def chained(self, body: bytes, path: str = "/api/paas/v4") -> Answer:
        return _post(self.outer, path, body)


def _post(process: ServerProcess, path: str, body: bytes, seen: Callable[[], None] = lambda: None) -> Answer:
    """Ask, and call `seen` when the first line of the answer is there."""
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=30)
    headers = {"Authorization": f"Bearer {process.key}", "Content-Type": "application/json"}
    with contextlib.closing(connection):
        connection.request("POST", f"{path}/chat/completions", body, headers)
        response = connection.getresponse()
        first = response.readline()
        seen()
        heads = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, heads, first + response.read())


@pytest.fixture(scope="module")
def platforms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platforms]:
    with fake_engine() as engine:
        served = "".join(f'[[models]]\nid = "{model}"\nengine = "next"\n' for model in MODELS)
        url = engine.engine.endpoint.url
        inner_config = f'[[engines]]\nname = "next"\nkind = "openai"\nbase_url = "{url}"\n{served}'
        with server(tmp_path_factory.mktemp("inner"), config=inner_config) as inner:
            base = f"http://127.0.0.1:{inner.port}/api/paas/v4"
            outer_config = (
                f'[[engines]]\nname = "next"\nkind = "glm"\nbase_url = "{base}"\napi_key = "{inner.key}"\n{served}'
                f'[[engines]]\nname = "upstream"\nkind = "glm"\nbase_url = "{url}"\n'
                f'[[models]]\nid = "{UPSTREAM_MODEL}"\nengine = "upstream"\ntarget = "its-name-there"\n'
            )
            with server(tmp_path_factory.mktemp("outer"), config=outer_config) as outer:
                yield Platforms(engine, inner, outer)


def request(**fields: Any) -> bytes:
    return json.dumps({"model": "glm-4.6", "messages": [USER], **fields}, ensure_ascii=False).encode()


def comparable(answer: Answer) -> Any:
    """What must be the same: all but ids and times, and of these that they are there, and the same where they were."""
    names: dict[str, str] = {}

    def nickname(key: str, value: Any) -> Any:
        if (
            key == "created"
            or (key == "id" and str(value).startswith("call_"))
            or LOG_ID.fullmatch(str(value))
        ):
            return names.setdefault(f"{key == 'created'} {value}", f"the {len(names)}. of them")
        return LOG_ID.sub("an id", value) if key == "message" and isinstance(value, str) else value

    def walk(pairs: list[tuple[str, Any]]) -> Any:
        return tuple((key, nickname(key, value)) for key, value in pairs)

    said = [data if data == b"[DONE]" else json.loads(data, object_pairs_hook=walk) for data in answer.events]
    headers = {key: answer.headers.get(key) for key in ("content-type", "retry-after", "x-should-retry")}
    return answer.status, headers, said


def tools(*names: str) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": name, "parameters": {}}} for name in names]


PLAIN = Reply(content=("Hello", ", \u2028", "world 🎉\u0085"))
THINKING = Reply(reasoning=("let ", "me ", "think"), content=("4",))
CALLS = Reply(
    reasoning=("hm",),
    content=("One moment. ",),
    calls=(("get_weather", ('{"city":', '"北京"', "}")), ("now", ())),
    finish_reason="tool_calls",
)
LENGTH = Reply(content=("a", "b"), finish_reason="length")
SENSITIVE = Reply(content=("a", "b"), finish_reason="content_filter")
LONG = Reply(content=tuple(f"word{number} " for number in range(300)))

CASES: dict[str, tuple[Reply, dict[str, Any]]] = {
    "plain": (PLAIN, {}),
    "thinking": (THINKING, {"thinking": {"type": "enabled"}}),
    "no thinking": (PLAIN, {"thinking": {"type": "disabled", "clear_thinking": False}}),
    "always thinking": (THINKING, {"model": "glm-5.3", "reasoning_effort": "high"}),
    "tools": (CALLS, {"tools": tools("get_weather", "now")}),
    "tool_stream": (CALLS, {"tools": tools("get_weather", "now"), "tool_stream": True}),
    "length": (LENGTH, {"max_tokens": 2}),
    "sensitive": (SENSITIVE, {}),
    "long": (LONG, {}),
    "a name of its own": (PLAIN, {"model": "GLM-4.7"}),
    "unlisted": (PLAIN, {"model": "house-model", "temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["x"]}),
    "nulls and the unknown": (PLAIN, {"stop": None, "tools": None, "store": True, "unknown": [2**70]}),
    "a conversation": (
        THINKING,
        {
            "messages": [
                {"role": "system", "content": "s"},
                USER,
                {"role": "assistant", "content": "a", "reasoning_content": "r"},
                USER,
            ],
            "do_sample": False,
            "response_format": {"type": "json_object"},
            "user_id": "user-1",
        },
    ),
}


@pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
@pytest.mark.parametrize("case", CASES)
def test_answers_are_the_same(platforms: Platforms, case: str, stream: bool) -> None:
    reply, fields = CASES[case]
    body = request(stream=stream, **fields)
    answers, asked = [], []
    for ask in (platforms.direct, platforms.chained):
        platforms.engine.play(reply.stream() if stream else reply.body())
        answers.append(ask(body))
        asked.append(platforms.engine.requests[-1].json)

    direct, chained = answers
    assert direct.status == 200, direct.body
    assert comparable(chained) == comparable(direct)
    # What the engine at the far end is asked is the same as well.
    assert asked[1] == asked[0]


@pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
def test_a_request_id_of_the_callers_comes_back(platforms: Platforms, stream: bool) -> None:
    for number, ask in enumerate((platforms.direct, platforms.chained)):
        platforms.engine.play(PLAIN.stream() if stream else PLAIN.body())
        answer = ask(request(stream=stream, request_id=f"mine-{stream}-{number}"))

        assert answer.status == 200, answer.body
        if not stream:
            assert json.loads(answer.body)["request_id"] == f"mine-{stream}-{number}"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"model":"glm-4.6"}',
        request(model="no-such-model"),
        request(messages=[]),
        request(messages=[{"role": "user"}]),
        request(temperature=7),
        request(max_tokens=10**9),
        request(tools=[{"type": "function", "function": {"name": "not a name"}}]),
        request(model="glm-5.3", thinking={"type": "disabled"}),
        b'{"model":"glm-4.6","messages":[],"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=["no json", "no object", "no messages", "model", "empty", "content", "range", "cap", "tool", "rule", "deep"],
)  # fmt: skip
def test_refusals_are_the_same(platforms: Platforms, body: bytes) -> None:
    count = len(platforms.engine.requests)
    direct = platforms.direct(body)

    assert direct.status == 400
    assert comparable(platforms.chained(body)) == comparable(direct)
    assert len(platforms.engine.requests) == count


@pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        (error_answer(400, "the maximum context length is 8192 tokens"), 400, "1261"),
        (error_answer(400, "something about a parameter"), 400, "1210"),
        (error_answer(429, "too many"), 429, "1305"),
        (error_answer(401, "wrong key"), 500, "1234"),
        (error_answer(500, "oh no"), 500, "1234"),
        ([Head(), Close()], 500, "1234"),
    ],
    ids=["context", "parameter", "busy", "credential", "failure", "nothing"],
)
def test_errors_of_the_engine_are_the_same(
    platforms: Platforms, script: list[Step], status: int, code: str, stream: bool
) -> None:
    body = request(stream=stream)
    answers = []
    for ask in (platforms.direct, platforms.chained):
        platforms.engine.play(script)
        answers.append(ask(body))

    direct, chained = answers
    assert (direct.status, json.loads(direct.body)["error"]["code"]) == (status, code)
    assert comparable(chained) == comparable(direct)


@pytest.mark.parametrize("last", [Reset(), Close(), DONE], ids=["reset", "close", "done without a reason"])
def test_a_death_in_mid_stream_is_the_same(platforms: Platforms, last: Step) -> None:
    engine, answers = platforms.engine, []
    for process in (platforms.inner, platforms.outer):
        engine.play([Head(), *THINKING.events(), Gate(), last, End()])
        # Once the caller has seen something.
        answers.append(_post(process, "/api/paas/v4", request(stream=True), lambda: engine.open_gate(-1)))

    direct, chained = answers
    *_, final, done = direct.events
    assert (json.loads(final)["choices"][0]["finish_reason"], done) == ("network_error", b"[DONE]")
    assert comparable(chained) == comparable(direct)


def test_both_platforms_write_down_the_same_usage(platforms: Platforms) -> None:
    platforms.engine.play(THINKING.stream())
    platforms.chained(request(stream=True, model="glm-4.7"))

    def counts(process: ServerProcess) -> list[Any]:
        fields = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "finish_reason")
        lines = [record for record in process.records if record.get("model") == "glm-4.7"]
        return [lines[-1].get(field) for field in fields] if lines else []

    wait_until(lambda: bool(counts(platforms.inner)) and counts(platforms.inner) == counts(platforms.outer))


# An upstream that says more than any of us knows.

RICH: dict[str, Any] = {
    "web_search": [{"content": "…", "link": "l", "refer": "ref_1", "title": "t", "new": None}],
    "content_filter": [{"role": "user", "level": 3}],
    "video_result": [],
    "unheard_of": {"id": 2**60 + 1, "exact": [0.1, -(2**80)], "deep": [[[{}]]]},
}
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 5,
    "total_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 4, "image_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def _chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, **({"finish_reason": finish} if finish else {}), "delta": delta}
    return {
        "id": "its-id",
        "created": 7,
        "object": "x",
        "model": "its-name-there",
        "choices": [choice],
        **more,
    }


CHUNKS = [
    _chunk({"role": "assistant", "reasoning_content": "r"}),
    *(_chunk({"role": "assistant", "content": text}) for text in "abc"),
    _chunk({"role": "assistant", "tool_calls": [{"id": "call_1", "type": "mcp", "mcp": {"output": "o"}}]}),
    _chunk({"role": "assistant", "content": "\u2028"}, request_id="its-id", **RICH),
    _chunk({"role": "assistant", "content": ""}, "tool_calls", usage=USAGE, **RICH),
]
EVERYTHING: dict[str, Any] = {
    "model": UPSTREAM_MODEL,
    "messages": [USER, {"role": "assistant", "content": "", "reasoning_content": "r", "prefix": True}, USER],
    "thinking": {"type": "enabled", "budget": 2**60 + 1},
    "tools": [{"type": "web_search", "web_search": {"enable": True}}, *tools("f")],
    "do_sample": False,
    "meta": {"user_info": "u"},
    "response_format": {"type": "text"},
    "stop": None,
    "unheard_of": [2**80, 1.5, {}],
}  # fmt: skip


def _with_ours(value: dict[str, Any], log_id: str) -> dict[str, Any]:
    ours = {"id": log_id, "request_id": log_id, "model": UPSTREAM_MODEL}
    return {name: ours.get(name, member) for name, member in value.items()}


def test_nothing_that_an_upstream_streams_is_lost(platforms: Platforms) -> None:
    events = [Data(b"data: " + json.dumps(chunk).encode() + b"\n\n", 1) for chunk in CHUNKS]
    platforms.engine.play([Head(), Data(b": ping\n\n"), *events, DONE, End()])
    answer = platforms.chained(json.dumps(EVERYTHING | {"stream": True}).encode())
    *chunks, done = answer.events

    assert done == b"[DONE]"
    assert [list(json.loads(chunk).items()) for chunk in chunks] == [
        list(_with_ours(chunk, answer.headers["x-log-id"]).items()) for chunk in CHUNKS
    ]
    assert platforms.engine.requests[-1].json == EVERYTHING | {"stream": True, "model": "its-name-there"}


def test_nothing_that_an_upstream_says_in_a_body_is_lost(platforms: Platforms) -> None:
    message = {"content": "", "reasoning_content": "r", "role": "assistant", "audio": {"data": "AAAA"}}
    said = {
        "choices": [{"finish_reason": "model_context_window_exceeded", "index": 0, "message": message}],
        "created": 7,
        "id": "its-id",
        "model": "its-name-there",
        "request_id": "its-id",
        "usage": USAGE,
        **RICH,
    }
    platforms.engine.play(_json(said))
    answer = platforms.chained(json.dumps(EVERYTHING).encode())

    assert list(json.loads(answer.body).items()) == list(_with_ours(said, answer.headers["x-log-id"]).items())
    assert platforms.engine.requests[-1].json == EVERYTHING | {"model": "its-name-there"}


def _json(value: Any) -> list[Step]:
    body = json.dumps(value).encode()
    return [Head(200, (("Content-Type", "application/json"),), len(body)), Data(body, 5), End()]


def test_the_coding_base_tells_an_upstream_to_keep_reasoning(platforms: Platforms) -> None:
    platforms.engine.play(_json({"choices": [{"finish_reason": "stop", "message": {"content": "x"}}]}))
    platforms.chained(json.dumps(EVERYTHING).encode(), "/api/coding/paas/v4")

    assert platforms.engine.requests[-1].json["thinking"] == EVERYTHING["thinking"] | {
        "clear_thinking": False
    }
