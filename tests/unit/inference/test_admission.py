"""What a request takes is taken in order, in one step, and given back exactly once, whatever refuses it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.auth.api_keys import Principal
from openbigmodel.billing.cashier import Payer
from openbigmodel.billing.ledger import NO_HOLD, Hold
from openbigmodel.billing.plans import PlanHold
from openbigmodel.billing.pricing import Band, Price
from openbigmodel.billing.replies import MAX_REPLY_BYTES, Claimed, StoredReply
from openbigmodel.billing.store import UsageLine
from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import Model, load_catalog
from openbigmodel.errors import ApiError
from openbigmodel.inference.admission import (
    ORDERED_BYTES_MAX,
    Admission,
    Admissions,
    Claim,
    digest_of,
)
from openbigmodel.inference.measurement import UNBOUNDED
from openbigmodel.limits import Limits, ModelLimits
from tests.unit.billing import plans_bench
from tests.unit.inference.pipeline_bench import MemoryCashier

# A token of the answer is a fen.
FEN = 10_000_000
PRICE = Price("glm-x", 1, (Band(input=0, output=FEN * 1_000_000),))
CALLER = Principal("account", "key", tier="V1")
LINE = UsageLine(
    log_id="log",
    request_id="mine",
    account_id="account",
    api_key_id="key",
    model="glm-x",
    engine="engine",
    usage=Usage(3, 0, 4),
    finish_reason="stop",
    code="",
    started_ms=1,
    ended_ms=2,
)
BODY = b'{"a":1}'


class Desk:
    """Admissions on a clock that stands still, with a balance of ten fen."""

    def __init__(
        self, limits: ModelLimits | None = None, *, platform_limit: int = 10, balance: int = 10 * FEN
    ) -> None:
        self.limits = Limits(platform_limit, now_s=lambda: 1000.0, wall_s=lambda: 1000.0)
        self.cashier = MemoryCashier([])
        self.cashier.held = True
        self.cashier.prices = {"glm-x": PRICE}
        self.cashier.ledger.add_account("account", balance)
        self.admissions = Admissions(self.limits, self.cashier)
        self.model = Model(id="glm-x", limits={} if limits is None else {"V1": limits})

    def admit(
        self, completion: int = 4, *, claim: Claim | None = None, caller: Principal = CALLER
    ) -> Admission:
        return self.admissions.admit(caller, self.model, claim, False, 50, completion)

    def claim(self, request_id: str = "mine", body: bytes = BODY) -> Claim:
        claim = self.admissions.claim("account", request_id, body)
        assert isinstance(claim, Claim)
        return claim

    def settle(self, admission: Admission, reply: bytes = b"") -> None:
        """Settle, durably, and leave."""
        admission.settle(LINE, lambda _: None, reply)
        self.cashier.commit()
        admission.leave(LINE.usage)

    def sweep(self) -> None:
        """What the pipeline's timer does each second."""
        self.limits.forget_idle()

    @property
    def leftovers(self) -> dict[str, Any]:
        """What is still taken, of everything, and how many standings are remembered; changes nothing."""
        taken = {
            "in flight": self.limits.total,
            "remembered": len(self.limits),
            "held": self.cashier.ledger.held("account"),
            "ids": self.admissions.running,
        }
        return {name: what for name, what in taken.items() if what}


def refusal(desk: Desk, **how: Any) -> str:
    with pytest.raises(ApiError) as caught:
        desk.admit(**how)
    return caught.value.code


def test_a_request_takes_a_place_and_a_hold_and_gives_both_back() -> None:
    desk = Desk(ModelLimits(in_flight=1))
    admission = desk.admit()
    assert desk.leftovers == {"in flight": 1, "remembered": 1, "held": 4 * FEN}
    desk.settle(admission)

    assert desk.leftovers == {"remembered": 1}
    desk.sweep()
    assert desk.leftovers == {}
    assert desk.cashier.ledger.balance("account") == 6 * FEN


def test_withdrawing_undoes_everything() -> None:
    desk = Desk(ModelLimits(in_flight=1, rpm=1, tpm=100, daily=1))
    for _ in range(3):
        desk.admit(claim=desk.claim()).withdraw()

    desk.sweep()
    assert desk.leftovers == {}
    assert desk.cashier.ledger.balance("account") == 10 * FEN
    assert desk.cashier.lines == []


BY_PROMPT = Price("", 1, (Band(input=FEN * 1_000_000, output=0),))


