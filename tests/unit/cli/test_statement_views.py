import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from openbigmodel.billing.bill import make_bill
from openbigmodel.billing.explain import explain
from openbigmodel.billing.periods import DAY_MS, HOUR_MS
from openbigmodel.billing.pricing import PARTS_PER_NANO
from openbigmodel.billing.statement import By, Group, Line, Statements, Used
from openbigmodel.cli.statement_views import (
    bill_json,
    explanation_json,
    format_parts,
    group_json,
    line_json,
    show_bill,
    show_explanation,
    show_groups,
    stream_json,
)
from tests.statement_world import ACCOUNT, KEY, MONTH, START_MS, World


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (0, "0.00000000000000000"),
        (1, "0.00000000000000001"),
        (-PARTS_PER_NANO, "-0.00000000100000000"),
        (12 * 10**17 + 5, "12.00000000000000005"),
    ],
)
def test_an_amount_before_rounding_has_all_its_places(parts: int, text: str) -> None:
    assert format_parts(parts) == text


def test_lines_are_written_as_they_are_read(tmp_path: Path) -> None:
    line = World(tmp_path).line(START_MS)
    read = []

    def lines() -> Iterator[Line]:
        for number in range(10_000):
            read.append(number)
            yield line

    pieces = stream_json({"balance": "1.000000000"}, lines())
    assert next(pieces) == '{"balance":"1.000000000", "lines": ['
    assert not read
    piece = next(pieces)
    assert len(read) < 1000
    text = '{"balance":"1.000000000", "lines": [' + piece + "".join(pieces)
    answer = json.loads(text)
    assert answer["lines"] == [line_json(line)] * 10_000
    assert text.endswith("]}\n")


def test_a_group_says_what_it_is_a_group_of() -> None:
    group = Group(START_MS, "glm-4.6", KEY, Used(requests=3, charge=5))
    shown = group_json(group, By(HOUR_MS, model=True, key=True))
    assert {name: shown[name] for name in ("from", "day", "model", "api_key_id")} == {
        "from": "2026-10-31T16:00:00.000Z",
        "day": "2026-11-01",
        "model": "glm-4.6",
        "api_key_id": KEY,
    }
    assert (shown["requests"], shown["charge"]) == (3, "0.000000005")
    assert not {"from", "day", "model", "api_key_id"} & set(group_json(group, By()))


def test_groups_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    group = Group(START_MS, "glm-4.6", KEY, Used(requests=3))
    show_groups([group], By(DAY_MS, model=True, key=True), {KEY: "mine"})
    seen = capsys.readouterr().out
    for word in ("2026-11-01 00:00:00", "glm-4.6", KEY, "mine"):
        assert word in seen
    show_groups([], By(), {})
    assert capsys.readouterr().out == "No requests.\n"


def test_a_month_that_is_not_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    world.post("adjust", -5, START_MS)
    with Statements.open(tmp_path) as statements:
        owner = statements.owner(ACCOUNT)
        open_bill = make_bill(statements, owner, MONTH, MONTH.period.to_ms - 1)
        closed = make_bill(statements, owner, MONTH, MONTH.period.to_ms)
    assert (bill_json(open_bill)["closed"], bill_json(closed)["closed"]) == (False, True)
    show_bill(open_bill)
    seen = capsys.readouterr().out
    assert "2026-11-01 ~ 2026-11-30, so far" in seen
    assert "-0.000000005" in seen
    show_bill(closed)
    assert "so far" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, ("as the engine says", "cash", "revenue")),
        ({"batch": 1}, ("percent of the price", "50")),
        ({"price_version": 0}, ("Nothing of it has a price.", "it cost nothing")),
        ({"source": "counted", "note": "prompt estimated"}, ("as the platform counted", "prompt estimated")),
        ({"charge": 5}, ("NOT EXPLAINED",)),
        ({"overage": 5}, ("beyond its hold, not charged",)),
        ({"plan_credits": 2_004_815}, ("credits of a plan", "2.004815")),
        ({"pack_tokens": 100}, ("saved by packs", "pack:p1")),
        ({"price_version": 3, "model": "glm-call"}, ("call", "each")),
        ({"price_version": 2, "prompt_tokens": 40_000}, ("for lengths from", "32000 prompt")),
        ({"code": "1234", "request_id": "mine"}, ("1234", "mine")),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_an_explanation_for_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], facts: dict[str, object], words: tuple[str, ...]
) -> None:
    world = World(tmp_path)
    line = world.line(START_MS, **facts)
    with Statements.open(tmp_path) as statements:
        explained = explain(statements, line)
    show_explanation(explained)
    seen = capsys.readouterr().out
    for word in words:
        assert word in seen


def test_an_explanation_without_a_price(tmp_path: Path) -> None:
    world = World(tmp_path)
    with Statements.open(tmp_path) as statements:
        shown = explanation_json(explain(statements, world.line(START_MS, price_version=0)))
        assert (shown["price"], shown["parts"], shown["postings"], shown["packs"]) == (None, [], [], [])
        per_call = explanation_json(explain(statements, world.line(START_MS, price_version=3)))
    assert per_call["price"]["input"] == "0.000000000"
    assert (per_call["price"]["cached"], per_call["price"]["per_call"]) == (None, "0.010000000")


def test_what_was_given_back_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    line = world.line(START_MS)
    world.post("refund", 9, START_MS, usage_id=line.id)
    with Statements.open(tmp_path) as statements:
        explained = explain(statements, line)
    assert explanation_json(explained)["refunded"] == "0.000000009"
    show_explanation(explained)
    assert "given back, yuan" in capsys.readouterr().out
