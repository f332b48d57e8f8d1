"""A database with requests, for tests of statements; and statements made the slow way, line by line in Python."""

import hashlib
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import apsw
import msgspec

from openbigmodel.billing.periods import DAY_MS, HOUR_MS, Month, Period, day_start
from openbigmodel.billing.price_history import PriceHistory
from openbigmodel.billing.pricing import Band, Price
from openbigmodel.billing.rollup import step
from openbigmodel.billing.statement import By, Filter, Group, Line, Used
from openbigmodel.billing.usage import Usage
from openbigmodel.db.migrations import migrate

ACCOUNT = "a" * 32
OTHER = "b" * 32
KEY = "b1690de1" + "1" * 24
SECOND_KEY = "b1690de1" + "2" * 24
MONTH = Month(2026, 11)
START_MS = MONTH.period.from_ms
# Half of it in the month before.
MIDNIGHT = START_MS

PRICES = (
    Price("glm-4.6", 1, (Band(4_000_000_003, 16_000_000_001, 800_000_000),)),
    Price(
        "glm-4.5",
        2,
        (Band(2_000_000_000, 8_000_000_000), Band(4_000_000_000, 8_000_000_000, input_from=32_000)),
    ),
    Price("glm-call", 3, per_call=10_000_000),
)


class World:
    """A database file.

    Rows are inserted as they are given, with postings that fit; none of it goes through the server.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bigmodel.db"
        # The command line looks for it.
        (folder / "lock").touch()
        self.connection = apsw.Connection(str(self.path))
        self.connection.pragma("journal_mode", "WAL")
        self.connection.pragma("synchronous", "OFF")
        migrate(self.connection)
        PriceHistory(self.connection).define_function()
        self.lines: list[Line] = []
        self._books = 100
        for account, name in ((ACCOUNT, "Alpha"), (OTHER, "Beta")):
            self._insert("accounts", id=account, name=name, operator=0, created_ms=START_MS)
            self._book(account, "cash", "nano")
            self._book(account, "pack:p1", "tokens")
            self._book(account, "pack:p2", "calls")
        for key, name in ((KEY, "first"), (SECOND_KEY, "=second")):
            self._insert(
                "api_keys", id=key, account_id=ACCOUNT, kind="standard", name=name, created_ms=START_MS
            )
        for price in PRICES:
            body = msgspec.json.encode(price).decode()
            self._insert(
                "prices",
                version=price.version,
                model=price.model,
                source="config",
                body=body,
                created_ms=START_MS,
            )

    def close(self) -> None:
        self.connection.close()

    def line(self, ended_ms: int, **given: object) -> Line:
        """A request; what is not given is that of a small paid one.

        The charge is what the price says less `overage`, unless given.
        """
        number = len(self.lines) + 1
        facts: dict[str, object] = {
            "id": number,
            "log_id": f"{number:030}",
            "request_id": f"{number:030}",
            "api_key_id": KEY,
            "model": "glm-4.6",
            "engine": "gpu",
            "prompt_tokens": 1000,
            "cached_tokens": 100,
            "completion_tokens": 200,
            "reasoning_tokens": 20,
            "finish_reason": "stop",
            "code": "",
            "started_ms": ended_ms - 1500,
            "ended_ms": ended_ms,
            "price_version": 1,
            "pack_tokens": 0,
            "pack_calls": 0,
            "source": "engine",
            "note": "",
            "stream": 1,
            "batch": 0,
            "plan_credits": 0,
            "overage": 0,
            "account_id": ACCOUNT,
        } | given
        line = msgspec.convert(facts | {"charge": 0}, Line)
        charge = charge_of(line)
        line = msgspec.structs.replace(
            line, charge=charge - min(line.overage, charge), overage=min(line.overage, charge)
        )
        if "charge" in given:
            line = msgspec.convert(facts, Line)
        self.lines.append(line)
        self._post(line)
        return line

    def post(
        self, kind: str, amount: int, at_ms: int, *, account: str = ACCOUNT, usage_id: int | None = None
    ) -> None:
        """A posting between a platform's book and the account's cash; `amount` in nano-yuan, negative: away from it."""
        platform = {"topup": 1, "gift": 12, "post": 2, "refund": 2, "adjust": 3}[kind]
        book = self._cash(account)
        debit, credit = (platform, book) if amount > 0 else (book, platform)
        self._posting(at_ms, kind, debit, credit, abs(amount), usage_id)

    def sum_up(self, rows: int = 1000) -> None:
        """What the server does in the background, to its end."""
        while self.sum_step(rows):
            pass

    def sum_step(self, rows: int) -> bool:
        self.connection.execute("BEGIN")
        more = step(self.connection, rows)
        self.connection.execute("COMMIT")
        return more

    def _post(self, line: Line) -> None:
        row = msgspec.structs.asdict(line)
        postings: list[tuple[str, int, int, int]] = []
        if line.pack_tokens:
            postings.append(("pack_burn", self._cash(line.account_id) + 1, 8, line.pack_tokens))
        if line.pack_calls:
            postings.append(("pack_burn", self._cash(line.account_id) + 2, 9, line.pack_calls))
        if line.charge:
            postings.append(("post", self._cash(line.account_id), 2, line.charge))
        seq = self.connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM ledger").fetchall()[0][0]
        self._insert("usage", **row, posting=seq if postings else None)
        for kind, debit, credit, amount in postings:
            self._posting(line.ended_ms, kind, debit, credit, amount, line.id)

    def _posting(
        self, at_ms: int, kind: str, debit: int, credit: int, amount: int, usage_id: int | None
    ) -> None:
        book = max(debit, credit)
        self._insert(
            "ledger",
            at_ms=at_ms,
            kind=kind,
            debit=debit,
            credit=credit,
            amount=amount,
            # Deep pockets: what is left is not what these tests are about.
            balance=1_000_000_000_000 - amount if book == debit else 1_000_000_000_000 + amount,
            usage_id=usage_id,
            log_id=f"action-{at_ms}-{kind}-{amount}",
            memo="",
            hash=hashlib.sha256(b"").digest(),
        )

    def _cash(self, account: str) -> int:
        return 100 if account == ACCOUNT else 103

    def _book(self, account: str, name: str, unit: str) -> None:
        self._insert("books", id=self._books, account_id=account, name=name, unit=unit)
        self._books += 1

    def _insert(self, table: str, **row: object) -> None:
        columns, places = ", ".join(row), ", ".join("?" * len(row))
        self.connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", tuple(row.values()))


def charge_of(line: Line) -> int:
    """What the price says, less what packs cover."""
    if line.pack_calls or line.code or not line.price_version:
        return 0
    return price_of(line).charge(usage_of(line), line.pack_tokens)


def price_of(line: Line) -> Price:
    """The price of the version that a line names."""
    price = PRICES[line.price_version - 1] if line.price_version else Price("")
    return price.for_batch() if line.batch else price


def usage_of(line: Line) -> Usage:
    """What was measured."""
    return Usage(line.prompt_tokens, line.cached_tokens, line.completion_tokens, line.reasoning_tokens)


def many_lines(world: World, chance: random.Random, count: int, days: int = 4) -> None:
    """Requests of all kinds around the beginning of the month; some are committed later than they ended."""
    ends = sorted(
        chance.randrange(MIDNIGHT - days * DAY_MS // 2, MIDNIGHT + days * DAY_MS // 2) for _ in range(count)
    )
    with world.connection:
        for ended_ms in ends:
            late_ms = chance.choice((0, 0, 0, 0, 2000, 3 * HOUR_MS))
            # On the dot, too.
            at_ms = (ended_ms - late_ms) // HOUR_MS * HOUR_MS if chance.random() < 0.1 else ended_ms - late_ms
            world.line(at_ms, **random_facts(chance))


def random_facts(chance: random.Random) -> dict[str, object]:
    """Of one request."""
    version = chance.randrange(4)
    prompt = chance.randrange(40_000)
    completion = chance.randrange(2000)
    facts: dict[str, object] = {
        "account_id": chance.choice((ACCOUNT, ACCOUNT, ACCOUNT, OTHER)),
        "api_key_id": chance.choice((KEY, SECOND_KEY)),
        "model": PRICES[version - 1].model if version else "glm-4.5-flash",
        "price_version": version,
        "prompt_tokens": prompt,
        "cached_tokens": chance.randrange(prompt + 1),
        "completion_tokens": completion,
        "reasoning_tokens": chance.randrange(completion + 1),
        "batch": int(chance.random() < 0.2),
    }
    kind = chance.randrange(6)
    if kind == 0:
        facts |= {"code": chance.choice(("1234", "1301")), "finish_reason": "", "completion_tokens": 0}
        facts["reasoning_tokens"] = 0
    elif kind == 1 and version:
        facts["pack_tokens"] = chance.randrange(prompt + completion + 1)
    elif kind == 2 and version:
        facts["pack_calls"] = 1
    elif kind == 3 and not version:
        facts["plan_credits"] = chance.randrange(1, 50)
    if chance.random() < 0.1:
        facts["overage"] = chance.randrange(1_000_000)
    return facts


def chosen(lines: Iterable[Line], account: str, period: Period, only: Filter) -> list[Line]:
    """The lines of a statement, newest first."""
    tests: Sequence[Callable[[Line], bool]] = (
        lambda line: line.account_id == account,
        lambda line: period.from_ms <= line.ended_ms < period.to_ms,
        lambda line: only.model in (None, line.model),
        lambda line: only.api_key_id in (None, line.api_key_id),
        lambda line: only.code is None or line.code == only.code,
        lambda line: not only.failed or line.code != "",
    )
    found = [line for line in lines if all(test(line) for test in tests)]
    return sorted(found, key=lambda line: (line.ended_ms, line.id), reverse=True)


def groups_of(lines: Iterable[Line], by: By) -> list[Group]:
    """The groups of a statement."""
    parts: dict[tuple[int, str, str], list[Line]] = {}
    for line in lines:
        hour = line.ended_ms // HOUR_MS * HOUR_MS
        from_ms = {0: 0, HOUR_MS: hour, DAY_MS: day_start(line.ended_ms)}[by.span_ms]
        place = (from_ms, line.model if by.model else "", line.api_key_id if by.key else "")
        parts.setdefault(place, []).append(line)
    return [Group(*place, sum_of(parts[place])) for place in sorted(parts)]


def sum_of(lines: Sequence[Line]) -> Used:
    """What lines come to."""
    with_packs = [line for line in lines if line.pack_tokens or line.pack_calls]
    return Used(
        requests=len(lines),
        failed=sum(line.code != "" for line in lines),
        free=sum(not (line.code or line.charge or _paid_otherwise(line)) for line in lines),
        prompt_tokens=sum(line.prompt_tokens for line in lines),
        cached_tokens=sum(line.cached_tokens for line in lines),
        completion_tokens=sum(line.completion_tokens for line in lines),
        reasoning_tokens=sum(line.reasoning_tokens for line in lines),
        charge=sum(line.charge for line in lines),
        saved=sum(price_of(line).charge(usage_of(line)) - line.charge - line.overage for line in with_packs),
        pack_tokens=sum(line.pack_tokens for line in lines),
        pack_calls=sum(line.pack_calls for line in lines),
        plan_credits=sum(line.plan_credits for line in lines),
    )


def _paid_otherwise(line: Line) -> bool:
    return bool(line.pack_tokens or line.pack_calls or line.plan_credits)
