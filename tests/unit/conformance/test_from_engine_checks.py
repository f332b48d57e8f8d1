"""Each way of losing what an engine says has a gateway that does it, and a check that notices."""

from typing import Any

import pytest

from openbigmodel.conformance.from_engine_checks import CHECKS
from tests.planted_gateway import (
    Members,
    Mistake,
    caught,
    dropped,
    every_check_has_a_mistake,
    failures,
    measured,
)


def message(*names: str) -> Mistake:
    """Whole answers whose message lacks something."""
    return Mistake(
        body=lambda body: {
            **body,
            "choices": [{**one, "message": dropped(*names)(one["message"])} for one in body["choices"]],
        }
    )


def finish(old: str, new: str) -> Mistake:
    def change(said: Members) -> Members:
        choices: list[Any] = [
            {**one, "finish_reason": new} if one.get("finish_reason") == old else one
            for one in said["choices"]
        ]
        return {**said, "choices": choices}

    return Mistake(body=change, chunk=change)


def usage(said: Members) -> Members:
    return {**said, "usage": dropped("prompt_tokens_details")(said["usage"])} if "usage" in said else said


def collected() -> Any:
    """Two events in one, as a gateway does that saves writes."""
    kept: list[Members] = []

    def change(chunk: Members) -> list[Members]:
        if "content" in chunk["choices"][0]["delta"] and not kept and "usage" not in chunk:
            kept.append(chunk)
            return []
        return [chunk]

    return change


def first_only() -> Any:
    """Of several fragments of a call the first, whole."""
    seen: list[str] = []

    def change(chunk: Members) -> Members | None:
        found = chunk["choices"][0]["delta"].get("tool_calls")
        if not found:
            return chunk
        seen.append(chunk["id"])
        return chunk if seen.count(chunk["id"]) == 1 else None

    return change


PLANTED: list[tuple[str, Mistake]] = [
    *((f"from_engine.{name}", Mistake(body=dropped(name))) for name in ("web_search", "content_filter", "video_result")),
    *((f"from_engine.{name}", Mistake(chunk=dropped(name))) for name in ("web_search", "content_filter", "unheard_of")),
    ("from_engine.whole_answer", Mistake(body=lambda body: {**body, "provider": "us"})),
    ("from_engine.whole_answer", Mistake(body=lambda body: dict(reversed(body.items())))),
    ("from_engine.each_event", Mistake(chunk=collected())),
    ("from_engine.each_event", Mistake(chunk=lambda chunk: {**chunk, "system_fingerprint": None})),
    ("from_engine.reasoning_content", message("reasoning_content")),
    ("from_engine.usage", Mistake(body=usage)),
    ("from_engine.usage", Mistake(chunk=usage)),
    ("from_engine.stream_usage", Mistake(chunk=dropped("usage"))),
    ("from_engine.sensitive", finish("sensitive", "content_filter")),
    ("from_engine.other_finish_reasons", finish("model_context_window_exceeded", "length")),
    ("from_engine.tool_stream", Mistake(chunk=first_only())),
]  # fmt: skip


@pytest.mark.parametrize(("check_id", "mistake"), PLANTED)
def test_a_gateway_that_loses_it_is_found(check_id: str, mistake: Mistake) -> None:
    caught(mistake, check_id)


def test_each_check_has_a_mistake() -> None:
    every_check_has_a_mistake(CHECKS, PLANTED, but=set())


def test_a_gateway_that_translates_nothing_is_found_in_front_of_another_engine() -> None:
    found = failures(measured(Mistake(), "from_engine", upstream="vllm"))
    assert found.keys() >= {
        "from_engine.reasoning_content",
        "from_engine.no_engine_fields",
        "from_engine.stream_usage",
        "from_engine.sensitive",
        "from_engine.tool_calls",
    }
