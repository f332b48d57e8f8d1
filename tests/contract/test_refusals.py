"""The official SDKs try three times what may pass, and once what will not: no storm from a caller without money."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from openbigmodel import app
from openbigmodel.inference.finished import Finished, FinishedRequests
from tests.contract import environments
from tests.contract.client_runs import GLM_SDKS, SCRIPTS, ClientKind
from tests.contract.live_server import LiveServer, LogLine
from tests.integration import refused_callers
from tests.integration.command_line import CommandLine
from tests.integration.fake_engine_thread import fake_engine
from tests.integration.paid_platform import CHAT, Customer, Reply, paid_platform
from tests.integration.paid_platform import run as run_platform
from tests.integration.refused_callers import Clock, World

# The first test of a client waits for its environment, which may have to be made.
pytestmark = pytest.mark.timeout(600)
PAAS, CODING = "/api/paas/v4", "/api/coding/paas/v4"
MODELS = """
[[models]]
id = "priced"
engine = "fake"
target = "fake-echo"
price = { input = 10.0, output = 10.0 }

[[models]]
id = "once-a-day"
engine = "fake"
target = "fake-echo"
limits = { daily = 1 }

[[models]]
id = "once-an-hour"
engine = "fake"
target = "fake-echo"
limits = { rpm = 1 }

[[models]]
id = "in-no-plan"
engine = "fake"
target = "fake-echo"
"""


@dataclass
class Customers:
    """Accounts of a server that will be refused; `keys` by their names."""

    bigmodel: CommandLine
    keys: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, *options: str) -> str:
        """A new account's id."""
        account = self.bigmodel("accounts", "create", name)["id"]
        self.keys[name] = self.bigmodel("keys", "create", "--account", account, *options)["key"]
        return str(account)

    def add_all(self) -> None:
        """One for each reason."""
        self.add("poor")
        self.add("usual")
        self.bigmodel("accounts", "update", self.add("locked"), "--lock")
        plan = ("accounts", "plans", "add", "--level", "lite", "--to", "2099-01-01T00:00:00Z", "--account")
        self.bigmodel(*plan, self.add("subscriber", "--kind", "coding"))
        ended = self.bigmodel(*plan, self.add("former", "--kind", "coding"))["id"]
        self.bigmodel("accounts", "plans", "end", str(ended))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("refusals")
    with fake_engine() as engine:
        config = folder / "bigmodel.toml"
        base_url = engine.engine.endpoint.url
        config.write_text(f'[[engines]]\nname = "fake"\nkind = "openai"\nbase_url = "{base_url}"\n{MODELS}')
        live = LiveServer(folder / "data", config=config)
        yield live
        live.stop()


@dataclass(frozen=True)
class Refusal:
    """Who asks for what, what they get, and how often the SDK sends it."""

    customer: str
    model: str
    status: int
    code: str
    attempts: int
    base: str = PAAS
    fields: dict[str, Any] = field(default_factory=dict)
    # Sent before, and served.
    first: bool = False
    # Refused before the body is read: the log has neither key nor model.
    at_the_door: bool = False


REFUSALS = {
    "no money": Refusal("poor", "priced", 429, "1113", 1),
    "locked": Refusal("locked", "priced", 429, "1112", 1, at_the_door=True),
    "plan key on the usual base": Refusal("subscriber", "in-no-plan", 429, "1113", 1, at_the_door=True),
    "not in the plan": Refusal("subscriber", "in-no-plan", 429, "1311", 1, CODING),
    "plan has ended": Refusal("former", "in-no-plan", 429, "1309", 1, CODING),
    "used up today": Refusal("usual", "once-a-day", 429, "1304", 1, first=True),
    "the same request id": Refusal(
        "usual", "in-no-plan", 400, "1231", 1, fields={"request_id": "again"}, first=True
    ),
    "too many a minute": Refusal("usual", "once-an-hour", 429, "1303", 3, first=True),
}


