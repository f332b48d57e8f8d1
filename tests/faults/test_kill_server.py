"""kill -9 of the whole server amid paid traffic (reliability.md §3.1, LED-03c).

After each kill the folder is verified as it lies there, and what callers and operator were told is looked up. The next
server starts on the same folder, without anybody's help, holds nothing, and answers those who ask again.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from openbigmodel.admin.protocol import AdminError
from openbigmodel.admin.reach import perform
from openbigmodel.admin.remote import NoServer, ask_server
from openbigmodel.billing.audit import verify
from openbigmodel.db.data_folder import DATABASE_FILE
from openbigmodel.settings import Settings
from tests.conftest import SCALE
from tests.faults.killing import Killing, Mother
from tests.faults.paying_callers import COMPLETION_NANO, MODEL, PRICE, PROMPT_NANO, Callers, script, tokens_of
from tests.integration.paid_platform import ScriptedEngine

CYCLES = round(8 * SCALE)
CALLERS = 50
# From when it answers; and from its birth, for one in six.
_LIFE_S = 0.4
_BIRTH_S = 0.4
_START_S = 30.0
_ROWS = "SELECT request_id, claims, prompt_tokens, completion_tokens, charge FROM usage"
_MEMOS = "SELECT memo FROM ledger WHERE kind = 'topup'"


@pytest.fixture
def mother() -> Iterator[Mother]:
    with Mother("tests.faults.server_mother") as mother:
        yield mother


class ServerKilling(Killing):
    """Of whole servers."""

    def __init__(
        self, mother: Mother, folder: Path, engine: ScriptedEngine, seed: int, planted: str = "nothing"
    ) -> None:
        super().__init__(mother, seed, planted)
        self._engine = engine
        self._folder = folder
        self._data = folder / "data"
        self._config = folder / "bigmodel.toml"
        self._config.write_text(
            f'[[engines]]\nname = "gpu"\nkind = "openai"\nbase_url = "{engine.endpoint.url}"\n'
            f'[[models]]\nid = "{MODEL}"\nengine = "gpu"\n{PRICE}',
            encoding="utf-8",
        )
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._account = str(self._do("accounts.create", new_folder=True, name="customer")["id"])
        key = str(self._do("keys.create", account=self._account)["key"])
        self._do("credit.add", account=self._account, yuan="1000", memo="0")
        self.callers = Callers(self._port, key, self.dice)
        self._memos = ["0"]

    def _do(self, command: str, *, new_folder: bool = False, **arguments: object) -> dict[str, Any]:
        return perform(Settings(data=self._data), command, arguments, new_folder=new_folder)

    async def cycle(self) -> None:
        """A server's life and death."""
        child = self.mother.bear(self._config, self._data, self._port, self.planted)
        busy: list[Awaitable[None]] = []
        if self.dice.random() < 1 / 6:
            await asyncio.sleep(self.dice.random() * _BIRTH_S)
        else:
            await self._until_it_answers()
            self._look_at_a_quiet_server()
            self.found += await self.callers.ask_again()
            busy.append(asyncio.create_task(self.callers.crowd(CALLERS)))
            busy.append(asyncio.create_task(asyncio.to_thread(self._add_credit)))
            await asyncio.sleep(self.dice.random() * _LIFE_S)
        self.mother.kill(child)
        await asyncio.gather(*busy)
        self.cycles += 1
        self._look_at_the_folder()

    async def _until_it_answers(self) -> None:
        end_s = time.monotonic() + _START_S
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(b"GET /health HTTP/1.0\r\n\r\n")
                answer = await reader.read(-1)
                writer.close()
                if b" 200 " in answer[:20]:
                    return
            except OSError:
                pass
            assert time.monotonic() < end_s, (self._folder / "server.log").read_text()[-2000:]
            await asyncio.sleep(0.01)

    def _look_at_a_quiet_server(self) -> None:
        shown = ask_server(self._data, "accounts.show", {"account": self._account})
        if shown["held"] != "0.000000000":
            self.found.append(f"a new server holds {shown['held']}")
        on_disk = len(self._memos_on_disk())
        spent = sum(row[4] for row in self._rows())
        balance = (1000 + on_disk - 1) * 10**9 - spent
        if shown["balance"] != f"{balance // 10**9}.{balance % 10**9:09}":
            self.found.append(f"the balance is {shown['balance']}, the disk says {balance}")

    def _add_credit(self) -> None:
        """As an operator does meanwhile, until the server is gone."""
        while True:
            memo = str(len(self._memos)) + f" in life {self.cycles}"
            try:
                ask_server(self._data, "credit.add", {"account": self._account, "yuan": "1", "memo": memo})
            except (AdminError, NoServer):
                return
            self._memos.append(memo)
            time.sleep(0.01)

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        connection = apsw.Connection(str(self._data / DATABASE_FILE), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def _rows(self) -> list[tuple[Any, ...]]:
        return self._query(_ROWS)

    def _memos_on_disk(self) -> list[str]:
        return [str(memo) for (memo,) in self._query(_MEMOS)]

    def _look_at_the_folder(self) -> None:
        report = verify(self._data / DATABASE_FILE)
        self.found += report.problems
        billed: dict[int, tuple[int, int]] = {}
        for request_id, claims, prompt, completion, charge in self._rows():
            number = int(request_id.removeprefix("request-"))
            if charge != prompt * PROMPT_NANO + completion * COMPLETION_NANO:
                self.found.append(
                    f"request {number} is charged {charge} for {prompt} and {completion} tokens"
                )
            if claims:
                if number in billed:
                    self.found.append(f"request {number} is billed twice")
                billed[number] = prompt, completion
                if completion > tokens_of(number)[1] or number not in self.callers.asked:
                    self.found.append(f"request {number} is billed {completion} tokens, more than were made")
        for told in self.callers.told:
            there = billed.get(told.number)
            if not there == (told.prompt_tokens, told.completion_tokens) == tokens_of(told.number):
                self.found.append(f"{told} was told to its caller; on disk is {there}")
        on_disk = set(self._memos_on_disk())
        self.found += [f"credit {memo!r} was acknowledged" for memo in self._memos if memo not in on_disk]
        keys = (self._folder / "server.log").read_text().count("API key: ")
        if keys > 1:
            self.found.append(f"{keys} first keys were shown")


async def killed(
    mother: Mother, folder: Path, cycles: int, seed: int, planted: str = "nothing"
) -> ServerKilling:
    """So many lives, or as many as it takes to find something."""
    async with ScriptedEngine(script) as engine:
        # Its first commands run a loop of their own.
        killing = await asyncio.to_thread(ServerKilling, mother, folder, engine, seed, planted)
        while killing.cycles < cycles and not killing.found:
            await killing.cycle()
            engine.requests.clear()
    return killing


@pytest.mark.timeout(120 + 10 * CYCLES)
def test_no_kill_of_the_server_loses_or_doubles_what_anybody_was_told(mother: Mother, tmp_path: Path) -> None:
    killing = asyncio.run(killed(mother, tmp_path, CYCLES, seed=1))

    assert not killing.found, killing.found[:5]
    told = len(killing.callers.told)
    print(f"{killing.cycles} servers killed, {len(killing.callers.asked)} requests, {told} whole answers")
    assert killing.cycles == CYCLES
    assert told > 10 * CYCLES
    assert len(killing.callers.asked) > told


@pytest.mark.timeout(600)
def test_a_server_that_answers_before_the_commit_is_found(mother: Mother, tmp_path: Path) -> None:
    killing = asyncio.run(killed(mother, tmp_path, 60, seed=2, planted="early"))

    print(f"found after {killing.cycles} kills: {killing.found[:1]}")
    assert any("was told to its caller" in found or "acknowledged" in found for found in killing.found)
