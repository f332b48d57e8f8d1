import random
from pathlib import Path

import msgspec
import pytest

from openbigmodel.billing.explain import (
    CreditExplanation,
    CreditPart,
    Part,
    explain,
    explain_credits,
    find_requests,
)
from openbigmodel.billing.periods import HOUR_MS
from openbigmodel.billing.plan_windows import credits_of, percent_at, terms_at
from openbigmodel.billing.pricing import FREE, PARTS_PER_NANO, Band
from openbigmodel.billing.statement import Line, Statements
from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import CreditRates, load_catalog
from tests.statement_world import ACCOUNT, OTHER, PRICES, START_MS, World, many_lines

# 2026-11-01 00:00:00 in UTC+8.
LOG_ID = "20261101000000" + "0123456789abcdef"


def test_the_sum_of_its_parts_and_the_rounding_are_the_charge(tmp_path: Path) -> None:
    world = World(tmp_path)
    line = world.line(START_MS)
    with Statements.open(tmp_path) as statements:
        explained = explain(statements, line)
    band = PRICES[0].bands[0]
    assert explained.band == band
    assert explained.parts == (
        Part("prompt", 900, 0, 900, band.input, 900 * band.input * 100),
        Part("cached", 100, 0, 100, 800_000_000, 100 * 800_000_000 * 100),
        Part("completion", 200, 0, 200, band.output, 200 * band.output * 100),
    )
    assert explained.exact_parts == sum(part.parts for part in explained.parts)
    assert explained.exact_parts + explained.rounding_parts == line.charge * PARTS_PER_NANO
    assert explained.rounding_parts != 0
    assert explained.computed == line.charge
    assert (explained.unexplained, explained.saved, explained.refunded) == (0, 0, 0)


