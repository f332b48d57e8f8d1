import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import apsw
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.billing.audit import PROBLEMS_MAX, _rates, verify
from openbigmodel.billing.cashier import Payer
from openbigmodel.billing.chain import GENESIS, NO_USAGE, POSTING_WIDTH, link
from openbigmodel.billing.pricing import Band, Price
from openbigmodel.billing.usage import Usage
from openbigmodel.db import migrations
from openbigmodel.db.migrations import MIGRATIONS, DatabaseTooNew, migrate
from openbigmodel.db.queries import QUERIES
from tests.cash_desk import DAY_MS, START_MS, Desk, clean, run
from tests.conftest import SCALE

_TRIGGERS = "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
# What the chain covers.
_COVERED = (
    "SELECT l.*, u.* FROM ledger AS l LEFT JOIN usage AS u ON u.id = l.usage_id ORDER BY l.seq",
    "SELECT * FROM usage WHERE posting IS NOT NULL ORDER BY id",
)


async def all_kinds(desk: Desk) -> None:
    """A ledger with every kind of posting in it, and usage rows with and without."""
    cashier = desk.cashier
    await cashier.top_up("a", 100_000, "paid")
    await cashier.top_up("b", 10_000)
    await cashier.adjust("a", 500, 'gift 礼物 "quoted" \x01 \x7f')
    await cashier.adjust("a", -100)
    line = await desk.bill(desk.line())
    await desk.bill(desk.line("banded", 150, 20, cached=100))
    await desk.bill(desk.line("call", account_id="b"))
    await desk.bill(desk.line("nothing"))
    await desk.bill(desk.line("unheard-of", request_id="mine"))
    await desk.bill(desk.line(source="none", code="500"))
    await cashier.grant_pack("a", "tokens", 20, from_ms=START_MS, to_ms=START_MS + DAY_MS)
    await cashier.grant_pack("a", "calls", 2, gift=True, from_ms=START_MS, to_ms=START_MS + 2 * DAY_MS)
    await desk.bill(desk.line())
    burned = await desk.bill(desk.line())
    await cashier.refund(line.log_id, 50)
    await cashier.refund(burned.log_id)
    desk.now_ms += 3 * DAY_MS
    await cashier.tend()
    await desk.bill(desk.line("banded", 10, 5, request_id="yours"))
    await desk.bill(desk.line("call"), bounds=(1, 1))


async def all_kinds_and_a_gift(desk: Desk) -> None:
    await all_kinds(desk)
    await desk.cashier.give("b", 30, "welcome")
    await desk.bill(desk.line(account_id="planner"), payer=Payer("planner", plan=True))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("audit") / "platform.db"
    run(path, all_kinds_and_a_gift)
    report = clean(path)
    assert report.postings > 15
    return path.read_bytes()


