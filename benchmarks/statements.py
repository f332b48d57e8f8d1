"""Builds a month of ten million lines and measures what statements, bills and look-ups of it take.

    python benchmarks/statements.py                          # about five minutes and 6 GB in the temporary folder
    python benchmarks/statements.py --lines 500000 --keep build/month
    python benchmarks/statements.py --reuse build/month      # measure again
    python benchmarks/statements.py --edges                  # half a minute and 0.5 GB, the same to a statement

Four fifths of the lines belong to one account. The sums are made by the server's own step. With --edges only the first
and the last day have lines, as many as in a whole month; of the days between there are the sums, which are all that a
statement of them reads. So whatever is measured lies in these two days or between them.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import msgspec

from openbigmodel.billing.bill import make_bill
from openbigmodel.billing.explain import explain, find_requests
from openbigmodel.billing.periods import DAY_MS, HOUR_MS, Month, Period
from openbigmodel.billing.price_history import PriceHistory
from openbigmodel.billing.pricing import Band, Price
from openbigmodel.billing.rollup import step
from openbigmodel.billing.statement import By, Filter, Statements
from openbigmodel.db.migrations import migrate

LINES = 10_000_000
LIMIT_MS = 200.0
MONTH = Month(2026, 11)
ACCOUNTS = 200
BIG_ACCOUNT = f"{0:032x}"
MODELS = 12
KEYS = 40
# Rows that the server's next step would sum: what arrives in a second or two.
UNSUMMED = 5000

_PRICE = Price(
    "",
    bands=(
        Band(4_000_000_000, 16_000_000_000, 800_000_000),
        Band(8_000_000_000, 16_000_000_000, 1_600_000_000, input_from=32_000),
    ),
)

# One request a line, in the order of time; the tenth has its tokens paid by a pack, every 211th fails.
_USAGE = """
INSERT INTO usage (
    id, log_id, request_id, account_id, api_key_id, model, engine, prompt_tokens, cached_tokens, completion_tokens,
    reasoning_tokens, finish_reason, code, started_ms, ended_ms, charge, price_version, pack_tokens, source, stream, claims,
    posting
)
WITH RECURSIVE numbers (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM numbers WHERE i < ?2)
SELECT
    i,
    strftime('%Y%m%d%H%M%S', (?3 + i * ?4 / ?5 - 1000 + 28800000) / 1000, 'unixepoch') || printf('%016x', i),
    CASE WHEN i % 7 THEN strftime('%Y%m%d%H%M%S', (?3 + i * ?4 / ?5 - 1000 + 28800000) / 1000, 'unixepoch') || printf('%016x', i)
        ELSE 'order-' || i END,
    CASE WHEN i % 5 THEN printf('%032x', 0) ELSE printf('%032x', 1 + i / 5 % ?6) END,
    printf('b1690de1%024x', CASE WHEN i % 5 THEN i * 7 % ?8 ELSE 1000 + i / 5 % ?6 END),
    'glm-' || (i * 31 % 97 % ?7),
    'gpu',
    1000 + i % 3000, i % 500,
    CASE WHEN i % 211 THEN 200 + i % 300 ELSE 0 END, 0,
    CASE WHEN i % 211 THEN 'stop' ELSE '' END, CASE WHEN i % 211 THEN '' ELSE '1234' END,
    ?3 + i * ?4 / ?5 - 1000, ?3 + i * ?4 / ?5,
    CASE WHEN i % 211 = 0 OR i % 10 = 3 THEN 0 ELSE 12345678 END,
    1 + i * 31 % 97 % ?7,
    CASE WHEN i % 211 AND i % 10 = 3 THEN 1200 + i % 3000 + i % 300 ELSE 0 END,
    'engine', 1, 1, CASE WHEN i % 211 THEN i END
FROM numbers
"""
_LEDGER = """
INSERT INTO ledger (seq, at_ms, kind, debit, credit, amount, balance, usage_id, log_id, memo, hash)
SELECT
    id, ended_ms, CASE WHEN pack_tokens THEN 'pack_burn' ELSE 'post' END,
    100 + 2 * CASE WHEN id % 5 THEN 0 ELSE 1 + id / 5 % ?3 END + (pack_tokens > 0),
    CASE WHEN pack_tokens THEN 8 ELSE 2 END,
    charge + pack_tokens, 1000000000000 + id, id, log_id, '', zeroblob(32)
