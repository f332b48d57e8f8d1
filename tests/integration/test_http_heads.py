"""SMG-01 (reliability.md §2.4): whatever the bytes and however they are cut, each request has one reading."""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import pytest
import uvicorn

from tests.integration.edge_server import (
    Address,
    echo_app,
    edge_server,
    exchange,
    running,
    take_responses,
)
from tests.integration.head_catalogue import SENTINEL, Case, catalogue

_CONCURRENT = 32

Cut = Callable[[bytes, random.Random], list[bytes]]


def whole(raw: bytes, chance: random.Random) -> list[bytes]:
    return [raw]


def few_cuts(raw: bytes, chance: random.Random) -> list[bytes]:
    return cut_at(raw, [chance.randrange(len(raw)) for _ in range(3)])


def many_cuts(raw: bytes, chance: random.Random) -> list[bytes]:
    """Byte by byte over a stretch in which something interesting is likely, and a few cuts elsewhere."""
    start = chance.randrange(min(len(raw), 120))
    return cut_at(
        raw, [*range(start, min(start + 24, len(raw))), *(chance.randrange(len(raw)) for _ in range(3))]
    )


def cut_at(raw: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(set(places) - {0}), len(raw)]
    return [raw[start:end] for start, end in pairwise(edges)]


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    with edge_server() as server:
        yield server.address


def wrong(case: Case, received: bytes) -> str | None:
    """What is wrong with the answers to the case and the sentinel, or None."""
    try:
        responses = take_responses(received)
    except ValueError as error:
        return str(error)
    statuses = [response.status for response in responses]
    expected = [*case.statuses, 200] if case.ends_open else [*case.statuses]
    if statuses != expected:
        return f"{statuses} instead of {expected}"
    answered = [response.seen for response in responses if response.status == 200]
    if case.ends_open and answered.pop()["target"] != "/sentinel":
        return "the sentinel was read as something else"
    bodies = [seen["body"].encode("latin-1") for seen in answered]
    if tuple(bodies) != case.bodies:
        return f"bodies {bodies!r:.200}"
    if responses[-1].headers.get("connection") != "close":
        return "the last answer doesn't say that the connection closes"
    return None


async def judge(address: Address, cases: Sequence[Case], cut: Cut, timeout_s: float = 5) -> dict[str, str]:
    """The cases that went wrong, and how."""
    gate = asyncio.Semaphore(_CONCURRENT)
    faults: dict[str, str] = {}

    async def one(case: Case) -> None:
        async with gate:
            pieces = cut(case.raw + SENTINEL, random.Random(case.name))
            fault = wrong(case, await exchange(address, pieces, timeout_s=timeout_s))
        if fault is not None:
            faults[case.name] = fault

    await asyncio.gather(*map(one, cases))
    return faults


@pytest.mark.parametrize("cut", [whole, few_cuts, many_cuts])
@pytest.mark.parametrize("target", [b"/hot", b"/cold"])
def test_every_request_has_one_reading(address: Address, target: bytes, cut: Cut) -> None:
    assert asyncio.run(judge(address, catalogue(target), cut)) == {}


def test_the_catalogue_is_large_enough() -> None:
    cases = catalogue(b"/hot")
    assert len(cases) >= 300
    assert len([case for case in cases if case.statuses[-1] != 200]) >= 250


def test_negative_control_the_bare_server_is_found_wanting() -> None:
    """The same catalogue against uvicorn's own parser: a harness that finds nothing there has no teeth."""
    config = uvicorn.Config(
        echo_app,
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
    )
    with running(config) as server:
        faults = asyncio.run(judge(server.address, catalogue(b"/cold"), whole, timeout_s=0.3))
    for name in (
        "two hosts",
        "no host",
        "host b'a/admin?x='",
        "request line: absolute-form",
        "b'Authorization' twice",
        "head of 64 KiB",
        "5,000 fields",
        "chunk: extension",
        "chunk: trailer with authorization",
    ):
        assert name in faults
