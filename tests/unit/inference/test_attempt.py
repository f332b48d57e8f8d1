"""One engine asked once: in which words, who reads its answer, and what is given back."""

import json
from typing import Any

import msgspec
import pytest

from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import load_catalog
from openbigmodel.engines.candidate import Seat
from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.engine_errors import fault_of_engine
from openbigmodel.engines.fake_script import json_answer
from openbigmodel.engines.outcome import Outcome
from openbigmodel.engines.profiles import GLM as GLM_PROFILE
from openbigmodel.engines.profiles import LLAMA_SERVER, OPENAI, VLLM, Profile
from openbigmodel.engines.registry import Registry, Route, Target
from openbigmodel.engines.remote import RemoteEngine
from openbigmodel.engines.router import Router
from openbigmodel.inference import attempt as attempt_module
from openbigmodel.inference.attempt import Attempt, Wish, answer_bound, outcome_of_fault
from openbigmodel.inference.chat_request import Surface, check_chat_request
from openbigmodel.inference.engine_reader import EngineProtocolError, EngineReader
from openbigmodel.inference.glm_dialect import GLM
from openbigmodel.inference.glm_relay import GlmReader
from openbigmodel.inference.mended_reply import MendedReply
from openbigmodel.inference.raw_text_reader import RawTextReader
from tests.unit.inference.pipeline_bench import Bench, run

RAW = msgspec.structs.replace(OPENAI, parse="glm47")
SHORT = msgspec.structs.replace(OPENAI, max_output_tokens=100)
TOOL = {"type": "function", "function": {"name": "a"}}


def wish(*profiles: Profile, watched: bool = False, **fields: Any) -> tuple[Wish, Router]:
    model = load_catalog().find("glm-4.6")
    assert model is not None
    engines = [
        RemoteEngine(f"engine-{number}", Endpoint("127.0.0.1", 1), profile)
        for number, profile in enumerate(profiles)
    ]
    route = Route(model, tuple(Target(engine, "target") for engine in engines))
    body = json.dumps({"model": "glm-4.6", "messages": [{"role": "user", "content": "hi"}], **fields})
    asked = GLM.read(body.encode(), "account")
    generation = check_chat_request(asked.request, model, Surface("/base"))
    made = Wish(GLM, asked, route, None, generation, "2026", "mine", 1, "glm-4.6", 0, watched)
    return made, Router(Registry(engines, {"glm-4.6": route}), now_s=lambda: 0.0)


def attempt(profile: Profile, **fields: Any) -> tuple[Attempt, Seat[Target], Router]:
    made, router = wish(profile, **fields)
    seat = router.desk(made.route).seat(None)
    assert seat is not None
    tried = Attempt(seat, made)
    tried.open(made)
    return tried, seat, router


@pytest.mark.parametrize(
    ("profile", "fields", "reader", "streams"),
    [
        (OPENAI, {}, EngineReader, False),
        (OPENAI, {"stream": True}, EngineReader, True),
        (LLAMA_SERVER, {}, EngineReader, True),
        (OPENAI, {"watched": True}, EngineReader, True),
        (SHORT, {"watched": True}, EngineReader, False),  # it is told where to stop
        (GLM_PROFILE, {"watched": True}, GlmReader, False),  # it is asked what the caller has asked
        (RAW, {}, RawTextReader, True),
    ],
)
def test_who_reads_and_whether_it_is_a_stream(
    profile: Profile, fields: dict[str, Any], reader: type, streams: bool
) -> None:
    tried, _, _ = attempt(profile, **fields)
    assert type(tried.reader) is reader
    assert tried.streams is streams
    assert json.loads(tried.sent).get("stream", False) is streams


def test_another_platform_gets_the_callers_own_words() -> None:
    tried, _, _ = attempt(GLM_PROFILE, unheard_of=2**70)
    assert json.loads(tried.sent) == {
        "model": "target",
        "messages": [{"role": "user", "content": "hi"}],
        "unheard_of": 2**70,
    }