FROM usage
WHERE id >= ?1 AND id <= ?2 AND charge + pack_tokens > 0
"""
_REST = """
INSERT INTO ledger (at_ms, kind, debit, credit, amount, balance, log_id, memo, hash)
SELECT ?1 + id, 'refund', 2, id, 1000000, 1000000, 'refund-' || id, 'a test', zeroblob(32)
FROM books WHERE name = 'cash'
"""
# The sums of the first day, for another one.
_SAME_DAY = """
INSERT INTO usage_sums
SELECT
    account_id, span, from_ms + ?1, model, api_key_id, requests, failed, free, prompt_tokens, cached_tokens,
    completion_tokens, reasoning_tokens, charge, saved, pack_tokens, pack_calls, plan_credits
FROM usage_sums WHERE from_ms >= ?2 AND from_ms < ?3
"""
_PART_LINES = 200_000


def build_month(
    path: Path, lines: int, tell: Callable[[str], None] = lambda _: None, *, edges: bool = False
) -> None:
    """Makes the database of a server whose month had so many requests, with the sums of all but the last UNSUMMED.

    `edges`: only its first and its last day have lines.
    """
    connection = apsw.Connection(str(path))
    migrate(connection)
    connection.pragma("journal_mode", "OFF")
    connection.pragma("synchronous", "OFF")
    connection.pragma("cache_size", -1_000_000)
    # An index is made far quicker for all rows than row by row.
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name IN ('usage', 'ledger') AND sql IS NOT NULL"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    _people_and_prices(connection)
    period = MONTH.period
    length_ms = period.to_ms - period.from_ms
    of_a_day = lines * DAY_MS // length_ms
    parts = [(1, of_a_day), (lines - of_a_day + 1, lines)] if edges else [(1, lines)]
    for begin, end in parts:
        for first in range(begin, end + 1, _PART_LINES):
            last = min(first + _PART_LINES - 1, end)
            with connection:
                times = (period.from_ms, length_ms, lines + 1)
                connection.execute(_USAGE, (first, last, *times, ACCOUNTS, MODELS, KEYS))
                connection.execute(_LEDGER, (first, last, ACCOUNTS))
            if first % 2_000_000 == 1:
                tell(f"{last:,} lines")
    connection.execute(_REST, (period.from_ms,))
    tell("indexes")
    for _, sql in indexes:
        connection.execute(str(sql))
    tell("sums")
    if edges:
        sum_up(connection, of_a_day)
        with connection:
            # Row numbers that nothing has are passed over.
            connection.execute("UPDATE usage_summed SET usage_id = ?", (lines - of_a_day,))
            for day in range(1, length_ms // DAY_MS - 1):
                connection.execute(_SAME_DAY, (day * DAY_MS, period.from_ms, period.from_ms + DAY_MS))
        sum_up(connection, of_a_day - UNSUMMED)
    else:
        sum_up(connection, lines - UNSUMMED)
    connection.pragma("journal_mode", "WAL")
    connection.close()


def sum_up(connection: apsw.Connection, lines: int, rows: int = 20_000) -> None:
    """The server's own steps, only larger."""
    PriceHistory(connection).define_function()
    with connection:
        for _ in range(lines // rows):
            step(connection, rows)
        if lines % rows > 0:
            step(connection, lines % rows)


def _people_and_prices(connection: apsw.Connection) -> None:
    created_ms = MONTH.period.from_ms
    with connection:
        for number in range(ACCOUNTS + 1):
            account = f"{number:032x}"
            connection.execute(
                "INSERT INTO accounts (id, name, operator, created_ms) VALUES (?, ?, 0, ?)",
                (account, f"account {number}", created_ms),
            )
            books = ((100 + 2 * number, "cash", "nano"), (101 + 2 * number, f"pack:{number}", "tokens"))
            for book, name, unit in books:
                connection.execute("INSERT INTO books VALUES (?, ?, ?, ?)", (book, account, name, unit))
        for number in range(MODELS):
            price = msgspec.structs.replace(_PRICE, model=f"glm-{number}")
            connection.execute(
                "INSERT INTO prices VALUES (?, ?, 'config', ?, ?)",
                (number + 1, price.model, msgspec.json.encode(price).decode(), created_ms),
            )


def measures(
    statements: Statements, chance: random.Random, account: str, lines: int, *, edges: bool = False
) -> dict[str, Callable[[], object]]:
    """What is measured, by name; each call asks something else."""
    period = MONTH.period
    owner = statements.owner(account)
    first_day = By(span_ms=DAY_MS)

    def since() -> Period:
        if edges:
            return Period(chance.randrange(period.from_ms, period.from_ms + DAY_MS))
        return Period(chance.randrange(period.from_ms, period.to_ms))

    def between() -> Period:
        if edges:
            from_ms = chance.randrange(period.from_ms, period.from_ms + DAY_MS)
            return Period(from_ms, chance.randrange(period.to_ms - DAY_MS, period.to_ms))
        from_ms = chance.randrange(period.from_ms, period.to_ms - DAY_MS)
        return Period(from_ms, from_ms + chance.randrange(HOUR_MS, 20 * DAY_MS))

    def model() -> Filter:
        return Filter(model=f"glm-{chance.randrange(MODELS)}")

    def reference() -> str:
        number = lines - chance.randrange(lines // 40)
        row = statements.connection.execute("SELECT log_id, request_id FROM usage WHERE id = ?", (number,))
        return str(row.fetchall()[0][chance.randrange(2)])

    def explain_one() -> object:
        return [explain(statements, line) for line in find_requests(statements, reference())]

    return {
        "bill of the month": lambda: make_bill(statements, owner, MONTH, period.to_ms),
        "totals": lambda: statements.total(account),
        "totals since a moment": lambda: statements.total(account, since()),
        "totals between moments": lambda: statements.total(account, between()),
        "by model": lambda: statements.groups(account, By(model=True), period),
        "by key": lambda: statements.groups(account, By(key=True), period),
        "by day": lambda: statements.groups(account, first_day, period),
        "by hour": lambda: statements.groups(account, By(span_ms=HOUR_MS), period),
        "by day, model, key": lambda: statements.groups(account, By(DAY_MS, model=True, key=True), period),
        "of one model": lambda: statements.total(account, period, model()),
        "100 newest lines": lambda: list(statements.lines(account, limit=100)),
        "100 lines before": lambda: list(statements.lines(account, between(), limit=100)),
        "50 lines of a model": lambda: list(statements.lines(account, between(), model(), limit=50)),
        "50 failures": lambda: list(statements.lines(account, between(), Filter(failed=True), limit=50)),
        "explain a charge": explain_one,
    }


def p95(times_ms: list[float]) -> float:
    """The time that one in twenty takes longer than."""
    return sorted(times_ms)[int(len(times_ms) * 0.95)]


def measure(
    data: Path,
    lines: int,
    repetitions: int,
    clock: Callable[[], float] = time.perf_counter,
    *,
    edges: bool = False,
) -> dict[str, list[float]]:
    """Milliseconds of each call, for the big account, by what was asked."""
    chance = random.Random(1)
    times: dict[str, list[float]] = {}
    with Statements.open(data) as statements:
        for name, ask in measures(statements, chance, BIG_ACCOUNT, lines, edges=edges).items():
            for _ in range(repetitions):
                began = clock()
                ask()
                times.setdefault(name, []).append((clock() - began) * 1000)
    return times


def main() -> int:
    """Exit status 1 if something took too long."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edges", action="store_true", help="lines of the first and the last day only")
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--repetitions", type=int, default=60)
    parser.add_argument("--keep", type=Path, metavar="DIR")
    parser.add_argument("--reuse", type=Path, metavar="DIR")
    parser.add_argument(
        "--cpu", action="store_true", help="processor time, on a machine that does other things too"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data = options.reuse or options.keep or Path(temporary)
        if options.reuse is None:
            data.mkdir(parents=True, exist_ok=True)
            began = time.perf_counter()
            build_month(data / "bigmodel.db", options.lines, print, edges=options.edges)
            size = (data / "bigmodel.db").stat().st_size / 2**30
            print(f"{options.lines:,} lines, {size:.1f} GiB, in {time.perf_counter() - began:.0f} s")
        clock = time.thread_time if options.cpu else time.perf_counter
        times = measure(data, options.lines, options.repetitions, clock, edges=options.edges)
    print(f"{'':24}{'first':>9}{'median':>9}{'p95':>9}  ms")
    for name, each in times.items():
        print(f"{name:24}{each[0]:9.1f}{statistics.median(each):9.1f}{p95(each):9.1f}")
    overall = p95([one for each in times.values() for one in each])
    print(f"{'all of them':24}{'':18}{overall:9.1f}")
    return int(max(overall, *map(p95, times.values())) > LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