class Run:
    """All refusals of one client."""

    def __init__(self, server: LiveServer, kind: ClientKind, folder: Path) -> None:
        customers = Customers(CommandLine(folder))
        customers.add_all()
        self.keys = customers.keys
        before = len(server.log)
        self.outcomes = _play(kind, list(self._cases(server.root)))
        # The last case of all.
        server.logged_after(before, lambda line: line.get("code") == "1211")
        self.log: list[LogLine] = server.log[before:]

    def _cases(self, root: str) -> Iterator[dict[str, Any]]:
        for name, refusal in REFUSALS.items():
            case = {
                "name": name,
                "key": self.keys[refusal.customer],
                "base_url": root + refusal.base,
                "model": refusal.model,
                "fields": refusal.fields,
            }
            if refusal.first:
                # Another question, under the same id where there is one.
                yield {**case, "name": f"first: {name}", "fields": {**refusal.fields, "max_tokens": 9}}
            yield case
        key = self.keys["usual"]
        yield {"name": "end", "key": key, "base_url": root + PAAS, "model": "no-such-model", "fields": {}}

    def attempts(self, refusal: Refusal) -> list[LogLine]:
        """What the server logged of it."""
        key_id = None if refusal.at_the_door else self.keys[refusal.customer].split(".")[0]
        path = f"{refusal.base}/chat/completions"
        wanted = (refusal.code, path, key_id)
        return [
            line for line in self.log if (line.get("code"), line.get("path"), line.get("api_key")) == wanted
        ]


def _play(kind: ClientKind, cases: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    python = environments.python_of(kind.environment)
    process = subprocess.run(
        [str(python), str(SCRIPTS / "refused.py"), json.dumps(cases), kind.argument],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    outcomes: dict[str, dict[str, Any]] = json.loads(process.stdout)
    return outcomes


@pytest.fixture(scope="module", params=GLM_SDKS, ids=lambda kind: kind.name)
def run(request: pytest.FixtureRequest, server: LiveServer) -> Run:
    return Run(server, request.param, server.data)


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_pass_is_sent_once(run: Run, name: str) -> None:
    refusal, told = REFUSALS[name], run.outcomes[name]
    assert told["status"] == refusal.status, told
    assert json.loads(told["body"])["error"]["code"] == refusal.code
    assert len(run.attempts(refusal)) == refusal.attempts, run.attempts(refusal)
    if refusal.first:
        assert run.outcomes[f"first: {name}"] == {}


# How often an SDK sends what only a whole platform in this process can be brought to refuse.
ATTEMPTS: dict[refused_callers.Refusal, int] = {
    refused_callers.the_window_is_used_up: 1,
    refused_callers.the_week_is_used_up: 1,
    refused_callers.too_many_at_once: 3,
    refused_callers.the_platform_is_full: 3,
    refused_callers.the_books_are_wrong: 3,
}


class SdkWorld(World):
    """The request that all of it was for is sent with an SDK. `told`: what that said, and how often it had asked."""

    def __init__(self, world: World, kind: ClientKind, codes: list[str]) -> None:
        super().__init__(world.platform, world.clock)
        self._kind = kind
        self._codes = codes
        self.told: tuple[dict[str, Any], int] = ({}, 0)

    async def refused(self, customer: Customer, model: str, *, path: str = CHAT, **fields: Any) -> Reply:
        case = {
            "name": "refused",
            "key": customer.key,
            "base_url": f"http://127.0.0.1:{self.platform.port}{path.removesuffix('/chat/completions')}",
            "model": model,
            "fields": fields,
        }
        before = len(self._codes)
        outcomes = await asyncio.to_thread(_play, self._kind, [case])
        self.told = (outcomes["refused"], len(self._codes) - before)
        return await super().refused(customer, model, path=path, **fields)


@pytest.mark.parametrize("kind", GLM_SDKS, ids=lambda kind: kind.name)
def test_what_takes_a_whole_platform_to_refuse_is_tried_again_only_if_that_helps(
    kind: ClientKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, codes, right = Clock(), list[str](), FinishedRequests.add

    def add(self: FinishedRequests, finished: Finished) -> None:
        codes.append(finished.code)
        right(self, finished)

    monkeypatch.setattr(app, "unix_ms", clock)
    monkeypatch.setattr(FinishedRequests, "add", add)

    async def test() -> None:
        async with paid_platform(tmp_path, refused_callers.script, refused_callers.MODELS) as platform:
            for refusal, attempts in ATTEMPTS.items():
                world = SdkWorld(World(platform, clock), kind, codes)
                reply = await refusal(world)
                told, sent = world.told
                assert reply.code == refused_callers.REFUSALS[refusal].code
                assert json.loads(told["body"])["error"]["code"] == reply.code
                assert (told["status"], sent) == (429, attempts), refusal

    run_platform(test())
