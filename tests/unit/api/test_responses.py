"""What is stored of an account's responses is for its callers, and for nobody else."""

import asyncio
import io
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from openbigmodel.api.access_log import AccessLog
from openbigmodel.api.callers import Callers
from openbigmodel.api.responses import RESPONSES, ResponsesApi
from openbigmodel.auth.accounts import FlaggedKey
from openbigmodel.auth.api_keys import Authenticator, KnownKey, Principal
from openbigmodel.auth.restrictions import read_restrictions
from openbigmodel.credentials import new_api_key
from openbigmodel.db.connection import Database
from openbigmodel.ids import IdSource
from openbigmodel.inference.responses.store import ResponseStore, StoredResponse
from openbigmodel.telemetry import Metrics, RequestLog

MINE, THEIRS, OTHER_USE = (new_api_key(os.urandom) for _ in range(3))
PRINCIPALS = {
    MINE: Principal("mine", MINE.id),
    THEIRS: Principal("theirs", THEIRS.id),
    OTHER_USE: Principal("mine", OTHER_USE.id, restrictions=read_restrictions(None, ["models"], None)),
}
ASKED = [{"role": "user", "content": str(number)} for number in range(3)]
STORED = StoredResponse(
    "resp_1", "mine", "", json.dumps(ASKED).encode(), '{"id":"resp_1","output":[],"model":"好"}'.encode()
)


class Keys:
    """A key for each account, and one that is for something else."""

    def find_key(self, key_id: str) -> KnownKey | None:
        for key, principal in PRINCIPALS.items():
            if key.id == key_id:
                return KnownKey(principal, key.secret, active=True)
        return None

    async def flag_leaked(self, key_id: str, *, overlap_s: int) -> FlaggedKey | None:
        """No key leaks here."""

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Nothing changes."""

    def on_account_change(self, listener: Callable[[str], None]) -> None:
        """Nothing changes."""


class Api:
    """The three endpoints over a real file."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.log = io.StringIO()
        self.request_log = RequestLog(self.log, as_json=True)
        self.store = ResponseStore(database, self.request_log.event, now_ms=lambda: 1_790_000_000_000)
        callers = Callers(Authenticator(Keys()), self.request_log, Metrics(), IdSource())
        api = ResponsesApi(self.store, callers)
        self.app = Starlette(
            routes=[
                Route("/r/{response_id}", api.show),
                Route("/r/{response_id}", api.delete, methods=["DELETE"]),
                Route("/r/{response_id}/input_items", api.list_input_items),
            ],
            middleware=[Middleware(AccessLog, callers=callers)],
        )

    async def ask(self, method: str, path: str, key: object = MINE, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        headers = {"accept-language": "en", **({"authorization": f"Bearer {key}"} if key else {})}
        async with httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client:
            return await client.request(method, path, **options)


def run(path: Path, test: Callable[[Api], Awaitable[None]]) -> None:
    async def main() -> None:
        database = Database.open(path / "platform.db")
        try:
            api = Api(database)
            api.store.keep(STORED)
            await database.write(lambda _connection: None)
            await test(api)
        finally:
            database.close()

    asyncio.run(main())


def error(response: httpx.Response) -> tuple[int, str, str | None]:
    told = response.json()["error"]
    assert told["type"] == told["code"]
    return response.status_code, told["code"], told["param"]


def test_both_bases_lead_here() -> None:
    assert [surface.prefix + surface.path for surface in RESPONSES] == ["/api/v1/responses", "/v1/responses"]
    # A Coding Plan does not pay for it (api.md §9.4).
    assert not any(surface.coding for surface in RESPONSES)


def test_a_response_is_shown_as_it_was_answered(tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        shown = await api.ask("GET", "/r/resp_1")
        assert (shown.status_code, shown.content) == (200, STORED.response)
        assert shown.headers["content-type"] == "application/json; charset=UTF-8"

    run(tmp_path, test)


def test_its_items_are_listed(tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        page = (await api.ask("GET", "/r/resp_1/input_items")).json()
        assert [item["content"][0]["text"] for item in page["data"]] == ["2", "1", "0"]
        page = (await api.ask("GET", "/r/resp_1/input_items", params={"order": "asc", "limit": "2"})).json()
        assert ([item["content"][0]["text"] for item in page["data"]], page["has_more"]) == (["0", "1"], True)
        params = {"order": "asc", "limit": "2", "after": page["last_id"]}
        page = (await api.ask("GET", "/r/resp_1/input_items", params=params)).json()
        assert ([item["content"][0]["text"] for item in page["data"]], page["has_more"]) == (["2"], False)

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"order": "up"}, "order"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"limit": "²"}, "limit"),
        ({"limit": "9" * 10_000}, "limit"),
        ({"limit": ""}, "limit"),
    ],
)
def test_a_page_that_cannot_be_is_refused(tmp_path: Path, params: dict[str, str], field: str) -> None:
    async def test(api: Api) -> None:
        assert error(await api.ask("GET", "/r/resp_1/input_items", params=params)) == (
            400,
            "invalid_request",
            field,
        )

    run(tmp_path, test)


