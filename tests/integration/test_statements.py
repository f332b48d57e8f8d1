"""What `usage` and `bills` say of requests to a real server: while it runs, when it was killed, and when it has
stopped.
"""

from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import apsw
import pytest

from tests.integration.command_line import CommandLine
from tests.integration.fake_engine_thread import fake_engine
from tests.integration.server_process import ServerProcess, server, wait_until

pytestmark = pytest.mark.timeout(120)

PRICE = "price = { input = 10.0, output = 20.0 }\n"
ECHO = 'id = "fake-echo"\n'
TOPUP = Decimal(5)


def test_statements_of_a_server(tmp_path: Path) -> None:
    bigmodel = CommandLine(tmp_path / "data")
    with ExitStack() as stack:
        engine = stack.enter_context(fake_engine())
        config = engine.config.replace(ECHO, ECHO + PRICE)
        running = stack.enter_context(server(tmp_path, config=config))
        account = bigmodel("accounts", "create", "team")["id"]
        key = bigmodel("keys", "create", "--account", account)
        bigmodel("credit", "add", "--account", account, "--yuan", str(TOPUP))
        ids = [ask(running, key["key"], f"mine-{number}") for number in range(5)]
        first = bigmodel("usage", "--account", account)
        check(bigmodel, account, first, ids)
        # The server adds them up in the background; nothing may change by that.
        wait_until(lambda: summed(tmp_path) == 5, 20)
        assert bigmodel("usage", "--account", account) == first
        running.process.kill()
        running.process.wait(10)
        assert bigmodel("usage", "--account", account) == first
        with server(tmp_path, config=config):
            pass
    assert bigmodel("usage", "--account", account) == first


def ask(running: ServerProcess, key: str, request_id: str) -> str:
    """Makes a request; its id with the platform."""
    reply = running.ask(key, model="fake-echo", request_id=request_id).reply()
    assert reply.status == 200, reply.body
    log_id = reply.headers["x-log-id"]
    assert isinstance(log_id, str)
    return log_id


def check(bigmodel: CommandLine, account: str, shown: dict[str, object], ids: list[str]) -> None:
    lines, totals = shown["lines"], shown["totals"]
    assert isinstance(lines, list)
    assert isinstance(totals, dict)
    assert [line["request_id"] for line in lines] == [f"mine-{number}" for number in range(4, -1, -1)]
    assert [line["log_id"] for line in lines] == ids[::-1]
    charge = sum(Decimal(line["charge"]) for line in lines)
    assert charge == Decimal(totals["charge"]) > 0
    assert Decimal(str(shown["balance"])) == TOPUP - charge
    assert shown["held"] == "0.000000000"
    for reference in (ids[0], "mine-0"):
        (explained,) = bigmodel("usage", "explain", reference)["requests"]
        assert explained["unexplained"] == "0.000000000"
        assert Decimal(explained["charge"]) == Decimal(explained["exact"]) + Decimal(explained["rounding"])
        assert [posting["kind"] for posting in explained["postings"]] == ["post"]
    (bill,) = bigmodel("bills", "--account", account)["bills"]
    assert (bill["exact"]["payable"], bill["closed"]) == (totals["charge"], False)


def summed(folder: Path) -> int:
    connection = apsw.Connection(str(folder / "data" / "bigmodel.db"), flags=apsw.SQLITE_OPEN_READONLY)
    rows = connection.execute("SELECT sum(requests) FROM usage_sums WHERE span = 'day'").fetchall()
    connection.close()
    return int(rows[0][0] or 0)
