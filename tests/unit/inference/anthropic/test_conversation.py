"""Anthropic's blocks become GLM's messages, and nothing of what was said gets lost."""

import json
from typing import Any

import pytest

from openbigmodel.errors import ApiError
from openbigmodel.inference.anthropic.messages import MAX_BLOCKS
from openbigmodel.inference.chat_request import MAX_MESSAGES, MAX_SENT_TOOLS
from tests.unit.inference.anthropic.messages_bench import (
    asked,
    assistant,
    body,
    dialect,
    glm_messages,
    tool_result,
    tool_use,
    user,
)

HI = {"role": "user", "content": "hi"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "aGk="}}


def refusal(*messages: Any, **fields: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        asked(messages=list(messages), **fields)
    return refused.value


def test_plain_messages_stay_as_they_are() -> None:
    spoken = [HI, {"role": "assistant", "content": "hello"}, {"role": "user", "content": "go on"}]
    assert glm_messages(*spoken) == spoken


def test_a_system_prompt_is_the_first_message() -> None:
    assert glm_messages(HI, system="Be brief.") == [{"role": "system", "content": "Be brief."}, HI]
    blocks = [
        {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Be kind."},
    ]
    assert glm_messages(HI, system=blocks)[0]["content"] == "Be brief.\n\nBe kind."
    assert glm_messages(HI, system=[]) == glm_messages(HI, system="") == [HI]


def test_what_claude_code_counts_for_its_maker_is_no_part_of_the_prompt() -> None:
    line = "x-anthropic-billing-header: cc_version=2.1.177.01c; cc_entrypoint=cli; cch=eb6c6;"
    blocks = [{"type": "text", "text": line}, {"type": "text", "text": "You are Claude Code."}]
    expected = [{"role": "system", "content": "You are Claude Code."}, HI]
    assert glm_messages(HI, system=blocks) == expected
    assert glm_messages(HI, system=f"{line}\nYou are Claude Code.") == expected
    assert glm_messages(HI, system=line) == [HI]
    quoted = f"Explain: {line}"
    assert glm_messages(HI, system=quoted)[0]["content"] == quoted


def test_instructions_in_the_middle_stay_there() -> None:
    later = {"role": "system", "content": [{"type": "text", "text": "Now in French."}]}
    assert glm_messages(HI, later, HI) == [HI, {"role": "system", "content": "Now in French."}, HI]


def test_text_blocks_of_the_caller_are_parted_and_those_of_the_model_are_not() -> None:
    assert glm_messages(user("a", "b"), assistant("c", "d"), user("e")) == [
        {"role": "user", "content": "a\n\nb"},
        {"role": "assistant", "content": "cd"},
        {"role": "user", "content": "e"},
    ]


def test_thinking_goes_back_as_reasoning() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "anything"}
    hidden = {"type": "redacted_thinking", "data": "EncryptedForAnthropic"}
    assert glm_messages(HI, assistant(thought, hidden, "yes"), HI)[1] == {
        "role": "assistant",
        "content": "yes",
        "reasoning_content": "hm",
    }


def test_calls_and_results_in_the_order_of_the_calls() -> None:
    found = glm_messages(
        HI,
        assistant("I look.", tool_use("call_1", "get_weather", city="北京"), tool_use("call_2", "now")),
        user(tool_result("call_2", "noon"), "and?", tool_result("call_1", "sunny")),
    )
    assert found[1]["tool_calls"] == [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city": "北京"}'},
        },
        {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
    ]
    assert found[2:] == [
        {"role": "tool", "content": "sunny", "tool_call_id": "call_1"},
        {"role": "tool", "content": "noon", "tool_call_id": "call_2"},
        {"role": "user", "content": "and?"},
    ]


def test_results_of_calls_that_nobody_knows_keep_their_order_at_the_end() -> None:
    found = glm_messages(
        HI,
        assistant(tool_use("call_1")),
        user(tool_result("call_9"), tool_result("call_8"), tool_result("call_1")),
    )
    assert [message["tool_call_id"] for message in found[2:]] == ["call_1", "call_9", "call_8"]


@pytest.mark.parametrize(
    ("content", "failed", "expected"),
    [
        ("ok", False, "ok"),
        (None, False, ""),
        ([], True, "Error"),
        ("no such file", True, "Error: no such file"),
        ("<tool_use_error>no</tool_use_error>", True, "<tool_use_error>no</tool_use_error>"),
        ("ERROR 5", True, "ERROR 5"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], False, "a\n\nb"),
        ([{"type": "tool_reference", "tool_name": "x"}], False, ""),
    ],
)
def test_what_a_tool_says(content: Any, failed: bool, expected: str) -> None:
    found = glm_messages(
        HI, assistant(tool_use("call_1")), user(tool_result("call_1", content, is_error=failed))
    )
    assert found[2:] == [{"role": "tool", "content": expected, "tool_call_id": "call_1"}]


