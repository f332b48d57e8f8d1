import msgspec
import pytest

from openbigmodel.billing.ledger import NANO_MAX, NO_CHARGE, NO_HOLD, Burn, Charge, Hold, Ledger, Pack
from openbigmodel.billing.pricing import FREE, Band, Price
from openbigmodel.billing.usage import Usage
from openbigmodel.errors import ApiError

# One nano-yuan for a token, so that amounts are easy to follow.
PRICE = Price("glm-4.6", 1, (Band(10**6, 10**6),))
PACK = Pack("p", "a", "tokens", None, gift=False, from_ms=0, to_ms=100, left=50)


def used(prompt: int, completion: int = 0, cached: int = 0) -> Usage:
    return Usage(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion)


def ledger_with(balance: int, *packs: Pack) -> Ledger:
    ledger = Ledger()
    ledger.add_account("a", balance)
    for pack in packs:
        ledger.grant(msgspec.structs.replace(pack))
    return ledger


def hold(ledger: Ledger, prompt: int, completion: int = 0, now_ms: int = 1, model: str = "glm-4.6") -> Hold:
    return ledger.hold("a", PRICE, model, prompt, completion, now_ms)


def money(ledger: Ledger) -> tuple[int, int]:
    assert ledger.audit() == []
    return ledger.balance("a"), ledger.held("a")


def tokens(ledger: Ledger) -> list[tuple[str, int, int]]:
    assert ledger.audit() == []
    return [(pack.id, pack.left, pack.held) for pack in ledger._packs.values()]


# money


def test_a_post_takes_what_was_used_and_returns_the_rest() -> None:
    ledger = ledger_with(100)
    held = hold(ledger, 30, 40)
    assert held.open
    assert (held.cash, held.packs, held.open) == (70, (), True)
    assert held.price is PRICE
    assert money(ledger) == (30, 70)
    assert ledger.post(held, used(20, 5), 2) == Charge(25)
    assert money(ledger) == (75, 0)


def test_a_void_returns_everything() -> None:
    ledger = ledger_with(100)
    ledger.void(hold(ledger, 70))
    assert money(ledger) == (100, 0)


def test_the_whole_balance_can_be_held_and_not_a_nano_more() -> None:
    ledger = ledger_with(100)
    hold(ledger, 100)
    with pytest.raises(ApiError) as refused:
        hold(ledger, 1)
    assert refused.value.code == "1113"
    assert money(ledger) == (0, 100)


def test_exactly_as_many_are_admitted_as_can_be_paid() -> None:
    ledger = ledger_with(1000)
    admitted = []
    for _ in range(200):
        try:
            admitted.append(hold(ledger, 7))
        except ApiError:
            continue
    assert len(admitted) == 1000 // 7
    for each in admitted:
        ledger.post(each, used(7), 2)
    assert money(ledger) == (1000 % 7, 0)


def test_usage_beyond_the_hold_is_not_charged_and_told() -> None:
    ledger = ledger_with(100)
    assert ledger.post(hold(ledger, 60), used(90), 2) == Charge(60, (), overage=30)
    assert money(ledger) == (40, 0)


@pytest.mark.parametrize("second", ["post", "void"])
@pytest.mark.parametrize("first", ["post", "void"])
def test_a_hold_ends_once(first: str, second: str) -> None:
    ledger = ledger_with(100)
    held = hold(ledger, 60)

    def end(how: str) -> None:
        if how == "post":
            ledger.post(held, used(10), 2)
        else:
            ledger.void(held)

    end(first)
    before = money(ledger)
    with pytest.raises(AssertionError, match="once"):
        end(second)
    assert money(ledger) == before


def test_a_post_that_could_not_be_stored_is_as_if_voided() -> None:
    ledger = ledger_with(100)
    held = hold(ledger, 60)
    ledger.post(held, used(10), 2)
    ledger.take_back(held)
    assert money(ledger) == (100, 0)
    with pytest.raises(AssertionError, match="nothing was posted"):
        ledger.take_back(held)


def test_what_was_not_posted_cannot_be_taken_back() -> None:
    ledger = ledger_with(100)
    held = hold(ledger, 60)
    with pytest.raises(AssertionError):
        ledger.take_back(held)
    ledger.void(held)
    with pytest.raises(AssertionError):
        ledger.take_back(held)
    assert money(ledger) == (100, 0)


