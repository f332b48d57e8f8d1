"""A Responses request in GLM's words."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.catalog import load_catalog
from openbigmodel.errors import ApiError
from openbigmodel.inference.chat_request import Surface, check_chat_request, read_messages
from openbigmodel.inference.dialect import Asked
from openbigmodel.inference.responses.errors import render
from openbigmodel.inference.responses.items import Item
from openbigmodel.inference.responses.read import Question, read_responses_request
from openbigmodel.schemas.chat import ChatRequest

TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}}


def nothing(response_id: str) -> list[Item]:
    raise AssertionError("not asked for")


def read(earlier: Any = nothing, **fields: Any) -> tuple[ChatRequest, dict[str, Any], Question]:
    body = json.dumps({"model": "glm-4.6", "input": "hi", **fields}).encode()
    request, glm, question = read_responses_request(body, "account", earlier)
    return request, json.loads(glm), question


def test_the_least() -> None:
    request, glm, question = read()
    assert glm == {"model": "glm-4.6", "messages": [{"role": "user", "content": "hi"}]}
    assert request.model == "glm-4.6" and request.stream is None
    assert question == Question("account", False, b"", "", "", None, None, True, {}, question.messages, [])
    assert [place.field for place in question.messages] == ["input"]


def test_everything() -> None:
    schema = {"type": "object"}
    form = {"type": "json_schema", "name": "n", "schema": schema, "strict": True, "description": "d"}
    request, glm, question = read(
        input=[{"role": "user", "content": "hi"}],
        instructions="be brief",
        max_output_tokens=9,
        temperature=0.5,
        top_p=0.9,
        stream=True,
        store=True,
        previous_response_id="",
        prompt_cache_key="k",
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": form, "verbosity": "low"},
        tools=[TOOL],
        tool_choice="required",
        parallel_tool_calls=False,
        metadata={"a": "b"},
        user="u",
        include=["reasoning.encrypted_content"],
        truncation="disabled",
        service_tier="auto",
        background=False,
        thinking={"type": "disabled"},
        unheard_of={"x": [1]},
    )
    assert glm == {
        "model": "glm-4.6",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": "required",
        "stream": True,
        "tool_stream": True,
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 9,
        "reasoning_effort": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": schema, "strict": True, "description": "d"},
        },
        "user_id": "u",
    }
    # No effort and no field of GLM's switches thinking off here.
    assert request.thinking is None
    assert question.store and json.loads(question.input) == [{"role": "user", "content": "hi"}]
    assert (question.instructions, question.previous_id, question.prompt_cache_key) == ("be brief", "", "k")
    assert (question.metadata, question.parallel, question.tools) == ({"a": "b"}, False, ["tools[0]"])


def test_null_is_absent() -> None:
    names = "conversation prompt instructions max_output_tokens stream store previous_response_id reasoning text tools tool_choice metadata user"
    assert read(**dict.fromkeys(names.split()))[1] == read()[1]


def test_what_came_before_comes_before() -> None:
    asked: list[str] = []

    def earlier(response_id: str) -> list[Item]:
        asked.append(response_id)
        return [Item(role="user", content="q"), Item(role="assistant", content="a")]

    _, glm, question = read(earlier, previous_response_id="resp_1", instructions="s", input="and?")
    assert asked == ["resp_1"]
    assert [message["content"] for message in glm["messages"]] == ["s", "q", "a", "and?"]
    assert question.previous_id == "resp_1"


@pytest.mark.parametrize(
    ("text", "glm"),
    [
        ({}, None),
        ({"format": None}, None),
        ({"format": {"type": "text"}}, None),
        ({"format": {"type": "json_object"}}, {"type": "json_object"}),
        (
            {"format": {"type": "json_schema", "name": "n", "schema": {}}},
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        ),
    ],
)
def test_formats(text: object, glm: object) -> None:
    assert read(text=text)[1].get("response_format") == glm


def test_tools_that_are_not_allowed_are_left_out_and_the_others_keep_their_place() -> None:
    tools = [{**TOOL, "name": name} for name in "abc"]
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "c"}]}
    _, glm, question = read(tools=tools, tool_choice=choice)
    assert [tool["function"]["name"] for tool in glm["tools"]] == ["c"]
    assert question.tools == ["tools[2]"]


def test_arguments_only_stream_where_there_are_tools() -> None:
    assert "tool_stream" not in read(stream=True)[1]
    assert "tool_stream" not in read(tools=[TOOL])[1]


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"model": None}, "1214", "model"),
        ({"input": None}, "1214", "input"),
        ({"input": []}, "1214", "input"),
        ({"instructions": ["x"]}, "1214", "instructions"),
        ({"temperature": "warm"}, "1214", "temperature"),
        ({"reasoning": {"effort": "huge"}}, "1214", "reasoning.effort"),
        ({"tools": [{"name": "x"}]}, "1213", "tools[0].type"),
        ({"tools": "x"}, "1214", "tools"),
        ({"text": {"format": {"type": "xml"}}}, "1214", "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "1213", "text.format.name"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "1213", "text.format.schema"),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": "y"}}},
            "1214",
            "text.format.schema",
        ),
        ({"max_output_tokens": 10**30}, "1214", "max_output_tokens"),
        ({"conversation": "conv_1"}, "1214", "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "1214", "prompt"),
        ({"metadata": {"a": 1}}, "1214", "metadata[...]"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "1214", "metadata"),
        ({"metadata": {"a" * 65: "x"}}, "1214", "metadata"),
        ({"metadata": {"a": "x" * 513}}, "1214", "metadata"),
        ({"previous_response_id": "x" * 129}, "1214", "previous_response_id"),
        ({"prompt_cache_key": "x" * 1025}, "1214", "prompt_cache_key"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], code: str, field: str) -> None:
    with pytest.raises(ApiError) as caught:
        read(**fields)
    assert (caught.value.code, caught.value.field) == (code, field)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"", "1210", None),
        (b"\xff\xfe", "1210", None),
        (b"[]", "1214", "body"),
        (b'{"model":"m"}', "1213", "input"),
        (b'{"input":"x"}', "1213", "model"),
        (b'{"model":"m","input":[' + b"[" * 100_000, "1210", None),
        (b'{"model":"m","input":"\xff"}', "1210", None),
    ],
)
def test_bodies_that_are_none(body: bytes, code: str, field: str | None) -> None:
    with pytest.raises(ApiError) as caught:
        read_responses_request(body, "account", nothing)
    assert (caught.value.code, caught.value.field) == (code, field)


# whatever a caller sends

FULL: dict[str, Any] = {
    "model": "glm-4.6",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "x"}], "summary": []},
        {"role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": []}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}', "namespace": "n"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "x"}]},
        {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "d", "output": "x"},
        {"role": "developer", "content": "x"},
    ],
    "instructions": "x",
    "max_output_tokens": 5,
    "temperature": 0.5,
    "top_p": 0.5,
    "stream": True,
    "store": True,
    "previous_response_id": "",
    "prompt_cache_key": "x",
    "reasoning": {"effort": "low"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
    "tools": [
        {"type": "function", "name": "f", "parameters": {"type": "object", "maximum": 1}},
        {"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]},
        {"type": "web_search", "filters": {"allowed_domains": ["x"]}, "search_context_size": "low"},
    ],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    "parallel_tool_calls": True,
    "metadata": {"a": "b"},
    "user": "x",
    "conversation": None,
    "prompt": None,
}
VALUES: list[Any] = [None, True, 0, -1, 1.5, 1e308, 2**63, 2**64, 10**30, "", "x", "\0", "\ud800", "\u2028"]
VALUES += ["none", "required", "text", "[]", "{", [], {}, [None], [[]], [{}], {"": {}}, {"type": "function"}]
VALUES += [{"type": "message"}, {"maximum": 10**30}, [{"type": "input_image", "image_url": {"url": "x"}}]]
Path = tuple[str | int, ...]


def paths(value: Any, at: Path = ()) -> list[Path]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, each in inner for path in paths(each, (*at, key)))]


def changed(changes: list[tuple[Path, Any]]) -> Any:
    body: Any = copy.deepcopy(FULL)
    for path, value in changes:
        if not path:
            body = copy.deepcopy(value)
            continue
        place = body
        try:
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = copy.deepcopy(value)
        except (TypeError, KeyError, IndexError):
            # Another change has taken the place away.
            continue
    return body


MODELS = [model for model in load_catalog() if model.id in {"glm-4.6", "glm-5.3", "glm-5.3-flash"}]


@given(
    st.lists(st.tuples(st.sampled_from(paths(FULL)), st.sampled_from(VALUES)), min_size=1, max_size=3),
    st.sampled_from(MODELS),
)
def test_whatever_is_sent_is_understood_or_refused_by_name(
    changes: list[tuple[Path, Any]], model: Any
) -> None:
    asked = None
    try:
        asked = Asked(*read_responses_request(json.dumps(changed(changes)).encode(), "a", lambda _id: []))
        read_messages(asked.request, model)
        check_chat_request(asked.request, model, Surface("/api/v1"))
    except ApiError as error:
        assert error.status == 400
        told = json.loads(render(error, "en", asked))["error"]
        assert "messages[" not in told["message"] and "messages[" not in str(told["param"])
        assert ".function" not in str(told["param"])


@pytest.mark.parametrize("where", ['"id":"?"', '"status":"?"', '"?":1', '"own":{"a":["?"]}'])
def test_what_is_stored_is_text(where: str) -> None:
    def sent(store: str) -> bytes:
        item = f'{{"role":"user","content":"hi",{where}}}'
        body = f'{{"model":"glm-4.6","input":[{item}],"store":{store}}}'
        return body.encode().replace(b"?", b"\xff")

    # Nobody reads it, nobody keeps it.
    read_responses_request(sent("false"), "account", nothing)
    with pytest.raises(ApiError) as refused:
        read_responses_request(sent("true"), "account", nothing)
    assert (refused.value.code, refused.value.status, refused.value.field) == ("1210", 400, "input")
    assert "input" in refused.value.message("en")
