"""A Coding Plan from its subscription to its end, against a real server that is killed in between."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from openbigmodel.engines.fake_script import json_answer
from tests.integration.command_line import CommandLine
from tests.integration.fake_engine_thread import ThreadedFakeEngine, fake_engine
from tests.integration.server_process import ServerProcess, server

CODING, PAAS, MONITOR = "/api/coding/paas/v4", "/api/paas/v4", "/api/monitor/usage"
# At 24 credits for 10,000, or half of it off the peak: seven or thirteen of these use up a lite window.
TOKENS = 131_072


def config(engine: ThreadedFakeEngine) -> str:
    models = "".join(f'[[models]]\nid = "{model}"\nengine = "fake"\n' for model in ("glm-5.3", "house-model"))
    return (
        f'[[engines]]\nname = "fake"\nkind = "openai"\nbase_url = "{engine.engine.endpoint.url}"\n'
        f'{models}[[models]]\nid = "glm-4.7-flash"\nengine = "fake"\ntarget = "fake-echo"\n'
    )


def answer(tokens: int) -> list[Any]:
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
    choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    return json_answer(200, {"choices": [choice], "usage": usage}, tokens=tokens)


class Client:
    """What a coding tool does."""

    def __init__(self, process: ServerProcess, key: str, engine: ThreadedFakeEngine) -> None:
        self.url = f"http://127.0.0.1:{process.port}"
        self.key = key
        self.engine = engine

    def ask(self, base: str, model: str = "glm-5.3", tokens: int | None = TOKENS) -> tuple[int, str]:
        """Status and code; `tokens` is what the engine says that its answer had, None: it is not asked for one."""
        if tokens is not None:
            self.engine.play(answer(tokens))
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": TOKENS}
        status, reply, headers = self._call(base + "/chat/completions", json.dumps(body).encode())
        if status == 429:
            assert headers["x-should-retry"] == "false"
        return status, reply.get("error", {}).get("code", "")

    def quota(self) -> tuple[int, int]:
        """Credits used: in the hours and in the week."""
        status, reply, _ = self._call(MONITOR + "/quota/limit")
        assert (status, reply["code"]) == (200, 200), reply
        hours, week = reply["data"]["limits"]
        return hours["currentValue"], week["currentValue"]

    def _call(self, path: str, body: bytes | None = None) -> tuple[int, dict[str, Any], Any]:
        request = urllib.request.Request(
            self.url + path, body, {"Authorization": self.key, "Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, json.load(response), response.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error), error.headers


@pytest.mark.timeout(120)
def test_a_plan_pays_until_it_is_used_up_and_nothing_else_does(tmp_path: Path) -> None:
    bigmodel = CommandLine(tmp_path / "data")
    with fake_engine() as engine:
        text = config(engine)
        with server(tmp_path, config=text) as process:
            account = bigmodel("accounts", "create", "programmer")["id"]
            key = bigmodel("keys", "create", "--account", account, "--kind", "coding")["key"]
            bigmodel("credit", "add", "--account", account, "--yuan", "1000")
            plan = ("accounts", "plans", "add", "--account", account, "--level", "lite")
            number = bigmodel(*plan, "--to", "2099-01-01T00:00:00Z")["id"]
            client = Client(process, key, engine)

            assert client.quota() == (0, 0)
            assert client.ask(CODING) == (200, "")
            used = client.quota()
            assert used in ((157, 157), (314, 314))
            # Where a Coding Plan is of no use, whatever there is on the account.
            assert client.ask(PAAS, tokens=None) == (429, "1113")
            assert client.ask(CODING, "house-model", tokens=None) == (429, "1311")
            process.process.kill()
            process.process.wait()

        with server(tmp_path, config=text) as process:
            client = Client(process, key, engine)
            assert client.quota() == used
            outcomes = {client.ask(CODING) for _ in range(14)}
            assert outcomes == {(200, ""), (429, "1308")}
            assert client.quota() == (2000, 2000)
            # Free models go on (the engine has answers left), and the balance was not touched.
            assert client.ask(CODING, "glm-4.7-flash", tokens=None) == (200, "")
            assert client.quota() == (2000, 2000)
            assert bigmodel("accounts", "show", account)["balance"] == "1000.000000000"
            lines = bigmodel("usage", "--account", account)["lines"]
            assert {line["charge"] for line in lines} == {"0.000000000"}

            bigmodel("accounts", "plans", "end", str(number))
            assert client.ask(CODING, tokens=None) == (429, "1309")
        assert bigmodel("verify")["ok"] is True


def test_without_a_plan_a_coding_key_is_paid_for_like_others(tmp_path: Path) -> None:
    bigmodel = CommandLine(tmp_path / "data")
    with fake_engine() as engine, server(tmp_path, config=config(engine)) as process:
        account = bigmodel("accounts", "create", "programmer")["id"]
        key = bigmodel("keys", "create", "--account", account, "--kind", "coding")["key"]
        client = Client(process, key, engine)
        assert client.ask(CODING, tokens=None) == (429, "1113")
        bigmodel("credit", "add", "--account", account, "--yuan", "100")
        assert client.ask(CODING, tokens=1_000_000 // 28) == (200, "")
        # 35,714 tokens at 28 yuan a million, and one of prompt at 8.
        assert bigmodel("accounts", "show", account)["balance"] == "99.000000000"
