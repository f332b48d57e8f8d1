"""A conversation of items is the same conversation in messages."""

import json
from typing import Any

import pytest

from openbigmodel.errors import ApiError
from openbigmodel.inference.chat_request import MAX_MESSAGES
from openbigmodel.inference.responses.fields import Place
from openbigmodel.inference.responses.items import Messages, read_items

PNG = "data:image/png;base64,aGVsbG8="


def messages(items: object) -> list[dict[str, Any]]:
    return collected(items).messages


def collected(items: object) -> Messages:
    made = Messages()
    made.add(read_items(json.dumps(items).encode()), "input")
    return made


def test_a_text_is_a_question() -> None:
    assert messages("hi") == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("kind", [{}, {"type": "message"}])
@pytest.mark.parametrize("role", ["user", "system", "developer"])
def test_messages(role: str, kind: dict[str, str]) -> None:
    for content in ("hi", [{"type": "input_text", "text": "hi"}]):
        assert messages([{**kind, "role": role, "content": content, "id": "msg_1", "status": "x"}]) == [
            {"role": role, "content": "hi"}
        ]


def test_pictures_and_files() -> None:
    parts = [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": PNG, "detail": "auto"},
        {"type": "input_image", "image_url": {"url": PNG}},
        {"type": "input_file", "file_data": "QQ==", "filename": "a.txt"},
        {"type": "input_file", "file_url": "https://e.cn/a.pdf"},
        {"type": "input_file", "file_id": "file-1"},
    ]
    assert messages([{"role": "user", "content": parts}]) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "auto"}},
                {"type": "image_url", "image_url": {"url": PNG}},
                {"type": "file", "file": {"file_data": "QQ==", "filename": "a.txt"}},
                {"type": "file", "file": {"file_url": "https://e.cn/a.pdf"}},
                {"type": "file", "file": {"file_id": "file-1"}},
            ],
        }
    ]


def call(number: int, **fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"c{number}", "name": "f", "arguments": "{}", **fields}


def glm_call(number: int, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def output(number: int, value: object = "ok") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": f"c{number}", "output": value}


def thought(text: str) -> dict[str, Any]:
    return {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": text}],
        "encrypted_content": None,
    }


def said(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "role": "assistant", "id": "msg_2", "content": [part], "status": "completed"}


def test_an_answer_goes_back_as_one_message() -> None:
    items = [
        {"role": "user", "content": "q"},
        thought("hm"),
        said("let me look"),
        call(1),
        call(2, arguments='{"a": 1}'),
        output(1),
        output(2, [{"type": "input_text", "text": "x"}, {"type": "input_text", "text": "y"}]),
        {"role": "user", "content": "and?"},
    ]
    assert messages(items) == [
        {"role": "user", "content": "q"},
        {
            "role": "assistant",
            "content": "let me look",
            "reasoning_content": "hm",
            "tool_calls": [glm_call(1), glm_call(2, arguments='{"a": 1}')],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        {
            "role": "tool",
            "tool_call_id": "c2",
            "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}],
        },
        {"role": "user", "content": "and?"},
    ]
    assert collected(items).places == [
        Place("input[0]"),
        Place("input[2]", ("input[3]", "input[4]")),
        Place("input[5]", (), "output"),
        Place("input[6]", (), "output"),
        Place("input[7]"),
    ]


def test_calls_without_words_and_new_thoughts_are_messages_of_their_own() -> None:
    assert messages(
        [thought("a"), thought("b"), call(1), thought("c"), call(2), said("done"), said("!")]
    ) == [
        {"role": "assistant", "content": "", "reasoning_content": "ab", "tool_calls": [glm_call(1)]},
        {"role": "assistant", "content": "", "reasoning_content": "c", "tool_calls": [glm_call(2)]},
        {"role": "assistant", "content": "done"},
        {"role": "assistant", "content": "!"},
    ]


def test_thoughts_that_led_nowhere_are_dropped() -> None:
    assert messages([thought("a"), {"role": "user", "content": "q"}, said("x"), thought("b")]) == [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "x"},
    ]
    assert messages([{"type": "reasoning", "summary": []}, said("x")]) == [
        {"role": "assistant", "content": "x"}
    ]


def test_custom_tools_and_namespaces() -> None:
    items = [
        {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": '"x"'},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"},
        call(2, namespace="crm"),
    ]
    assert messages(items) == [
        {"role": "assistant", "content": "", "tool_calls": [glm_call(1, "patch", '{"input":"\\"x\\""}')]},
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        {"role": "assistant", "content": "", "tool_calls": [glm_call(2, "crm__f")]},
    ]


@pytest.mark.parametrize("arguments", [None, "", " ", {}])
def test_a_call_without_arguments(arguments: object) -> None:
    assert messages([call(1, arguments=arguments)])[0]["tool_calls"] == [glm_call(1)]


def test_arguments_may_be_an_object() -> None:
    assert messages([call(1, arguments={"a": 1})])[0]["tool_calls"] == [glm_call(1, arguments='{"a":1}')]


def test_a_refusal_is_what_was_said_and_records_are_nothing() -> None:
    refused = {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "x"}}
    assert messages([search, refused]) == [{"role": "assistant", "content": "no"}]


