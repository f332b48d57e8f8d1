"""However it is made, a body of 10 MB keeps nobody waiting who has nothing to do with it."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.catalog import load_catalog
from openbigmodel.errors import ApiError
from openbigmodel.inference.admission import digest_of
from openbigmodel.inference.anthropic.blocks import arguments_of
from openbigmodel.inference.anthropic.read import read_messages_request
from openbigmodel.inference.chat_request import (
    MAX_ARGUMENT_VALUES,
    MAX_TOOLS,
    read_chat_request,
    read_messages,
)
from openbigmodel.inference.long_bodies import (
    MAX_SCHEMAS_VALUES,
    MAX_VALUES,
    ONCE_FROM_BYTES,
    check_values,
    readable,
)
from openbigmodel.inference.responses.read import read_responses_request

MODEL = load_catalog().find("glm-4.6")
SMALL = {"model": "glm-4.6", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
# So much slower is what the number of a list may make it.
RATIO_MAX = 20


def glm(body: bytes) -> None:
    assert MODEL is not None
    read_messages(read_chat_request(body), MODEL)


def anthropic(body: bytes) -> None:
    assert MODEL is not None
    read_messages(read_messages_request(body, lambda _: MODEL)[0], MODEL)


def responses(body: bytes) -> None:
    def nothing(_: str) -> list[Any]:
        raise AssertionError("not asked for")

    assert MODEL is not None
    read_messages(read_responses_request(body, "a", nothing)[0], MODEL)


def with_numbers(**fields: Any) -> Callable[[str, int], bytes]:
    """A body in which `NUMBERS` stands for a list of them."""

    def body(number: str, count: int) -> bytes:
        listed = ",".join([number] * count)
        return (
            json.dumps(fields).replace('"NUMBERS"', f"[{listed}]").replace("NUMBERS", f"[{listed}]").encode()
        )

    return body


def call(arguments: Any) -> list[dict[str, Any]]:
    function = {"name": "f", "arguments": arguments}
    return [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "function": function}]},
        {"role": "user", "content": "b"},
    ]


SCHEMA = {"type": "object", "x": "NUMBERS"}
USED = [{"type": "tool_use", "id": "1", "name": "f", "input": SCHEMA}]
ITEM = {"type": "function_call", "call_id": "1", "name": "f", "arguments": '{"x": NUMBERS}'}


def repeated(**fields: Any) -> Callable[[str, int], bytes]:
    """A body with one member over and over."""
    name = next(iter(fields))

    def body(number: str, count: int) -> bytes:
        members = f'"{name}":{number},' * count
        return f"{{{members}{json.dumps({**SMALL, 'input': 'hi', **fields})[1:]}".encode()

    return body


NUMBERS = {
    "unknown": (glm, with_numbers(**SMALL, unknown="NUMBERS")),
    "top_k": (glm, with_numbers(**SMALL, top_k="NUMBERS")),
    "tools": (glm, with_numbers(**SMALL, tools=[{"type": "x", "y": "NUMBERS"}])),
    "schema": (glm, with_numbers(**SMALL, response_format={"type": "json_schema", "json_schema": SCHEMA})),
    "arguments": (glm, with_numbers(**{**SMALL, "messages": call(SCHEMA)})),
    "arguments' text": (glm, with_numbers(**{**SMALL, "messages": call('{"x": NUMBERS}')})),
    "temperature": (glm, repeated(temperature=0.5)),
    "request_id": (glm, repeated(request_id="abcdef")),
    "digest": (digest_of, with_numbers(**SMALL, unknown="NUMBERS")),
    "anthropic unknown": (anthropic, with_numbers(**SMALL, unknown="NUMBERS")),
    "anthropic tools": (anthropic, with_numbers(**SMALL, tools=[{"name": "f", "input_schema": SCHEMA}])),
    "anthropic schema": (
        anthropic,
        with_numbers(**SMALL, output_format={"type": "json_schema", "schema": SCHEMA}),
    ),
    "anthropic input": (
        anthropic,
        with_numbers(**{**SMALL, "messages": [{"role": "assistant", "content": USED}, call(None)[0]]}),
    ),
    "anthropic top_p": (anthropic, repeated(top_p=0.5)),
    "responses arguments": (responses, with_numbers(model="glm-4.6", input=[call(None)[0], ITEM])),
    "responses tools": (
        responses,
        with_numbers(model="glm-4.6", input="a", tools=[{"type": "x", "parameters": SCHEMA}]),
    ),
    "responses max_output_tokens": (responses, repeated(max_output_tokens=9)),
    "an answer's arguments": (lambda body: arguments_of(body.decode()), with_numbers(x="NUMBERS")),
}


@pytest.mark.parametrize("where", NUMBERS)
@pytest.mark.parametrize("number", ["1e308", "1.5e-310"])
def test_no_number_takes_longer_than_another(where: str, number: str) -> None:
    """Without Python's help msgspec takes several hundred times as long for these."""
    read, body = NUMBERS[where]
    hard, easy = body(number, 6_000), body("1.5" + "0" * (len(number) - 3), 6_000)
    assert seconds(read, hard) < RATIO_MAX * seconds(read, easy)


