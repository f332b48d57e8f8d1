"""The stream has the recorded shape (api.md §6), and whatever an engine says, in whatever order, it stays legal."""

import json
import random
from typing import Any

import pytest

from openbigmodel.billing.usage import Usage
from openbigmodel.inference.dialect import ReplyWriter
from tests.conftest import SCALE
from tests.unit.inference.anthropic.legal_events import faults_of
from tests.unit.inference.anthropic.messages_bench import (
    ID,
    USAGE,
    Event,
    events,
    message,
    stream,
)

THINK = {"type": "enabled", "budget_tokens": 1024}
ENDED_S = 1767424400
SCRIPTS = round(2000 * SCALE)
REASONS = ("stop", "tool_calls", "length", "sensitive", "network_error", "model_context_window_exceeded")


def finished(writer: ReplyWriter, reason: str = "stop", usage: Usage = USAGE) -> bytes:
    return writer.take() + writer.finish(reason, usage, ENDED_S)


def test_the_recorded_stream_byte_for_byte() -> None:
    writer = stream(model="glm-4-air", counts=lambda: Usage(552, 20, 0, 0))
    writer.content("你好")
    writer.content("！")

    assert finished(writer).decode() == (
        "event: message_start\n"
        f'data: {{"type":"message_start","message":{{"id":"msg_{ID}","type":"message","role":"assistant",'
        '"model":"glm-4-air","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":532,'
        '"output_tokens":0,"cache_read_input_tokens":20,"cache_creation_input_tokens":0,"service_tier":"standard"}}}\n\n'
        'event: ping\ndata: {"type":"ping"}\n\n'
        "event: content_block_start\n"
        'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
        "event: content_block_delta\n"
        'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"你好"}}\n\n'
        "event: content_block_delta\n"
        'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"！"}}\n\n'
        'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        "event: message_delta\n"
        'data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":'
        '{"input_tokens":532,"output_tokens":20,"cache_read_input_tokens":20,"cache_creation_input_tokens":0,'
        '"service_tier":"standard","server_tool_use":{"web_search_requests":0},'
        '"output_tokens_details":{"thinking_tokens":5}}}\n\n'
        'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )


def test_thinking_text_and_calls_are_blocks_one_after_the_other() -> None:
    writer = stream(thinking=THINK)
    writer.reasoning("two ")
    writer.reasoning_run([b"cit", b"ies"])
    writer.content("I look.")
    writer.tool_call(0, "get_weather", '{"city":')
    writer.tool_call(0, None, '"北京"}')
    writer.tool_call(1, "get_time", "")

    found = message(finished(writer, "tool_calls"))

    assert found["content"] == [
        {"type": "thinking", "thinking": "two cities", "signature": ID},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "call_7", "name": "get_weather", "input": {"city": "北京"}},
        {"type": "tool_use", "id": "call_8", "name": "get_time", "input": {}},
    ]
    assert found["stop_reason"] == "tool_use"


def test_each_piece_goes_out_as_it_comes() -> None:
    writer = stream(thinking=THINK)
    assert writer.take() == b""
    writer.reasoning("a")
    assert [event["type"] for event in events(writer.take())] == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
    ]
    writer.tool_call(0, "f", "")
    assert events(writer.take())[-1]["content_block"] == {
        "type": "tool_use",
        "id": "call_7",
        "name": "f",
        "input": {},
    }
    writer.tool_call(0, None, '{"a"')
    assert events(writer.take())[-1]["delta"] == {"type": "input_json_delta", "partial_json": '{"a"'}
    assert writer.take() == b""


def test_a_run_is_one_event_for_each_text() -> None:
    writer = stream()
    writer.content_run([b"a", b"\\n", b"c"])
    writer.content_run([b"d"])
    texts = [event["delta"]["text"] for event in events(writer.take()) if "delta" in event]
    assert texts == ["a", "\n", "c", "d"]


def test_the_engine_is_asked_for_its_counts_when_the_first_event_is_written() -> None:
    counted = [Usage()]
    writer = stream(counts=lambda: counted[0])
    counted[0] = Usage(100, 40, 1, 0)
    writer.content("a")
    counted[0] = Usage(999, 0, 1, 0)

    usage = events(writer.take())[0]["message"]["usage"]

    assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (60, 40)


def test_without_a_count_the_first_event_has_an_estimate_and_the_last_the_truth() -> None:
    writer = stream(messages=[{"role": "user", "content": "word " * 400}])
    writer.content("a")
    found = events(finished(writer))

    assert 400 <= found[0]["message"]["usage"]["input_tokens"] <= 600
    assert found[-2]["usage"]["input_tokens"] == 532


