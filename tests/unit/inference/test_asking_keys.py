"""Several credentials for one upstream: a conversation keeps its own, and one in trouble is left alone."""

from typing import Any

import pytest

from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import DONE, End, Gate, Head, Step, error_answer, event, json_answer
from openbigmodel.engines.profiles import GLM
from openbigmodel.engines.router import Desk
from tests.unit.inference.pipeline_bench import Bench, run

KEYS = ("one.secret", "two.secret")
ANSWER = json_answer(
    200,
    {
        "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": "a", "role": "assistant"}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
    },
    tokens=1,
)

CHUNK = {"choices": [{"index": 0, "finish_reason": "stop", "delta": {"role": "assistant", "content": "a"}}]}


def refusal(status: int, code: str, message: str = "no") -> list[Step]:
    return json_answer(status, {"error": {"code": code, "message": message}})


def shown(bench: Bench) -> list[str]:
    """The credential of each request, in order."""
    return [request.headers["authorization"].removeprefix("Bearer ") for request in bench.engine.requests]


def turn(text: str, *answers: str) -> list[dict[str, str]]:
    messages = [{"role": "user", "content": text}]
    for answer in answers:
        messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": "go on"}]
    return messages


def bench_run(test: Any, *scripts: list[Step]) -> None:
    run(test, *scripts, profile=GLM, keys=KEYS)


def test_conversations_share_the_keys_and_keep_them() -> None:
    async def test(bench: Bench) -> None:
        for word in "abcdefgh":
            for messages in (turn(word), turn(word, "x"), turn(word, "x", "y")):
                assert (await bench.ask(messages=messages).answered()).status == 200
        used = shown(bench)
        conversations = [set(used[start : start + 3]) for start in range(0, 24, 3)]
        assert all(len(keys) == 1 for keys in conversations)
        assert set(used) == set(KEYS)
        assert await bench.violations() == []

    bench_run(test, *[ANSWER] * 24)


def test_a_key_that_is_too_busy_is_replaced_at_once_and_the_engine_is_not_blamed() -> None:
    async def test(bench: Bench) -> None:
        assert (await bench.ask().answered()).status == 200
        assert len(set(shown(bench))) == 2
        # The other one goes on with the conversation for a moment.
        assert (await bench.ask().answered()).status == 200
        assert shown(bench)[1] == shown(bench)[2]
        bench.now_s += 60
        assert (await bench.ask().answered()).status == 200
        assert shown(bench)[3] == shown(bench)[0]
        assert await bench.violations() == []

    bench_run(test, refusal(429, "1302"), ANSWER, ANSWER, ANSWER)


def test_when_all_keys_are_too_busy_the_caller_hears_of_it() -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask().answered()
        assert (sink.status, sink.code) == (429, "1302")
        assert len(bench.engine.requests) == 2
        assert await bench.violations() == []

    bench_run(test, refusal(429, "1302"), refusal(429, "1302"))


@pytest.mark.parametrize("code", ["1113", "1308"])
def test_a_key_without_money_or_quota_is_asked_once_and_new_requests_use_the_other(code: str) -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask().answered()
        assert (sink.status, sink.code) == (429, code)
        assert len(bench.engine.requests) == 1
        assert (await bench.ask().answered()).status == 200
        assert len(set(shown(bench))) == 2
        assert await bench.violations() == []

    bench_run(test, refusal(429, code), ANSWER)


@pytest.mark.parametrize("code", ["1000", "1001", "1002", "1003", "1004", "401", None])
def test_a_key_that_is_not_accepted_is_replaced_at_once_and_the_engine_is_not_blamed(
    code: str | None,
) -> None:
    refused = error_answer(401) if code is None else refusal(401, code)

    async def test(bench: Bench) -> None:
        assert (await bench.ask().answered()).status == 200
        assert len(set(shown(bench))) == 2
        # The engine comes first still, and the other key goes on for long.
        bench.now_s += 600
        assert (await bench.ask().answered()).status == 200
        assert shown(bench)[1] == shown(bench)[2]
        assert [len(engine.requests) for engine in bench.others] == [0]
        assert await bench.violations() == []

    async def with_another(bench: Bench) -> None:
        async with FakeEngine() as other:
            await test(Bench(bench.engine, profile=GLM, keys=KEYS, others=[other]))

    run(with_another, refused, ANSWER, ANSWER, profile=GLM, keys=KEYS)


