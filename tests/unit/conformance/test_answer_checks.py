"""Each rule of a whole answer has a server that breaks it, and a check that notices."""

from collections.abc import Callable
from typing import Any

import pytest

from openbigmodel.conformance.answer_checks import CHECKS, engine_fields
from tests.planted_gateway import Members, Mistake, caught, dropped, every_check_has_a_mistake


def said(**members: Any) -> Mistake:
    """A whole answer with other members."""
    return Mistake(body=lambda body: {**body, **members})


def message(change: Callable[[Members], Members]) -> Mistake:
    """A whole answer with another message."""
    return Mistake(
        body=lambda body: {
            **body,
            "choices": [{**choice, "message": change(choice["message"])} for choice in body["choices"]],
        }
    )


def usage(**members: Any) -> Mistake:
    return Mistake(body=lambda body: {**body, "usage": {**body["usage"], **members}})


def calls(**members: Any) -> Mistake:
    return message(
        lambda said: (
            {**said, "tool_calls": [{**call, **members} for call in said["tool_calls"]]}
            if "tool_calls" in said
            else said
        )
    )


def finish(reason: object) -> Mistake:
    return Mistake(
        body=lambda body: {
            **body,
            "choices": [{**choice, "finish_reason": reason} for choice in body["choices"]],
        }
    )


def headers(**more: str) -> Mistake:
    return Mistake(headers=lambda given: {**given, **{name.replace("_", "-"): more[name] for name in more}})


def merged(said: Members) -> Members:
    """Reasoning where raw text has it."""
    content = f"<think>{said.get('reasoning_content', '')}</think>{said['content']}"
    return {"role": "assistant", "content": content}


PLANTED: list[tuple[str, Mistake]] = [
    ("answers.content_type", headers(content_type="text/plain")),
    ("answers.keys", Mistake(body=dropped("object"))),
    ("answers.keys", Mistake(body=dropped("usage"))),
    ("answers.keys", said(object="text_completion")),
    ("answers.no_engine_fields", said(system_fingerprint=None)),
    ("answers.no_engine_fields", message(lambda said: {**said, "refusal": None})),
    ("answers.key_order", Mistake(body=lambda body: dict(reversed(body.items())))),
    ("answers.id", Mistake(body=dropped("request_id"))),
    ("answers.id", said(id=7)),
    ("answers.id_form", said(id="chatcmpl-1", request_id="chatcmpl-1")),
    ("answers.request_id", said(request_id="another")),
    ("answers.created", said(created="now")),
    ("answers.model", said(model="served")),
    ("answers.message", message(lambda said: {**said, "content": None})),
    ("answers.message", message(lambda said: {**said, "reasoning_content": None})),
    ("answers.message", message(lambda said: {**said, "thoughts": "x"})),
    ("answers.message", message(lambda said: {**said, "role": "bot"})),
    ("answers.finish_reason", finish("eos")),
    ("answers.finish_reason", finish(None)),
    ("answers.length", finish("stop")),
    ("answers.usage", usage(total_tokens=1)),
    ("answers.usage", usage(prompt_tokens="23")),
    ("answers.usage", usage(prompt_tokens=0, total_tokens=4)),
    ("answers.usage", usage(prompt_tokens_details={"cached_tokens": 10**6})),
    ("answers.usage_details", Mistake(body=lambda body: {**body, "usage": dropped("prompt_tokens_details")(body["usage"])})),
    ("answers.reasoning", message(merged)),
    ("answers.reasoning", message(lambda said: {**said, "reasoning_content": ""})),
    ("answers.no_reasoning", message(lambda said: {**said, "reasoning_content": ""})),
    ("answers.tool_calls", calls(index=0)),
    ("answers.tool_calls", calls(id=None)),
    ("answers.tool_calls", calls(type="tool")),
    ("answers.tool_calls", calls(function={"name": "get_weather", "arguments": {}})),
    ("answers.tool_calls", calls(function={"name": "get_weather", "arguments": '{"city": '})),
    ("answers.tool_calls", finish("stop")),
    ("answers.tool_choice_required", Mistake(forward=dropped("tool_choice"))),
    ("answers.tool_choice_required", finish("stop")),
    ("answers.tool_choice_required", calls(function={"name": "get_weather", "arguments": "none"})),
    ("answers.tool_choice_named", Mistake(forward=dropped("tool_choice"))),
    ("answers.tool_choice_named", Mistake(forward=lambda request: {**request, "tool_choice": "required"})),
    ("answers.log_id", Mistake(headers=dropped("x-log-id"))),
]  # fmt: skip


@pytest.mark.parametrize(("check_id", "mistake"), PLANTED)
def test_a_server_that_breaks_it_is_found(check_id: str, mistake: Mistake) -> None:
    caught(mistake, check_id)


def test_each_check_has_a_mistake() -> None:
    every_check_has_a_mistake(CHECKS, PLANTED, but=set())


def test_fields_of_engines_are_found_at_any_depth() -> None:
    assert engine_fields({"choices": [{"logprobs": None, "message": {"refusal": 1}}]}) == {
        "logprobs",
        "refusal",
    }
    assert engine_fields({"choices": [{"message": {"content": "logprobs"}}]}) == set()