def test_line_separators_are_never_raw() -> None:
    writer = stream(thinking=THINK)
    separators = "a\u2028b\u2029c\u0085d\x0b\x1ee"
    writer.reasoning(separators)
    writer.content(separators)
    writer.tool_call(0, "f", json.dumps({"a": separators}, ensure_ascii=False))
    data = finished(writer)

    assert [line for line in data.decode().split("\n") if line] == [
        line for line in data.decode().splitlines() if line
    ]
    thinking, text, call = message(data)["content"]
    assert (thinking["thinking"], text["text"], call["input"]["a"]) == (separators,) * 3


def test_thinking_that_nobody_asked_for_is_not_shown_but_counted() -> None:
    writer = stream()
    for _ in range(200):
        writer.reasoning("hm")
    writer.reasoning_run([b"hm"] * 200)
    writer.content("yes")
    found = events(finished(writer))

    assert message(finished_again(found))["content"] == [{"type": "text", "text": "yes"}]
    assert found[-2]["usage"]["output_tokens_details"] == {"thinking_tokens": 5}
    # So long a silence would be taken for a dead connection.
    assert 5 <= sum(event["type"] == "ping" for event in found) <= 10


def finished_again(found: list[Event]) -> bytes:
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode()) for event in found
    )


def test_thinking_can_be_signed_without_its_text() -> None:
    writer = stream(thinking={"type": "adaptive", "display": "omitted"})
    writer.reasoning("secret")
    writer.reasoning("more")
    writer.content("yes")
    data = finished(writer)

    assert b"secret" not in data
    assert message(data)["content"] == [
        {"type": "thinking", "thinking": "", "signature": ID},
        {"type": "text", "text": "yes"},
    ]


def test_long_names_of_tools_come_back_whole() -> None:
    name = "mcp__" + "a" * 80
    writer = stream(tools=[{"name": name, "input_schema": {}}], messages=[{"role": "user", "content": "x"}])
    short = next(iter(writer._wishes.names))  # type: ignore[attr-defined]
    assert len(short) == 64
    writer.tool_call(0, short, "{}")
    assert message(finished(writer))["content"][0]["name"] == name