@pytest.fixture
def path(original: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "platform.db"
    path.write_bytes(original)
    return path


def tamper(path: Path, *statements: str) -> list[str]:
    """Changes the past as somebody with the file could, and returns what verify says of it."""
    connection = apsw.Connection(str(path))
    for (name,) in connection.execute(_TRIGGERS).fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    connection.close()
    report = verify(path)
    assert report.ok is not bool(report.problems)
    return report.problems


def test_a_clean_file_is_clean_and_stays_as_it_is(path: Path, original: bytes) -> None:
    report = clean(path)
    assert len(report.head) == 64
    assert verify(path, structure=False) == report
    assert path.read_bytes() == original


def test_an_empty_database_and_one_from_before_the_ledger_are_clean(tmp_path: Path) -> None:
    async def nothing(desk: Desk) -> None:
        pass

    run(tmp_path / "empty.db", nothing)
    report = clean(tmp_path / "empty.db")
    assert (report.postings, report.usage_rows, report.head) == (0, 0, "")
    for steps in (0, 3):
        old = apsw.Connection(str(tmp_path / f"{steps}.db"))
        migrate(old, MIGRATIONS[:steps])
        old.execute("CREATE TABLE IF NOT EXISTS t (x)")
        old.close()
        assert clean(tmp_path / f"{steps}.db").postings == 0


def _execute(connection: apsw.Connection, sql: str) -> None:
    connection.execute(sql)


def test_a_ledger_from_before_there_were_gifts_verifies_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.db"
    with monkeypatch.context() as earlier:
        earlier.setattr(migrations, "MIGRATIONS", MIGRATIONS[:7])
        run(path, all_kinds)
    before = clean(path)
    assert before.postings > 15

    async def later(desk: Desk) -> None:
        await desk.cashier.give("a", 3, "welcome")
        for change in ("UPDATE ledger SET memo = 'x'", "DELETE FROM ledger"):
            with pytest.raises(apsw.ConstraintError, match="append-only"):
                await desk.database.write(partial(_execute, sql=change))

    run(path, later)
    after = clean(path)
    assert after.postings == before.postings + 1
    connection = apsw.Connection(str(path))
    hashes = connection.execute("SELECT hash FROM ledger ORDER BY seq").fetchall()
    assert hashes[before.postings - 1] == (bytes.fromhex(before.head),)
    names = {
        name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE tbl_name = 'ledger'")
    }
    assert names >= {"ledger_by_book", "ledger_refunds", "ledger_actions_by_book"}
    connection.close()


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "nowhere.db")
    (tmp_path / "text.db").write_text("not a database" * 100)
    (problem,) = verify(tmp_path / "text.db").problems
    assert "NotADBError" in problem
    new = apsw.Connection(str(tmp_path / "new.db"))
    migrate(new)
    new.pragma("user_version", len(MIGRATIONS) + 1)
    new.close()
    with pytest.raises(DatabaseTooNew, match="newer release"):
        verify(tmp_path / "new.db")


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE ledger SET amount = amount + 1 WHERE seq = 1", "posting 1 or its usage row is not what was"),
        ("UPDATE ledger SET memo = 'forged' WHERE seq = 3", "posting 3 or its usage row is not what was"),
        ("UPDATE ledger SET at_ms = at_ms - 1 WHERE seq = 2", "posting 2 or its usage row is not what was"),
        ("UPDATE ledger SET hash = zeroblob(32) WHERE seq = 2", "posting 2 or its usage row is not what was"),
        ("UPDATE ledger SET seq = 1000 WHERE seq = 2", "posting 2 is missing"),
        ("DELETE FROM ledger WHERE seq = 1", "posting 1 is missing"),
        ("UPDATE usage SET note = 'forged' WHERE id = 1", "posting 5 or its usage row is not what was"),
        ("UPDATE usage SET api_key_id = 'other' WHERE id = 2", "posting 6 or its usage row is not what was"),
        ("UPDATE usage SET charge = 199 WHERE id = 1", "usage row 1 does not say what posting 5 does"),
        ("UPDATE usage SET claims = 0 WHERE id = 1", "usage row 1 does not say what posting 5 does"),
        ("UPDATE usage SET posting = NULL WHERE id = 1", "posting 5 takes something for no request"),
        ("UPDATE usage SET posting = 4 WHERE id = 1", "usage row 1 does not say what posting 5 does"),
        ("UPDATE usage SET prompt_tokens = 11 WHERE id = 1", "is charged 200 nano-yuan"),
        ("UPDATE usage SET price_version = 3 WHERE id = 1", "is charged 200 nano-yuan"),
        ("UPDATE usage SET price_version = 9 WHERE id = 1", "names price version 9, which does not exist"),
        ("DELETE FROM usage WHERE id = 1", "posting 5 takes something for no request"),
        (
            "UPDATE usage SET posting = 1 WHERE id = 4",
            "usage row 4 was charged, but its posting is not there",
        ),
        ("UPDATE usage SET charge = 5 WHERE id = 4", "usage row 4 names a charge, but no posting"),
        ("UPDATE usage SET price_version = 1 WHERE id = 5", "usage row 5 is charged 0 nano-yuan"),
        *(
            (
                f"UPDATE usage SET {change} WHERE plan_credits > 0",
                "took credits of a Coding Plan, which cannot",
            )
            for change in (
                "account_id = 'a'",
                "claims = 0",
                "prompt_tokens = 0, completion_tokens = 0",
                "overage = 1",
            )
        ),
        (
            "UPDATE usage SET plan_credits = 1 WHERE id = 2",
            "usage row 2 took credits of a Coding Plan, which",
        ),
        ("UPDATE usage SET overage = 5 WHERE id = 6", "usage row 6 has something beyond a hold"),
        (
            "UPDATE prices SET body = replace(body, '10000000', '11000000') WHERE version = 1",
            "is charged 200",
        ),
        ("UPDATE prices SET body = 'null' WHERE version = 1", "names price version 1, which does not exist"),
        ("UPDATE prices SET body = '{' WHERE version = 1", "cannot be read"),
        ("UPDATE books SET account_id = 'b', name = 'x' WHERE id = 100", "of different requests or accounts"),
        ("DELETE FROM books WHERE id = 100", "posting 1 is on book 100, which does not exist"),
        ("UPDATE books SET unit = 'calls' WHERE id = 100", "cannot be between the books"),
        ("UPDATE packs SET amount = 21 WHERE amount = 20", "does not fit pack:"),
        ("INSERT INTO packs VALUES ('p', 'a', 'tokens', 1, NULL, 0, 1, 2, 3)", "pack:p was never granted"),
    ],
)
def test_what_somebody_changed_is_found(path: Path, statement: str, sentence: str) -> None:
    problems = tamper(path, statement)
    assert [problem for problem in problems if sentence in problem], problems


