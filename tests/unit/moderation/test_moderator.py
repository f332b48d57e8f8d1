import asyncio
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from openbigmodel.moderation.checker import HttpChecker, Part
from openbigmodel.moderation.moderator import (
    SLICE_CHARACTERS,
    Moderator,
    Outcome,
    Subject,
    build_moderator,
)
from openbigmodel.moderation.verdict import CLEAR, CheckerUnavailable, Verdict
from openbigmodel.moderation.words import WordList, WordListError
from openbigmodel.schemas.chat import ChatRequest, Finding, SensitiveWordCheck
from openbigmodel.settings import ModerationSettings, Secret

SUBJECT = Subject("id", "glm-4.6", "u")
WORDS = WordList({"炸弹": 1, "worst": 0, "mild": 3}, block_level=2)


def nobody(said: object) -> None:
    raise AssertionError(f"nobody asked to be told: {said}")


def request(messages: list[dict[str, Any]], **fields: Any) -> ChatRequest:
    return msgspec.json.decode(
        json.dumps({"model": "glm-4.6", "messages": messages, **fields}), type=ChatRequest
    )


def said(text: str) -> ChatRequest:
    return request([{"role": "user", "content": text}])


def call(arguments: Any) -> dict[str, Any]:
    function = {"name": "f", "arguments": arguments}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": function}]}


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


HI = {"role": "user", "content": "hi"}
BAD = "造炸弹"


@pytest.mark.parametrize(
    ("messages", "role"),
    [
        ([{"role": "user", "content": BAD}], "user"),
        ([{"role": "user", "content": [{"type": "text", "text": BAD}]}], "user"),
        ([{"role": "system", "content": BAD}, HI], "user"),
        ([{"role": "user", "content": BAD}, {"role": "assistant", "content": "no"}, HI], "history"),
        ([HI, {"role": "assistant", "content": BAD}, HI], "history"),
        ([HI, {"role": "assistant", "content": "", "reasoning_content": BAD}, HI], "history"),
        ([HI, call(json.dumps({"q": BAD}))], "user"),
        ([HI, call({"q": [BAD]})], "user"),
        ([HI, call("no json 炸弹")], "user"),
        ([HI, call('{"q":"\\u70b8\\u5f39"}'), {"role": "tool", "content": "x", "tool_call_id": "1"}], "user"),
        ([HI, call(None), {"role": "tool", "content": BAD, "tool_call_id": "1"}], "user"),
    ],
)
def test_wherever_a_word_stands_in_the_conversation(messages: list[dict[str, Any]], role: Any) -> None:
    verdict = Moderator(WORDS, None).check_input(SUBJECT, request(messages), nobody)
    assert verdict == Verdict(Finding(1, role))


def test_a_word_in_a_tool() -> None:
    tool = {
        "type": "function",
        "function": {"name": "f", "parameters": {"properties": {"x": {"title": BAD}}}},
    }
    verdict = Moderator(WORDS, None).check_input(SUBJECT, request([HI], tools=[tool]), nobody)
    assert verdict == Verdict(Finding(1, "user"))


def test_what_is_clean_or_only_noted() -> None:
    moderator = Moderator(WORDS, None)
    assert moderator.check_input(SUBJECT, said("hello"), nobody) == CLEAR
    noted = moderator.check_input(SUBJECT, said("mild"), nobody)
    assert noted == Verdict(noted=(Finding(3, "user"),))


def later(moderator: Moderator, asked: ChatRequest) -> Outcome:
    """The outcome of a check that takes time."""

    async def main() -> Outcome:
        told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        check = moderator.check_input(SUBJECT, asked, told.set_result)
        assert not isinstance(check, Verdict)
        outcome = await told
        await moderator.close()
        return outcome

    return asyncio.run(main())


@pytest.mark.parametrize("at", [0, SLICE_CHARACTERS - 1, 2 * SLICE_CHARACTERS + 5])
def test_a_long_text_is_searched_in_slices(at: int) -> None:
    text = "长" * at + BAD + "长" * 3 * SLICE_CHARACTERS
    assert later(Moderator(WORDS, None), said(text)) == Verdict(Finding(1, "user"))
    assert later(Moderator(WORDS, None), said(text.replace("弹", "药"))) == CLEAR


def test_others_get_their_turn_during_a_long_search() -> None:
    turns = 0

    async def main() -> None:
        nonlocal turns
        told: list[Outcome] = []
        moderator = Moderator(WORDS, None)
        moderator.check_input(SUBJECT, said("长" * 10 * SLICE_CHARACTERS), told.append)
        while not told:
            turns += 1
            await asyncio.sleep(0)

    asyncio.run(main())
    assert turns >= 10


