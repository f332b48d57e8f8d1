"""Runs a client's script in the client's own environment and reads back how each scenario went."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from openbigmodel.credentials import parse_api_key, sign_jwt
from tests.contract import environments
from tests.contract.live_server import LiveServer, LogLine

SCRIPTS = Path(__file__).parent / "clients"
RUN_TIMEOUT_S = 240.0
DAY_MS = 24 * 3600 * 1000
WRONG_KEY = "0" * 32 + "." + "k" * 16


@dataclass(frozen=True)
class ClientKind:
    """A client, how to start it, and what it lets a program see.

    `base_url` is the path below the server's root; `shows_reasoning` and `shows_ids` are False for a client that
    drops them.
    """

    name: str
    environment: str
    script: str
    argument: str = ""
    base_url: str = "/api/paas/v4"
    shows_reasoning: bool = True
    shows_ids: bool = True


@dataclass(frozen=True)
class World:
    """What a script is told; `scenarios.py` has its twin."""

    root: str
    key: str
    wrong_key: str
    expired_jwt: str
    day_jwt: str
    slow_root: str
    slow_key: str


class ScenarioError(AssertionError):
    """A scenario that should have gone well raised."""


class ClientRun:
    """How the scenarios of one client went."""

    def __init__(self, kind: ClientKind, outcomes: dict[str, dict[str, Any]], log: list[LogLine]) -> None:
        self.kind = kind
        self._outcomes = outcomes
        self._log = log

    def value(self, scenario: str) -> Any:
        """What a scenario gave. Raises ScenarioError."""
        outcome = self._outcomes[scenario]
        if "raised" in outcome:
            raise ScenarioError(f"{self.kind.name} {scenario}: {outcome['raised']}")
        return outcome["value"]

    def raised(self, scenario: str) -> dict[str, Any]:
        """The exception that a scenario had to raise."""
        outcome = self._outcomes[scenario]
        assert "raised" in outcome, f"{scenario} went well: {outcome['value']}"
        raised: dict[str, Any] = outcome["raised"]
        return raised

    def requests(self, scenario: str) -> list[LogLine]:
        """What the server logged between this scenario's mark and the next one."""
        marks = [index for index, line in enumerate(self._log) if self._is_mark(line)]
        names = [self._log[index]["request_id"].partition(":")[2] for index in marks]
        at = names.index(scenario)
        return self._log[marks[at] + 1 : marks[at + 1]]

    def _is_mark(self, line: LogLine) -> bool:
        return str(line.get("request_id", "")).startswith(_mark_name(self.kind) + ":")


def _mark_name(kind: ClientKind) -> str:
    return kind.argument or kind.name


def run_client(kind: ClientKind, server: LiveServer, slow: LiveServer) -> ClientRun:
    """Play all scenarios of a client. Raises NodeMissingError."""
    world = _world(server, slow)
    base_url = server.root + kind.base_url
    process = subprocess.run(
        [*_command(kind), json.dumps(asdict(world)), *filter(None, [kind.argument])],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=RUN_TIMEOUT_S,
        env=_environment(server.key, base_url),
    )
    assert process.returncode == 0, f"{kind.name}: {process.stderr[-3000:]}"
    end = f"{_mark_name(kind)}:end"
    server.logged(lambda line: line.get("request_id") == end)
    return ClientRun(kind, json.loads(process.stdout), server.log)


def _world(server: LiveServer, slow: LiveServer) -> World:
    key = parse_api_key(server.key)
    assert key is not None
    now_ms = int(time.time() * 1000)
    return World(
        root=server.root,
        key=server.key,
        wrong_key=WRONG_KEY,
        expired_jwt=sign_jwt(key, now_ms - 120_000, 60_000),
        day_jwt=sign_jwt(key, now_ms, DAY_MS),
        slow_root=slow.root,
        slow_key=slow.key,
    )


def _command(kind: ClientKind) -> list[str]:
    if kind.environment == "node":
        folder = environments.node_folder()
        # A module finds its packages beside itself.
        for script in SCRIPTS.glob("*.mjs"):
            shutil.copy(script, folder)
        return ["node", str(folder / kind.script)]
    return [str(environments.python_of(kind.environment)), str(SCRIPTS / kind.script)]


def _environment(key: str, base_url: str) -> dict[str, str]:
    """What a user would export, and nothing of this process's own that could change how a client behaves."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    names = ("ZAI", "ZHIPUAI", "OPENAI")
    return {
        **kept,
        "PYTHONDONTWRITEBYTECODE": "1",
        **{f"{name}_API_KEY": key for name in names},
        **{f"{name}_BASE_URL": base_url for name in names},
        "ZHIPUAI_API_BASE": base_url + "/chat/completions",
        # As Claude Code is told.
        "ANTHROPIC_AUTH_TOKEN": key,
        "ANTHROPIC_BASE_URL": base_url,
    }


ZAI = ClientKind("zai", "zai", "glm_sdk.py", "ZaiClient")
ZAI_CN = ClientKind("zai-cn", "zai", "glm_sdk.py", "ZhipuAiClient")
ZHIPUAI = ClientKind("zhipuai", "zhipuai", "glm_sdk.py", "ZhipuAI")
OPENAI = ClientKind("openai", "openai-langchain", "openai_client.py", "OpenAI", base_url="/v1")
OPENAI_ASYNC = ClientKind("openai-async", "openai-langchain", "openai_client.py", "AsyncOpenAI")
LANGCHAIN = ClientKind(
    "langchain", "openai-langchain", "langchain_client.py", shows_reasoning=False, shows_ids=False
)
REQUESTS = ClientKind("requests", "openai-langchain", "requests_client.py")
NODE_OPENAI = ClientKind("node-openai", "node", "openai_client.mjs")
FETCH = ClientKind("fetch", "node", "fetch_client.mjs")
ANTHROPIC = ClientKind("anthropic", "anthropic", "anthropic_client.py", base_url="/api/anthropic")

GLM_SDKS = (ZAI, ZAI_CN, ZHIPUAI)
OPENAI_SDKS = (OPENAI, OPENAI_ASYNC, NODE_OPENAI)
ALL = (*GLM_SDKS, *OPENAI_SDKS, LANGCHAIN, REQUESTS, FETCH)
