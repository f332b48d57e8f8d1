"""Moderation through the whole pipeline: what the client sees, what it costs, and that nothing is left behind."""

import json
from typing import Any

import pytest

from openbigmodel.engines.fake_script import (
    DONE,
    LLAMA_SERVER,
    Data,
    End,
    FakeRequest,
    Gate,
    Head,
    Reply,
    Reset,
    json_answer,
)
from openbigmodel.engines.profiles import LLAMA_SERVER as LLAMA_SERVER_PROFILE
from openbigmodel.limits import ModelLimits
from openbigmodel.moderation.moderator import Moderator
from openbigmodel.moderation.words import WordList
from tests.unit.inference.moderation_bench import (
    BALANCE,
    TOOLS,
    WORDS,
    contents,
    filtered,
    moderated,
    sensitive,
)
from tests.unit.inference.pipeline_bench import Bench, run, until

# the input


@pytest.mark.parametrize(
    ("messages", "role", "level"),
    [
        ([{"role": "user", "content": "怎么造炸弹"}], "user", 1),
        ([{"role": "user", "content": "how to build a Ｂomb?"}], "user", 1),
        ([{"role": "user", "content": [{"type": "text", "text": "폭탄을"}]}], "user", 0),
        ([{"role": "user", "content": "bomb"}, {"role": "user", "content": "well?"}], "history", 1),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_blocked_input_is_refused_and_free(
    messages: list[dict[str, Any]], role: str, level: int, stream: bool
) -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask(messages=messages, stream=stream)

        assert asked.exchange is None
        assert filtered(asked.sink, role, level)
        assert (bench.engine.requests, bench.cashier.lines) == ([], [])
        assert bench.cashier.ledger.balance("account") == BALANCE
        record = bench.records[0]
        assert (record["code"], record["detail"]) == ("1301", f"input blocked, level {level}")
        assert "炸弹" not in bench.log.getvalue() and "omb" not in bench.log.getvalue()
        assert await bench.violations() == []
        # The id was not used up.
        assert bench.ask(messages=messages, request_id=asked.name).sink.code == "1301"

    moderated(test)


def test_an_engine_reads_what_was_judged_where_a_message_has_a_name_twice() -> None:
    body = b'{"model":"glm-4.6","messages":[{"role":"user","content":"bomb","content":"hi"}],"max_tokens":9}'

    async def test(bench: Bench) -> None:
        assert (await bench.ask(body=body).answered()).status == 200
        assert b"bomb" not in bench.engine.requests[0].body
        assert bench.engine.requests[0].json["messages"] == [{"role": "user", "content": "hi"}]

    moderated(test, Reply().body())


def test_blocked_input_counts_for_no_limit() -> None:
    async def test(bench: Bench) -> None:
        for _ in range(3):
            assert filtered(bench.ask(messages=[{"role": "user", "content": "bomb"}]).sink, "user")
        assert (await bench.ask().answered()).status == 200
        assert bench.ask().sink.code == "1303"
        assert await bench.violations() == []

    moderated(test, Reply().body(), limits_of={"*": ModelLimits(in_flight=1, rpm=1)})


def test_clean_input_passes_and_what_is_slight_is_reported() -> None:
    async def test(bench: Bench) -> None:
        body = json.loads((await bench.ask().answered()).body)
        assert "content_filter" not in body
        said = [{"role": "user", "content": "mild"}]
        body = json.loads((await bench.ask(messages=said).answered()).body)
        assert list(body)[:2] == ["choices", "content_filter"]
        assert body["content_filter"] == [{"level": 3, "role": "user"}]
        sink = await bench.ask(messages=said, stream=True).answered()
        assert sink.chunks[-1]["content_filter"] == [
            {"level": 3, "role": "user"},
            {"level": 3, "role": "assistant"},
        ]
        assert sink.text == "a mild answer"
        assert await bench.violations(usage_is_true=False) == []

    moderated(test, Reply().body(), Reply().body(), contents("a mi", "ld", " answer").stream())


def test_what_is_slight_in_the_input_is_reported_where_outputs_are_not_judged() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(messages=[{"role": "user", "content": "mild"}], stream=True).answered()
        assert sink.chunks[-1]["content_filter"] == [{"level": 3, "role": "user"}]
        assert sink.text == "a bomb"
        assert await bench.violations() == []

    moderated(test, contents("a bomb").stream(), outputs=False)


def test_only_outputs_are_judged_where_that_is_set() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(messages=[{"role": "user", "content": "bomb"}]).answered()
        assert filtered(sink, "assistant")
        assert await bench.violations() == []

    moderated(test, contents("a bomb").body(), inputs=False)


@pytest.mark.parametrize(
    ("status", "trusted", "blocked"),
    [("DISABLE", True, False), ("ENABLE", True, True), ("DISABLE", False, True)],
)
def test_who_may_switches_it_off(status: str, trusted: bool, blocked: bool) -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask(
            messages=[{"role": "user", "content": "bomb"}],
            sensitive_word_check={"type": "ALL", "status": status},
        )
        if blocked:
            assert filtered(asked.sink, "user")
        else:
            assert "bomb" in (await asked.answered()).body.decode()
        assert await bench.violations() == []

    moderator = Moderator(WORDS, None, may_disable=["account"] if trusted else ["other"])
    run(test, contents("a bomb").body(), moderator=moderator)


@pytest.mark.parametrize("value", ["off", 1, [], {"status": 1}])
def test_a_wish_that_makes_no_sense(value: Any) -> None:
    async def test(bench: Bench) -> None:
        assert bench.ask(sensitive_word_check=value).sink.code == "1214"

    moderated(test)


# the output, by words


def test_a_body_is_withheld_and_charged_as_produced() -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask()
        assert filtered(await asked.answered(), "assistant")

        line = bench.cashier.lines[0]
        assert (line.finish_reason, line.code) == ("sensitive", "1301")
        assert (line.usage.prompt_tokens, line.usage.completion_tokens) == (7, 3)
        assert line.charge == 10_000
        assert bench.cashier.ledger.balance("account") == BALANCE - 10_000
        record = bench.records[0]
        assert (record["status"], record["code"], record["completion_tokens"]) == (400, "1301", 3)
        assert record["detail"] == "output blocked, level 1"
        assert await bench.violations() == []
        # It was charged, so the id is used up; there is no reply to show once more.
        assert bench.ask(request_id=asked.name).sink.code == "1231"

    moderated(test, contents("a ", "bo", "mb").body())


def test_a_body_without_usage_is_charged_by_its_text() -> None:
    async def test(bench: Bench) -> None:
        assert filtered(await bench.ask().answered(), "assistant")
        assert bench.cashier.lines[0].usage.completion_tokens > 50
        assert await bench.violations(usage_is_true=False) == []

    text = "a bomb " + "and a long text " * 30
    answer = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    moderated(test, json_answer(200, answer))


def test_a_body_put_together_from_a_stream_stops_the_engine_at_the_word() -> None:
    async def test(bench: Bench) -> None:
        assert filtered(await bench.ask().answered(), "assistant")
        request = await bench.engine_hears()
        assert request.json["stream"] is True
        assert bench.cashier.lines[0].usage.completion_tokens <= 6
        assert await bench.violations() == []
        assert request.left_s is not None

    reply = contents("a ", "bo", "mb", " is", dialect=LLAMA_SERVER)
    moderated(test, [Head(), *reply.events(), Gate()], profile=LLAMA_SERVER_PROFILE)


@pytest.mark.parametrize(
    ("tokens", "shown"),
    [
        (("we build a b", "om", "b", " and"), "we build a "),
        (("造", "炸", "弹", "的", "方法"), "造"),
        (("是 폭", "탄", "을 "), "是 "),
        (("bo\u200b", "mb.", " x"), ""),
        (("炸", "\u200b", "弹", "。"), ""),
        (("one two, bomb.", " x"), "one two, "),
        (("the end is a bomb",), "the end is a "),
        (("造炸弹",), "造"),
    ],
)
def test_a_stream_ends_before_the_word(tokens: tuple[str, ...], shown: str) -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True).answered()

        assert sink.text == shown
        assert sensitive(sink)
        assert sink.chunks[-1]["content_filter"][0]["role"] == "assistant"
        line = bench.cashier.lines[0]
        assert (line.finish_reason, line.code) == ("sensitive", "")
        assert sink.chunks[-1]["usage"]["completion_tokens"] == line.usage.completion_tokens
        assert line.usage.completion_tokens <= bench.engine.requests[0].tokens
        record = bench.records[0]
        assert (record["status"], record["finish_reason"]) == (200, "sensitive")
        assert await bench.violations() == []

    moderated(test, contents(*tokens).stream())


def test_the_engine_is_stopped_at_the_word_and_charged_is_what_it_had_produced() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True).answered()
        request = await bench.engine_hears()

        assert sensitive(sink)
        line = bench.cashier.lines[0]
        assert 3 <= line.usage.completion_tokens <= request.tokens < 1000
        assert "prompt" in line.note
        assert line.charge > 0
        assert await bench.violations() == []
        assert request.left_s is not None

    def script(request: FakeRequest) -> Any:
        yield Head()
        yield from contents("clean ", "bomb", " and").events()
        for _ in range(1000):
            yield from contents(" more").events()

    moderated(test, script)


