"""Each rule of a stream has a server that breaks it, and a check that notices."""

from collections.abc import Callable
from typing import Any

import pytest

from openbigmodel.conformance.stream_checks import CHECKS
from tests.planted_gateway import DONE, Members, Mistake, caught, dropped, every_check_has_a_mistake


def delta(change: Callable[[Members], Members]) -> Mistake:
    """Chunks with another delta."""
    return Mistake(chunk=lambda chunk: choice(chunk, lambda one: {**one, "delta": change(one["delta"])}))


def choice(chunk: Members, change: Callable[[Members], Members]) -> Members:
    return {**chunk, "choices": [change(one) for one in chunk["choices"]]}


def last(chunk: Members) -> bool:
    return "usage" in chunk


def split_usage(chunk: Members) -> list[Members]:
    """As OpenAI does: the usage in a chunk of its own, without choices."""
    return [dropped("usage")(chunk), {**chunk, "choices": []}] if last(chunk) else [chunk]


def calls(change: Callable[[Members], Members]) -> Mistake:
    return delta(
        lambda said: (
            {**said, "tool_calls": [change(call) for call in said["tool_calls"]]}
            if "tool_calls" in said
            else said
        )
    )


def halved(chunk: Members) -> list[Members]:
    """A call in two pieces although nobody asked for them."""
    found = chunk["choices"][0]["delta"].get("tool_calls")
    if not found:
        return [chunk]
    call = found[0]
    arguments = call["function"]["arguments"]

    def piece(text: str) -> Members:
        part = {**call, "function": {**call["function"], "arguments": text}}
        return choice(chunk, lambda one: {**one, "delta": {"role": "assistant", "tool_calls": [part]}})

    return [piece(arguments[:3]), piece(arguments[3:])]


def merged(said: Members) -> Members:
    return {
        **said,
        "content": said.get("content", ""),
        "reasoning_content": said.get("reasoning_content", ""),
    }


def numbered() -> Callable[[Members], Members]:
    """Another id for each chunk."""
    numbers = iter(range(1000))
    return lambda chunk: {**chunk, "id": f"{next(numbers)}"}


def said(**members: Any) -> Mistake:
    return Mistake(chunk=lambda chunk: {**chunk, **members})


PLANTED: list[tuple[str, Mistake]] = [
    ("streams.content_type", Mistake(headers=lambda given: {**given, "content-type": "application/json"})),
    ("streams.lines", Mistake(line=lambda data: b"event: chunk\ndata: %b\n\n" % data)),
    ("streams.lines", Mistake(line=lambda data: b"data:%b\n\n" % data)),
    ("streams.lines", Mistake(line=lambda data: b"data: %b\r\n\r\n" % data)),
    ("streams.lines", Mistake(ending=b"data: [DONE]\n")),
    ("streams.done", Mistake(ending=b"")),
    ("streams.separators", Mistake(escapes=False)),
    ("streams.role", delta(dropped("role"))),
    ("streams.one_choice", Mistake(chunk=split_usage)),
    ("streams.one_choice", Mistake(chunk=lambda chunk: {**chunk, "choices": chunk["choices"] * 2})),
    ("streams.one_choice", Mistake(chunk=lambda chunk: choice(chunk, dropped("index")))),
    ("streams.finish_reason_absent", Mistake(chunk=lambda chunk: choice(chunk, lambda one: {"finish_reason": None, **one}))),
    ("streams.finish_reason", Mistake(chunk=lambda chunk: choice(chunk, dropped("finish_reason")), death="")),
    ("streams.finish_reason", Mistake(chunk=lambda chunk: choice(chunk, lambda one: {**one, "finish_reason": "eos"}))),
    ("streams.usage_last", Mistake(chunk=dropped("usage"))),
    ("streams.usage_last", Mistake(chunk=split_usage)),
    ("streams.usage_last", Mistake(chunk=lambda chunk: {"usage": None, **chunk})),
    ("streams.usage", Mistake(chunk=lambda chunk: {**chunk, "usage": {**chunk["usage"], "total_tokens": 1}} if last(chunk) else chunk)),
    ("streams.separate_deltas", delta(merged)),
    ("streams.separate_deltas", delta(lambda said: {"tool_calls": None, **said})),
    ("streams.reasoning_first", Mistake(chunk=lambda chunk: [chunk, choice(chunk, lambda one: {**one, "delta": {"role": "assistant", "reasoning_content": "?"}})])),
    ("streams.reasoning_first", delta(lambda said: {**said, "content": f"<think>{said['content']}"} if said.get("content") else said)),
    ("streams.same_head", Mistake(chunk=numbered())),
    ("streams.same_head", said(object="chat.completion")),
    ("streams.same_head", said(model="served")),
    ("streams.no_engine_fields", said(system_fingerprint="fp")),
    ("streams.no_request_id", said(request_id="x")),
    ("streams.whole_calls", Mistake(chunk=halved)),
    ("streams.whole_calls", calls(lambda call: {**call, "function": {**call["function"], "arguments": ""}})),
    ("streams.call_fragments", calls(dropped("id"))),
    ("streams.call_fragments", calls(lambda call: {**call, "function": {**call["function"], "name": None}})),
    ("streams.call_fragments", Mistake(chunk=lambda chunk: None if chunk["choices"][0]["delta"].get("tool_calls", [{}])[0].get("index") == 1 else [chunk, chunk] if "tool_calls" in chunk["choices"][0]["delta"] else chunk)),
]  # fmt: skip


@pytest.mark.parametrize(("check_id", "mistake"), PLANTED)
def test_a_server_that_breaks_it_is_found(check_id: str, mistake: Mistake) -> None:
    caught(mistake, check_id)


def test_each_check_has_a_mistake() -> None:
    every_check_has_a_mistake(CHECKS, PLANTED, but=set())


def test_an_end_of_its_own_is_no_mistake_twice() -> None:
    """[DONE] said twice is still the last event; what stands before it is what counts."""
    caught(Mistake(ending=b"data: {}\n\n" + DONE), "streams.usage_last")