def test_a_prompt_that_is_longer_than_it_looked_is_held_for_and_given_back() -> None:
    desk = Desk(balance=100 * FEN)
    desk.cashier.prices = {"glm-x": BY_PROMPT}
    admission = desk.admit()
    assert desk.leftovers["held"] == 50 * FEN
    admission.hold_more(30)
    assert desk.leftovers["held"] == 80 * FEN
    assert admission.prompt_bound == 80
    admission.withdraw()
    desk.sweep()
    assert desk.leftovers == {}


@pytest.mark.parametrize("gone", [False, True])
def test_what_it_would_cost_is_not_there(gone: bool) -> None:
    """Not even what was held before may be there any more, because it was a pack that has ended meanwhile."""
    desk = Desk(balance=60 * FEN)
    desk.cashier.prices = {"glm-x": BY_PROMPT}
    admission = desk.admit(claim=desk.claim())
    if gone:
        desk.cashier.prices = {"glm-x": Price("", 2, (Band(input=FEN * 10**9, output=0),))}
    with pytest.raises(ApiError) as caught:
        admission.hold_more(30)
    assert caught.value.code == "1113"
    admission.withdraw()
    desk.sweep()
    assert desk.leftovers == {}
    assert desk.cashier.ledger.balance("account") == 60 * FEN


class PlanDesk:
    """A cashier's desk at which plans pay everything."""

    def __init__(self, bench: plans_bench.Bench) -> None:
        self.bench = bench

    def hold(self, payer: Payer, model_id: str, prompt_bound: int, completion_bound: int) -> PlanHold:
        return self.bench.hold(completion_bound, payer.account_id, model_id, prompt=prompt_bound)

    def void(self, hold: Hold | PlanHold) -> None:
        if isinstance(hold, PlanHold):
            self.bench.plans.void(hold)
        else:
            assert hold is NO_HOLD


@pytest.mark.parametrize("ends", [False, True])
def test_a_plan_holds_for_a_longer_prompt_too(tmp_path: Path, ends: bool) -> None:
    """A plan that has ended meanwhile pays no more, and holds nothing."""
    model = load_catalog().find("glm-5.3")
    assert model is not None

    async def test(bench: plans_bench.Bench) -> None:
        desk: Any = PlanDesk(bench)
        plan = await bench.account("account")
        admissions = Admissions(Limits(10), desk)
        admission = admissions.admit(Principal("account", "key", "coding"), model, None, True, 50, 4)
        # At 6.9 credits for 10,000 tokens of the prompt, and 24 of the answer.
        assert bench.plans.held("account") == 50 * 690 + 4 * 2400
        if ends:
            await bench.plans.end(plan)
            with pytest.raises(ApiError) as caught:
                admission.hold_more(30)
            assert caught.value.code == "1309"
        else:
            admission.hold_more(30)
            assert bench.plans.held("account") == 80 * 690 + 4 * 2400
        admission.withdraw()
        assert bench.plans.held("account") == 0

    plans_bench.run(tmp_path, test)


@pytest.mark.parametrize("end", ["settle", "leave", "withdraw"])
@pytest.mark.parametrize("after", ["settle and leave", "withdraw"])
def test_an_end_is_the_end(after: str, end: str) -> None:
    desk = Desk()
    admission = desk.admit()
    if after == "withdraw":
        admission.withdraw()
    else:
        desk.settle(admission)
    again = {
        "settle": lambda: admission.settle(LINE, lambda _: None),
        "leave": lambda: admission.leave(Usage()),
        "withdraw": admission.withdraw,
    }
    with pytest.raises(AssertionError):
        again[end]()

    desk.sweep()
    assert desk.leftovers == {}


def test_nobody_leaves_who_has_not_settled() -> None:
    with pytest.raises(AssertionError):
        Desk().admit().leave(Usage())


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (ModelLimits(in_flight=1), "1302"),
        (ModelLimits(rpm=1), "1303"),
        (ModelLimits(tpm=54), "1303"),
        (ModelLimits(daily=1), "1304"),
    ],
)
def test_limits_come_before_money(limits: ModelLimits, code: str) -> None:
    desk = Desk(limits)
    first = desk.admit(completion=4)
    assert refusal(desk, completion=4000) == code
    first.withdraw()
    # And what the money refuses, no limit has seen.
    assert refusal(desk, completion=4000) == "1113"

    desk.sweep()
    assert desk.leftovers == {}
    desk.admit()


def test_the_platforms_limit_comes_first() -> None:
    desk = Desk(ModelLimits(in_flight=1), platform_limit=1)
    desk.admit()

    assert refusal(desk) == "1305"


def test_a_fault_of_the_cashiers_gives_the_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    desk = Desk(ModelLimits(in_flight=1, rpm=1))
    monkeypatch.setattr(desk.cashier, "hold", broken)
    with pytest.raises(ZeroDivisionError):
        desk.admit()

    desk.sweep()
    assert desk.leftovers == {}