def test_what_a_tool_shows_comes_after_what_it_says() -> None:
    found = glm_messages(
        HI,
        assistant(tool_use("call_1")),
        user(tool_result("call_1", [{"type": "text", "text": "a shot"}, IMAGE]), "what is it?"),
    )
    assert found[2]["content"] == "a shot\n[1 attached to the next message]"
    assert found[3]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,aGk="}},
        {"type": "text", "text": "what is it?"},
    ]


@pytest.mark.parametrize(
    ("source", "part"),
    [
        (IMAGE["source"], {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,aGk="}}),
        (
            {"type": "url", "url": "https://a.example/b.png"},
            {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
        ),
        ({"type": "file", "file_id": "file_1"}, {"type": "file", "file": {"file_id": "file_1"}}),
    ],
)
def test_images(source: Any, part: Any) -> None:
    found = glm_messages(user("look", {"type": "image", "source": source}))
    assert found == [{"role": "user", "content": [{"type": "text", "text": "look"}, part]}]


PDF = {"type": "base64", "media_type": "application/pdf", "data": "aGk="}


@pytest.mark.parametrize(
    ("document", "parts"),
    [
        (
            {"source": PDF, "title": "a.pdf", "context": "about it"},
            [
                {"type": "text", "text": "about it"},
                {
                    "type": "file",
                    "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
                },
            ],
        ),
        (
            {"source": {"type": "url", "url": "https://a.example/b.pdf"}},
            [{"type": "file", "file": {"file_url": "https://a.example/b.pdf"}}],
        ),
        (
            {"source": {"type": "file", "file_id": "file_1"}},
            [{"type": "file", "file": {"file_id": "file_1"}}],
        ),
        (
            {"source": {"type": "text", "data": "words", "media_type": "text/plain"}, "title": "A"},
            "A\n\nwords",
        ),
        ({"source": {"type": "content", "content": "words"}}, "words"),
        (
            {
                "source": {
                    "type": "content",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                }
            },
            "a\n\nb",
        ),
    ],
)
def test_documents(document: Any, parts: Any) -> None:
    found = glm_messages(user({"type": "document", **document}))
    assert found == [{"role": "user", "content": parts}]


def test_search_results_are_read_as_text() -> None:
    found = {
        "type": "search_result",
        "source": "https://a.example",
        "title": "A",
        "content": [{"type": "text", "text": "b"}],
    }
    assert glm_messages(user(found, "sum it up")) == [{"role": "user", "content": "A\n\nb\n\nsum it up"}]


def test_blocks_that_only_anthropic_can_read_are_passed_over() -> None:
    searched = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": {"type": "error"}}
    assert glm_messages(HI, assistant(searched, found, "so"), user({"type": "container_upload"}, "x")) == [
        HI,
        {"role": "assistant", "content": "so"},
        {"role": "user", "content": "x"},
    ]


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([user("a", {"type": "text"})], "messages.0.content.1.text"),
        ([user({"type": "image"})], "messages.0.content.0.source"),
        ([user({"type": "image", "source": {"type": "base64"}})], "messages.0.content.0.source.data"),
        ([user({"type": "image", "source": {"type": "url"}})], "messages.0.content.0.source.url"),
        ([user({"type": "image", "source": {"type": "file"}})], "messages.0.content.0.source.file_id"),
        ([user({"type": "image", "source": {"type": "text"}})], "messages.0.content.0.source.type"),
        ([user({"type": "image", "source": {}})], "messages.0.content.0.source.type"),
        ([user({"type": "image", "source": {"type": "url", "url": 1}})], "messages.0.content.0.source.url"),
        ([user({"type": "document", "source": {"type": "what"}})], "messages.0.content.0.source.type"),
        ([user({"type": "document", "source": {"type": "text"}})], "messages.0.content.0.source.data"),
        ([user({"type": "tool_result"})], "messages.0.content.0.tool_use_id"),
        ([user(tool_result("c", 5))], "messages.0.content.0.content"),
        ([user(tool_result("c", [{"type": "text"}]))], "messages.0.content.0.content.0.text"),
        ([user(tool_use("c"))], "messages.0.content.0.type"),
        ([HI, assistant({"type": "thinking"})], "messages.1.content.0.thinking"),
        ([HI, assistant("x", {"type": "tool_use", "name": "f", "input": {}})], "messages.1.content.1.id"),
        ([HI, assistant({"type": "tool_use", "id": "c", "input": {}})], "messages.1.content.0.name"),
        (
            [HI, assistant({"type": "tool_use", "id": "c", "name": "f", "input": []})],
            "messages.1.content.0.input",
        ),
        ([{"role": "system", "content": [{"type": "text"}]}], "messages.0.content.0.text"),
    ],
)
def test_a_mistake_is_named_as_the_caller_wrote_it(messages: list[Any], field: str) -> None:
    error = refusal(*messages)
    assert (error.status, error.field) == (400, field)


def test_a_mistake_in_the_system_prompt() -> None:
    assert refusal(HI, system=[{"type": "text", "text": "a"}, {"type": "text"}]).field == "system.1.text"


def test_integers_of_any_size_reach_the_tool_again() -> None:
    found = glm_messages(HI, assistant(tool_use("c", number=2**62 + 1)), HI)
    assert json.loads(found[1]["tool_calls"][0]["function"]["arguments"]) == {"number": 2**62 + 1}


def test_only_text_counts_for_the_size_of_a_prompt() -> None:
    large = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "a" * 10_000}}
    page = {"type": "document", "source": {"type": "base64", "data": "a" * 10_000}}
    wishes = asked(system="12345", messages=[user("123", large, page)]).extra
    assert 8 <= wishes.prompt_bytes <= 250
    assert wishes.media == 2


