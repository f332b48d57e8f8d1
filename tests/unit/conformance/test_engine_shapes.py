"""Each kind of engine says the same reply in its own words."""

import json

import pytest

from openbigmodel.conformance.engine_shapes import (
    DONE,
    TRICKY,
    UPSTREAMS,
    Reply,
    Upstream,
    everyday,
    unknown_part,
)

REPLY = Reply(
    reasoning=("a", "b"),
    calls=(("f", ('{"x"', ": 1}")), ("g", ())),
    finish_reason="tool_calls",
    more={"web_search": []},
)


def chunks(upstream: Upstream, *, fragments: bool = False) -> list[dict[str, object]]:
    return [json.loads(piece[6:]) for piece in upstream.stream(REPLY, fragments)]


@pytest.mark.parametrize("upstream", UPSTREAMS.values(), ids=UPSTREAMS)
def test_every_kind_says_it_all(upstream: Upstream) -> None:
    for text in (
        json.dumps(upstream.body(REPLY), ensure_ascii=False),
        json.dumps(chunks(upstream), ensure_ascii=False),
    ):
        for part in (
            *("a", "b", "f", "g"),
            *(json.dumps(piece, ensure_ascii=False)[1:-1] for piece in TRICKY),
        ):
            assert part in text
    assert upstream.body(REPLY)["usage"]["completion_tokens"] == REPLY.tokens == 9
    assert upstream.streamed(REPLY).pieces[-1] == DONE


def test_glm_sends_a_call_whole_or_in_fragments() -> None:
    glm = UPSTREAMS["glm"]
    assert (len(chunks(glm)), len(chunks(glm, fragments=True))) == (8, 8)
    assert [*glm.body(REPLY)][-1] == "web_search"


def test_engines_have_fields_of_their_own() -> None:
    assert "kv_transfer_params" in UPSTREAMS["vllm"].body(REPLY)
    assert chunks(UPSTREAMS["sglang"])[0]["usage"] is None
    assert "reasoning" in json.dumps(UPSTREAMS["vllm"].body(REPLY))


def test_a_refusal_is_in_the_words_of_its_kind() -> None:
    glm = UPSTREAMS["glm"].refusal(429, "1302", "slow", retry_after="7")({})
    assert (glm.status, glm.headers) == (429, (("retry-after", "7"),))
    assert json.loads(glm.pieces[0]) == {"error": {"code": "1302", "message": "slow"}}
    assert json.loads(UPSTREAMS["vllm"].refusal(429, "1302", "slow")({}).pieces[0])["error"]["code"] == 429


def test_content_that_glm_does_not_know_is_found() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "smell"}]
    assert unknown_part({"messages": [{"content": "a"}, {"content": parts}]}) == "messages[1].content[1].type"
    assert unknown_part({"messages": [{"content": parts[:1]}, None]}) == "" == unknown_part({})


def test_a_tool_is_called_where_that_helps_or_has_to_be() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("get_weather", "now")]
    hello = {"messages": [{"role": "user", "content": "hello"}], "tools": [{"type": "mcp"}, *tools]}
    named = {"type": "function", "function": {"name": "now"}}

    assert everyday(hello).calls == everyday({**hello, "tool_choice": "auto"}).calls == ()
    assert everyday({**hello, "tool_choice": "required"}).calls == (("get_weather", ('{"city": "北京"}',)),)
    assert everyday({**hello, "tool_choice": named}).calls == (("now", ("{}",)),)
    assert everyday({**hello, "tools": [], "tool_choice": "required"}).calls == ()


def test_plain_questions_have_good_answers() -> None:
    tools = [{"type": "function", "function": {"name": "get_weather"}}]
    question = [{"role": "user", "content": "天气?"}]
    assert everyday({"messages": question, "tools": tools}).finish_reason == "tool_calls"
    assert everyday({"messages": [*question, {"role": "tool"}], "tools": tools}).finish_reason == "stop"
    assert everyday({"messages": question, "max_tokens": 2}).finish_reason == "length"
    assert everyday({"thinking": {"type": "disabled"}}).reasoning == ()
    assert everyday({"chat_template_kwargs": {"enable_thinking": False}}).reasoning == ()
    assert everyday({}).reasoning
