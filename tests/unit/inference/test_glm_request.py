"""A caller's request reaches an upstream that speaks GLM as the caller wrote it."""

import json
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openbigmodel.catalog import Model, load_catalog
from openbigmodel.engines.profiles import GLM
from openbigmodel.errors import ApiError
from openbigmodel.inference.chat_request import Surface, check_chat_request, read_chat_request
from openbigmodel.inference.glm_request import request_for_upstream
from tests.conftest import SCALE
from tests.unit.inference.glm_upstream import exactly
from tests.unit.inference.json_texts import BLANKS, object_text, unknown_members

PAAS = Surface(prefix="/api/paas/v4")
CODING = Surface(prefix="/api/coding/paas/v4", coding=True)
TARGET = "upstream's \u2028 name"
MESSAGES = [{"role": "user", "content": "hi"}]
_CATALOG = load_catalog()


def _model(model_id: str) -> Model:
    model = _CATALOG.find(model_id)
    assert model is not None
    return model


def sent(body: bytes, surface: Surface = PAAS, most: int | None = None) -> bytes:
    """What the upstream gets of a body that was found to be sound."""
    request = read_chat_request(body)
    generation = check_chat_request(request, _model("glm-4.6"), surface)
    profile = msgspec.structs.replace(GLM, max_output_tokens=most)
    return request_for_upstream(body, TARGET, request, generation, profile)


def asked(surface: Surface = PAAS, most: int | None = None, **fields: Any) -> dict[str, Any]:
    """The same for a request with these fields."""
    body = json.dumps({"model": "glm-4.6", "messages": MESSAGES, **fields}).encode()
    got: dict[str, Any] = json.loads(sent(body, surface, most))
    assert got.pop("model") == TARGET
    assert got.pop("messages") == MESSAGES
    return got


def test_nothing_is_added() -> None:
    body = b'{"model":"glm-4.6","messages":[{"role":"user","content":"hi"}]}'

    assert sent(body) == body.replace(b'"glm-4.6"', json.dumps(TARGET, ensure_ascii=False).encode())


WHOLE = (
    b'{"model":"M", "stream":true,"messages":[{"role":"developer","content":[{"type":"image_url","image_url":'
    b'{"url":"http://169.254.169.254/x"}},{"type":"file_url","file_url":{"url":"a"}}]},{"role":"assistant",'
    b'"content":null,"reasoning_content":"r","prefix":true}],"temperature":0.10,"top_p":1E-1,"seed":-7,"stop":"",'
    b'"thinking":{"type":"enabled","clear_thinking":true,"budget":9007199254740993},"tools":[{"type":"web_search",'
    b'"web_search":{"enable":true}},{"type":"mcp","mcp":{"server_label":"s"}}],"tool_choice":"auto","tool_stream":'
    b'true,"response_format":{"type":"text"},"request_id":1795235525.26,"user_id":"u","meta":{"user_info":"x"},'
    b'"extra":null,"do_sample":false,"n":2,"stream_options":{"include_usage":false},"unknown":{"deep":[[[1.0]]]},'
    b'"max_tokens":10, "max_completion_tokens":20,"reasoning_effort":"none","watermark_enabled":true}'
)


def test_every_field_goes_as_it_was_written() -> None:
    got = sent(WHOLE)
    model, rest = b'"model":"M", ', got.split(b",", 1)[1]

    # A stream that opts out of its usage could not be charged.
    assert rest == WHOLE.removeprefix(b"{" + model).replace(b", ", b",").replace(
        b'{"include_usage":false}', b'{"include_usage":true}'
    )


@pytest.mark.parametrize(
    ("fields", "gets"),
    [
        ({"stream": True}, ...),
        ({"stream": True, "stream_options": None}, None),
        ({"stream": True, "stream_options": {}}, {"include_usage": True}),
        ({"stream": True, "stream_options": {"include_usage": False}}, {"include_usage": True}),
        (
            {"stream": True, "stream_options": {"include_usage": False, "x": 2**60}},
            {"include_usage": True, "x": 2**60},
        ),
        ({"stream": True, "stream_options": False}, {"include_usage": True}),
        ({"stream": False, "stream_options": {"include_usage": False}}, {"include_usage": False}),
        ({"stream_options": {"include_usage": False}}, {"include_usage": False}),
    ],
)
def test_a_stream_cannot_opt_out_of_its_usage(fields: dict[str, Any], gets: Any) -> None:
    assert asked(**fields).get("stream_options", ...) == gets


def test_of_stream_options_that_come_twice_or_in_escapes_none_opts_out() -> None:
    twice = b'"stream_options":{"include_usage":true},"stream_\\u006fptions":{"include_usage":false}'
    got = sent(b'{"model":"a","messages":[],"stream":true,%b}' % twice)

    assert got.endswith(b'"stream":true,"stream_options":{"include_usage":true}}')


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'{"model":"a","x":1,"messages":[],"model":"b","x":2}',
            {"model": TARGET, "x": 2, "messages": []},
        ),
        (b'{"messages":[1],"model":"a","mess\\u0061ges":[2]}', {"messages": [2], "model": TARGET}),
    ],
)
def test_of_a_name_that_comes_twice_the_last_value_goes_as_in_our_own_reading(
    body: bytes, expected: dict[str, Any]
) -> None:
    got = exactly(sent(body))

    assert [name for name, _ in got] == list(expected)
    assert json.loads(sent(body)) == expected
    assert json.loads(bytes(read_chat_request(body).messages)) == expected["messages"]


