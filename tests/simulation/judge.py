"""What must be true, whatever happened: judged by what callers saw, what engines made and what is on disk."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from openbigmodel.billing.ledger import Hold, Pack
from openbigmodel.billing.pricing import Price
from openbigmodel.billing.usage import Usage
from tests.reference_ledger import cost, round_half_up, tariff
from tests.simulation.bank import balances
from tests.simulation.requests import Ask, Bill
from tests.simulation.virtual_time import SECOND_US

if TYPE_CHECKING:
    from tests.simulation.world import World

ABORT_US_MAX = SECOND_US

Done = Callable[[BaseException | None], None]


class Wrong(AssertionError):  # noqa: N818 - a verdict.
    """Something is not as it must be."""


def check(holds: bool, sentence: str) -> None:
    if not holds:
        raise Wrong(sentence)


def admission(world: "World", ask: Ask, before: "Before", hold: Hold | None, code: str) -> None:
    """Packs first, in their order, then the balance, and no refusal of what these cover.

    `code` is that of a refusal.
    """
    if hold is None and code != "1113":
        return
    price = world.versions[ask.price_version]
    shares = before.shares(ask) if price.bound(ask.prompt_bound, ask.max_tokens) else []
    called = any(pack.unit == "calls" for pack, _ in shares)
    covered = sum(amount for _, amount in shares)
    bound = 0 if called else price.bound(ask.prompt_bound, ask.max_tokens, covered)
    if hold is None:
        sentence = f"{ask.log_id} was refused, though the balance of {before.balance} covers {bound}"
        check(bound > before.balance, sentence)
        return
    check(hold.cash <= before.balance, f"{ask.log_id} holds {hold.cash} of a balance of {before.balance}")
    check(hold.cash == bound, f"{ask.log_id} holds {hold.cash} and may cost {bound}")
    held = [(pack.id, amount) for pack, amount in hold.packs]
    expected = [(pack.id, amount) for pack, amount in shares]
    check(held == expected, f"{ask.log_id} takes {held} from packs instead of {expected}")


@dataclass(slots=True)
class Before:
    """What an account had, just before a request came."""

    balance: int
    packs: list[tuple[Pack, int]]
    now_ms: int

    def shares(self, ask: Ask) -> list[tuple[Pack, int]]:
        """What each pack must hold for it."""
        shares: list[tuple[Pack, int]] = []
        missing = ask.prompt_bound + ask.max_tokens
        for pack, left in sorted(self.packs, key=lambda each: (each[0].to_ms, each[0].from_ms, each[0].id)):
            in_time = pack.from_ms <= self.now_ms < pack.to_ms
            if not in_time or not left or (pack.models is not None and ask.model not in pack.models):
                continue
            if pack.unit == "calls":
                return [*shares, (pack, 1)]
            if missing:
                shares.append((pack, min(left, missing)))
                missing -= shares[-1][1]
        return shares


def meanwhile(world: "World") -> None:
    """At any moment: nothing negative, everything held by somebody."""
    if world.money is None:
        return
    ledger = world.money.ledger
    problems = world.money.audit()
    check(not problems, "; ".join(problems))
    for caller in world.callers:
        check(ledger.balance(caller.account) >= 0, f"the balance of {caller.account} is negative")


def at_the_end(world: "World") -> None:
    """All is quiet: everybody has what the disk says, and the disk says what it must."""
    disk = world.disk
    check(not disk.doubled, f"billed twice: {disk.doubled}")
    asks = [ask for caller in world.callers for ask in caller.asks]
    for ask in asks:
        one_request(world, ask, disk.bills.get(ask.log_id))
    log_ids = {ask.log_id for ask in asks}
    for log_id in disk.bills:
        check(log_id in log_ids, f"{log_id} is billed, and nobody asked")
    request_ids(world, asks)
    money(world)


def one_request(world: "World", ask: Ask, bill: Bill | None) -> None:
    name = f"request {ask.log_id} of {ask.account}"
    if ask.refused and not ask.asked:
        check(bill is None, f"{name} was refused with {ask.refused}, and is written down")
    if (
        ask.asked
        and ask.held_for is not None
        and not (ask.reserved is None and world.versions[ask.price_version].free)
    ):
        check(
            ask.held_for == ask.prompt_bound,
            f"{name} is as long as {ask.prompt_bound}, held for {ask.held_for}",
        )
    if ask.ended and not ask.replayed:
        check(bill is not None, f"{name} was answered, and is not on disk")
    if ask.left_us is not None and ask.asked:
        late = ask.stopped_us is None or ask.stopped_us - ask.left_us > ABORT_US_MAX
        check(not late, f"{name} was left, and its engine goes on")
    if bill is None:
        excused = ask.unsaved or ask.process in world.crashed
        check(not ask.delivered or ask.replayed or excused, f"{name} got something, and nothing is on disk")
        return
    check(bill.account == ask.account, f"{name} is billed to {bill.account}")
    if not bill.made:
        check(bill.free, f"{name} is charged, and nothing was made")
        check(not ask.ended or ask.replayed, f"{name} was answered for nothing")
        check(not ask.delivered or ask.unsaved, f"{name} got something for nothing")
        return
    check(ask.finished or bool(ask.chunks), f"{name} is billed, and nothing was made")
    # What was blocked was made, and is paid, though a crash may keep its caller from hearing why it got nothing.
    if ask.broken and not ask.stream and bill.code != "1301":
        check(ask.finished, f"{name} is billed, and its caller got an error because of the engine")
    amount_of_tokens(ask, bill.usage, world.versions[bill.price_version], name)
    check(bill.price_version == ask.price_version, f"{name} has not the price of its admission")
    amount_of_money(ask, bill, world.versions[bill.price_version], name)


def amount_of_tokens(ask: Ask, usage: Usage, price: Price, name: str) -> None:
    """delivered ≤ billed ≤ made, as far as the engine can be believed, and never more than was held."""
    said = ask.reported
    made = max(ask.produced, 0 if said is None else said.completion_tokens)
    check(ask.delivered <= usage.completion_tokens, f"{name} got more than is billed")
    check(usage.completion_tokens <= made, f"{name} is billed {usage.completion_tokens} of {made} tokens")
    if not price.free or ask.reserved is not None:
        check(usage.completion_tokens <= ask.max_tokens, f"{name} is billed more than it asked for")
    if said is None:
        check(usage.prompt_tokens <= ask.prompt_bound, f"{name} is billed more prompt than it can have")
    else:
        longest = max(said.prompt_tokens, ask.prompt_bound)
        check(usage.prompt_tokens <= longest, f"{name} is billed more prompt than its engine says")
    if said is None and ask.prompt_estimate is not None:
        estimate = min(ask.prompt_estimate, ask.prompt_bound)
        check(usage.prompt_tokens == estimate, f"{name}: its prompt is not estimated")
    if said is not None and ask.ended and ask.chunks <= said.completion_tokens <= ask.max_tokens:
        check(usage.completion_tokens == said.completion_tokens, f"{name} is not billed what its engine says")


def amount_of_money(ask: Ask, bill: Bill, price: Price, name: str) -> None:
    """To the nano-yuan, counted token by token, and never more than was held."""
    usage = bill.usage
    band = tariff(price, usage.prompt_tokens, usage.completion_tokens)
    tokens = [band.input] * (usage.prompt_tokens - usage.cached_tokens)
    tokens += [band.input if band.cached is None else band.cached] * usage.cached_tokens
    tokens += [band.output] * usage.completion_tokens
    covered = sum(burned.amount for burned in bill.burns if burned.unit == "tokens")
    calls = sum(burned.amount for burned in bill.burns if burned.unit == "calls")
    check(covered <= len(tokens), f"{name} takes {covered} tokens from packs and used {len(tokens)}")
    due = Fraction(0) if calls else cost(price, tokens[covered:])
    charge = min(round_half_up(due), ask.held)
    check(bill.nano == charge, f"{name} is charged {bill.nano}, costs {float(due)} and held {ask.held}")
    check(calls <= 1, f"{name} takes {calls} calls")


def request_ids(world: "World", asks: list[Ask]) -> None:
    """A request id is charged once, and answered from what is stored the second time."""
    made: Counter[tuple[str, str]] = Counter()
    for ask in asks:
        bill = None if ask.replayed else world.disk.bills.get(ask.log_id)
        if bill is not None and bill.made and ask.request_id is not None:
            made[ask.key()] += 1
    for key, times in made.items():
        check(times == 1, f"request id {key} is charged {times} times")
    answered: dict[tuple[str, str], int] = {}
    for ask in asks:
        if ask.ended and ask.request_id is not None:
            answered[ask.key()] = min(ask.ended_us, answered.get(ask.key(), ask.ended_us))
    for ask in asks:
        if ask.asked and ask.request_id is not None:
            first_us = answered.get(ask.key(), ask.sent_us)
            check(ask.sent_us <= first_us, f"an engine was asked again for request id {ask.key()}")
    for ask in asks:
        if ask.replayed:
            bill = world.disk.claims[ask.key()]
            check(
                bill.reply == (ask.digest, ask.reply),
                f"request {ask.number} got another reply than the first",
            )


def money(world: "World") -> None:
    """What is on disk adds up, holds everything that was acknowledged, and is what memory says."""
    on_disk = Counter(entry.id for entry in world.disk.entries)
    check(all(times == 1 for times in on_disk.values()), "an entry is on disk twice")
    entries = {entry.id: entry for entry in world.disk.entries}
    for entry_id, (account, nano) in world.acknowledged.items():
        entry = entries.get(entry_id)
        check(entry is not None, f"{entry_id} was acknowledged and is not on disk")
        assert entry is not None
        check(entry.account == account, f"{entry_id} went to {entry.account}")
        check(bool(entry.pack_id) or entry.amount == nano, f"{entry_id} is {entry.amount} instead of {nano}")
    cash, left = balances(world.disk)
    check(all(amount >= 0 for amount in cash.values()), f"a balance on disk is negative: {cash}")
    check(all(amount >= 0 for amount in left.values()), f"a pack on disk is negative: {left}")
    if world.money is None:
        return
    ledger = world.money.ledger
    for caller in world.callers:
        account = caller.account
        check(ledger.held(account) == 0, f"{ledger.held(account)} nano-yuan of {account} are held for nobody")
        in_memory, truth = ledger.balance(account), cash.get(account, 0)
        check(in_memory == truth, f"{account} has {in_memory} nano-yuan in memory and {truth} on disk")
        for pack in ledger.packs(account):
            check(pack.held == 0, f"{pack.held} of {pack.id} are held for nobody")
            check(pack.left == left.pop(pack.id, 0), f"{pack.id} has another amount on disk than in memory")
    now_ms = world.clock.now_ms()
    check(not any(left.values()), f"packs on disk that memory does not know at {now_ms}: {left}")