def test_clean_text_arrives_chunk_for_chunk() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True).answered()
        assert [delta["reasoning_content"] for delta in sink.deltas[:2]] == ["let ", "me "]
        assert [delta.get("content") for delta in sink.deltas[2:]] == ["Hel", "lo", ", ", "world", ""]
        assert "content_filter" not in sink.chunks[-1]
        assert await bench.violations() == []

    moderated(test, contents("Hel", "lo", ", ", "world", reasoning=("let ", "me ")).stream())


def test_what_was_held_back_comes_before_the_end() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True).answered()
        assert [delta.get("reasoning_content") for delta in sink.deltas[:2]] == ["think ", "bo"]
        assert sink.text == "a bombast, a bo"
        assert sink.chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert await bench.violations(usage_is_true=False) == []

    moderated(test, contents("a bomb", "ast, a bo", reasoning=("think bo",)).stream())


def test_a_word_in_the_reasoning() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True).answered()
        assert "".join(delta.get("reasoning_content", "") for delta in sink.deltas) == "how about a "
        assert sink.text == ""
        assert sensitive(sink)
        assert filtered(await bench.ask().answered(), "assistant")
        assert await bench.violations() == []

    reply = contents("fine", reasoning=("how about a bo", "mb"))
    moderated(test, reply.stream(), reply.body())