def chained_anew(path: Path, *statements: str) -> list[str]:
    """A forger who knows the rule of the hashes: only what the postings say can give them away."""
    connection = apsw.Connection(str(path))
    for (name,) in connection.execute(_TRIGGERS).fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    head = GENESIS
    for (seq,) in connection.execute("SELECT seq FROM ledger ORDER BY seq").fetchall():
        (fields,) = connection.execute(QUERIES["fetch_posting"], (seq,)).fetchall()
        head = link(head, fields)
        connection.execute("UPDATE ledger SET hash = ?1 WHERE seq = ?2", (head, seq))
    connection.close()
    report = verify(path)
    assert not any("is not what was written" in problem for problem in report.problems), report.problems
    return report.problems


@pytest.mark.parametrize(
    ("statements", "sentence"),
    [
        (["UPDATE ledger SET amount = 1 WHERE seq = 1"], "posting 1 moves 1, leaves 100000, and found 0"),
        (
            ["UPDATE ledger SET kind = 'refund' WHERE seq = 1"],
            "posting 1 (refund) cannot be between the books",
        ),
        (
            ["UPDATE ledger SET kind = 'adjust' WHERE seq = 1"],
            "posting 1 (adjust) cannot be between the books",
        ),
        (["UPDATE ledger SET usage_id = 1 WHERE seq = 1"], "posting 1 (topup) names a request"),
        (["UPDATE ledger SET usage_id = NULL WHERE seq = 5"], "posting 5 takes something for no request"),
        (["UPDATE ledger SET usage_id = 9 WHERE kind = 'refund'"], "gives back"),
        (["UPDATE ledger SET usage_id = NULL WHERE kind = 'refund'"], "gives back what was not charged"),
        (["UPDATE ledger SET log_id = 'x' WHERE seq = 5"], "of different requests or accounts"),
        (["UPDATE usage SET account_id = 'b' WHERE id = 1"], "of different requests or accounts"),
        (
            ["UPDATE usage SET posting = 6 WHERE id = 1", "UPDATE ledger SET usage_id = 1 WHERE seq = 6"],
            "posting 6 bills usage row 1 a second time",
        ),
        (
            [
                "UPDATE ledger SET usage_id = 0 - usage_id WHERE seq IN (5, 6)",
                "UPDATE ledger SET usage_id = 2 WHERE usage_id = -1",
                "UPDATE ledger SET usage_id = 1 WHERE usage_id = -2",
            ],
            "out of turn or billed twice",
        ),
        (["UPDATE usage SET pack_tokens = 14 WHERE pack_tokens = 15"], "does not say what posting"),
        (["UPDATE usage SET charge = 0, overage = 200 WHERE id = 1"], "does not say what posting 5 does"),
    ],
)
def test_a_forger_who_knows_the_chain_is_found_by_the_sums(
    path: Path, statements: list[str], sentence: str
) -> None:
    problems = chained_anew(path, *statements)
    assert [problem for problem in problems if sentence in problem], problems


def test_a_refund_of_more_than_the_charge_is_found(path: Path) -> None:
    problems = chained_anew(
        path,
        "UPDATE ledger SET amount = 300 WHERE kind = 'refund' AND amount = 50",
        "UPDATE ledger SET balance = balance + 250 WHERE book = 100 AND seq >= "
        "(SELECT min(seq) FROM ledger WHERE kind = 'refund')",
    )
    assert [problem for problem in problems if "gives back more than usage row 1 was charged" in problem]


def test_books_that_do_not_balance_are_found(path: Path) -> None:
    problems = chained_anew(path, "UPDATE ledger SET amount = amount + 1 WHERE seq = 1")
    assert "the books do not balance: -1 nano too many" in problems


