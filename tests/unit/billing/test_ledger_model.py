"""The ledger against the reference ledger, step by step, for random histories; and planted bugs that this finds."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from openbigmodel.billing.ledger import Hold, Ledger, Pack
from openbigmodel.billing.packs import Unit
from openbigmodel.billing.pricing import Band, Price
from openbigmodel.billing.usage import Usage
from openbigmodel.errors import ApiError
from tests.broken_ledgers import BROKEN_LEDGERS
from tests.conftest import SCALE
from tests.reference_ledger import ReferenceHold, ReferenceLedger, ReferencePack

ACCOUNTS = st.sampled_from(("ann", "bob"))
MODELS = st.sampled_from(("glm-4.6", "GLM-4.6", "glm-4.7", "web_search"))
SCOPES = st.sampled_from((None, frozenset({"glm-4.6"}), frozenset({"glm-4.7", "web_search"})))
LENGTHS = st.integers(0, 30)
# Close to each other, so that things meet: prices around half a nano-yuan for a token, packs of a few requests.
RATES = st.sampled_from((0, 1, 300_000, 500_000, 1_000_000, 1_700_001))
ENDS = st.integers(1, 12).map(lambda number: number * 100)


class LedgerMachine(RuleBasedStateMachine):
    """One step is one thing that happens to both ledgers."""

    ledger_type: type[Ledger] = Ledger
    open_holds = Bundle("open_holds")
    posted_holds = Bundle("posted_holds")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = self.ledger_type()
        self.reference = ReferenceLedger()
        # What each hold is for.
        self.bounds: dict[Hold, tuple[int, int]] = {}
        self.price = Price("x", 1, (Band(1_000_000, 1_000_000),))
        self.now_ms = 0

    @initialize(account=ACCOUNTS, nano=st.integers(100, 300))
    def begin(self, account: str, nano: int) -> None:
        self.ledger.add_account(account, nano)
        self.reference.money[account] = nano

    @rule(account=ACCOUNTS, nano=st.integers(1, 60))
    def top_up(self, account: str, nano: int) -> None:
        self.ledger.credit(account, nano)
        self.reference.money[account] = self.reference.money.get(account, 0) + nano

    @rule(account=ACCOUNTS, nano=st.integers(1, 30))
    def adjust_downwards(self, account: str, nano: int) -> None:
        if nano > self.reference.balance(account):
            with pytest.raises(ValueError, match="balance"):
                self.ledger.debit(account, nano)
        else:
            self.ledger.debit(account, nano)
            self.reference.money[account] -= nano

    @rule(
        account=ACCOUNTS,
        unit=st.sampled_from(("tokens", "tokens", "calls")),
        models=SCOPES,
        begins=st.sampled_from((0, 0, 0, 99, 250)),
        ends=ENDS,
        amount=st.integers(1, 40),
    )
    def grant(
        self, account: str, unit: Unit, models: frozenset[str] | None, begins: int, ends: int, amount: int
    ) -> None:
        begins = min(begins, ends - 1)
        number = f"{len(self.reference.packs):03}"
        self.reference.packs.append(ReferencePack(number, account, unit, models, begins, ends, amount))
        self.ledger.grant(
            Pack(number, account, unit, models, gift=False, from_ms=begins, to_ms=ends, left=amount)
        )

    @rule(
        first=st.tuples(RATES, RATES, st.none() | RATES),
        second=st.tuples(RATES, RATES),
        per_call=st.integers(0, 2),
    )
    def change_the_price(
        self, first: tuple[int, int, int | None], second: tuple[int, int], per_call: int
    ) -> None:
        self.price = Price(
            "x", self.price.version + 1, (Band(*first), Band(*second, input_from=10)), per_call
        )

    @rule(step=st.sampled_from((-300, -1, 1, 50, 99, 100, 101)))
    def the_clock_goes(self, step: int) -> None:
        self.now_ms = max(0, self.now_ms + step)

    @rule(target=open_holds, account=ACCOUNTS, model=MODELS, prompt=LENGTHS, completion=LENGTHS)
    def hold(self, account: str, model: str, prompt: int, completion: int) -> Any:
        expected = self.reference.hold(account, self.price, model, prompt, completion, self.now_ms)
        try:
            held = self.ledger.hold(account, self.price, model, prompt, completion, self.now_ms)
        except ApiError as error:
            assert error.code == "1113"
            assert expected is None, f"refused, though {expected} is covered"
            return multiple()
        assert expected is not None, "admitted, though it is not covered"
        assert held.cash == expected.cash
        assert [(p.id, n) for p, n in held.packs] == [(p.id, n) for p, n in expected.shares]
        self.bounds[held] = prompt, completion
        return (held, expected)

    @rule(
        target=posted_holds,
        pair=consumes(open_holds),
        prompt=st.sampled_from((0, 1, 5, None, 40)),
        completion=st.sampled_from((0, 3, None, 33)),
        cached=st.integers(0, 40),
    )
    def post(
        self, pair: tuple[Hold, ReferenceHold], prompt: int | None, completion: int | None, cached: int
    ) -> Any:
        """None: all that the hold is for. Less and more than that happens, too."""
        held, expected = pair
        bounds = self.bounds[held]
        prompt = bounds[0] if prompt is None else prompt
        completion = bounds[1] if completion is None else completion
        usage = Usage(prompt_tokens=prompt, cached_tokens=min(cached, prompt), completion_tokens=completion)
        overage = self.reference.post(expected, usage, self.now_ms)
        charge = self.ledger.post(held, usage, self.now_ms)
        assert (charge.nano, charge.overage) == (expected.nano, overage)
        assert [(burn.pack_id, burn.unit, burn.amount) for burn in charge.burns] == [
            (pack.id, pack.unit, amount) for pack, amount in expected.burns
        ]
        assert charge.nano <= held.cash
        return pair

    @rule(pair=consumes(open_holds))
    def void(self, pair: tuple[Hold, ReferenceHold]) -> None:
        self.ledger.void(pair[0])
        self.reference.void(pair[1])

    @rule(pair=consumes(posted_holds))
    def the_commit_of_a_post_fails(self, pair: tuple[Hold, ReferenceHold]) -> None:
        self.ledger.take_back(pair[0])
        self.reference.take_back(pair[1])

    @rule(pair=posted_holds)
    def end_a_hold_again(self, pair: tuple[Hold, ReferenceHold]) -> None:
        if pair[0].account is not None:
            with pytest.raises(AssertionError, match="once"):
                self.ledger.void(pair[0])

    @rule(commit_fails=st.booleans())
    def expire(self, commit_fails: bool) -> None:
        gone = self.ledger.expire_packs(self.now_ms)
        expected = self.reference.expire(self.now_ms)
        assert {pack.id: pack.left for pack in gone} == expected
        assert len(gone) == len(expected)
        if commit_fails:
            for pack in gone:
                self.ledger.put_back(pack, pack.left)
            for each in self.reference.packs:
                each.amount += expected.get(each.id, 0)

    @invariant()
    def both_say_the_same(self) -> None:
        assert self.ledger.audit() == []
        seen = dict(self.ledger._packs)
        for account in ("ann", "bob"):
            assert self.ledger.balance(account) == self.reference.balance(account) >= 0
            assert self.ledger.held(account) == self.reference.held(account) >= 0
        for expected in self.reference.packs:
            pack = seen.pop(expected.id, None)
            left, held = (pack.left, pack.held) if pack else (0, 0)
            assert left == self.reference.pack_left(expected) >= 0
            assert held == self.reference.pack_held(expected) >= 0
        assert not seen

    def teardown(self) -> None:
        for hold in list(self.ledger._holds):
            self.ledger.void(hold)
        assert self.ledger.audit() == []
        assert all(self.ledger.held(account) == 0 for account in ("ann", "bob"))


def test_every_history_agrees_with_the_reference() -> None:
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(max_examples=max(20, round(200 * SCALE)), stateful_step_count=50),
    )


@pytest.mark.parametrize("broken", BROKEN_LEDGERS, ids=lambda broken: broken.__name__)
def test_a_planted_bug_is_found(broken: type[Ledger]) -> None:
    machine = type("Planted" + broken.__name__, (LedgerMachine,), {"ledger_type": broken})
    look = settings(
        max_examples=3000,
        stateful_step_count=50,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises((AssertionError, KeyError, ValueError)):
        run_state_machine_as_test(machine, settings=look)