def test_what_is_free_takes_no_hold_of_whatever_account() -> None:
    ledger = Ledger()
    for price in (FREE, Price("x", 7, (Band(0, 0),))):
        held = ledger.hold("nobody", price, "x", 10, 10, 1)
        assert (held.cash, held.packs, held.price) == (0, (), price)
        assert ledger.post(held, used(10, 10), 2) == NO_CHARGE
        ledger.void(held)
        ledger.take_back(held)
    assert ledger.hold("nobody", FREE, "x", 10, 10, 1) is NO_HOLD
    assert (ledger.balance("nobody"), ledger.held("nobody"), ledger.packs("nobody")) == (0, 0, ())
    assert ledger.audit() == []


def test_a_price_that_is_free_for_short_requests_alone_has_a_hold_that_knows_it() -> None:
    price = Price("x", 7, (Band(0, 0), Band(1_000_000, 1_000_000, input_from=100)))
    ledger = ledger_with(500, PACK)
    held = ledger.hold("a", price, "x", 10, 10, 1)
    assert (held.open, held.cash, held.packs) == (True, 0, ())
    # The engine counted more than the bound: nobody pays for it, and it is seen.
    assert ledger.post(held, used(200, 10), 2) == Charge(0, (), 210)
    assert (money(ledger), tokens(ledger)) == ((500, 0), [("p", 50, 0)])
    ledger.void(ledger.hold("nobody", price, "x", 10, 10, 1))
    with pytest.raises(ApiError):
        ledger.hold("nobody", price, "x", 100, 10, 1)
    assert ledger.audit() == []


def test_what_is_free_burns_no_packs() -> None:
    ledger = ledger_with(0, PACK)
    ledger.post(ledger.hold("a", Price("x", 1, (Band(0, 0),)), "x", 10, 10, 1), used(10, 10), 2)
    assert tokens(ledger) == [("p", 50, 0)]


def test_an_unknown_account_has_nothing() -> None:
    with pytest.raises(ApiError) as refused:
        Ledger().hold("nobody", PRICE, "glm-4.6", 1, 1, 1)
    assert refused.value.code == "1113"


def test_credit_and_debit() -> None:
    ledger = Ledger()
    ledger.credit("a", 70)
    ledger.credit("a", 30)
    hold(ledger, 60)
    ledger.debit("a", 40)
    assert money(ledger) == (0, 60)
    with pytest.raises(ValueError, match="not held"):
        ledger.debit("a", 1)


@pytest.mark.parametrize("nano", [0, -1])
def test_an_amount_is_more_than_nothing(nano: int) -> None:
    ledger = ledger_with(100)
    with pytest.raises(ValueError, match="more than nothing"):
        ledger.credit("a", nano)
    with pytest.raises(ValueError, match="more than nothing"):
        ledger.debit("a", nano)
    assert money(ledger) == (100, 0)


def test_a_balance_fits_the_database() -> None:
    ledger = ledger_with(NANO_MAX - 10)
    hold(ledger, 1000)
    ledger.credit("a", 10)
    with pytest.raises(ValueError, match="at most"):
        ledger.credit("a", 1)


def test_an_account_is_added_once_and_with_a_balance_that_can_be() -> None:
    ledger = ledger_with(100)
    with pytest.raises(ValueError, match="already"):
        ledger.add_account("a", 0)
    for balance in (-1, NANO_MAX + 1):
        with pytest.raises(ValueError, match="balance"):
            ledger.add_account("b", balance)


# packs


def test_packs_pay_before_the_balance_does() -> None:
    ledger = ledger_with(100, PACK)
    held = hold(ledger, 40, 30)
    assert money(ledger) == (80, 20)
    assert tokens(ledger) == [("p", 0, 50)]
    assert ledger.post(held, used(40, 15), 2) == Charge(5, (Burn("p", "tokens", 50),))
    assert money(ledger) == (95, 0)
    assert tokens(ledger) == [("p", 0, 0)]


def test_what_the_packs_cover_needs_no_balance() -> None:
    ledger = ledger_with(0, PACK)
    held = hold(ledger, 40, 10)
    assert ledger.post(held, used(20, 10), 2) == Charge(0, (Burn("p", "tokens", 30),))
    assert tokens(ledger) == [("p", 20, 0)]


def test_a_request_that_packs_and_balance_cannot_cover_changes_nothing() -> None:
    ledger = ledger_with(9, PACK)
    with pytest.raises(ApiError):
        hold(ledger, 60)
    assert money(ledger) == (9, 0)
    assert tokens(ledger) == [("p", 50, 0)]


def test_the_pack_that_ends_first_burns_first_however_they_were_granted() -> None:
    late, early = (
        msgspec.structs.replace(PACK, id="late", to_ms=200),
        msgspec.structs.replace(PACK, id="early", to_ms=90),
    )
    for packs in ([late, early], [early, late]):
        ledger = ledger_with(0, *packs)
        charge = ledger.post(hold(ledger, 70), used(60), 2)
        assert charge.burns == (Burn("early", "tokens", 50), Burn("late", "tokens", 10))


