"""Each way of losing a field before it reaches the engine has a gateway that does it, and a check that notices."""

from collections.abc import Callable

import pytest

from openbigmodel.conformance.to_engine_checks import CHECKS
from tests.planted_gateway import (
    Members,
    Mistake,
    caught,
    dropped,
    every_check_has_a_mistake,
    failures,
    measured,
)


def without(*names: str) -> Mistake:
    return Mistake(forward=dropped(*names))


def with_messages(change: Callable[[Members], Members]) -> Mistake:
    return Mistake(
        forward=lambda request: {**request, "messages": [change(message) for message in request["messages"]]}
    )


def fetched(message: Members) -> Members:
    """Content parts that came in by URL, as something else."""
    if isinstance(message["content"], str):
        return message
    parts = [
        part if part["type"] == "text" else {"type": "text", "text": "fetched"} for part in message["content"]
    ]
    return {**message, "content": parts}


def functions_only(request: Members) -> Members:
    if "tools" not in request:
        return request
    return {**request, "tools": [tool for tool in request["tools"] or () if tool["type"] == "function"]}


def as_float(request: Members) -> Members:
    """What a JavaScript gateway does to big numbers."""
    if "unheard_of" not in request:
        return request
    return {**request, "unheard_of": {**request["unheard_of"], "exact": float(2**60)}}


PLANTED: list[tuple[str, Mistake]] = [
    *(
        (f"to_engine.{name}", without(name))
        for name in (
            *("thinking", "reasoning_effort", "do_sample", "user_id", "meta", "sensitive_word_check"),
            *("watermark_enabled", "request_id", "tool_stream"),
        )
    ),
    ("to_engine.thinking", Mistake(forward=lambda request: {**request, "thinking": {"type": "enabled"}})),
    ("to_engine.unknown_fields", without("unheard_of")),
    ("to_engine.unknown_fields", Mistake(forward=as_float)),
    ("to_engine.nothing_added", Mistake(forward=lambda request: {**request, "stream_options": {"include_usage": True}})),
    ("to_engine.platform_tools", Mistake(forward=functions_only)),
    ("to_engine.response_format_json", without("response_format")),
    ("to_engine.history_reasoning", with_messages(dropped("reasoning_content"))),
    ("to_engine.history_reasoning", with_messages(lambda said: {"reasoning": said.get("reasoning_content"), **dropped("reasoning_content")(said)})),
    ("to_engine.media", with_messages(fetched)),
]  # fmt: skip


@pytest.mark.parametrize(("check_id", "mistake"), PLANTED)
def test_a_gateway_that_loses_it_is_found(check_id: str, mistake: Mistake) -> None:
    caught(mistake, check_id)


def test_each_check_has_a_mistake() -> None:
    every_check_has_a_mistake(CHECKS, PLANTED, but=set())


def test_a_gateway_that_translates_nothing_is_found_in_front_of_another_engine() -> None:
    found = failures(measured(Mistake(), "to_engine", upstream="vllm"))
    assert found.keys() == {
        "to_engine.thinking_translated",
        "to_engine.do_sample_translated",
        "to_engine.no_leaks",
        "to_engine.platform_tools_kept",
        "to_engine.file",
        "to_engine.picture",
    }


@pytest.mark.parametrize(
    ("check_id", "forward"),
    [
        ("to_engine.response_format_json", dropped("response_format")),
        ("to_engine.reasoning_effort_translated", dropped("reasoning_effort")),
    ],
)
def test_a_gateway_that_drops_what_the_engine_knows_is_found(
    check_id: str, forward: Callable[[Members], Members]
) -> None:
    assert check_id in failures(measured(Mistake(forward=forward), check_id, upstream="sglang"))
