"""Lists of what a response was asked with."""

import json
from typing import Any

import msgspec
import pytest

from openbigmodel.inference.responses.input_items import list_input_items
from openbigmodel.inference.responses.store import StoredResponse


def stored(asked: object) -> StoredResponse:
    return StoredResponse("resp_1", "a", "", json.dumps(asked).encode(), b"{}")


def listed(asked: object, **options: Any) -> dict[str, Any]:
    """A page as it is told."""
    page: dict[str, Any] = json.loads(msgspec.json.encode(list_input_items(stored(asked), **options)))
    return page


def ids(page: dict[str, Any]) -> list[str]:
    return [item["id"] for item in page["data"]]


def test_a_text_is_listed_as_a_message() -> None:
    assert listed("hi") == {
        "object": "list",
        "data": [
            {
                "type": "message",
                "role": "user",
                "id": "msg_1_0",
                "status": "completed",
                "content": [{"type": "input_text", "text": "hi"}],
            }
        ],
        "first_id": "msg_1_0",
        "last_id": "msg_1_0",
        "has_more": False,
    }


def test_items_keep_what_they_have() -> None:
    items: list[dict[str, object]] = [
        {"role": "assistant", "content": "a"},
        {"type": "reasoning", "id": "rs_x", "summary": [], "status": "incomplete"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "id": None},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "x"},
        {"type": "web_search_call", "action": {"big": 10**30}, "id": 7},
    ]
    data = listed(items, order="asc")["data"]
    assert data[0]["content"] == [{"type": "output_text", "text": "a", "annotations": []}]
    assert data[1] == items[1]
    assert data[2] == {**items[2], "id": "fc_1_2", "status": "completed"}
    assert [item["id"] for item in data[3:]] == ["ctco_1_3", "item_1_4"]
    assert data[4]["action"] == {"big": 10**30}


@pytest.mark.parametrize(
    ("options", "expected", "more"),
    [
        ({}, ["msg_1_4", "msg_1_3", "msg_1_2", "msg_1_1", "msg_1_0"], False),
        ({"limit": 2}, ["msg_1_4", "msg_1_3"], True),
        ({"limit": 2, "after": "msg_1_3"}, ["msg_1_2", "msg_1_1"], True),
        ({"limit": 2, "after": "msg_1_1"}, ["msg_1_0"], False),
        ({"limit": 2, "order": "asc", "after": "msg_1_2"}, ["msg_1_3", "msg_1_4"], False),
        ({"after": "unknown"}, [], False),
        ({"after": "msg_1_0"}, [], False),
    ],
)
def test_pages(options: dict[str, Any], expected: list[str], more: bool) -> None:
    page = listed([{"role": "user", "content": str(number)} for number in range(5)], **options)
    assert (ids(page), page["has_more"]) == (expected, more)
    assert page["first_id"] == (expected[0] if expected else None)
    assert page["last_id"] == (expected[-1] if expected else None)


@pytest.mark.parametrize("value", [b"1e999", b"-1e999", b"1" * 5000, b"[1e999]", b"null", b"{}"])
@pytest.mark.parametrize("field", [b"id", b"status"])
def test_what_is_no_text_is_left_out(field: bytes, value: bytes) -> None:
    asked = b'[{"role":"user","content":"a","%b":%b}]' % (field, value)
    page = list_input_items(StoredResponse("resp_1", "a", "", asked, b"{}"))
    assert (page["first_id"], page["data"][0]["status"]) == ("msg_1_0", "completed")
    assert json.loads(msgspec.json.encode(page))["data"][0]["content"][0]["text"] == "a"


@pytest.mark.parametrize("item", [b'"id":"\xff"', b'"status":"\xff"', b'"\xff":1', b'"own":["\xff"]'])
def test_what_was_stored_as_no_text_is_listed(item: bytes) -> None:
    asked = b'[{"role":"user","content":"a",%b}]' % item
    page = msgspec.json.encode(list_input_items(StoredResponse("resp_1", "a", "", asked, b"{}")))
    assert "\N{REPLACEMENT CHARACTER}" in page.decode()


MIXED = [
    {"role": "user", "content": "0"},
    {"type": "reasoning", "id": "mine"},
    {"role": "user", "content": "2", "id": "msg_1_0"},
    {"type": "reasoning"},
    {"role": "user", "content": "4"},
]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("mine", ["msg_1_0", "rs_1_3", "msg_1_4"]),
        ("rs_1_3", ["msg_1_4"]),
        # The second of this name is one that the caller gave.
        ("msg_1_0", ["mine", "msg_1_0", "rs_1_3", "msg_1_4"]),
        ("msg_1_4", []),
        ("msg_1_3", []),
        ("rs_1_1", []),
        ("msg_1_5", []),
        ("msg_1_\u0664", []),
        ("msg_1_" + "4" * 5000, []),
        ("1_", []),
    ],
)
def test_a_page_begins_after_any_item(after: str, expected: list[str]) -> None:
    assert ids(listed(MIXED, order="asc", after=after)) == expected


def test_only_the_page_is_read() -> None:
    # The other item could not be.
    asked = b'[{"role":"user","content":"a"},7]'
    assert ids(list_input_items(StoredResponse("resp_1", "a", "", asked, b"{}"), order="asc", limit=1)) == [
        "msg_1_0"
    ]