def test_where_the_other_key_finds_no_place_another_engine_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    # As when others have taken the place, or have pressed a broken engine enough.
    monkeypatch.setattr(Desk, "again", lambda _desk, _candidate: None)

    async def test(bench: Bench) -> None:
        async with FakeEngine() as other:
            other.play(ANSWER)
            whole = Bench(bench.engine, profile=GLM, keys=KEYS, others=[other])
            assert (await whole.ask().answered()).status == 200
            assert (len(bench.engine.requests), len(other.requests)) == (1, 1)
            assert await whole.violations() == []

    run(test, refusal(401, "1000"), profile=GLM, keys=KEYS)


@pytest.mark.parametrize("has_other_engine", [False, True])
def test_when_no_key_is_accepted_it_is_the_operators_business(has_other_engine: bool) -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask().answered()
        assert (sink.status, sink.code) == (500, "1234")
        assert sorted(shown(bench)) == sorted(KEYS)
        assert await bench.violations() == []

    async def with_another(bench: Bench) -> None:
        async with FakeEngine() as other:
            other.play(ANSWER)
            whole = Bench(bench.engine, profile=GLM, keys=KEYS, others=[other])
            assert (await whole.ask().answered()).status == 200
            assert (len(bench.engine.requests), len(other.requests)) == (2, 1)
            assert await whole.violations() == []

    scripts = (refusal(401, "1000"), refusal(401, "1001"))
    run(with_another if has_other_engine else test, *scripts, profile=GLM, keys=KEYS)


def test_more_refused_keys_than_a_request_tries_leave_the_engine_alone() -> None:
    keys = tuple(f"{name}.secret" for name in "abcde")

    async def test(bench: Bench) -> None:
        async with FakeEngine() as other:
            other.play(ANSWER)
            whole = Bench(bench.engine, profile=GLM, keys=keys, others=[other])
            await whole.ask().answered()
            await whole.ask().answered()
            assert len(set(shown(bench))) == len(bench.engine.requests) == 5

    run(test, *[refusal(401, "1000")] * 4, ANSWER, profile=GLM, keys=keys)


@pytest.mark.parametrize("stream", [False, True])
def test_a_key_is_blamed_for_what_comes_with_status_200_too(stream: bool) -> None:
    said = {"code": 1000, "msg": "身份验证失败。", "success": False}
    refused, answer = json_answer(200, said), ANSWER
    if stream:
        refused, answer = [Head(), event(said), End()], [Head(), event(CHUNK, tokens=1), DONE, End()]

    async def test(bench: Bench) -> None:
        assert (await bench.ask(stream=stream).answered()).status == 200
        assert len(set(shown(bench))) == 2
        assert await bench.violations() == []

    bench_run(test, refused, answer)


@pytest.mark.parametrize("status", [200, 429])
def test_a_code_that_is_a_number_is_heard_with_its_words(status: int) -> None:
    async def test(bench: Bench) -> None:
        sink = await bench.ask().answered()
        assert (sink.status, sink.code) == (429, "1113")
        assert "no money" in sink.body.decode()
        assert (await bench.ask().answered()).status == 200
        assert len(set(shown(bench))) == 2

    bench_run(test, json_answer(status, {"code": 1113, "msg": "no money"}), ANSWER)


def test_what_the_caller_did_wrong_says_nothing_of_the_key() -> None:
    async def test(bench: Bench) -> None:
        assert (await bench.ask().answered()).code == "1301"
        assert (await bench.ask().answered()).status == 200
        assert len(set(shown(bench))) == 1
        assert await bench.violations() == []

    bench_run(test, refusal(400, "1301"), ANSWER)


def test_keys_that_are_busy_in_turns_are_not_asked_for_ever() -> None:
    """An upstream that takes its time to say so: by then the first key could be asked again."""

    async def test(bench: Bench) -> None:
        asked = bench.ask()
        for number in range(3):
            request = await bench.engine_hears(number)
            bench.now_s += 60
            request.open_gate()
        assert (await asked.answered()).code == "1302"
        assert len(bench.engine.requests) == 3
        assert await bench.violations() == []

    bench_run(test, *[[Gate(), *refusal(429, "1302")]] * 5)