def seconds(read: Callable[[bytes], Any], body: bytes) -> float:
    """Of this thread's own time; the least of a few."""
    needed = []
    for _ in range(3):
        began = time.thread_time()
        with suppress(ApiError):  # a list that long is too long for a schema
            read(body)
        needed.append(time.thread_time() - began)
    return min(needed)


def refused(text: bytes) -> bool:
    try:
        check_values(text, "here")
    except ApiError as error:
        assert (error.code, error.field) == ("1214", "here")
        return True
    return False


LONG = b" " * MAX_VALUES


@pytest.mark.parametrize(
    ("unit", "values"),
    [(b"0,", 1), (b"[],", 2), (b"[[]],", 3), (b'{"a":0},', 3), (b'"",', 1), (b'"\\"",', 1), (b'"\\\\",', 1)],
)
def test_values_are_counted_to_the_last(unit: bytes, values: int) -> None:
    most = (MAX_VALUES - 1) // values
    assert not refused(LONG + b"[" + unit * most + b"0]")
    assert refused(LONG + b"[" + unit * (most + 1) + b"0]")


def test_strings_are_no_values() -> None:
    marks = b"[{:," * MAX_VALUES
    assert not refused(b'["' + marks + b'"]')
    assert not refused(b'["a\\"' + marks + b'\\\\","b\\n"]')
    assert refused(b'["a\\\\"' + marks + b'"]')


def test_what_is_short_is_not_counted() -> None:
    assert not refused(b"[" * MAX_VALUES)


def test_strings_alone_can_be_too_many() -> None:
    assert refused(b'"[,"' * (MAX_VALUES + 1))