def test_damage_that_only_sqlite_sees_is_told(path: Path) -> None:
    connection = apsw.Connection(str(path))
    root_page = "SELECT rootpage FROM sqlite_schema WHERE name = 'ledger_by_book'"
    ((page,),) = connection.execute(root_page).fetchall()
    assert isinstance(page, int)
    size = connection.pragma("page_size")
    connection.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size + 3 : (page - 1) * size + 5] = b"\0\1"
    path.write_bytes(content)
    assert [problem for problem in verify(path).problems if problem.startswith("SQLite says: ")]


def test_problems_are_counted_up_to_a_limit(path: Path) -> None:
    assert len(tamper(path, "UPDATE ledger SET memo = 'forged'")) <= PROBLEMS_MAX
    connection = apsw.Connection(str(path))
    for seq in range(1000, 1000 + 3 * PROBLEMS_MAX, 2):
        connection.execute(
            "INSERT INTO ledger VALUES (?1, 1, 'topup', 1, 100, 1, 1, NULL, 'x', 'x', zeroblob(32))", (seq,)
        )
    connection.close()
    assert len(verify(path).problems) == PROBLEMS_MAX


def covered(path: Path) -> list[object]:
    """All that hashes cover; raises if it cannot even be read."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return [connection.execute(query).fetchall() for query in _COVERED]
    finally:
        connection.close()


def test_a_flipped_bit_anywhere_in_a_posting_is_found(original: bytes, tmp_path: Path) -> None:
    path = tmp_path / "platform.db"
    path.write_bytes(original)
    connection = apsw.Connection(str(path))
    size = connection.pragma("page_size")
    pages = [
        page for (page,) in connection.execute("SELECT pageno FROM dbstat WHERE name IN ('ledger', 'usage')")
    ]
    connection.close()
    before = covered(path)
    dice, flips, harmless = random.Random(7), round(1500 * SCALE), 0
    for _ in range(flips):
        content = bytearray(original)
        place = (dice.choice(pages) - 1) * size + dice.randrange(size)
        content[place] ^= 1 << dice.randrange(8)
        path.write_bytes(content)
        problems = verify(path, structure=False).problems
        try:
            changed = covered(path) != before
        except (apsw.Error, UnicodeDecodeError):
            changed = True
        assert problems or not changed, (place, content[place])
        harmless += not changed
    print(f"{flips - harmless} flipped bits found of {flips - harmless}; {harmless} more changed nothing")
    assert flips - harmless > flips / 10


@given(
    band=st.builds(
        Band,
        input=st.integers(0, 10**12),
        output=st.integers(0, 10**12),
        cached=st.none() | st.integers(0, 10**12),
    ),
    per_call=st.integers(0, 10**10),
    percent=st.integers(0, 100),
    prompt=st.integers(0, 10**6),
    cached=st.integers(0, 10**6),
    completion=st.integers(0, 10**6),
)
def test_the_quick_way_to_work_out_a_charge_is_the_same(
    band: Band, per_call: int, percent: int, prompt: int, cached: int, completion: int
) -> None:
    price = Price("m", 1, (band,), per_call=per_call, percent=percent)
    rates = _rates(price)
    assert rates is not None
    fresh, again, output, rest = rates
    total = prompt * fresh + cached * again + completion * output + rest
    assert total // 100_000_000 == price.charge(Usage(prompt + cached, cached, completion))


def test_only_a_price_with_one_band_has_a_quick_way() -> None:
    assert _rates(Price("m")) is None
    assert _rates(Price("m", bands=(Band(1, 1), Band(2, 2, input_from=5)))) is None


@pytest.mark.parametrize("text", ["中文", '"quoted"', "a\\b", "\x00", "\x1f", "\x7f", "\u2028", "😀", "</x>"])
def test_unusual_text_verifies(tmp_path: Path, text: str) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 1000, text)
        await desk.bill(desk.line(request_id=text, note=text, engine=text))

    run(tmp_path / "platform.db", scenario)
    assert clean(tmp_path / "platform.db").postings == 2


def test_a_running_servers_file_can_be_verified(tmp_path: Path) -> None:
    path = tmp_path / "platform.db"

    async def scenario(desk: Desk) -> None:
        await desk.cashier.top_up("a", 10_000)
        for number in range(10):
            await desk.bill(desk.line())
            assert clean(path).postings == number + 2

    run(path, scenario)


def test_the_report_is_plain_data(path: Path) -> None:
    fields = msgspec.to_builtins(verify(path))
    assert sorted(fields) == ["head", "ok", "postings", "problems", "usage_rows"]
    assert POSTING_WIDTH == 10 and len(NO_USAGE) == 26
    check: Callable[[object], str] = str
    assert check(fields["ok"]) == "True"
