"""What an upstream says in GLM's words reaches the caller as it was, and its end not before it may."""

import json
from typing import Any

import msgspec
import pytest

from openbigmodel.billing.usage import Usage
from openbigmodel.inference.engine_reader import EngineProtocolError
from openbigmodel.inference.glm_relay import MAX_HELD_BYTES, GlmReader, GlmWriter
from openbigmodel.schemas.chat import Finding
from tests.unit.inference.glm_upstream import (
    DONE,
    KNOWN,
    OURS,
    Relayed,
    event,
    events_of,
    facts,
    judge,
    judge_body,
    relay,
    relay_body,
    says_something,
    upstream_chunk,
)

USAGE = {
    "prompt_tokens": 13,
    "completion_tokens": 564,
    "total_tokens": 577,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 561},
    "cost_in_nano": 2**53 + 1,
}
FINAL = upstream_chunk({"role": "assistant", "content": ""}, "stop", usage=USAGE)
SEARCH = [
    {"content": "…", "icon": "", "link": "https://example.com", "media": "", "refer": "ref_1", "title": "t"}
]
BODY = {
    "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": "hi", "role": "assistant"}}],
    "created": 1782862790,
    "id": "2026",
    "model": "glm-4.7",
    "object": "chat.completion",
    "request_id": "2026",
    "usage": USAGE,
}


def texts(*values: Any) -> list[bytes]:
    return [json.dumps(value, ensure_ascii=False).encode() for value in values]


def stream_of(*values: Any) -> bytes:
    return b"".join(event(value) for value in values) + DONE


def chunks_of(stream: bytes) -> list[Any]:
    return [json.loads(data) for data in events_of(stream) if data != b"[DONE]"]


