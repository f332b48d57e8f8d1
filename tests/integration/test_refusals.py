"""Every 429 there is, brought about for real, and told apart by code, text, `Retry-After` and `x-should-retry`."""

import re
from pathlib import Path

import pytest

from openbigmodel import app
from tests.integration.paid_platform import Reply, paid_platform, run
from tests.integration.refused_callers import MODELS, REFUSALS, Clock, World, script


@pytest.mark.timeout(300)
def test_every_refusal_says_what_it_is_and_whether_waiting_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(app, "unix_ms", clock)
    replies: dict[str, Reply] = {}

    async def test() -> None:
        async with paid_platform(tmp_path, script, MODELS) as platform:
            for refusal in REFUSALS:
                replies[refusal.__name__] = await refusal(World(platform, clock))
                assert platform.leftovers() == []

    run(test())
    for refusal, expected in REFUSALS.items():
        reply = replies[refusal.__name__]
        retry_after = reply.headers.get("retry-after")
        assert (reply.status, reply.code) == (429, expected.code), reply.body
        assert reply.headers["x-should-retry"] == expected.should_retry, refusal
        assert expected.text in reply.message, refusal
        if expected.retry_after is None:
            assert retry_after is None, refusal
        else:
            assert retry_after is not None and re.fullmatch(expected.retry_after, retry_after), (
                refusal,
                retry_after,
            )
    assert len({reply.message for reply in replies.values()}) == len(REFUSALS)


def test_what_is_refused_costs_neither_places_nor_requests(tmp_path: Path) -> None:
    async def test() -> None:
        async with paid_platform(tmp_path, script, MODELS) as platform:
            world = World(platform, Clock())
            customer = await platform.customer("0.001")
            for _ in range(10):
                assert (await world.ask(customer, "priced", max_tokens=1000)).code == "1113"
            # Rows are written for what an engine was asked, and for nothing else.
            assert platform.rows("SELECT count(*) FROM usage") == [(0,)]
            assert platform.engine.requests == []
            assert platform.leftovers() == []
            assert platform.verify() == []

    run(test())


def test_a_restart_does_not_open_the_day_again(tmp_path: Path) -> None:
    async def test() -> None:
        async with paid_platform(tmp_path, script, MODELS) as platform:
            customer = await platform.customer()
            assert (await World(platform, Clock()).ask(customer, "once-a-day")).status == 200
        async with paid_platform(tmp_path, script, MODELS) as platform:
            assert (await World(platform, Clock()).ask(customer, "once-a-day")).code == "1304"
            assert platform.leftovers() == []

    run(test())