def test_a_deleted_response_is_gone(tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        deleted = await api.ask("DELETE", "/r/resp_1")
        assert deleted.json() == {"id": "resp_1", "object": "response", "deleted": True}
        for method, path in (("DELETE", "/r/resp_1"), ("GET", "/r/resp_1"), ("GET", "/r/resp_1/input_items")):
            assert error(await api.ask(method, path)) == (404, "not_found", "response_id")
        api.request_log.flush()
        logged = [json.loads(line) for line in api.log.getvalue().splitlines()]
        assert [line["status"] for line in logged] == [200, 404, 404, 404]

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/r/{}"), ("GET", "/r/{}/input_items"), ("DELETE", "/r/{}")]
)
def test_others_cannot_tell_it_from_one_that_never_was(tmp_path: Path, method: str, path: str) -> None:
    async def test(api: Api) -> None:
        theirs = await api.ask(method, path.format("resp_1"), THEIRS)
        nobodys = await api.ask(method, path.format("resp_2"), THEIRS)
        assert (theirs.status_code, theirs.text.replace("resp_1", "resp_2")) == (
            nobodys.status_code,
            nobodys.text,
        )
        assert error(theirs) == (404, "not_found", "response_id")
        assert api.store.find("mine", "resp_1") == STORED

    run(tmp_path, test)


def test_nobody_is_told_without_a_key(tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        assert error(await api.ask("GET", "/r/resp_1", None)) == (401, "authentication_error", None)
        assert error(await api.ask("GET", "/r/resp_1", "a.b"))[:2] == (401, "authentication_error")
        assert error(await api.ask("DELETE", "/r/resp_1", OTHER_USE))[:2] == (403, "permission_denied")

    run(tmp_path, test)


def test_a_database_that_fails_is_our_fault(tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        api.database.close()
        for method in ("GET", "DELETE"):
            assert error(await api.ask(method, "/r/resp_1"))[:2] == (500, "server_error")

    run(tmp_path, test)


def test_who_reads_too_much_is_told_when_to_come_again(tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        api.store.keep(
            StoredResponse("resp_2", "mine", "", STORED.input, b'{"output":"%b"}' % (b"x" * 40 * 1024 * 1024))
        )
        await api.database.write(lambda _connection: None)
        for _ in range(2):
            assert (await api.ask("GET", "/r/resp_2/input_items")).status_code == 200
        for path in ("/r/resp_2", "/r/resp_1/input_items"):
            told = await api.ask("GET", path)
            assert error(told) == (429, "rate_limit_exceeded", None)
            assert int(told.headers["retry-after"]) > 0
        assert (await api.ask("GET", "/r/resp_1", THEIRS)).status_code == 404

    run(tmp_path, test)
