import csv
import io
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from openbigmodel.billing.bill import make_bill, make_bills
from openbigmodel.billing.export import Language, bills_csv, details_csv, plain_text, usage_csv
from openbigmodel.billing.money import parse_yuan
from openbigmodel.billing.periods import DAY_MS
from openbigmodel.billing.statement import By, Filter, Line, Statements
from openbigmodel.db.queries import QUERIES
from tests.statement_world import ACCOUNT, KEY, MONTH, OTHER, SECOND_KEY, START_MS, World, many_lines


def table(pieces: Iterable[str]) -> list[dict[str, str]]:
    text = "".join(pieces)
    # What tells Excel that it is UTF-8.
    assert text.startswith("\ufeff")
    assert text.encode().startswith(b"\xef\xbb\xbf")
    assert text.endswith("\r\n")
    return list(csv.DictReader(io.StringIO(text[1:], newline="")))


def test_the_months_have_the_columns_of_the_console(tmp_path: Path) -> None:
    world = World(tmp_path)
    line = world.line(START_MS, charge=12_345_678_901)
    world.line(START_MS, pack_tokens=1200)
    world.post("refund", 2_000_000_000, START_MS)
    with Statements.open(tmp_path) as statements:
        bills = make_bills(statements, statements.owner(ACCOUNT), MONTH.period.to_ms)
    chinese = table(bills_csv(bills, "zh"))
    assert list(chinese[0])[:4] == ["账期", "总消费金额", "应付金额", "优惠金额"]
    assert [row["账期"] for row in chinese] == ["2026-12-01 ~ 2026-12-31", "2026-11-01 ~ 2026-11-30"]
    november = chinese[1]
    assert (november["总消费金额"], november["应付金额"], november["优惠金额"], november["退款金额"]) == (
        "12.35",
        "10.35",
        "0.00",
        "2.00",
    )
    assert (november["调用次数"], november["输入 tokens"]) == ("2", "2000")
    english = table(bills_csv(bills, "en"))
    assert list(english[0])[:4] == [
        "Billing period",
        "Total consumption (CNY)",
        "Amount payable (CNY)",
        "Discount (CNY)",
    ]
    assert [list(row.values()) for row in english] == [list(row.values()) for row in chinese]
    assert line.charge == 12_345_678_901


def test_the_details_add_up_to_the_month(tmp_path: Path) -> None:
    world = World(tmp_path)
    first = world.line(START_MS)
    world.line(START_MS, pack_tokens=1200, api_key_id=SECOND_KEY)
    world.line(START_MS + DAY_MS, model="=1+1")
    with Statements.open(tmp_path) as statements:
        by = By(span_ms=DAY_MS, model=True, key=True)
        groups, _ = statements.groups(ACCOUNT, by, MONTH.period)
        rows = table(details_csv(groups, [], statements.key_names(ACCOUNT), "zh"))
    assert [(row["账期"], row["模型"], row["API key"], row["API key 名称"]) for row in rows] == [
        ("2026-11-01", "glm-4.6", KEY, "first"),
        ("2026-11-01", "glm-4.6", SECOND_KEY, "'=second"),
        ("2026-11-02", "'=1+1", KEY, "first"),
    ]
    charge = f"0.{first.charge:09}"
    assert [(row["总消费金额"], row["应付金额"], row["优惠金额"]) for row in rows] == [
        (charge, charge, "0.000000000"),
        (charge, "0.000000000", charge),
        (charge, charge, "0.000000000"),
    ]