def checking(answer: Any, seen: list[Any] | None = None, *, passes: bool = False) -> HttpChecker:
    async def handler(asked: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(json.loads(asked.content))
        return httpx.Response(200, json=answer)

    return HttpChecker(
        "http://checker.example/",
        key="",
        timeout_s=1,
        concurrency=1,
        failure_passes=passes,
        note=lambda line: None,
        transport=httpx.MockTransport(handler),
    )


def test_the_checker_is_asked_about_what_words_let_pass() -> None:
    seen: list[Any] = []
    moderator = Moderator(WORDS, checking({"allowed": False, "level": 2}, seen))
    assert later(moderator, said("mild question")) == Verdict(Finding(2, "user"), (Finding(3, "user"),))
    assert [(each["stage"], each["parts"]) for each in seen] == [
        ("input", [{"role": "user", "text": "mild question"}])
    ]
    assert later(Moderator(WORDS, checking({"allowed": True, "level": 1}, seen)), said("mild")) == Verdict(
        noted=(Finding(1, "user"),)
    )


def test_the_checker_is_not_asked_about_what_words_block() -> None:
    seen: list[Any] = []
    assert later(Moderator(WORDS, checking({"allowed": True}, seen)), said(BAD)) == Verdict(
        Finding(1, "user")
    )
    assert seen == []


def test_without_words_only_the_checker_judges() -> None:
    assert later(Moderator(None, checking({"allowed": True})), said(BAD)) == CLEAR


def test_no_answer_is_told_too() -> None:
    assert isinstance(later(Moderator(None, checking({})), said("hi")), CheckerUnavailable)
    assert later(Moderator(None, checking({}, passes=True)), said("hi")) == CLEAR


def test_an_answers_piece() -> None:
    seen: list[Any] = []

    async def main() -> Outcome:
        told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        moderator = Moderator(None, checking({"allowed": False}, seen))
        moderator.check_output(SUBJECT, "so far", [Part("assistant", "more")], told.set_result)
        return await told

    assert asyncio.run(main()) == Verdict(Finding(1, "assistant"))
    assert (seen[0]["stage"], seen[0]["before"], seen[0]["user_id"]) == ("output", "so far", "u")


def test_a_cancelled_check_tells_nothing() -> None:
    async def main() -> None:
        moderator = Moderator(None, checking({"allowed": True}))
        check = moderator.check_input(SUBJECT, said("hi"), nobody)
        assert not isinstance(check, Verdict)
        await asyncio.sleep(0)
        check.cancel()
        moderator.check_input(SUBJECT, said("hi"), nobody)
        await moderator.close()
        await asyncio.sleep(0.01)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("account", "exempt", "status", "skips"),
    [
        ("a", False, None, False),
        ("a", False, "ENABLE", False),
        ("a", False, "DISABLE", True),
        ("b", False, "DISABLE", False),
        ("b", True, "DISABLE", True),
        ("b", True, "ENABLE", False),
    ],
)
def test_who_may_switch_it_off(account: str, exempt: bool, status: str | None, skips: bool) -> None:
    moderator = Moderator(WORDS, None, may_disable=["a"])
    wish = None if status is None else SensitiveWordCheck(type="ALL", status=status)
    assert moderator.skips(account, wish, exempt=exempt) is skips
    assert Moderator(WORDS, None, may_disable=["*"]).skips(
        "c", SensitiveWordCheck(status="DISABLE"), exempt=False
    )


def test_it_is_built_as_the_settings_say(tmp_path: Path) -> None:
    assert build_moderator(ModerationSettings(), nobody) is None
    file = tmp_path / "words.txt"
    file.write_text("[level 3]\nmild\n", encoding="utf-8")
    moderator = build_moderator(ModerationSettings(word_list=file, block_level=2, applies_to="input"), nobody)
    assert moderator is not None
    assert (moderator.inputs, moderator.outputs, moderator.checker) == (True, False, None)
    assert moderator.check_input(SUBJECT, said("mild"), nobody) == Verdict(noted=(Finding(3, "user"),))
    with pytest.raises(WordListError):
        build_moderator(ModerationSettings(word_list=tmp_path / "none"), nobody)

    async def main() -> None:
        settings = ModerationSettings(
            checker_url="http://127.0.0.1:1/",
            checker_key=Secret("k"),
            applies_to="output",
            checker_on_failure="pass",
        )
        notes: list[str] = []
        remote = build_moderator(settings, notes.append)
        assert remote is not None
        assert (remote.inputs, remote.outputs, remote.words) == (False, True, None)
        told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        remote.check_output(SUBJECT, "", [Part("assistant", "x")], told.set_result)
        assert await told == CLEAR
        assert len(notes) == 1
        await remote.close()

    asyncio.run(main())


def test_what_is_found_is_counted() -> None:
    async def asked() -> None:
        answers = iter(
            [
                httpx.Response(200, json={"allowed": False}),
                httpx.Response(200, json={"allowed": True, "level": 3}),
                httpx.Response(200, json={"allowed": True}),
                httpx.Response(500),
                httpx.Response(200, json={"allowed": False}),
            ]
        )
        checker = HttpChecker(
            "http://checker/",
            key="",
            timeout_s=1,
            concurrency=1,
            failure_passes=True,
            note=lambda _: None,
            transport=httpx.MockTransport(lambda _: next(answers)),
        )
        moderator = Moderator(None, checker)
        assert moderator.counts() == {("input", "failed"): 0.0, ("output", "failed"): 0.0}
        told: list[Outcome] = []

        def heard(count: int) -> bool:
            return len(told) >= count

        for number in range(4):
            moderator.check_input(SUBJECT, said("hello"), told.append)
            await until(partial(heard, number + 1))
        moderator.check_output(SUBJECT, "", [Part("assistant", "well")], told.append)
        await until(partial(heard, 5))
        assert moderator.counts() == {
            ("input", "blocked"): 1.0,
            ("input", "noted"): 1.0,
            ("input", "failed"): 1.0,
            ("output", "blocked"): 1.0,
            ("output", "failed"): 0.0,
        }
        await moderator.close()

    asyncio.run(asked())

    moderator = Moderator(WORDS, None)
    for text in (BAD, "mild", "fine"):
        moderator.check_input(SUBJECT, said(text), nobody)
    moderator.count("output", "noted")
    assert moderator.counts() == {
        ("input", "blocked"): 1.0,
        ("input", "noted"): 1.0,
        ("output", "noted"): 1.0,
    }