@pytest.mark.parametrize(
    ("given_thinking", "surface", "gets"),
    [
        (..., PAAS, ...),
        (..., CODING, {"clear_thinking": False}),
        (None, PAAS, None),
        (None, CODING, {"clear_thinking": False}),
        ({"type": "enabled", "x": 2**60}, PAAS, {"type": "enabled", "x": 2**60}),
        ({"type": "enabled", "x": 2**60}, CODING, {"type": "enabled", "x": 2**60, "clear_thinking": False}),
        ({"clear_thinking": None}, CODING, {"clear_thinking": False}),
        ({"clear_thinking": True}, CODING, {"clear_thinking": True}),
        ({"clear_thinking": False}, PAAS, {"clear_thinking": False}),
    ],
)
def test_the_coding_base_keeps_reasoning_unless_told_otherwise(
    given_thinking: Any, surface: Surface, gets: Any
) -> None:
    fields = {} if given_thinking is ... else {"thinking": given_thinking}

    assert asked(surface, **fields).get("thinking", ...) == gets


@pytest.mark.parametrize(
    ("fields", "most", "gets"),
    [
        ({}, None, {}),
        ({"max_tokens": 50}, None, {"max_tokens": 50}),
        ({}, 100, {"max_tokens": 100}),
        ({"max_tokens": None}, 100, {"max_tokens": 100}),
        ({}, 1_000_000, {"max_tokens": 65536}),
        ({"max_tokens": 50.0}, 100, {"max_tokens": 50.0}),
        ({"max_tokens": 500}, 100, {"max_tokens": 100}),
        ({"max_completion_tokens": 50}, 100, {"max_completion_tokens": 50}),
        ({"max_completion_tokens": 500}, 100, {"max_completion_tokens": 100}),
        (
            {"max_tokens": 50, "max_completion_tokens": 500},
            100,
            {"max_tokens": 50, "max_completion_tokens": 100},
        ),
    ],
)
def test_an_engine_with_a_bound_of_its_own_is_told_it(
    fields: dict[str, Any], most: int | None, gets: dict[str, Any]
) -> None:
    assert asked(most=most, **fields) == gets


@pytest.mark.parametrize("name", [b'"\xff"', b'"\xed\xa0\x80"'])
def test_a_name_that_is_no_text_is_refused(name: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        sent(b'{"model":"a","messages":[],%b:1}' % name)

    assert (caught.value.code, caught.value.status) == ("1210", 400)


def test_what_is_nested_to_the_very_limit_is_passed_on_or_refused() -> None:
    outcomes = set()
    request = read_chat_request(b'{"model":"a","messages":[]}')
    generation = check_chat_request(request, _model("glm-4.6"), PAAS)
    for depth in range(sys.getrecursionlimit() - 200, sys.getrecursionlimit() + 100, 10):
        body = b'{"model":"a","messages":[],"x":' + b"[" * depth + b"]" * depth + b"}"
        try:
            got = request_for_upstream(body, "a", request, generation, GLM)
        except ApiError as error:
            outcomes.add(error.code)
        else:
            outcomes.add("passed")
            assert got == body

    assert outcomes == {"passed", "1210"}


@st.composite
def requests(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Members of a request: the two that must be there, and whatever else, in any order."""
    fields = [field.encode_name for field in msgspec.structs.fields(type(read_chat_request(WHOLE)))]
    members = draw(unknown_members(frozenset(fields)))
    return draw(st.permutations([('"model"', '"glm-4.6"'), ('"messages"', json.dumps(MESSAGES)), *members]))


@given(requests(), BLANKS)
@settings(max_examples=max(10, round(300 * SCALE)))
def test_each_other_member_arrives_byte_for_byte(members: list[tuple[str, str]], blank: str) -> None:
    _judge(members, sent(object_text(members, blank).encode()))


def _judge(members: list[tuple[str, str]], got: bytes) -> None:
    """Same names in the same order, and of each but `model` the very bytes of the value."""
    arrived = msgspec.json.decode(got, type=dict[str, msgspec.Raw])
    assert [name for name, _ in exactly(got)] == [json.loads(name) for name, _ in members]
    for name, value in members:
        expected = json.dumps(TARGET, ensure_ascii=False) if name == '"model"' else value
        assert bytes(arrived[json.loads(name)]) == expected.encode()


@pytest.mark.parametrize(
    "fault",
    [
        lambda got: json.dumps(json.loads(got, parse_int=float)).encode(),
        lambda got: json.dumps(json.loads(got)).encode(),
        lambda got: got.replace(b'"x"', b'"y"'),
        lambda got: got.replace(b'"x":9007199254740993,', b""),
        lambda got: got[:-1] + b',"stream_options":{"include_usage":true}}',
        lambda got: got.replace(b"upstream", b"glm"),
    ],
    ids=["numbers as floats", "decoded and encoded", "renamed", "dropped", "added", "the caller's model"],
)
def test_a_request_that_was_changed_is_found_out(fault: Any) -> None:
    members = [('"model"', '"a"'), ('"messages"', "[]"), ('"x"', "9007199254740993"), ('"y\\u0061"', "1.50")]
    got = sent(object_text(members).encode())
    _judge(members, got)

    with pytest.raises((AssertionError, KeyError)):
        _judge(members, fault(got))