def test_a_settlement_that_is_refused_leaves_no_hold() -> None:
    desk = Desk(ModelLimits(in_flight=1))
    desk.cashier.raises = OSError("the queue is full")
    admission = desk.admit()
    with pytest.raises(OSError, match="the queue is full"):
        admission.settle(LINE, lambda _: None)
    admission.leave(Usage())

    desk.sweep()
    assert desk.leftovers == {}
    assert desk.cashier.ledger.balance("account") == 10 * FEN


def test_a_count_that_cannot_be_does_not_lock_an_account_out() -> None:
    desk = Desk(ModelLimits(tpm=1000))
    admission = desk.admit()
    admission.settle(LINE, lambda _: None)
    admission.leave(Usage(10**9, 0, 4))

    # 50 at most for the prompt, and 4.
    desk.admissions.limits.leave(desk.limits.enter("account", "glm-x", ModelLimits(tpm=1000), 946))
    with pytest.raises(ApiError, match="1303"):
        desk.limits.enter("account", "glm-x", ModelLimits(tpm=1000), 947)


def test_a_request_that_names_no_length_does_not_reserve_the_longest_of_all() -> None:
    desk = Desk(ModelLimits(tpm=10_000), balance=10**6 * FEN)
    first = desk.admit(desk.model.default_max_tokens)
    # 50 for its prompt, a tenth of the limit for its answer; the money is held in full.
    assert desk.cashier.ledger.held("account") == desk.model.default_max_tokens * FEN
    second = desk.admit(desk.model.default_max_tokens)
    first.go_on(9_000)
    assert refusal(desk) == "1303"
    for admission in (first, second):
        desk.settle(admission)
    second.go_on(9_999)

    assert desk.admit(9_900) is not None


def test_a_request_without_limits_goes_on_without_them() -> None:
    desk = Desk()
    admission = desk.admit()
    admission.go_on(10**9)
    desk.settle(admission)

    desk.sweep()
    assert not desk.leftovers


def test_who_is_exempt_has_neither_limits_nor_a_price() -> None:
    desk = Desk(ModelLimits(in_flight=1), balance=0)
    caller = msgspec.structs.replace(CALLER, exempt=True)
    admissions = [desk.admit(caller=caller) for _ in range(3)]

    assert desk.leftovers == {"in flight": 3}
    assert (admissions[0].prompt_bound, admissions[0].completion_bound) == (UNBOUNDED, UNBOUNDED)


def test_who_pays_is_bounded() -> None:
    admission = Desk().admit()

    assert (admission.prompt_bound, admission.completion_bound) == (50, 4)


def test_limits_go_by_tier() -> None:
    desk = Desk()
    desk.model = Model(id="glm-x", limits={"V0": ModelLimits(in_flight=1), "*": ModelLimits(in_flight=2)})
    for tier, places in (("V0", 1), ("V1", 2), ("V3", 2)):
        desk.cashier.ledger.add_account(tier, 100 * FEN)
        caller = Principal(tier, "key", tier=tier)
        for _ in range(places):
            desk.admit(caller=caller)
        assert refusal(desk, caller=caller) == "1302"

    desk.model = Model(id="glm-x", limits={"V0": ModelLimits(in_flight=1)})
    desk.admit()  # a tier without limits


# request ids


def code_of_claim(desk: Desk, request_id: str = "mine", body: bytes = BODY) -> str:
    with pytest.raises(ApiError) as caught:
        desk.admissions.claim("account", request_id, body)
    assert caught.value.message("en") == f"You already have a request: {request_id}"
    return caught.value.code


def test_an_id_is_taken_while_its_request_runs() -> None:
    desk = Desk()
    admission = desk.admit(claim=desk.claim())
    assert code_of_claim(desk) == "1231"
    desk.claim("another")
    desk.admissions.claim("another account", "mine", BODY)
    admission.settle(LINE, lambda _: None, b"reply")
    assert code_of_claim(desk) == "1231"  # not durable yet
    desk.cashier.commit()
    admission.leave(Usage())

    desk.sweep()
    assert desk.leftovers == {}


def test_nothing_is_read_of_a_body_before_it_is_let_in() -> None:
    desk = Desk()
    claim = desk.claim()
    assert (claim.body, claim.digest) == (BODY, b"")
    admission = desk.admit(claim=claim)
    assert (claim.body, claim.digest) == (b"", digest_of(BODY))
    admission.withdraw()

    desk = Desk(balance=3 * FEN)
    claim = desk.claim()
    with pytest.raises(ApiError):
        desk.admit(claim=claim)
    assert claim.digest == b"" and desk.leftovers == {}