@pytest.mark.parametrize(
    ("items", "code", "field"),
    [
        (1, "1214", "input"),
        (["x"], "1214", "input[0]"),
        ([{"role": 1}], "1214", "input[0].role"),
        ([{"content": "x"}], "1214", "input[0].role"),
        ([{"role": "tool", "content": "x"}], "1214", "input[0].role"),
        ([{"role": "user"}], "1213", "input[0].content"),
        ([{"role": "user", "content": [{}]}], "1213", "input[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "input_text"}]}], "1213", "input[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "video"}]}], "1214", "input[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "input_image"}]}], "1213", "input[0].content[0].image_url"),
        (
            [{"role": "user", "content": [{"type": "input_image", "file_id": "x"}]}],
            "1214",
            "input[0].content[0].file_id",
        ),
        (
            [{"role": "user", "content": [{"type": "input_file", "filename": "x"}]}],
            "1213",
            "input[0].content[0].file_data",
        ),
        (
            [{"role": "assistant", "content": [{"type": "input_image", "image_url": PNG}]}],
            "1214",
            "input[0].content[0].type",
        ),
        ([call(1, call_id=None)], "1213", "input[0].call_id"),
        ([call(1, name="")], "1213", "input[0].name"),
        ([call(1, arguments='{"a"')], "1214", "input[0].arguments"),
        ([call(1, arguments="[1]")], "1214", "input[0].arguments"),
        ([call(1, arguments="[" * 100_000)], "1214", "input[0].arguments"),
        ([{"type": "custom_tool_call", "call_id": "a", "name": "b"}], "1213", "input[0].input"),
        ([{"type": "function_call_output", "output": "x"}], "1213", "input[0].call_id"),
        ([{"type": "function_call_output", "call_id": "x"}], "1213", "input[0].output"),
        ([output(1, [{"type": "computer"}])], "1214", "input[0].output[0].type"),
        ([{"type": "item_reference", "id": "msg_1"}], "1214", "input[0].type"),
    ],
)
def test_what_is_wrong_is_named(items: object, code: str, field: str) -> None:
    with pytest.raises(ApiError) as caught:
        messages(items)
    assert (caught.value.code, caught.value.field) == (code, field)


def test_what_came_before_cannot_be_counted() -> None:
    made = Messages()
    made.add_system("be brief", "instructions")
    made.add(read_items(json.dumps([said("a")]).encode()), "previous_response_id", numbered=False)
    made.add(read_items(json.dumps([call(1)]).encode()), "input")
    assert made.places == [
        Place("instructions", (), None),
        Place("previous_response_id", ("input[0]",), None),
    ]


def test_arguments_that_are_no_text_are_refused() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": {"a": "?"}}
    items = read_items(json.dumps([call]).encode().replace(b"?", b"\xff"))
    with pytest.raises(ApiError) as refused:
        Messages().add(items, "input")
    error = refused.value
    assert (error.code, error.status, error.field) == ("1210", 400, "input[0].arguments")
    assert "input[0].arguments" in error.message("zh")


def test_items_have_an_end() -> None:
    item = b'{"type":"reasoning"},'
    assert len(read_items(b"[" + item * (MAX_MESSAGES - 1) + item[:-1] + b"]")) == MAX_MESSAGES
    with pytest.raises(ApiError) as caught:
        read_items(b"[" + item * MAX_MESSAGES + item[:-1] + b"]")
    assert (caught.value.code, caught.value.field) == ("1214", "input")