def test_arguments_that_are_no_text_are_refused() -> None:
    call = body(messages=[HI, assistant(tool_use("c1", a="?")), user(tool_result("c1"))])
    for read in (lambda sent: dialect().read(sent, "account"), dialect().read_to_count):
        with pytest.raises(ApiError) as refused:
            read(call.replace(b"?", b"\xff"))
        error = refused.value
        assert (error.code, error.status, error.field) == ("1210", 400, "messages.1.content.0.input")
        assert "messages.1.content.0.input" in error.message("en") and "UTF-8" in error.message("zh")


def in_document(*content: Any) -> dict[str, Any]:
    return {"type": "document", "source": {"type": "content", "content": list(content)}}


def test_a_document_has_no_documents_in_it() -> None:
    text = {"type": "text", "text": "a"}
    found = {"type": "search_result", "title": "t", "source": "s", "content": [text]}
    assert glm_messages(user(in_document(text))) == [HI | {"content": "a"}]
    assert (
        glm_messages(user(in_document(text, IMAGE, {"type": "new"})))[0]["content"][1]["type"] == "image_url"
    )
    for inner in (in_document(text), found):
        refused = refusal(user(text, in_document(text, inner)))
        assert (refused.code, refused.field) == ("1214", "messages.0.content.1.source.content.1.type")


TEXTS = [{"type": "text", "text": "a"}] * (MAX_BLOCKS // 2 + 1)


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"messages": [user(*TEXTS), assistant(*TEXTS)]}, "messages.1.content"),
        ({"messages": [user(*TEXTS, tool_result("x", TEXTS))]}, "messages.0.content.10001.content"),
        ({"messages": [user(*TEXTS, in_document(*TEXTS))]}, "messages.0.content.10001.source.content"),
        ({"messages": [user(*TEXTS)], "system": TEXTS}, "messages.0.content"),
        (
            {"messages": [user(*TEXTS, {"type": "search_result", "title": "", "content": TEXTS})]},
            "messages.0.content.10001.content",
        ),
        ({"messages": [HI] * (MAX_MESSAGES + 1)}, "messages"),
        ({"messages": [HI], "tools": [{"type": "new"}] * (MAX_SENT_TOOLS + 1)}, "tools"),
    ],
    ids=["messages", "result", "document", "system", "search", "many messages", "tools"],
)
def test_there_is_an_end_to_what_a_request_is_made_of(fields: dict[str, Any], at: str) -> None:
    with pytest.raises(ApiError) as refused:
        asked(**fields)
    assert (refused.value.code, refused.value.field) == ("1214", at)