def test_long_bodies_are_told_apart_by_their_bytes() -> None:
    short = b'{"a":1,"b":"%b"}' % (b"x" * (ORDERED_BYTES_MAX - 14))
    assert len(short) == ORDERED_BYTES_MAX
    for body, same in ((short, True), (short.replace(b"x", b"xx", 1), False)):
        other = body.replace(b'{"a":1,', b"{").replace(b'"}', b'","a":1}')
        assert len(other) == len(body)
        assert (digest_of(body) == digest_of(other)) is same
        assert digest_of(body) == digest_of(bytes(bytearray(body)))


def test_the_same_request_again_has_the_same_reply() -> None:
    desk = Desk()
    desk.settle(desk.admit(claim=desk.claim()), b"reply")

    earlier = desk.admissions.claim("account", "mine", b' {"a" :1}')
    assert isinstance(earlier, StoredReply)
    assert (earlier.reply, earlier.created_ms) == (b"reply", 2)
    assert code_of_claim(desk, body=b'{"a":2}') == "1231"
    desk.sweep()
    assert desk.leftovers == {}


@pytest.mark.parametrize("reply", [b"", b"x" * (MAX_REPLY_BYTES + 1)])
def test_without_a_stored_reply_the_id_is_used_up(reply: bytes) -> None:
    desk = Desk()
    desk.settle(desk.admit(claim=desk.claim()), reply)

    assert isinstance(desk.cashier.earlier["account", "mine"], Claimed)
    assert code_of_claim(desk) == "1231"


def test_a_claim_that_was_not_admitted_takes_nothing() -> None:
    desk = Desk(balance=0)
    claim = desk.claim()
    assert refusal(desk, claim=claim) == "1113"

    desk.sweep()
    assert desk.leftovers == {}
    desk.claim()


def test_a_reply_without_an_id_is_not_kept() -> None:
    desk = Desk()
    admission = desk.admit()
    desk.settle(admission, b"reply")

    assert desk.cashier.earlier == {("account", "mine"): Claimed("log")}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b'{"a":1,"b":{"c":2,"d":3}}', b'{ "b": {"d":3,"c":2}, "a": 1 }', True),
        ('{"a":"长"}'.encode(), b'{"a":"\\u957f"}', True),
        (b'{"a":[1,2]}', b'{"a":[2,1]}', False),
        (b'{"a":1}', b'{"a":"1"}', False),
        (b'{"a":1}', b'{"a":1,"b":null}', False),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", True),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", False),
        (b'{"a":"\xff"}', b'{"a":"\xfe"}', False),
    ],
)
def test_bodies_are_alike_by_what_they_say(one: bytes, other: bytes, same: bool) -> None:
    assert (digest_of(one) == digest_of(other)) is same


@given(
    st.lists(
        st.tuples(st.sampled_from(["admit", "settle", "withdraw", "lose"]), st.integers(0, 9), st.booleans()),
        max_size=40,
    )
)
def test_nothing_is_ever_left_over(steps: list[tuple[str, int, bool]]) -> None:
    desk = Desk(ModelLimits(in_flight=3, rpm=20, tpm=1000, daily=15))
    taken: list[Admission] = []
    for step, number, named in steps:
        if step == "admit":
            try:
                claim = desk.claim(f"id-{number}") if named else None
                taken.append(desk.admit(completion=number, claim=claim))
            except ApiError as error:
                assert error.code in {"1113", "1231", "1302", "1303", "1304"}
        elif taken:
            admission = taken.pop(number % len(taken))
            if step == "withdraw":
                admission.withdraw()
                continue
            desk.cashier.error = OSError("lost") if step == "lose" else None
            used = min(number, admission.completion_bound)
            admission.settle(msgspec.structs.replace(LINE, usage=Usage(3, 0, used)), lambda _: None)
            desk.cashier.commit()
            admission.leave(Usage(completion_tokens=used))
        assert desk.cashier.ledger.audit() == []
        assert desk.limits.total == len(taken) <= 3
    for admission in taken:
        admission.withdraw()

    assert desk.cashier.ledger.held("account") == 0
    assert not desk.admissions.running
    assert desk.limits.total == 0


def test_an_engine_that_lies_where_nothing_is_paid_costs_no_more_than_one_requests_share() -> None:
    desk = Desk(ModelLimits(tpm=1000))
    desk.cashier.prices = {}
    admission = desk.admit(100)
    assert admission.completion_bound == UNBOUNDED
    admission.settle(LINE, lambda _error: None)
    admission.leave(Usage(10**9, 0, 10**9))
    desk.limits.enter("account", "glm-x", ModelLimits(tpm=1000), 850)
