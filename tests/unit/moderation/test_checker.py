"""The checker against a real server on loopback, and against answers that no server should give."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from openbigmodel.moderation.checker import MAX_ANSWER_BYTES, HttpChecker, Part, Question
from openbigmodel.moderation.verdict import CLEAR, CheckerUnavailable, Verdict
from openbigmodel.schemas.chat import Finding

QUESTION = Question("id", "input", "glm-4.6", "u", "", [Part("history", "before"), Part("user", "hi")])
ANSWER_PART = Question("id", "output", "glm-4.6", "", "so far", [Part("assistant", "x", "reasoning")])

Handler = Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]


def ask(
    handler: Handler,
    *questions: Question,
    concurrency: int = 2,
    timeout_s: float = 5.0,
    passes: bool = False,
    key: str = "",
) -> tuple[list[Any], list[str]]:
    """The outcomes of these questions, asked at once, and what the operator was told."""
    notes: list[str] = []

    async def main() -> list[Any]:
        checker = HttpChecker(
            "http://checker.example/v1",
            key=key,
            timeout_s=timeout_s,
            concurrency=concurrency,
            failure_passes=passes,
            note=notes.append,
            transport=httpx.MockTransport(handler),
        )
        asking = [checker.ask(question) for question in questions or (QUESTION,)]
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        await checker.close()
        return outcomes

    return asyncio.run(main()), notes


def answering(value: object, status: int = 200) -> Handler:
    async def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            status, content=value if isinstance(value, bytes) else json.dumps(value).encode()
        )

    return handler


def test_the_question_is_what_the_documentation_says() -> None:
    seen: list[httpx.Request] = []

    async def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"allowed": True})

    ask(handler, QUESTION, ANSWER_PART, key="secret")
    assert (seen[0].method, str(seen[0].url)) == ("POST", "http://checker.example/v1")
    assert seen[0].headers["authorization"] == "Bearer secret"
    assert seen[0].headers["content-type"] == "application/json"
    assert json.loads(seen[0].content) == {
        "id": "id",
        "stage": "input",
        "model": "glm-4.6",
        "user_id": "u",
        "before": "",
        "parts": [{"role": "history", "text": "before"}, {"role": "user", "text": "hi"}],
    }
    assert json.loads(seen[1].content)["parts"] == [{"role": "assistant", "text": "x", "kind": "reasoning"}]
    assert json.loads(seen[1].content)["before"] == "so far"


@pytest.mark.parametrize(
    ("answer", "question", "verdict"),
    [
        ({"allowed": True}, QUESTION, CLEAR),
        ({"allowed": True, "why": "more"}, QUESTION, CLEAR),
        ({"allowed": True, "level": 3}, QUESTION, Verdict(noted=(Finding(3, "user"),))),
        ({"allowed": False}, QUESTION, Verdict(Finding(1, "user"))),
        ({"allowed": False, "level": 0, "role": "history"}, QUESTION, Verdict(Finding(0, "history"))),
        ({"allowed": False, "level": 2, "role": "user"}, ANSWER_PART, Verdict(Finding(2, "assistant"))),
    ],
)
def test_answers(answer: dict[str, Any], question: Question, verdict: Verdict) -> None:
    assert ask(answering(answer), question) == ([verdict], [])


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        ({"allowed": True}, 503, "status 503"),
        ({"allowed": True}, 302, "status 302"),
        (b"yes", 200, "not the answer"),
        ({}, 200, "not the answer"),
        ({"allowed": "no"}, 200, "not the answer"),
        ({"allowed": False, "level": 4}, 200, "level 4"),
        ({"allowed": False, "role": "system"}, 200, "not the answer"),
        (b" " * (MAX_ANSWER_BYTES + 1), 200, "more than"),
    ],
)
@pytest.mark.parametrize("passes", [False, True])
def test_no_verdict_is_what_the_settings_say(answer: object, status: int, reason: str, passes: bool) -> None:
    outcomes, notes = ask(answering(answer, status), passes=passes)
    if passes:
        assert outcomes == [CLEAR]
    else:
        assert isinstance(outcomes[0], CheckerUnavailable)
        assert reason in str(outcomes[0])
    assert len(notes) == 1
    assert reason in notes[0]
    assert ("passes unchecked" if passes else "is refused") in notes[0]
    assert "hi" not in notes[0].split()


def test_a_checker_that_is_too_slow_or_not_there() -> None:
    async def slow(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(5)
        raise AssertionError("nobody waits so long")

    async def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    outcomes, notes = ask(slow, QUESTION, QUESTION, QUESTION, concurrency=1, timeout_s=0.05)
    assert [str(outcome) for outcome in outcomes] == ["the moderation checker gave no answer (too slow)"] * 3
    assert len(notes) == 1
    outcomes, _ = ask(away)
    assert str(outcomes[0]) == "the moderation checker gave no answer (refused)"


def test_no_more_questions_at_once_than_set_and_a_bounded_number_waits() -> None:
    at_once = most = asked = 0

    async def handler(request: httpx.Request) -> httpx.Response:
        nonlocal at_once, most, asked
        at_once, asked = at_once + 1, asked + 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return httpx.Response(200, json={"allowed": True})

    outcomes, _ = ask(handler, *[QUESTION] * 140)
    assert (most, asked) == (2, 130)
    assert outcomes.count(CLEAR) == 130
    assert "questions are waiting" in str(outcomes[-1])


def test_the_operator_is_told_when_it_stops_and_when_it_goes_on() -> None:
    up = False
    notes: list[str] = []

    async def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200 if up else 500, json={"allowed": True})

    async def main() -> None:
        nonlocal up
        checker = HttpChecker(
            "http://checker.example/",
            key="",
            timeout_s=1,
            concurrency=1,
            failure_passes=True,
            note=notes.append,
            transport=httpx.MockTransport(handler),
        )
        for up in (True, False, False, True, True):  # noqa: B007  the handler reads it
            await checker.ask(QUESTION)

    asyncio.run(main())
    assert len(notes) == 2
    assert notes[1] == "moderation checker: answers again"


def test_over_a_real_connection() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        question = json.loads(await reader.readexactly(size))
        body = json.dumps({"allowed": question["parts"][-1]["text"] != "hi"}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    async def main() -> Verdict:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            checker = HttpChecker(
                f"http://127.0.0.1:{port}/",
                key="",
                timeout_s=5,
                concurrency=1,
                failure_passes=False,
                note=print,
            )
            verdict = await checker.ask(QUESTION)
            await checker.close()
            return verdict

    assert asyncio.run(main()) == Verdict(Finding(1, "user"))