def test_at_most_one_call_when_the_caller_can_take_no_more() -> None:
    writer = stream(tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    writer.tool_call(0, "f", '{"a":1}')
    writer.tool_call(1, "g", '{"b":2}')
    writer.tool_call(2, "h", "")
    found = message(finished(writer, "tool_calls"))
    assert [block["name"] for block in found["content"]] == ["f"]


def test_pieces_of_calls_out_of_order_are_sorted() -> None:
    writer = stream()
    writer.tool_call(0, None, '{"a":')
    writer.tool_call(1, "g", '{"b":')
    writer.content("and ")
    writer.tool_call(0, "f", "")
    writer.tool_call(1, None, "2}")
    writer.content("so on")
    data = writer.take()
    assert faults_of(events(data)) == ["the stream ends within"]
    writer.tool_call(0, None, "1}")
    assert message(data + finished(writer))["content"] == [
        {"type": "tool_use", "id": "call_7", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "call_8", "name": "g", "input": {"b": 2}},
        {"type": "text", "text": "and so on"},
    ]


@pytest.mark.parametrize("arguments", ["", " ", "\n "])
def test_a_call_without_arguments_has_an_empty_object(arguments: str) -> None:
    writer = stream()
    writer.tool_call(0, "f", arguments)
    writer.tool_call(0, None, arguments)
    assert message(finished(writer))["content"][0]["input"] == {}


def test_an_answer_of_nothing_is_a_message_of_nothing() -> None:
    found = message(finished(stream(), "length"))
    assert (found["content"], found["stop_reason"]) == ([], "max_tokens")


def test_an_engine_that_dies_ends_the_stream_with_an_error() -> None:
    writer = stream()
    writer.tool_call(0, "f", '{"a"')
    found = events(finished(writer, "network_error"))
    assert [event["type"] for event in found[-2:]] == ["content_block_delta", "error"]
    assert found[-1]["error"]["type"] == "api_error"
    assert found[-1]["request_id"] == ID
    assert faults_of(found) == []


def test_content_that_must_not_be_shown_is_refused_and_what_waits_with_it() -> None:
    writer = stream()
    writer.tool_call(0, None, '{"a"')
    writer.content("waits")
    found = events(finished(writer, "sensitive"))
    assert [event["type"] for event in found] == ["message_start", "ping", "message_delta", "message_stop"]
    assert found[2]["delta"]["stop_reason"] == "refusal"


def test_the_stop_sequence_is_named_where_the_engine_tells() -> None:
    writer = stream(stop_sequences=["END"], met="END")
    writer.content("a")
    assert events(finished(writer))[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


def play(writer: ReplyWriter, random_source: random.Random) -> list[Event]:
    """An engine that says anything in any order, within what a reader lets through."""
    data = b""
    calls = 0
    for _ in range(random_source.randrange(12)):
        match random_source.randrange(6):
            case 0:
                writer.reasoning(random_source.choice(["a", "\u2028", '"', "\n"]))
            case 1:
                writer.content(random_source.choice(["b", "\u0085", "\\", "字"]))
            case 2:
                writer.reasoning_run([b"c"] * random_source.randint(1, 3))
            case 3:
                writer.content_run([b"d"] * random_source.randint(1, 3))
            case _:
                index = random_source.randint(0, calls)
                calls = max(calls, index + 1)
                name = random_source.choice([None, "f"])
                writer.tool_call(index, name, random_source.choice(["", " ", "{", "{}", '{"a":', "1}", "]"]))
        if random_source.random() < 0.3:
            data += writer.take()
    return events(data + finished(writer, random_source.choice(REASONS)))


def settings(random_source: random.Random) -> dict[str, Any]:
    return {
        "thinking": random_source.choice([None, THINK, {"type": "adaptive", "display": "omitted"}]),
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": random_source.random() < 0.2},
    }


def worth_telling(found: list[str]) -> list[str]:
    """An engine that makes no JSON of a call has nobody to mend it here."""
    return [fault for fault in found if fault != "a call without a JSON object for its arguments"]


def test_whatever_an_engine_says_the_events_are_legal() -> None:
    for seed in range(SCRIPTS):
        random_source = random.Random(seed)
        found = play(stream(**settings(random_source)), random_source)
        assert worth_telling(faults_of(found)) == [], f"seed {seed}: {found}"


def test_cut_anywhere_the_same_events_come() -> None:
    for seed in range(SCRIPTS // 4):
        random_source = random.Random(seed)
        told = [(random_source.choice("rct"), str(number)) for number in range(random_source.randint(1, 9))]
        taken_often, taken_once = stream(thinking=THINK), stream(thinking=THINK)
        data = b""
        for kind, text in told:
            for writer in (taken_often, taken_once):
                if kind == "r":
                    writer.reasoning(text)
                elif kind == "c":
                    writer.content(text)
                else:
                    writer.tool_call(0, "f", text)
            data += taken_often.take()
        assert data + finished(taken_often) == finished(taken_once)


GOOD: list[Event] = [
    {"type": "message_start", "message": {"id": "msg_1", "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "call_1", "input": {}},
    },
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "content_block_stop", "index": 1},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use"},
        "usage": {"input_tokens": 1, "output_tokens": 1, "cache_read_input_tokens": 0},
    },
    {"type": "message_stop"},
]


def test_the_judge_finds_every_planted_fault() -> None:
    assert faults_of(GOOD) == []
    for index in range(len(GOOD)):
        # Nothing may be missing but a delta of thinking, and nothing come twice but that.
        harmless = index == 2
        assert bool(faults_of(GOOD[:index] + GOOD[index + 1 :])) != harmless, index
        assert bool(faults_of(GOOD[: index + 1] + GOOD[index:])) != harmless, index
    for index in range(len(GOOD) - 1):
        swapped = [*GOOD[:index], GOOD[index + 1], GOOD[index], *GOOD[index + 2 :]]
        assert faults_of(swapped), index
    assert faults_of([*GOOD[:3], {"type": "error", "error": {"type": "api_error"}}]) == []
    assert faults_of([*GOOD, {"type": "error", "error": {"type": "api_error"}}])


@pytest.mark.parametrize("fault", ["no close", "no signature", "late start", "wrong index", "lost reason"])
def test_a_broken_writer_is_found(fault: str) -> None:
    """What the property above is worth."""
    found_by = 0
    for seed in range(300):
        random_source = random.Random(seed)
        found = broken(play(stream(thinking=THINK), random_source), fault)
        found_by += bool(worth_telling(faults_of(found)))
    assert found_by > 20


def broken(found: list[Event], fault: str) -> list[Event]:
    match fault:
        case "no close":
            return [event for event in found if event["type"] != "content_block_stop"]
        case "no signature":
            return [event for event in found if event.get("delta", {}).get("type") != "signature_delta"]
        case "late start":
            return [found[1], found[0], *found[2:]]
        case "wrong index":
            return [{**event, "index": 0} if "index" in event else event for event in found]
    return [
        {**event, "delta": {**event["delta"], "stop_reason": "stop"}}
        if event["type"] == "message_delta"
        else event
        for event in found
    ]