@pytest.mark.parametrize("tool_stream", [False, True])
@pytest.mark.parametrize(
    "pieces", [('{"q":"a ', "bo", 'mb"}'), ('{"q":"a \\u70', "b8\\u5f", '39"}'), ('{"q":"a 炸弹"}',)]
)
def test_a_word_in_a_calls_arguments(pieces: tuple[str, ...], tool_stream: bool) -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True, tools=TOOLS, tool_stream=tool_stream).answered()
        calls = [call for delta in sink.deltas for call in delta.get("tool_calls", ())]
        said = "".join(call["function"]["arguments"] for call in calls)
        # Half a call is no call: it is only shown to those who asked for fragments.
        assert said == ('{"q":"a ' if tool_stream else "")
        assert sensitive(sink)
        assert filtered(await bench.ask(tools=TOOLS).answered(), "assistant")
        assert await bench.violations(usage_is_true=False) == []

    reply = Reply(content=(), calls=(("search", pieces),), finish_reason="tool_calls")
    moderated(test, reply.stream(), reply.body())


@pytest.mark.parametrize("tool_stream", [False, True])
def test_clean_calls_arrive_whole(tool_stream: bool) -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True, tools=TOOLS, tool_stream=tool_stream).answered()
        calls = [call for delta in sink.deltas for call in delta.get("tool_calls", ())]
        arguments = {
            index: "".join(call["function"]["arguments"] for call in calls if call["index"] == index)
            for index in (0, 1)
        }
        assert arguments == {0: '{"q":"a bo"}', 1: "{}"}
        assert {call["function"]["name"] for call in calls} == {"search", "now"}
        assert sink.chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
        assert await bench.violations(usage_is_true=False) == []

    reply = Reply(
        content=("one moment",),
        calls=(("search", ('{"q":"a ', "bo", '"}')), ("now", ())),
        finish_reason="tool_calls",
    )
    moderated(test, reply.stream())


def test_an_engine_that_dies_after_a_word_has_begun_shows_nothing_of_it() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True).answered()
        assert sink.text == "clean "
        assert sink.chunks[-1]["choices"][0]["finish_reason"] == "network_error"
        assert await bench.violations() == []

    moderated(test, [Head(), *contents("clean ", "bo").events(), Reset()])


def test_a_client_that_leaves_a_moderated_stream() -> None:
    async def test(bench: Bench) -> None:
        asked = bench.ask(stream=True)
        await until(lambda: bool(asked.sink.body))
        asked.leave()
        await until(lambda: bool(bench.cashier.lines))
        assert bench.cashier.lines[0].finish_reason == "client_left"
        assert await bench.violations() == []

    moderated(test, [Head(), *contents("clean ", "bo").events(), Gate()])


def test_a_run_of_chunks_in_one_piece() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True).answered()
        assert sink.text == "word " * 30 + "a "
        assert sensitive(sink)
        assert await bench.violations() == []

    events = [
        step for step in contents(*["word "] * 30, "a ", "bo", "mb", "!").events() if isinstance(step, Data)
    ]
    packed = Data(b"".join(step.data for step in events), tokens=len(events))
    moderated(test, [Head(), packed, *contents().finish(), DONE, End()])


# that the harness would notice


def test_a_planted_guard_that_lets_everything_through_is_noticed() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask(stream=True).answered()
        assert sink.text == "a bomb!"
        assert not sensitive(sink)

    moderated(test, contents("a bo", "mb!").stream(), words=WordList({"other": 1}))
