"""Who has a million values read and refused a second waits, and nobody else."""

import json
from typing import Any

import pytest

from openbigmodel.auth.api_keys import Principal
from openbigmodel.errors import ApiError
from openbigmodel.inference.reading import BURST_VALUES, READING_FROM_BYTES, VALUES_PER_S, Reading
from tests.unit.inference.pipeline_bench import Bench, run

BURST_S = BURST_VALUES // VALUES_PER_S
A, B, EXEMPT = (Principal(name, "key", "standard", operator=False, exempt=name == "c") for name in "abc")
# The shape of the attack: a list of numbers where a schema belongs.
SCHEMA = {"type": "object", "x": [0] * 200_000}
ATTACK = json.dumps(
    {
        "model": "glm-4.6",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
    }
).encode()


class Desk:
    def __init__(self) -> None:
        self.now_ms = 1_790_000_000_000
        self.reading = Reading(lambda: self.now_ms / 1000)

    def wait_s(self, body: bytes, principal: Principal = A) -> int:
        """Take, or for how many seconds nothing is read for the account."""
        try:
            self.reading.take(principal, body)
        except ApiError as error:
            assert error.code == "1303" and error.retry_after_s
            return error.retry_after_s
        return 0

    def most_at_once(self, body: bytes) -> int:
        """How often a body is read before the account has to wait."""
        count = 0
        while not self.wait_s(body):
            count += 1
            assert count < 10_000
        return count


def test_a_burst_passes_and_what_is_beyond_waits() -> None:
    desk = Desk()
    assert desk.most_at_once(ATTACK) == BURST_VALUES // 200_000
    assert desk.wait_s(ATTACK) == 1
    assert desk.wait_s(ATTACK, B) == 0
    assert desk.wait_s(ATTACK, EXEMPT) == 0
    desk.now_ms += 1000
    assert desk.wait_s(ATTACK) == 0


def test_in_the_long_run_so_many_a_second_are_read() -> None:
    desk, seconds, read = Desk(), 60, 0
    for _ in range(seconds * 20):
        desk.now_ms += 50
        if not desk.wait_s(ATTACK):
            read += 200_000
    assert 0.9 * VALUES_PER_S * seconds < read < VALUES_PER_S * seconds + BURST_VALUES + 200_000


@pytest.mark.parametrize(
    "content", ['def f(a: int) -> dict:\n    return {"a": [a, 1], "b": a}\n', "你好，世界。\n"]
)
def test_prompts_of_100_kilobytes_pass_twenty_times_a_second(content: str) -> None:
    desk = Desk()
    text = content * (100_000 // len(content.encode()))
    for ascii_only in (False, True):
        body = json.dumps({"messages": [{"role": "user", "content": text}]}, ensure_ascii=ascii_only).encode()
        for _ in range(20 * 60):
            desk.now_ms += 50
            assert desk.wait_s(body) == 0


def with_arguments(text: str) -> bytes:
    return json.dumps({"arguments": text}).encode()


@pytest.mark.parametrize(
    "body",
    [
        with_arguments("[" + "0," * 100_000 + "0]"),
        with_arguments("[" + "0," * 100_000 + "0]").replace(b",", b"\\u002c"),
        b'{"a":[' + b"[]," * 50_000 + b"0]}",
    ],
)
def test_values_count_wherever_they_are(body: bytes) -> None:
    assert Desk().most_at_once(body) == BURST_VALUES // 100_000


def test_what_is_small_is_not_looked_at() -> None:
    desk = Desk()
    desk.most_at_once(ATTACK)
    assert desk.wait_s(b"[" * (READING_FROM_BYTES - 1)) == 0
    assert desk.wait_s(b"[" * READING_FROM_BYTES) == 1


def test_no_debt_is_longer_than_a_bucket() -> None:
    desk = Desk()
    assert desk.wait_s(b"[" * 10 * BURST_VALUES) == 0
    assert desk.wait_s(ATTACK) == BURST_S


def test_who_has_sent_nothing_for_a_while_is_forgotten() -> None:
    desk = Desk()
    for number in range(100):
        desk.reading.take(Principal(f"account-{number}", "key", "standard", operator=False), ATTACK)
    assert len(desk.reading) == 100
    desk.now_ms += BURST_S * 1000
    assert desk.wait_s(ATTACK, B) == 0
    assert len(desk.reading) == 1


def test_a_refused_body_is_read_no_more_than_others() -> None:
    async def test(bench: Bench) -> None:
        codes: list[Any] = [bench.ask(body=ATTACK).sink.code for _ in range(BURST_VALUES // 200_000 + 1)]
        assert codes == ["1214"] * (len(codes) - 1) + ["1303"]
        assert bench.asked[-1].sink.headers["retry-after"] == "1"
        bench.now_s += 1
        assert bench.ask(body=ATTACK).sink.code == "1214"
        assert not bench.pipeline.exchanges

    run(test)
