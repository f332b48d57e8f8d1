"""Both kinds of keys, and restricted ones, against a real server: directly, and behind the proxies of docs/deploy."""

import asyncio
import http.client
import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from openbigmodel.auth.accounts import KeyRecord
from openbigmodel.auth.api_keys import unix_ms
from openbigmodel.auth.store import AuthStore
from openbigmodel.credentials import ApiKey, sign_jwt
from openbigmodel.db.connection import Database
from tests.integration.server_process import ServerProcess, server, wait_until
from tests.integration.test_behind_proxy import COMMANDS, free_port, program, wait_for_port
from tests.unit.auth.store_bench import create_account

CONFIG = '[server]\ntrusted_proxies = ["127.0.0.1"]\n'
BASES = ("/api/paas/v4", "/api/coding/paas/v4", "/v1")
CODING_BASE = BASES[1]
# A body that no good caller sends: whoever gets as far as this is told 1210.
BODY = b"no JSON"
ADMITTED = (400, "1210")
NOT_IN_PLAN = (429, "1113")
REFUSED = (403, "1220")
# Linux takes all of 127.0.0.0/8 for this machine's own.
ALLOWED_ADDRESS, OTHER_ADDRESS = "127.0.0.2", "127.0.0.3"


@dataclass(frozen=True)
class World:
    """A server, the keys in its database, and where what is stored lies."""

    process: ServerProcess
    folder: Path
    account_id: str
    keys: dict[str, ApiKey]


async def make_keys(folder: Path) -> tuple[str, dict[str, ApiKey]]:
    database = Database.open(folder / "bigmodel.db")
    try:
        store = AuthStore(database, folder)
        account = await create_account(store, "team", rotate_leaked=True)
        locked = await create_account(store, "others")
        keys = {
            "standard": await store.create_key(account.id, "standard"),
            "coding": await store.create_key(account.id, "coding", kind="coding"),
            "models": await store.create_key(account.id, "models", models=["glm-4.6"]),
            "endpoints": await store.create_key(account.id, "endpoints", endpoints=["models"]),
            "networks": await store.create_key(account.id, "networks", networks=[ALLOWED_ADDRESS]),
            "expired": await store.create_key(account.id, "expired", expires_ms=unix_ms()),
            "locked": await store.create_key(locked.id, "locked"),
        }
        await store.update_account(locked.id, state="locked")
        return account.id, keys
    finally:
        database.close()


async def read_keys(world: World) -> list[KeyRecord]:
    database = Database.open(world.folder / "bigmodel.db")
    try:
        return AuthStore(database, world.folder).list_keys(world.account_id)
    finally:
        database.close()


@contextmanager
def running(folder: Path) -> Iterator[World]:
    data = folder / "data"
    data.mkdir(mode=0o700)
    account_id, keys = asyncio.run(make_keys(data))
    with server(folder, config=CONFIG) as process:
        yield World(process, data, account_id, keys)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(tmp_path_factory.mktemp("restrictions")) as world:
        yield world