def test_a_pack_pays_for_its_models_in_any_letter_case() -> None:
    ledger = ledger_with(0, msgspec.structs.replace(PACK, models=frozenset({"glm-4.6"})))
    ledger.void(hold(ledger, 10, model="GLM-4.6"))
    with pytest.raises(ApiError):
        hold(ledger, 10, model="glm-4.7")


def test_a_call_pays_for_a_whole_request() -> None:
    calls = Pack("c", "a", "calls", None, gift=True, from_ms=0, to_ms=100, left=1)
    ledger = ledger_with(0, calls)
    price = Price("x", 1, (Band(10**6, 10**6),), per_call=5)
    held = ledger.hold("a", price, "x", 1000, 1000, 1)
    with pytest.raises(ApiError):
        ledger.hold("a", price, "x", 1, 1, 1)
    assert ledger.post(held, used(2000, 2000), 2) == Charge(0, (Burn("c", "calls", 1),))
    assert tokens(ledger) == [("c", 0, 0)]


def test_tokens_of_a_pack_do_not_pay_for_the_call() -> None:
    ledger = ledger_with(5, PACK)
    held = ledger.hold("a", Price("x", 1, (Band(10**6, 10**6),), per_call=5), "x", 10, 10, 1)
    assert money(ledger) == (0, 5)
    assert ledger.post(held, used(10, 10), 2) == Charge(5, (Burn("p", "tokens", 20),))


def test_a_void_returns_what_packs_gave() -> None:
    ledger = ledger_with(100, PACK)
    ledger.void(hold(ledger, 70))
    assert money(ledger) == (100, 0)
    assert tokens(ledger) == [("p", 50, 0)]


def test_a_post_that_could_not_be_stored_returns_to_the_packs() -> None:
    ledger = ledger_with(100, PACK)
    held = hold(ledger, 70)
    ledger.post(held, used(70), 2)
    ledger.take_back(held)
    assert money(ledger) == (100, 0)
    assert tokens(ledger) == [("p", 50, 0)]


@pytest.mark.parametrize(
    "wrong",
    [{"left": 0}, {"left": -1}, {"left": NANO_MAX + 1}, {"held": 1}, {"from_ms": 100}, {"from_ms": 101}],
)
def test_what_cannot_be_a_pack(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="pack"):
        Ledger().grant(msgspec.structs.replace(PACK, **wrong))


def test_a_pack_is_granted_once() -> None:
    with pytest.raises(ValueError, match="already"):
        ledger_with(0, PACK).grant(PACK)


# the end of packs


def test_a_pack_ends_at_its_millisecond_and_what_is_left_is_told_once() -> None:
    ledger = ledger_with(0, PACK)
    ledger.post(hold(ledger, 20), used(20), 2)
    assert ledger.expire_packs(99) == []
    hold(ledger, 5, now_ms=99)
    (gone,) = ledger.expire_packs(100)
    assert (gone.id, gone.left, gone.held) == ("p", 25, 0)
    assert ledger.expire_packs(101) == []
    with pytest.raises(ApiError):
        hold(ledger, 5, now_ms=100)


def test_an_ended_pack_pays_for_nothing_even_before_it_is_written_off() -> None:
    with pytest.raises(ApiError):
        hold(ledger_with(0, PACK), 5, now_ms=100)


def test_a_pack_that_is_used_up_goes_without_a_word() -> None:
    ledger = ledger_with(0, PACK)
    ledger.post(hold(ledger, 50), used(50), 2)
    assert ledger.expire_packs(100) == []
    assert ledger.packs("a") == ()


@pytest.mark.parametrize("how", ["post", "void"])
def test_what_is_held_when_a_pack_ends_still_pays_and_its_rest_goes_later(how: str) -> None:
    ledger = ledger_with(0, PACK)
    held = hold(ledger, 30)
    assert [pack.left for pack in ledger.expire_packs(100)] == [20]
    assert ledger.expire_packs(101) == []
    assert tokens(ledger) == [("p", 0, 30)]
    assert ledger.packs("a") == ()
    if how == "post":
        assert ledger.post(held, used(10), 102).burns == (Burn("p", "tokens", 10),)
    else:
        ledger.void(held)
    with pytest.raises(ApiError):
        hold(ledger, 1, now_ms=103)
    assert [pack.left for pack in ledger.expire_packs(103)] == [20 if how == "post" else 30]
    assert tokens(ledger) == []
    assert ledger.expire_packs(104) == []


def test_packs_end_one_after_the_other() -> None:
    packs = [msgspec.structs.replace(PACK, id=str(end), to_ms=end) for end in (300, 100, 200)]
    ledger = ledger_with(0, *packs)
    assert [pack.id for pack in ledger.expire_packs(250)] == ["100", "200"]
    assert [pack.id for pack in ledger.packs("a")] == ["300"]