def calling(*calls: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": list(calls)}


MCP = {
    "index": 3,
    "id": "call_-7",
    "type": "mcp",
    "mcp": {
        "id": "m",
        "type": "mcp_list_tools",
        "server_label": "s",
        "tools": [{"name": "f", "size": 2**64}],
    },
}
FUNCTION = {"index": 0, "id": "call_-8", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}
PIECES: dict[str, dict[str, Any]] = {
    "reasoning": upstream_chunk({"role": "assistant", "reasoning_content": "\n1"}),
    "reasoning and content": upstream_chunk({"role": "assistant", "reasoning_content": "r", "content": "c"}),
    "nothing": upstream_chunk({"role": "assistant", "content": ""}),
    "separators": upstream_chunk({"role": "assistant", "content": "\u2028 \u2029 \u0085 \U0001f600"}),
    "call": upstream_chunk(calling(FUNCTION)),
    "arguments": upstream_chunk(calling({"index": 0, "function": {"arguments": ":1}"}})),
    "call out of step": upstream_chunk(calling({"index": 9, "function": {"arguments": "{}"}})),
    "arguments as an object": upstream_chunk(calling({"index": 9, "function": {"arguments": {"an": "object"}}})),
    "mcp": upstream_chunk(calling(MCP)),
    "content in parts": upstream_chunk({"role": "assistant", "content": [{"type": "image", "image": "https://example.com/a.png"}]}),
    "audio": upstream_chunk({"role": "assistant", "audio": {"id": "a", "data": "AAAA", "expires_at": 2**60}}),
    "search and filter": upstream_chunk(web_search=SEARCH, content_filter=[{"role": "user", "level": 3}]),
    "video": upstream_chunk(video_result=[{"url": "https://example.com/v", "cover_image_url": "c"}]),
    "usage on the way": upstream_chunk(usage=USAGE),
    "usage that is none": upstream_chunk(usage={"prompt_tokens": "many"}),
    "big numbers": upstream_chunk(big=[2**53 + 1, -(2**70), 10**300], floats=[0.1, 1e-7], none=None, nested={"id": "x", "model": "y"}),
    "request id": upstream_chunk(request_id="2026", system_fingerprint=None, service_tier="x"),
    "usage without choices": {"choices": [], "usage": USAGE},
    "choices that are none": {"choices": None, "note": "no choices"},
    "no chunk": {"object": "ping"},
    "ids that are null": upstream_chunk() | {"id": None, "model": None},
}  # fmt: skip


@pytest.mark.parametrize("name", PIECES)
def test_each_piece_goes_through_as_it_was(name: str) -> None:
    sent = (upstream_chunk(), PIECES[name], upstream_chunk(), FINAL)

    judge(texts(*sent), relay([stream_of(*sent)]))
    judge(texts(*sent), relay([event(value) for value in sent] + [DONE]))


NOTHING = upstream_chunk({"role": "assistant", "content": "", "tool_calls": []}, request_id="2026")


@pytest.mark.parametrize("name", PIECES)
def test_what_says_nothing_waits_for_the_first_event_that_does(name: str) -> None:
    sent = (NOTHING, PIECES["usage without choices"], PIECES[name], upstream_chunk(), FINAL)
    speaks = says_something(texts(PIECES[name])[0])
    passed_on = GlmWriter(facts())
    reader = GlmReader(passed_on)
    for value in sent[:3]:
        reader.feed_stream(event(value))

    assert len(events_of(passed_on.take())) == (3 if speaks else 0)
    judge(texts(*sent), relay([event(value) for value in sent]))
    judge(texts(*sent), relay([stream_of(*sent)]))


def test_the_pieces_are_of_both_sorts() -> None:
    silent = {name for name in PIECES if not says_something(texts(PIECES[name])[0])}

    assert silent == {"nothing", "usage without choices", "choices that are none", "no chunk"}


def test_what_is_too_deep_to_be_looked_at_before_the_first_token_does_not_wait() -> None:
    passed_on = GlmWriter(facts())
    deep = b"[" * 100_000 + b"]" * 100_000
    passed_on.event({"choices": msgspec.Raw(deep)}, None)

    assert deep in passed_on.take()


def test_an_upstream_that_says_nothing_on_and_on_is_stopped() -> None:
    reader = GlmReader(GlmWriter(facts()))
    odd = event(upstream_chunk({"role": "assistant"}, note="x" * 1_000_000))
    for _ in range(MAX_HELD_BYTES // len(odd)):
        reader.feed_stream(odd)
    with pytest.raises(EngineProtocolError, match="before the first token"):
        reader.feed_stream(odd)


@pytest.mark.parametrize(
    "reason",
    ["stop", "length", "tool_calls", "sensitive", "network_error", "model_context_window_exceeded", "unheard_of"],
)  # fmt: skip
def test_every_finish_reason_goes_through(reason: str) -> None:
    sent = (upstream_chunk(), upstream_chunk(finish=reason, usage=USAGE))
    relayed = relay([stream_of(*sent)])

    judge(texts(*sent), relayed)
    assert relayed.reader.ended_well()
    body = json.dumps(BODY).replace('"stop"', f'"{reason}"').encode()
    judge_body(body, relay_body(body))


def test_the_end_of_a_stream_is_kept_back_with_all_that_follows_it() -> None:
    sent = (upstream_chunk(), FINAL, {"choices": [], "usage": USAGE}, upstream_chunk(web_search=SEARCH))
    relayed = relay([stream_of(*sent)])

    judge(texts(*sent), relayed)
    assert len(events_of(relayed.before)) == 1
    assert len(events_of(relayed.end)) == 4


def test_events_that_only_differ_in_their_text_are_kept_back_too() -> None:
    alike = [upstream_chunk({"content": text}) for text in "abcdef"]
    sent = (*alike, FINAL, *alike)

    judge(texts(*sent), relay([stream_of(*sent)]))


def test_only_our_own_four_members_differ_and_only_where_the_upstream_has_them() -> None:
    relayed = relay([stream_of({"choices": [{"delta": {"content": "x"}}]}, FINAL)])
    first, last = chunks_of(relayed.before + relayed.end)

    assert set(first) == {"choices"}
    assert (last["id"], last["model"], last["created"]) == (OURS["id"], OURS["model"], 1782862782)
    assert "request_id" not in last


def test_a_body_goes_through_as_it_was() -> None:
    message = {
        "content": "",
        "reasoning_content": "r",
        "role": "assistant",
        "tool_calls": [FUNCTION, MCP],
        "audio": {},
    }
    rich = BODY | {
        "choices": [{"finish_reason": "tool_calls", "index": 0, "message": message, "logprobs": None}],
        "web_search": SEARCH,
        "content_filter": [{"level": 3, "role": "user"}],
        "video_result": [],
        "big": 2**80,
    }  # fmt: skip
    for body in (BODY, rich):
        sent = json.dumps(body, ensure_ascii=False, indent=2).encode()
        judge_body(sent, relay_body(sent))


def test_a_body_of_a_shape_that_nobody_knows() -> None:
    sent = json.dumps(BODY).replace('"hi"', '[{"type": "text", "text": "hi"}]').encode()

    judge_body(sent, relay_body(sent))


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 13, 100_000])
def test_comments_event_names_byte_order_marks_and_other_line_ends(ending: bytes, size: int) -> None:
    pretty = json.dumps(FINAL, indent=1).encode().replace(b"\n", b"\ndata: ")
    stream = b"\xef\xbb\xbf" + b": ping\n\n".join(
        (
            event(upstream_chunk()),
            b"event: message\nid: 7\nretry: 5\n" + event(upstream_chunk({"content": "b"})),
            event(upstream_chunk({"content": "c"})).replace(b"data: ", b"data:"),
            b"data: " + pretty + b"\n\n" + DONE,
        )
    ).replace(b"\n", ending)
    relayed = relay(stream[start : start + size] for start in range(0, len(stream), size))

    judge(
        texts(upstream_chunk(), upstream_chunk({"content": "b"}), upstream_chunk({"content": "c"}), FINAL), relayed
    )  # fmt: skip