def ask(
    connection: http.client.HTTPConnection,
    credential: object,
    path: str = BASES[0] + "/chat/completions",
    body: bytes | None = BODY,
    **headers: str,
) -> tuple[int, str]:
    """Status and code; the code of a success is empty."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(connection):
        connection.request(
            "GET" if body is None else "POST",
            path,
            body,
            {"Authorization": f"Bearer {credential}", **headers},
        )
        response = connection.getresponse()
        answer = json.loads(response.read())
    return response.status, str(answer.get("error", {}).get("code", ""))


def direct(world: World, source: str = ALLOWED_ADDRESS) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", world.process.port, timeout=10, source_address=(source, 0))


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("signed", [False, True], ids=["key", "jwt"])
def test_where_the_kinds_of_keys_work(world: World, base: str, signed: bool) -> None:
    chat, models = base + "/chat/completions", base + "/models"
    standard, coding = [
        sign_jwt(world.keys[kind], unix_ms(), 60_000) if signed else world.keys[kind]
        for kind in ("standard", "coding")
    ]
    assert ask(direct(world), standard, chat) == ADMITTED
    assert ask(direct(world), standard, models, None) == (200, "")
    in_plan = base == CODING_BASE
    assert ask(direct(world), coding, chat) == (ADMITTED if in_plan else NOT_IN_PLAN)
    assert ask(direct(world), coding, models, None) == ((200, "") if in_plan else NOT_IN_PLAN)


def test_keys_for_some_models_and_endpoints(world: World) -> None:
    chat, models = BASES[0] + "/chat/completions", BASES[0] + "/models"
    question = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    other = json.dumps({"model": "glm-4.7", **question}).encode()
    assert ask(direct(world), world.keys["models"], chat, other) == REFUSED
    assert ask(direct(world), world.keys["models"], models + "/glm-4.7", None) == REFUSED
    assert ask(direct(world), world.keys["models"], models + "/GLM-4.6", None) == (200, "")
    assert ask(direct(world), world.keys["endpoints"], models, None) == (200, "")
    assert ask(direct(world), world.keys["endpoints"], chat) == REFUSED


def test_keys_of_the_past_and_of_locked_accounts(world: World) -> None:
    assert ask(direct(world), world.keys["expired"]) == (401, "1003")
    assert ask(direct(world), world.keys["locked"]) == (429, "1112")


def test_a_key_for_some_addresses_without_a_proxy(world: World) -> None:
    key = world.keys["networks"]
    assert ask(direct(world), key) == ADMITTED
    assert ask(direct(world, OTHER_ADDRESS), key) == REFUSED
    models = BASES[0] + "/models"
    assert ask(direct(world), key, models, None) == (200, "")
    assert ask(direct(world, OTHER_ADDRESS), key, models, None) == REFUSED
    # Whoever is no proxy can claim what they like.
    assert ask(direct(world, OTHER_ADDRESS), key, X_Forwarded_For=ALLOWED_ADDRESS) == REFUSED
    assert ask(direct(world, OTHER_ADDRESS), key, models, None, X_Forwarded_For=ALLOWED_ADDRESS) == REFUSED


@pytest.fixture(params=sorted(COMMANDS))
def proxy_port(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Iterator[int]:
    program(request.param)
    ports = free_port(), free_port()
    command = COMMANDS[request.param](tmp_path, world.process.port, ports, {})
    home = os.environ | {name: str(tmp_path) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    log = tmp_path / "proxy.log"
    with (
        log.open("w") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=home) as process,
    ):
        try:
            wait_for_port(ports[0], log)
            yield ports[0]
        finally:
            process.terminate()
            process.wait(10)


def test_a_key_for_some_addresses_behind_a_proxy(world: World, proxy_port: int) -> None:
    key = world.keys["networks"]

    def through(source: str) -> http.client.HTTPConnection:
        # The certificates are the test's own, and whom they name is not the question here.
        context = ssl._create_unverified_context()
        return http.client.HTTPSConnection(
            "localhost", proxy_port, timeout=20, context=context, source_address=(source, 0)
        )

    for path, body, admitted in (
        (BASES[0] + "/chat/completions", BODY, ADMITTED),
        (BASES[0] + "/models", None, (200, "")),
    ):
        assert ask(through(ALLOWED_ADDRESS), key, path, body) == admitted
        assert ask(through(OTHER_ADDRESS), key, path, body) == REFUSED
        assert ask(through(OTHER_ADDRESS), key, path, body, X_Forwarded_For=ALLOWED_ADDRESS) == REFUSED
        assert ask(through(ALLOWED_ADDRESS), key, path, body, X_Forwarded_For=OTHER_ADDRESS) == admitted


def test_what_a_server_notes_about_keys_outlives_it(tmp_path: Path) -> None:
    with running(tmp_path) as world:
        leaked, used = world.keys["standard"], world.keys["networks"]
        assert ask(direct(world), used, BASES[0] + "/models", None) == (200, "")
        assert ask(direct(world), "nobody", f"{BASES[0]}/models?api_key={leaked}", None)[0] == 401
        flagged = f"API key {leaked.id} was seen in the URL of a request: flagged as leaked"
        wait_until(lambda: any(flagged in line for line in world.process.log))
        # Seen again, in a body: counted, and not told again.
        assert ask(direct(world), leaked, body=b'{"model": "%b"}' % str(leaked).encode())[0] == 400
        metrics = world.process.get("/metrics").body.decode()
        assert 'bigmodel_leaked_keys_total{where="url"} 1.0' in metrics
        assert 'bigmodel_leaked_keys_total{where="body"} 1.0' in metrics
        assert world.process.stop() == 0
        assert sum("flagged as leaked" in line for line in world.process.log) == 1
        assert not any(leaked.secret in line for line in world.process.log)

    records = {record.id: record for record in asyncio.run(read_keys(world))}
    last_used_ms = records[used.id].last_used_ms
    assert last_used_ms is not None and 0 <= unix_ms() - last_used_ms < 60_000
    assert records[world.keys["expired"].id].last_used_ms is None
    assert records[leaked.id].leaked_ms is not None
    # Its account wants leaked keys to be replaced.
    assert records[leaked.id].rotated_to in records
    assert records[used.id].leaked_ms is None
