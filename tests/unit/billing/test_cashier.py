"""What the cashier promises when the disk is well; test_cashier_faults.py is about when it is not."""

import asyncio
from pathlib import Path

import apsw
import msgspec
import pytest

from openbigmodel.billing.cashier import Payer
from openbigmodel.billing.ledger import NO_HOLD, Burn, Charge
from openbigmodel.billing.replies import MAX_REPLY_BYTES, Claimed, StoredReply
from openbigmodel.db.connection import DatabaseBusy, DatabaseClosed
from openbigmodel.db.writer import QUEUE_ITEMS_MAX
from openbigmodel.errors import ApiError
from tests.cash_desk import DAY_MS, START_MS, Desk, clean, run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "platform.db"


def test_a_request_is_held_charged_and_on_disk(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        cashier = desk.cashier
        assert await cashier.top_up("a", 1000, "paid") == 1000
        hold = cashier.hold(Payer("a"), "plain", 20, 10)
        assert cashier.balance("a") == (1000 - 20 * 10 - 10 * 20, 400)
        told: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        line = cashier.settle(hold, desk.line(prompt=10, completion=5, cached=4), told.set_result)
        # 6 tokens at 10, 4 at 2, 5 at 20: in memory at once, acknowledged when it is on disk.
        assert (line.charge, line.price_version) == (168, 1)
        assert cashier.balance("a") == (832, 0)
        assert not told.done()
        assert await told is None
        assert desk.postings() == [("topup", 1000, 1000), ("post", 168, 832)]
        rows = desk.database.read("SELECT charge, price_version, claims, posting FROM usage")
        assert rows == [(168, 1, 1, 2)]
        assert cashier.audit() == []

    run(path, scenario)
    report = clean(path)
    assert (report.postings, report.usage_rows) == (2, 1)


def test_balances_and_packs_are_there_after_a_restart(path: Path) -> None:
    async def before(desk: Desk) -> None:
        await desk.cashier.top_up("a", 1000)
        await desk.cashier.top_up("b", 500)
        await desk.bill(desk.line())
        await desk.cashier.grant_pack(
            "a",
            "tokens",
            100,
            models=frozenset({"Plain"}),
            gift=True,
            from_ms=START_MS,
            to_ms=START_MS + DAY_MS,
        )
        await desk.bill(desk.line(prompt=30, completion=10))
        # Still held when the process ends: as if it had never been.
        desk.cashier.hold(Payer("b"), "plain", 10, 10)

    async def after(desk: Desk) -> None:
        assert desk.cashier.balance("a") == (800, 0)
        assert desk.cashier.balance("b") == (500, 0)
        (pack,) = desk.cashier.packs("a")
        assert (pack.left, pack.held, pack.models, pack.gift) == (60, 0, frozenset({"plain"}), True)
        assert (await desk.bill(desk.line(prompt=60, completion=1))).charge == 20

    run(path, before)
    run(path, after)
    clean(path)


def test_packs_pay_first_and_cash_the_rest(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 10_000)
        grant = desk.cashier.grant_pack
        calls = await grant("a", "calls", 2, from_ms=START_MS, to_ms=START_MS + 3 * DAY_MS)
        await grant("a", "tokens", 8, from_ms=START_MS, to_ms=START_MS + DAY_MS)
        line = await desk.bill(desk.line(prompt=10, completion=5))
        assert (line.charge, line.pack_tokens, line.pack_calls) == (0, 8, 1)
        line = await desk.bill(desk.line(prompt=10, completion=5))
        assert (line.charge, line.pack_tokens, line.pack_calls) == (0, 0, 1)
        await grant("a", "tokens", 8, from_ms=START_MS, to_ms=START_MS + DAY_MS)
        line = await desk.bill(desk.line(prompt=10, completion=5, cached=4))
        # The 6 that were not cached and 2 of those that were are covered.
        assert (line.charge, line.pack_tokens, line.pack_calls) == (2 * 2 + 5 * 20, 8, 0)
        assert desk.postings()[1:] == [
            ("pack_grant", 2, 2),
            ("pack_grant", 8, 8),
            ("pack_burn", 8, 0),
            ("pack_burn", 1, 1),
            ("pack_burn", 1, 0),
            ("pack_grant", 8, 8),
            ("pack_burn", 8, 0),
            ("post", 104, 9896),
        ]
        assert desk.cashier.packs("a")[-1].left == 0
        assert calls.left == 2, "what was given back is the pack as it was granted"

    run(path, scenario)
    clean(path)


def test_what_is_exempt_free_or_came_to_nothing_is_one_row(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        assert desk.cashier.hold(Payer("a", exempt=True, plan=True), "plain", 10**9, 10**9) is NO_HOLD
        exempt = await desk.bill(desk.line(), payer=Payer("a", exempt=True))
        assert (exempt.charge, exempt.price_version) == (0, 0)
        unpriced = await desk.bill(desk.line("unheard-of"))
        assert (unpriced.charge, unpriced.price_version) == (0, 0)
        free = await desk.bill(desk.line("nothing"))
        assert (free.charge, free.price_version) == (0, 4)
        await desk.cashier.top_up("a", 10_000)
        # Nothing was produced: the hold is given back, whatever the line counts.
        failed = await desk.bill(desk.line("call", source="none", code="500"))
        assert (failed.charge, failed.price_version) == (0, 0)
        assert desk.cashier.balance("a") == (10_000, 0)
        rows = desk.database.read("SELECT price_version, claims, posting FROM usage ORDER BY id")
        assert rows == [(0, 1, None), (0, 1, None), (4, 1, None), (0, 0, None)]

    run(path, scenario)
    assert clean(path).usage_rows == 4


def test_a_void_writes_nothing(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 1000)
        hold = desk.cashier.hold(Payer("a"), "plain", 10, 10)
        desk.cashier.void(hold)
        assert desk.cashier.balance("a") == (1000, 0)

    run(path, scenario)
    assert (clean(path).postings, clean(path).usage_rows) == (1, 0)


def test_who_cannot_pay_is_refused_and_nothing_changes(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        for payer in (Payer("nobody"), Payer("a")):
            with pytest.raises(ApiError) as refusal:
                desk.cashier.hold(payer, "plain", 10, 10)
            assert refusal.value.code == "1113"
        await desk.cashier.top_up("a", 299)
        with pytest.raises(ApiError):
            desk.cashier.hold(Payer("a"), "plain", 10, 10)
        assert desk.cashier.balance("a") == (299, 0)

    run(path, scenario)


def test_what_an_engine_claims_beyond_the_hold_is_told_and_not_charged(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 1000)
        line = await desk.bill(desk.line(prompt=10, completion=5), bounds=(10, 3))
        assert (line.charge, line.overage) == (160, 40)
        assert desk.cashier.balance("a") == (840, 0)
        await desk.cashier.grant_pack("a", "tokens", 10, from_ms=START_MS, to_ms=START_MS + DAY_MS)
        line = await desk.bill(desk.line(prompt=10, completion=5), bounds=(8, 2))
        assert (line.charge, line.pack_tokens, line.overage) == (0, 10, 100)

    run(path, scenario)
    clean(path)


def test_what_is_given_is_no_payment_and_comes_with_what_it_is_for(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        with pytest.raises(ValueError, match="more than nothing"):
            await desk.cashier.give("a", 0)
        assert await desk.cashier.give("a", 700, "welcome") == 700

        def fails(_: apsw.Connection, posting: int) -> None:
            raise ValueError("no such account")

        with pytest.raises(ValueError, match="no such account"):
            await desk.cashier.give("b", 700, "", fails)
        assert desk.cashier.balance("b") == (0, 0)
        await desk.cashier.top_up("a", 5)
        assert desk.postings() == [("gift", 700, 700), ("topup", 5, 705)]

    run(path, scenario)
    clean(path)


def test_a_plan_pays_in_credits_and_who_has_none_in_money(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        payer = Payer("planner", plan=True)
        line = await desk.bill(desk.line(account_id="planner"), payer=payer)
        assert (line.plan_credits, line.charge, line.price_version) == (15, 0, 0)
        assert desk.plan.left == 985
        failed = await desk.bill(desk.line(account_id="planner", source="none"), payer=payer)
        assert (failed.plan_credits, desk.plan.left) == (0, 985)
        hold = desk.cashier.hold(payer, "plain", 10, 10)
        desk.cashier.void(hold)
        assert desk.plan.left == 985
        with pytest.raises(ApiError, match="1308") as refusal:
            desk.cashier.hold(payer, "plain", 1000, 1000)
        assert refusal.value.code == "1308"
        with pytest.raises(ApiError) as refusal:
            desk.cashier.hold(Payer("a", plan=True), "plain", 10, 10)
        assert refusal.value.code == "1113"
        assert desk.database.read("SELECT plan_credits FROM usage ORDER BY id") == [(15,), (0,)]

    run(path, scenario)
    clean(path)


def test_a_reply_is_kept_with_its_charge(path: Path) -> None:
    reply = StoredReply(b"d" * 32, b'{"id": 1}', START_MS)

    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 1000)
        find = desk.cashier.find_request
        assert find("a", "mine") is None
        await desk.bill(desk.line(request_id="mine"), reply=reply)
        assert find("a", "mine") == reply
        assert find("b", "mine") is None
        await desk.bill(desk.line("unheard-of", request_id="free"), reply=reply)
        assert find("a", "free") == reply
        large = StoredReply(b"d" * 32, b"x" * (MAX_REPLY_BYTES + 1), START_MS)
        line = await desk.bill(desk.line(request_id="large"), reply=large)
        assert find("a", "large") == Claimed(line.log_id)
        # A request that came to nothing does not use its id up.
        await desk.bill(desk.line(request_id="failed", source="none"), reply=reply)
        assert find("a", "failed") is None
        await desk.bill(desk.line(request_id="failed"))
        # A plan keeps replies, too.
        planner = desk.line(account_id="planner", request_id="plan")
        await desk.bill(planner, payer=Payer("planner", plan=True), reply=reply)
        assert find("planner", "plan") == reply

    run(path, scenario)
    clean(path)


def test_a_request_id_is_charged_once_whatever_happens(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 1000)
        await desk.bill(desk.line(request_id="mine"))
        # Nobody asked find_request: the disk still refuses.
        with pytest.raises(apsw.ConstraintError):
            await desk.bill(desk.line(request_id="mine"))
        assert desk.cashier.balance("a") == (800, 0)
        with pytest.raises(apsw.ConstraintError):
            await desk.bill(msgspec.structs.replace(desk.line(), log_id="id-0-2", request_id="id-0-2"))
        assert desk.cashier.balance("a") == (800, 0)
        await desk.cashier.top_up("b", 1000)
        await desk.bill(desk.line(account_id="b", request_id="mine"))
        assert desk.cashier.audit() == []

    run(path, scenario)
    clean(path)


def test_adjustments_go_both_ways_but_not_below_nothing(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        cashier = desk.cashier
        assert await cashier.adjust("a", 500, "gift") == 500
        assert await cashier.adjust("a", -200, "mistake") == 300
        with pytest.raises(ValueError, match=r"the balance is 0\.000000300 yuan"):
            await cashier.adjust("a", -301)
        with pytest.raises(ValueError, match="not 0"):
            await cashier.adjust("a", 0)
        for nano in (0, -5):
            with pytest.raises(ValueError, match="more than nothing"):
                await cashier.top_up("a", nano)
        assert desk.postings() == [("adjust", 500, 500), ("adjust", 200, 300)]
        rows = desk.database.read("SELECT memo FROM ledger ORDER BY seq")
        assert rows == [("gift",), ("mistake",)]

    run(path, scenario)
    clean(path)


def test_more_than_the_database_can_count_is_refused(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 2**63 - 1)
        for how in (desk.cashier.top_up, desk.cashier.give, desk.cashier.adjust):
            with pytest.raises(ValueError, match=r"an account can have at most 9223372036\.854775807 yuan"):
                await how("a", 1)
        assert desk.cashier.balance("a") == (2**63 - 1, 0)
        assert len(desk.postings()) == 1
        with pytest.raises(ValueError, match="a pack has at most 9223372036854775807 tokens or calls"):
            await desk.cashier.grant_pack("a", "tokens", 2**63, from_ms=START_MS, to_ms=START_MS + DAY_MS)
        assert desk.cashier.audit() == []

    run(path, scenario)
    clean(path)


def test_a_charge_is_given_back_in_parts_or_whole_but_once(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        cashier = desk.cashier
        await cashier.top_up("a", 1000)
        line = await desk.bill(desk.line())
        assert await cashier.refund(line.log_id, 50, "slow") == Charge(50)
        with pytest.raises(ValueError, match=r"0\.000000150 yuan can be given back"):
            await cashier.refund(line.log_id, 151)
        assert await cashier.refund(line.log_id) == Charge(150)
        for nano in (None, 1):
            with pytest.raises(ValueError, match=r"given back|give back"):
                await cashier.refund(line.log_id, nano)
        with pytest.raises(ValueError, match="no request nowhere"):
            await cashier.refund("nowhere")
        with pytest.raises(ValueError, match="more than nothing"):
            await cashier.refund(line.log_id, 0)
        assert cashier.balance("a") == (1000, 0)
        assert cashier.audit() == []

    run(path, scenario)
    clean(path)


def test_what_packs_paid_is_given_back_to_them(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        cashier = desk.cashier
        await cashier.top_up("a", 1000)
        pack = await cashier.grant_pack("a", "tokens", 12, from_ms=START_MS, to_ms=START_MS + DAY_MS)
        line = await desk.bill(desk.line())
        assert (line.charge, line.pack_tokens) == (60, 12)
        with pytest.raises(ValueError, match=r"0\.000000060 yuan"):
            await cashier.refund(line.log_id, 61)
        assert await cashier.refund(line.log_id) == Charge(60, (Burn(pack.id, "tokens", 12),))
        assert cashier.balance("a") == (1000, 0)
        assert [each.left for each in cashier.packs("a")] == [12]
        line = await desk.bill(desk.line())
        # The pack is over: what comes back to it is written off by the next round.
        desk.now_ms += 2 * DAY_MS
        await cashier.tend()
        await cashier.refund(line.log_id)
        await cashier.tend()
        assert desk.postings()[-1] == ("pack_expire", 12, 0)

    run(path, scenario)
    clean(path)


def test_a_pack_that_cannot_be_is_refused(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        with pytest.raises(ValueError, match="at least one"):
            await desk.cashier.grant_pack("a", "tokens", 0, from_ms=1, to_ms=2)
        with pytest.raises(ValueError, match="after it begins"):
            await desk.cashier.grant_pack("a", "tokens", 1, from_ms=2, to_ms=2)

    run(path, scenario)
    assert clean(path).postings == 0


def test_packs_that_have_ended_are_written_off_once(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        cashier = desk.cashier
        await cashier.grant_pack("a", "tokens", 100, from_ms=START_MS, to_ms=START_MS + DAY_MS)
        hold = cashier.hold(Payer("a"), "plain", 10, 20)
        desk.now_ms += DAY_MS
        await cashier.tend()
        assert desk.postings() == [("pack_grant", 100, 100), ("pack_expire", 70, 30)]
        cashier.void(hold)
        await cashier.tend()
        await cashier.tend()
        assert desk.postings()[2:] == [("pack_expire", 30, 0)]
        assert cashier.packs("a") == ()

    run(path, scenario)
    clean(path)


def test_a_pack_that_ended_while_nobody_looked_is_written_off_after_the_restart(path: Path) -> None:
    async def before(desk: Desk) -> None:
        await desk.cashier.grant_pack("a", "calls", 3, from_ms=START_MS, to_ms=START_MS + DAY_MS)

    async def after(desk: Desk) -> None:
        desk.now_ms += 2 * DAY_MS
        with pytest.raises(ApiError):
            desk.cashier.hold(Payer("a"), "plain", 1, 1)
        await desk.cashier.tend()
        assert desk.postings() == [("pack_grant", 3, 3), ("pack_expire", 3, 0)]

    run(path, before)
    run(path, after)
    clean(path)


def test_old_replies_are_forgotten_but_not_their_ids(path: Path) -> None:
    reply = StoredReply(b"d" * 32, b"{}", START_MS)

    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 1000)
        line = await desk.bill(desk.line(request_id="mine"), reply=reply)
        desk.now_ms += DAY_MS
        await desk.cashier.tend()
        assert desk.cashier.find_request("a", "mine") == reply
        desk.now_ms += 1
        assert desk.cashier.find_request("a", "mine") == Claimed(line.log_id)
        await desk.cashier.tend()
        await desk.database.write(lambda _connection: None)
        assert desk.database.read("SELECT count(*) FROM replies") == [(0,)]

    run(path, scenario)
    clean(path)


def test_a_full_queue_charges_nothing(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 1000)
        for _ in range(QUEUE_ITEMS_MAX):
            desk.database.submit("SELECT 1 WHERE 0", (), lambda _error: None)
        for line, how in (
            (desk.line(), {}),
            (desk.line(source="none"), {}),
            (desk.line("unheard-of"), {}),
            (desk.line(account_id="planner"), {"payer": Payer("planner", plan=True)}),
        ):
            with pytest.raises(DatabaseBusy):
                desk.start(line, **how)  # type: ignore[arg-type]
        assert desk.plan.left == 1000
        assert desk.cashier.balance("a") == (1000, 0)
        for action in (desk.cashier.top_up("a", 1), desk.cashier.adjust("a", -1)):
            with pytest.raises(DatabaseBusy):
                await action
        assert desk.cashier.balance("a") == (1000, 0)
        while desk.database.queue_length:
            await asyncio.sleep(0)
        assert (await desk.bill(desk.line())).charge == 200

    run(path, scenario)
    clean(path)


def test_a_pack_is_written_off_later_if_the_queue_is_full(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.grant_pack("a", "tokens", 5, from_ms=START_MS, to_ms=START_MS + 1)
        desk.now_ms += 1
        for _ in range(QUEUE_ITEMS_MAX):
            desk.database.submit("SELECT 1 WHERE 0", (), lambda _error: None)
        await desk.cashier.tend()
        while desk.database.queue_length:
            await asyncio.sleep(0)
        await desk.cashier.tend()
        assert desk.postings() == [("pack_grant", 5, 5), ("pack_expire", 5, 0)]

    run(path, scenario)
    clean(path)


def test_a_closed_database_charges_nothing(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 1000)
        hold, line = desk.cashier.hold(Payer("a"), "plain", 10, 5), desk.line()
        desk.database.close()
        with pytest.raises(DatabaseClosed):
            desk.cashier.settle(hold, line, lambda _error: None)
        assert desk.cashier.balance("a") == (1000, 0)
        await desk.cashier.tend()

    run(path, scenario)
    clean(path)


def test_an_action_goes_on_when_its_caller_is_gone(path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        task = asyncio.create_task(desk.cashier.top_up("a", 1000))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        await desk.database.write(lambda _connection: None)
        assert desk.cashier.balance("a") == (1000, 0)

    run(path, scenario)
    clean(path)