TEXTS = st.text(st.sampled_from('a,:[{"\\\n 你'), max_size=8)
ANYTHING = st.recursive(
    st.none() | st.integers(0, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
)


def values_in(value: Any) -> int:
    """By walking through it: what holds others, what parts them, and what names them."""
    if isinstance(value, dict):
        return 1 + len(value) + max(len(value) - 1, 0) + sum(map(values_in, value.values()))
    if isinstance(value, list):
        return 1 + max(len(value) - 1, 0) + sum(map(values_in, value))
    return 0


@given(ANYTHING, st.booleans())
def test_as_many_are_counted_as_there_are(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    left = MAX_VALUES - values_in(value)
    # As one more text, beside a list of so many values that exactly as many are left.
    assert not refused(LONG + b"," * left + text)
    assert refused(LONG + b"," * (left + 1) + text)


def test_an_ordinary_body_is_the_same_afterwards() -> None:
    short = json.dumps(SMALL).encode()
    long = json.dumps({**SMALL, "user": "x" * ONCE_FROM_BYTES}).encode()
    assert readable(short) is short
    assert readable(long) is long


def test_a_member_that_is_there_often_is_read_once() -> None:
    body = b'{"a":1,' + b'"temperature":1e308,' * 4000 + b'"temperature":0.5,"b":[1, 2]}'
    assert readable(body) == b'{"a":1,"temperature":0.5,"b":[1, 2]}'
    hidden = body.replace(b"temperature", b"\\u0074emperature", 3000)
    assert msgspec.json.decode(readable(hidden)) == {"a": 1, "temperature": 0.5, "b": [1, 2]}


@pytest.mark.parametrize("dialect", [glm, anthropic, responses])
def test_what_is_broken_behind_them_is_refused_without_reading_them(dialect: Callable[[bytes], None]) -> None:
    easy, hard = (
        b'{"temperature":%b,' % number * 1 + b'"temperature":%b,' % number * 8000 + b"?"
        for number in (b"1.500", b"1e308")
    )

    def refuse(body: bytes) -> None:
        with pytest.raises(ApiError) as caught:
            dialect(body)
        assert caught.value.code == "1210"

    assert seconds(refuse, hard) < RATIO_MAX * seconds(refuse, easy)


@pytest.mark.parametrize("dialect", [glm, anthropic, responses])
def test_every_dialect_counts(dialect: Callable[[bytes], None]) -> None:
    body = json.dumps({**SMALL, "input": "a", "unknown": [[]] * MAX_VALUES}).encode()
    with pytest.raises(ApiError) as caught:
        dialect(body)
    assert (caught.value.code, caught.value.field) == ("1214", "body")


MANY = [0] * (MAX_SCHEMAS_VALUES + 1)
OBJECT = {"type": "object", "x": MANY}
FORMAT = {"type": "json_schema", "schema": OBJECT}


@pytest.mark.parametrize(
    ("dialect", "field", "value"),
    [
        (glm, "tools", [{"type": "x", "y": MANY}]),
        (glm, "tool_choice", OBJECT),
        (glm, "response_format", {"type": "json_schema", "json_schema": OBJECT}),
        (anthropic, "tools", [{"name": "f", "input_schema": OBJECT}]),
        (anthropic, "output_format", FORMAT),
        (anthropic, "output_config", {"format": FORMAT}),
        (responses, "tools", [{"type": "function", "name": "f", "parameters": OBJECT}]),
        (responses, "text", {"format": {**FORMAT, "name": "f"}}),
    ],
)
def test_schemas_of_many_values_are_refused_before_they_are_objects(
    dialect: Callable[[bytes], None], field: str, value: Any
) -> None:
    """Which takes twenty times as long as counting them, and nobody pays for it."""
    body = json.dumps({**SMALL, "input": "a", field: value}).encode()
    with pytest.raises(ApiError) as caught:
        dialect(body)
    assert (caught.value.code, caught.value.field) == ("1214", field)
    assert str(MAX_SCHEMAS_VALUES) in str(caught.value.detail_en)


def test_as_many_tools_as_there_can_be_have_room() -> None:
    members = {f"member_{number}": {"type": "string", "description": "a" * 80} for number in range(20)}
    function = {"name": "f", "parameters": {"type": "object", "properties": members}}
    tools = [{"type": "function", "function": function}] * MAX_TOOLS
    body = json.dumps({**SMALL, "tools": tools}).encode()
    assert readable(body) is body


@pytest.mark.parametrize(
    ("values", "says"), [(MAX_ARGUMENT_VALUES, "text of a JSON object"), (MAX_ARGUMENT_VALUES + 1, "values")]
)
def test_arguments_of_many_values_are_refused_before_they_are_taken_apart(values: int, says: str) -> None:
    # Who takes it apart finds out that its end is missing. A mark for the object, one for its member, one for the list.
    text = '{"a":[' + "0," * (values - 3) + "0]"
    with pytest.raises(ApiError) as caught:
        glm(json.dumps({**SMALL, "messages": call(text)}).encode())
    assert (caught.value.code, caught.value.field) == ("1214", "messages[1].tool_calls[0].function.arguments")
    assert says in str(caught.value.detail_en)