def test_the_postings_of_a_request(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.line(START_MS)
    line = world.line(START_MS, pack_tokens=1100)
    world.line(START_MS)
    world.post("refund", 5, START_MS + 9, usage_id=line.id)
    with Statements.open(tmp_path) as statements:
        explained = explain(statements, line)
    assert [(p.seq, p.kind, p.debit, p.credit, p.amount, p.unit) for p in explained.postings] == [
        (2, "pack_burn", "pack:p1", "packs_used", 1100, "tokens"),
        (3, "post", "cash", "revenue", line.charge, "nano"),
        (5, "refund", "revenue", "cash", 5, "nano"),
    ]
    assert explained.refunded == 5
    # Prompt first, and of it what was not cached.
    assert [(part.measured, part.by_packs, part.charged) for part in explained.parts] == [
        (900, 900, 0),
        (100, 100, 0),
        (200, 100, 100),
    ]
    assert explained.saved == PRICES[0].charge(Usage(1000, 100, 200)) - line.charge


def test_a_call_covers_everything(tmp_path: Path) -> None:
    world = World(tmp_path)
    line = world.line(START_MS, pack_calls=1, model="glm-call", price_version=3)
    with Statements.open(tmp_path) as statements:
        explained = explain(statements, line)
    assert explained.parts == (Part("call", 1, 1, 0, 10_000_000, 0),)
    assert (explained.computed, explained.saved) == (0, 10_000_000)
    line = world.line(START_MS, pack_calls=1)
    with Statements.open(tmp_path) as statements:
        explained = explain(statements, line)
    assert [part.charged for part in explained.parts] == [0, 0, 0]
    assert explained.exact_parts == 0


def test_a_price_per_call_is_a_part(tmp_path: Path) -> None:
    world = World(tmp_path)
    line = world.line(START_MS, model="glm-call", price_version=3, batch=1)
    with Statements.open(tmp_path) as statements:
        explained = explain(statements, line)
    assert explained.price.percent == 50
    assert line.charge == explained.computed == 5_000_000
    assert explained.parts[-1:] == (Part("call", 1, 0, 1, 10_000_000, 5_000_000 * PARTS_PER_NANO),)


def test_the_band_of_a_long_prompt(tmp_path: Path) -> None:
    world = World(tmp_path)
    line = world.line(START_MS, price_version=2, model="glm-4.5", prompt_tokens=32_000)
    with Statements.open(tmp_path) as statements:
        assert explain(statements, line).band == Band(4_000_000_000, 8_000_000_000, input_from=32_000)


def test_without_a_price_nothing_is_computed(tmp_path: Path) -> None:
    world = World(tmp_path)
    line = world.line(START_MS, price_version=0)
    with Statements.open(tmp_path) as statements:
        explained = explain(statements, line)
    assert explained.price is FREE
    assert (explained.band, explained.parts, explained.postings, explained.computed) == (None, (), (), 0)


def test_a_charge_that_its_price_does_not_say_stands_out(tmp_path: Path) -> None:
    world = World(tmp_path)
    line = world.line(START_MS)
    less = world.line(START_MS, charge=line.charge - 7)
    with Statements.open(tmp_path) as statements:
        assert explain(statements, less).unexplained == 7
        beyond = world.line(START_MS, overage=7)
        assert beyond.charge == less.charge
        assert explain(statements, beyond).unexplained == 0


@pytest.mark.parametrize("seed", range(3))
def test_every_charge_can_be_explained(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path)
    many_lines(world, random.Random(seed), 200)
    with Statements.open(tmp_path) as statements:
        for line in world.lines:
            # One that failed costs nothing, whatever its tokens.
            expected = line.charge + line.overage if not line.code else explain(statements, line).computed
            explained = explain(statements, line)
            assert explained.computed == expected
            assert explained.exact_parts + explained.rounding_parts == expected * PARTS_PER_NANO
            assert 2 * abs(explained.rounding_parts) <= PARTS_PER_NANO
            taken = sum(part.by_packs for part in explained.parts if part.what != "call")
            tokens = line.prompt_tokens + line.completion_tokens
            assert line.pack_calls or explained.band is None or taken == min(line.pack_tokens, tokens)


def test_a_charged_request_is_found_by_the_platforms_id(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.line(START_MS)
    line = world.line(START_MS, log_id="ours", request_id="theirs")
    with Statements.open(tmp_path) as statements:
        assert find_requests(statements, "ours") == [line]
        assert find_requests(statements, "theirs") == [line]
        assert find_requests(statements, "nobody's") == []


def test_all_requests_to_which_callers_gave_an_id_are_found(tmp_path: Path) -> None:
    world = World(tmp_path)
    failed = world.line(START_MS, request_id="mine", code="1234")
    charged = world.line(START_MS, request_id="mine")
    others = world.line(START_MS, request_id="mine", account_id=OTHER)
    assert failed.account_id == ACCOUNT
    with Statements.open(tmp_path) as statements:
        assert find_requests(statements, "mine") == [others, charged, failed]


@pytest.mark.parametrize("took_ms", [0, 59_000, 3_600_000, 80_000_000])
def test_a_request_that_cost_nothing_is_found_by_the_time_in_its_id(tmp_path: Path, took_ms: int) -> None:
    world = World(tmp_path)
    for number in range(5):
        world.line(START_MS + took_ms, code="1234", log_id=f"{LOG_ID[:-1]}{number}", request_id="mine")
    line = world.line(START_MS + took_ms, code="1234", log_id=LOG_ID, request_id=LOG_ID)
    with Statements.open(tmp_path) as statements:
        assert find_requests(statements, LOG_ID) == [line]


@pytest.mark.parametrize("reference", ["20261301000000" + "0" * 16, "2026", "", LOG_ID.upper()])
def test_what_is_no_id_is_not_found(tmp_path: Path, reference: str) -> None:
    world = World(tmp_path)
    world.line(START_MS, code="1234", log_id=LOG_ID, request_id=LOG_ID)
    with Statements.open(tmp_path) as statements:
        assert find_requests(statements, reference) == []


def credits_line(world: World, credits_taken: int, hour: int = 3) -> Line:
    return world.line(
        START_MS + hour * HOUR_MS + 1500, model="glm-5.3", price_version=0, plan_credits=credits_taken
    )


def test_credits_are_tokens_times_rate_times_the_time_of_day(tmp_path: Path) -> None:
    world, catalog = World(tmp_path), load_catalog()
    rates = CreditRates(690, 170, 2400)
    percents = set()
    # A Monday.
    for hour in (24 + 3, 24 + 15):
        line = credits_line(world, 1, hour)
        percent = percent_at(catalog.plan, line.started_ms)
        percents.add(percent)
        exact = credits_of(rates, Usage(1000, 100, 200), percent)
        terms = terms_at(catalog, line.model, line.started_ms)
        explained = explain_credits(terms, msgspec.structs.replace(line, plan_credits=exact))
        assert explained == CreditExplanation(
            parts=(
                CreditPart("prompt", 900, 690, 900 * 690 * percent),
                CreditPart("cached", 100, 170, 100 * 170 * percent),
                CreditPart("completion", 200, 2400, 200 * 2400 * percent),
            ),
            percent=percent,
            computed=exact,
            taken=exact,
            capped=0,
            unexplained=0,
        )
        # The last request in a window gets the rest of it.
        less = explain_credits(terms, msgspec.structs.replace(line, plan_credits=exact - 7))
        assert (less.capped, less.unexplained) == (7, 0)
        more = explain_credits(terms, msgspec.structs.replace(line, plan_credits=exact + 7))
        assert (more.capped, more.unexplained) == (0, 7)
    assert percents == {100, catalog.plan.off_peak_percent}


def test_a_model_without_rates_explains_none(tmp_path: Path) -> None:
    world, catalog = World(tmp_path), load_catalog()
    line = world.line(START_MS, model="gone", price_version=0, plan_credits=9)
    unknown = explain_credits(terms_at(catalog, line.model, line.started_ms), line)
    assert (unknown.computed, unknown.unexplained) == (0, 9)