def test_another_platform_gets_glms_own_fields_and_nothing_besides() -> None:
    fields = {
        "stream": True,
        "tool_stream": True,
        "do_sample": True,
        "reasoning_effort": "high",
        "thinking": {"type": "enabled", "clear_thinking": None},
        "tools": [TOOL, {"type": "web_search", "web_search": {"enable": True}}],
        "tool_choice": "none",
        "response_format": {"type": "json_schema"},
    }
    tried, _, _ = attempt(GLM_PROFILE, **fields)
    sent = json.loads(tried.sent)
    assert {name: sent[name] for name in sent if name not in ("model", "messages")} == fields


def test_of_an_answer_that_keeps_to_no_schema_the_log_hears() -> None:
    schema = {"type": "object", "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    for text, remark in (('{"n": 1}', ""), ("{}", "the answer does not keep to its schema")):
        tried, _, _ = attempt(OPENAI, response_format=wanted)
        tried.writer.content(text)
        tried.writer.finish("stop", Usage(), 1)
        assert tried.remark == remark


def test_calls_are_mended_where_nobody_wants_them_as_they_come() -> None:
    tried, _, _ = attempt(VLLM, tools=[TOOL])
    assert isinstance(tried.writer, MendedReply)
    tried, _, _ = attempt(VLLM, tools=[TOOL], stream=True, tool_stream=True)
    assert not isinstance(tried.writer, MendedReply)


def test_a_body_has_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_module, "MAX_ENGINE_BODY_BYTES", 10)
    tried, _, _ = attempt(OPENAI)
    tried.status = 200
    tried.keep(b"12345")
    tried.keep(b"67890")
    assert tried.body == b"1234567890"
    with pytest.raises(EngineProtocolError):
        tried.keep(b"1")


def test_of_an_error_the_beginning_is_enough() -> None:
    tried, _, _ = attempt(OPENAI)
    tried.status = 500
    tried.keep(b"x" * 60_000)
    tried.keep(b"y" * 60_000)
    assert tried.body == b"x" * 60_000


def test_the_seat_is_left_once() -> None:
    tried, _, router = attempt(OPENAI)
    assert router.in_flight == 1
    tried.end(Outcome.LEFT, 0.0)
    tried.end(Outcome.FAILED, 0.0)
    assert router.in_flight == 0


def test_the_most_that_any_engine_may_answer_is_held() -> None:
    made, _ = wish(SHORT, OPENAI)
    assert answer_bound(made.generation, made.route) == made.generation.max_tokens
    made, _ = wish(SHORT)
    assert answer_bound(made.generation, made.route) == 100


def test_nothing_that_an_engine_refuses_is_a_failure_of_its_own() -> None:
    for status in range(400, 500):
        fault = fault_of_engine(status, b"{}", "2026")
        assert outcome_of_fault(fault) is not Outcome.FAILED, status
    assert outcome_of_fault(fault_of_engine(529, b"", "2026")) is Outcome.BUSY
    for status in (500, 502, 503, 504, 301):
        assert outcome_of_fault(fault_of_engine(status, b"", "2026")) is Outcome.FAILED, status


def test_a_field_of_ours_that_the_engine_does_not_know_is_in_the_log_with_the_profile() -> None:
    said = {"message": "Unrecognized request argument supplied: chat_template_kwargs", "param": None}

    async def test(bench: Bench) -> None:
        sink = await bench.ask(thinking={"type": "disabled"}).answered()
        assert (sink.status, sink.code) == (500, "1234")
        detail = bench.records[-1]["detail"]
        assert "engine answered 400 (invalid_request_error)" in detail
        assert "does not know chat_template_kwargs" in detail and "profile openai" in detail
        assert "Unrecognized" not in detail
        assert await bench.violations() == []

    run(test, json_answer(400, {"error": {**said, "type": "invalid_request_error", "code": None}}))