def test_a_clock_that_steps_back_revives_no_pack() -> None:
    ledger = ledger_with(10, PACK)
    hold(ledger, 1, now_ms=100)
    with pytest.raises(ApiError):
        hold(ledger, 20, now_ms=50)
    assert [pack.id for pack in ledger.expire_packs(50)] == ["p"]


def test_what_returns_to_an_ended_pack_is_not_revived_either() -> None:
    ledger = ledger_with(10, PACK)
    held = hold(ledger, 50)
    ledger.post(held, used(50), 2)
    assert ledger.expire_packs(100) == []
    ledger.take_back(held)
    with pytest.raises(ApiError):
        hold(ledger, 20, now_ms=50)
    assert [pack.left for pack in ledger.expire_packs(50)] == [50]


def test_a_post_taken_back_after_its_pack_ended_is_written_off_later() -> None:
    ledger = ledger_with(0, PACK)
    held = hold(ledger, 50)
    ledger.post(held, used(30), 2)
    assert [pack.left for pack in ledger.expire_packs(100)] == [20]
    ledger.take_back(held)
    assert tokens(ledger) == [("p", 30, 0)]
    assert [pack.left for pack in ledger.expire_packs(100)] == [30]
    assert tokens(ledger) == []


def test_two_posts_taken_back_after_their_pack_ended_find_the_same_pack() -> None:
    ledger = ledger_with(0, PACK)
    first, second = hold(ledger, 20), hold(ledger, 30)
    ledger.post(first, used(20), 2)
    ledger.post(second, used(30), 2)
    assert ledger.expire_packs(100) == []
    ledger.take_back(first)
    ledger.take_back(second)
    assert tokens(ledger) == [("p", 50, 0)]


def test_a_write_off_that_could_not_be_stored_is_tried_again() -> None:
    ledger = ledger_with(0, PACK)
    held = hold(ledger, 20)
    (gone,) = ledger.expire_packs(100)
    ledger.put_back(gone, gone.left)
    assert tokens(ledger) == [("p", 30, 20)]
    ledger.void(held)
    (gone,) = ledger.expire_packs(100)
    assert gone.left == 50
    ledger.put_back(gone, gone.left)
    assert tokens(ledger) == [("p", 50, 0)]
    assert [pack.left for pack in ledger.expire_packs(100)] == [50]


def test_a_refund_to_a_pack_that_is_gone_is_written_off() -> None:
    ledger = ledger_with(0, PACK)
    ledger.expire_packs(100)
    ledger.refill(PACK, 7)
    with pytest.raises(ApiError):
        hold(ledger, 7, now_ms=100)
    assert [pack.left for pack in ledger.expire_packs(100)] == [7]
    assert tokens(ledger) == []


def test_a_clock_that_steps_back_does_not_end_packs_before_their_time() -> None:
    ledger = ledger_with(10, PACK)
    ledger.expire_packs(1_000_000)
    ledger.grant(msgspec.structs.replace(PACK, id="q"))
    ledger.void(hold(ledger, 50, now_ms=99))


def test_what_is_refunded_to_a_pack_can_be_used_again() -> None:
    ledger = ledger_with(0, PACK)
    ledger.post(hold(ledger, 50), used(50), 2)
    ledger.refill(PACK, 3)
    ledger.refill(PACK, 4)
    ledger.void(hold(ledger, 7))
    assert tokens(ledger) == [("p", 7, 0)]


# what is wrong is found


def test_an_audit_finds_what_does_not_hold() -> None:
    ledger = ledger_with(100, PACK)
    held = hold(ledger, 60)
    account = held.account
    assert account is not None
    pack = ledger.packs("a")[0]

    account.held += 1
    assert "held" in ledger.audit()[0]
    account.held -= 1
    account.balance = -1
    assert "balance" in ledger.audit()[0]
    account.balance = 90
    pack.held -= 1
    assert "held" in ledger.audit()[0]
    pack.held += 1
    pack.left = -1
    assert "left" in ledger.audit()[0]
    pack.left = 0
    held.open = False
    assert "ended hold" in ledger.audit()[0]
    held.open = True
    del ledger._packs["p"]
    assert "gone" in ledger.audit()[0]
    ledger._packs["p"] = pack
    assert ledger.audit() == []


def test_an_audit_finds_a_hold_that_got_lost() -> None:
    ledger = ledger_with(100)
    ledger._holds.remove(hold(ledger, 60))
    assert ledger.audit() == ["account a has 60 nano-yuan held, its open holds are 0"]