def test_a_line_for_each_request(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.line(START_MS + 3_600_000, request_id='=HYPERLINK("http://x")', note='line\r\nbreak, "quoted"')
    world.line(
        START_MS, code="1234", finish_reason="", source="none", completion_tokens=0, reasoning_tokens=0
    )
    with Statements.open(tmp_path) as statements:
        lines = list(statements.lines(ACCOUNT))
        rows = table(usage_csv(lines, [], {KEY: "first"}, statements.saved, "zh"))
        english = table(usage_csv(lines, [], {}, statements.saved, "en"))
    assert list(rows[0])[:2] == ["账期", "结束时间"]
    assert (rows[0]["账期"], rows[0]["结束时间"]) == ("2026-11-01", "2026-11-01 01:00:00")
    assert rows[0]["调用方请求 ID"] == '\'=HYPERLINK("http://x")'
    assert rows[0]["备注"] == 'line\r\nbreak, "quoted"'
    assert (rows[0]["应付金额"], rows[0]["计量方式"]) == (f"0.{lines[0].charge:09}", "引擎")
    assert (rows[1]["调用方请求 ID"], rows[1]["错误码"], rows[1]["计量方式"]) == ("", "1234", "无")
    assert (english[1]["Error code"], english[1]["Measured by"], english[0]["API key name"]) == (
        "1234",
        "none",
        "",
    )


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠x"])
def test_no_text_becomes_a_formula(text: str) -> None:
    assert plain_text(text) == "'" + text


@pytest.mark.parametrize("text", ["", "glm-4.6", "1234", "a=1", "'=1", "订单"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert plain_text(text) == text


def test_no_cell_of_a_line_that_comes_from_outside_becomes_a_formula(tmp_path: Path) -> None:
    given: dict[str, object] = dict.fromkeys(
        ("log_id", "request_id", "model", "finish_reason", "note"), "=cmd"
    )
    line = World(tmp_path).line(START_MS, **given | {"code": "=cmd"})
    cells = [
        cell for row in table(usage_csv([line], [], {KEY: "=cmd"}, _nothing, "en")) for cell in row.values()
    ]
    assert [cell for cell in cells if cell.startswith("=")] == []
    # The request id, being the platform's, is not told again.
    assert cells.count("'=cmd") == 6


def _nothing(line: Line) -> int:
    return 0


MONEY = {
    "zh": ("总消费金额", "优惠金额", "退款金额", "应付金额"),
    "en": ("Total consumption (CNY)", "Discount (CNY)", "Refunds (CNY)", "Amount payable (CNY)"),
}


def sums(rows: list[dict[str, str]], language: Language) -> list[int]:
    """Consumption, discount, refunds, payable of a table, in nano-yuan."""
    return [sum(parse_signed(row[name]) for row in rows) for name in MONEY[language]]


def parse_signed(text: str) -> int:
    return -parse_yuan(text[1:]) if text.startswith("-") else parse_yuan(text)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_what_was_given_back_is_in_every_table_and_their_sums_agree_to_the_nano(
    tmp_path: Path, language: Language
) -> None:
    world = World(tmp_path)
    chance = random.Random(7)
    many_lines(world, chance, 300)
    for line in chance.sample(world.lines, 40):
        if line.charge and line.account_id == ACCOUNT:
            # Also of requests of the month before, and on days and of models on which there was nothing else.
            late_ms = chance.choice((0, DAY_MS, 20 * DAY_MS))
            world.post(
                "refund", chance.randrange(1, line.charge + 1), line.ended_ms + late_ms, usage_id=line.id
            )
    with Statements.open(tmp_path) as statements:
        bill = make_bill(statements, statements.owner(ACCOUNT), MONTH, MONTH.period.to_ms)
        groups, _ = statements.groups(ACCOUNT, By(span_ms=DAY_MS, model=True, key=True), MONTH.period)
        refunds = statements.refunds(ACCOUNT, MONTH.period)
        lines = list(statements.lines(ACCOUNT, MONTH.period))
        details = table(details_csv(groups, refunds, {KEY: "first"}, language))
        requests = table(usage_csv(lines, refunds, {KEY: "first"}, statements.saved, language))
        newest = table(usage_csv(lines, refunds, {KEY: "first"}, statements.saved, language, limit=20))
    exact = [bill.exact.consumption, bill.exact.discount, bill.exact.refunds, bill.exact.payable]
    assert exact[2] > 0
    assert sums(details, language) == exact
    assert sums(requests, language) == exact
    for row in details + requests:
        consumption, discount, refund, payable = sums([row], language)
        assert consumption - discount - refund == payable
    ended = [row["结束时间" if language == "zh" else "Ended (UTC+8)"] for row in requests]
    assert ended == sorted(ended, reverse=True)
    assert len(requests) == len(lines) + len(refunds)
    assert newest == requests[:20]


def test_the_line_of_a_refund_names_its_request(tmp_path: Path) -> None:
    world = World(tmp_path)
    line = world.line(START_MS, charge=5, model="=glm", request_id="mine")
    world.post("refund", 3, START_MS + DAY_MS, usage_id=line.id)
    with Statements.open(tmp_path) as statements:
        refunds = statements.refunds(ACCOUNT, MONTH.period)
        assert statements.refunds(OTHER, MONTH.period) == statements.refunds("nobody", MONTH.period) == []
        assert statements.refunds(ACCOUNT, MONTH.period, Filter(model="=glm", api_key_id=KEY)) == refunds
        assert statements.refunds(ACCOUNT, MONTH.period, Filter(model="glm-4.6")) == []
        assert statements.refunds(ACCOUNT, MONTH.period, Filter(api_key_id=SECOND_KEY)) == []
        assert statements.refunds(ACCOUNT, MONTH.after(1).period) == []
        (row,) = table(usage_csv([], refunds, {KEY: "first"}, statements.saved, "en"))
        plan = statements.connection.execute(
            f"EXPLAIN QUERY PLAN {QUERIES['list_refunds']}", (100, 0, 1, None, None)
        ).fetchall()
    assert (row["Billing period"], row["Log id"], row["Caller's request id"]) == (
        "2026-11-02",
        line.log_id,
        "mine",
    )
    assert (row["Model"], row["API key name"], row["Finish reason"]) == ("'=glm", "first", "refund")
    assert (row["Amount payable (CNY)"], row["Refunds (CNY)"]) == ("-0.000000003", "0.000000003")
    steps = [str(step[3]) for step in plan]
    assert any("ledger_actions_by_book (book=? AND at_ms>? AND at_ms<?)" in step for step in steps), steps
    assert not any("SCAN" in step for step in steps), steps