def test_a_finish_reason_without_done_is_an_end() -> None:
    sent = (upstream_chunk(), FINAL)

    judge(texts(*sent), relay([event(value) for value in sent]))


def _own_end(relayed: Relayed) -> Any:
    *_, last = chunks_of(relayed.before + relayed.end)
    assert relayed.end.endswith(b"\n\n" + DONE)
    return last


@pytest.mark.parametrize(
    ("parts", "died"),
    [
        ([event(upstream_chunk()), DONE], False),
        ([event(upstream_chunk())], True),
        ([event(upstream_chunk()), event(FINAL)], True),
        ([event(upstream_chunk()), event(FINAL), event(upstream_chunk({"content": "late"}))], True),
        ([event(upstream_chunk()), event(upstream_chunk())[:-9]], True),
    ],
    ids=["done without a reason", "cut", "cut after the end", "cut later", "cut in an event"],
)
def test_a_death_ends_as_our_own_streams_do(parts: list[bytes], died: bool) -> None:
    relayed = relay(parts, died=died)

    assert len(events_of(relayed.before)) == 1
    assert _own_end(relayed) == {
        "id": OURS["id"],
        "created": 1782862782,
        "object": "chat.completion.chunk",
        "model": OURS["model"],
        "choices": [
            {"index": 0, "finish_reason": "network_error", "delta": {"role": "assistant", "content": ""}}
        ],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 2,
            "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    }


@pytest.mark.parametrize("created", [None, "now", 1.5, ...])
def test_a_death_of_an_upstream_without_a_clock(created: Any) -> None:
    chunk = upstream_chunk()
    chunk["created"] = created
    if created is ...:
        del chunk["created"]

    assert _own_end(relay([event(chunk)], died=True))["created"] == facts().created_s


def test_an_answer_stopped_at_our_bound_ends_with_length() -> None:
    passed_on = GlmWriter(facts())
    reader = GlmReader(passed_on)
    reader.feed_stream(event(upstream_chunk()))
    end = passed_on.finish("length", KNOWN, 0)

    assert [chunk["choices"][0].get("finish_reason") for chunk in chunks_of(end)] == [None, "length"]


def test_an_upstream_that_fails_before_it_says_anything_has_not_ended_well() -> None:
    passed_on = GlmWriter(facts())
    reader = GlmReader(passed_on)
    reader.feed_stream(stream_of(upstream_chunk({"content": ""}, "network_error")))

    assert not reader.ended_well()


@pytest.mark.parametrize(
    "data",
    [
        b'{"error":{"code":"1301","message":"no"}}',
        b'{"code":1001,"msg":"no","success":false}',
        b'{"error":"no","choices":[{"delta":{"content":[]}}]}',
    ],
)
def test_an_error_in_mid_answer_is_a_death_and_can_be_looked_at(data: bytes) -> None:
    passed_on = GlmWriter(facts())
    reader = GlmReader(passed_on)
    with pytest.raises(EngineProtocolError, match="error in mid-answer"):
        reader.feed_stream(event(upstream_chunk()) + b"data: " + data + b"\n\n" + DONE)

    assert reader.error_event == data
    assert len(events_of(passed_on.take())) == 1
    with pytest.raises(EngineProtocolError):
        GlmReader(GlmWriter(facts(stream=False))).feed_body(data)


@pytest.mark.parametrize(
    "data",
    [b"{", b"[]", b"3", b'"x"', b"null", b"", b"[" * 100_000, b'{"x": "\xff"}', b'{"\xff": 1}', b'{"x": 01}'],
)  # fmt: skip
def test_nonsense_is_not_passed_on(data: bytes) -> None:
    passed_on = GlmWriter(facts())
    with pytest.raises(EngineProtocolError):
        GlmReader(passed_on).feed_stream(b"data: " + data + b"\n\n")

    assert passed_on.take() == b""
    with pytest.raises(EngineProtocolError):
        GlmReader(GlmWriter(facts(stream=False))).feed_body(data)


def test_an_upstream_that_does_not_stop_after_its_end_is_stopped() -> None:
    reader = GlmReader(GlmWriter(facts()))
    reader.feed_stream(event(FINAL))
    late = event(upstream_chunk({"content": "x" * 1_000_000}))
    for _ in range(MAX_HELD_BYTES // len(late)):
        reader.feed_stream(late)
    with pytest.raises(EngineProtocolError, match="after the finish reason"):
        reader.feed_stream(late)


def test_the_last_usage_that_came_is_charged() -> None:
    running = {**USAGE, "completion_tokens": 1}
    for sent in (
        (upstream_chunk(usage=running), FINAL),
        (upstream_chunk(usage=running), upstream_chunk(finish="stop"), {"choices": [], "usage": USAGE}),
    ):
        assert relay([stream_of(*sent)]).reader.usage() == Usage(13, 4, 564, 561, measured=True)

    broken_off = relay([event(upstream_chunk(usage=running))], died=True).reader
    assert broken_off.usage() == Usage(13, 4, 1, 1, measured=True)


def test_an_answer_without_usage_is_counted_as_any_other() -> None:
    reader = relay([stream_of(upstream_chunk({"reasoning_content": "r"}), upstream_chunk(), upstream_chunk(finish="stop"))]).reader  # fmt: skip

    assert not reader.measured
    assert (reader.usage().completion_tokens, reader.usage().reasoning_tokens) == (3, 1)


def test_what_has_an_unknown_shape_is_a_token() -> None:
    parts = upstream_chunk({"content": [{"type": "text", "text": "hello"}]})
    nothing = upstream_chunk() | {"choices": [{"delta": None, "finish_reason": 3}, "x"]}
    final = FINAL | {"usage": {"prompt_tokens": 3, "completion_tokens": "two"}}
    reader = relay([stream_of(parts, nothing, parts, final)]).reader

    assert (reader.deltas, reader.usage().prompt_tokens, reader.usage().completion_tokens) == (2, 3, 2)

    body = json.dumps({**BODY, "usage": None}).replace('"hi"', '["a", "b", "c"]').encode()
    whole = GlmReader(GlmWriter(facts(stream=False)))
    whole.feed_body(body)
    assert whole.produced_tokens == 1


def test_our_own_findings_join_the_upstreams() -> None:
    found = Finding(2, "user")
    theirs = {"level": 3, "role": "assistant"}
    for given, seen in (({}, []), ({"content_filter": [theirs]}, [theirs]), ({"content_filter": 3}, [])):
        passed_on = GlmWriter(facts())
        passed_on.content_filter = (found,)
        GlmReader(passed_on).feed_stream(stream_of(upstream_chunk(), FINAL | given))
        first, last = chunks_of(passed_on.take() + passed_on.finish("stop", KNOWN, 0))
        assert "content_filter" not in first
        assert last["content_filter"] == [*seen, {"level": 2, "role": "user"}]

    passed_on = GlmWriter(facts(stream=False))
    passed_on.content_filter = (found,)
    GlmReader(passed_on).feed_body(json.dumps(BODY).encode())
    assert json.loads(passed_on.finish("stop", KNOWN, 0))["content_filter"] == [{"level": 2, "role": "user"}]


# A change of any of these kinds must not go unseen.


class _Drops(GlmWriter):
    def event(self, members: dict[str, msgspec.Raw], finish_reason: str | None) -> None:
        members.pop("web_search", None)
        super().event(members, finish_reason)


class _Renames(GlmWriter):
    def event(self, members: dict[str, msgspec.Raw], finish_reason: str | None) -> None:
        super().event({name.replace("web_search", "search"): v for name, v in members.items()}, finish_reason)


class _Reorders(GlmWriter):
    def event(self, members: dict[str, msgspec.Raw], finish_reason: str | None) -> None:
        super().event(dict(sorted(members.items())), finish_reason)


class _ReadsNumbers(GlmWriter):
    def event(self, members: dict[str, msgspec.Raw], finish_reason: str | None) -> None:
        members = {name: json.loads(bytes(raw), parse_int=float) for name, raw in members.items()}
        super().event(
            {name: msgspec.Raw(json.dumps(v).encode()) for name, v in members.items()}, finish_reason
        )


class _EndsTooEarly(GlmWriter):
    def take(self) -> bytes:
        held, self._held[:] = b"".join(self._held), []
        return super().take() + held


class _Merges(GlmWriter):
    def take(self) -> bytes:
        return super().take().replace(b"}\n\ndata: {", b",", 1)


class _KeepsSeparators(GlmWriter):
    def take(self) -> bytes:
        return super().take().replace(rb"\u2028", "\u2028".encode())


class _KeepsTheirId(GlmWriter):
    def event(self, members: dict[str, msgspec.Raw], finish_reason: str | None) -> None:
        self._ours.pop("id", None)
        super().event(members, finish_reason)


class _TakesARunForOneEvent(GlmWriter):
    def content_run(self, texts: list[bytes]) -> None:
        super().content_run([b"".join(texts)])


def _tried(writer: type[GlmWriter]) -> None:
    pieces = [upstream_chunk({"content": text}) for text in ("a", "b", "c", "\u2028", "d", "e")]
    sent = (*pieces, upstream_chunk(web_search=SEARCH, big=2**53 + 1), FINAL)
    judge(texts(*sent), relay([stream_of(*sent)], writer=writer))


def test_a_writer_that_changes_nothing_passes() -> None:
    _tried(GlmWriter)


@pytest.mark.parametrize(
    "fault",
    [
        _Drops,
        _Renames,
        _Reorders,
        _ReadsNumbers,
        _EndsTooEarly,
        _Merges,
        _KeepsSeparators,
        _KeepsTheirId,
        _TakesARunForOneEvent,
    ],
)
def test_a_writer_that_changes_something_does_not(fault: type[GlmWriter]) -> None:
    with pytest.raises((AssertionError, ValueError)):
        _tried(fault)
    if fault in (_Drops, _Renames, _Reorders, _ReadsNumbers, _KeepsTheirId):
        body = json.dumps(BODY | {"web_search": SEARCH, "big": 2**53 + 1}).encode()
        with pytest.raises(AssertionError):
            judge_body(body, relay_body(body, writer=fault))
