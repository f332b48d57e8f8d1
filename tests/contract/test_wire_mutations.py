"""A full request with a few places changed at random: refused or answered, never a fault of ours."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.live_server import LiveServer
from tests.contract.wire import error_of, post

pytestmark = pytest.mark.timeout(300)
Path = tuple[str | int, ...]
CALL = {"id": "a", "type": "function", "index": 0, "function": {"name": "f", "arguments": '{"a": 1}'}}
SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"type": "integer", "description": "d", "enum": [1, 2]},
        "b": {"items": {"type": "string"}},
    },
    "required": ["a"],
    "additionalProperties": False,
}
FULL: dict[str, Any] = {
    "model": "glm-4.6",
    "messages": [
        {"role": "system", "content": "x"},
        {"role": "user", "content": [{"type": "text", "text": "你好"}], "name": "n"},
        {"role": "assistant", "content": "", "reasoning_content": "r", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "a", "content": "ok"},
        {"role": "user", "content": "hi"},
    ],
    "stream": False,
    "thinking": {"type": "enabled", "clear_thinking": False},
    "reasoning_effort": "high",
    "do_sample": True,
    "temperature": 0.5,
    "top_p": 0.5,
    "max_completion_tokens": 1,
    "stop": ["x"],
    "tools": [
        {
            "type": "function",
            "function": {"name": "f", "description": "d", "strict": True, "parameters": SCHEMA},
        },
        {"type": "web_search", "web_search": {"enable": True}},
    ],
    "tool_choice": "auto",
    "tool_stream": True,
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
    "request_id": "abcdefg",
    "user_id": "abcdefg",
    "seed": 1,
}
# A schema for the answer and tools exclude each other in some engines; without one of them more is reached.
WITHOUT = [(), ("response_format",), ("tools",), ("tools", "response_format")]
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    1e308,
    2**63,
    2**64,
    "",
    "x",
    "\0",
    "\u2028",
    "好",
    "<|user|>",
    "{",
]
VALUES += [
    "object",
    "required",
    "none",
    "[]",
    "a" * 3000,
    [],
    [None],
    [[]],
    [1],
    [""],
    {},
    {"a": None},
    {"": ""},
]
VALUES += [
    {"type": None},
    {"$ref": "#"},
    {"anyOf": []},
    {"const": None},
    {"pattern": "\\"},
    {"minItems": 10**9},
]


def places(value: Any, path: Path = ()) -> list[Path]:
    inside: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value))
    return [path, *(place for name, part in inside for place in places(part, (*path, name)))]


PLACES = [place for place in places(FULL) if place and place != ("max_completion_tokens",)]


def change(body: Any, place: Path, value: Any) -> None:
    """Put a value in its place, if an earlier change has left the place there."""
    for name in place[:-1]:
        if not _has(body, name):
            return
        body = body[name]
    if _has(body, place[-1]):
        body[place[-1]] = copy.deepcopy(value)


def _has(body: Any, name: str | int) -> bool:
    if isinstance(name, str):
        return isinstance(body, dict) and name in body
    return isinstance(body, list) and name < len(body)


@given(
    without=st.sampled_from(WITHOUT),
    changes=st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(VALUES)), min_size=1, max_size=3),
)
def test_a_changed_request_is_answered_or_refused(
    server: LiveServer, without: tuple[str, ...], changes: list[tuple[Path, Any]]
) -> None:
    body = copy.deepcopy({name: value for name, value in FULL.items() if name not in without})
    for place, value in changes:
        change(body, place, value)
    answer = post(server, body)
    assert answer.status in {200, 400}, (answer.body, json.dumps(body))
    if answer.status == 400:
        error_of(answer)
