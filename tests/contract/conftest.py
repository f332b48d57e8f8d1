"""The live server, one with a scripted engine, and the runs of the clients, each made once for all tests."""

import functools
import os
from collections.abc import Callable, Iterator

import pytest

from tests.contract.client_runs import ClientKind, ClientRun, run_client
from tests.contract.environments import NodeMissingError
from tests.contract.live_server import LiveServer
from tests.contract.scripted_engine import ScriptedEngine

CONFIG = """
[[engines]]
name = "scripted"
kind = "openai"
base_url = "{base_url}"

[[models]]
id = "glm-4.6"
engine = "scripted"
target = "whatever"

[[models]]
id = "glm-5.2"
engine = "scripted"
target = "whatever"
"""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Try-out mode: the demo model through the real engine."""
    live = LiveServer(tmp_path_factory.mktemp("contract") / "data")
    yield live
    assert live.stop() == 0
    assert [line for line in live.log if line.get("status", 0) >= 500] == []
    assert [line for line in live.log if "Traceback" in line.get("text", "")] == []


@pytest.fixture(scope="session")
def scripted_engine() -> Iterator[ScriptedEngine]:
    engine = ScriptedEngine()
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def scripted(
    tmp_path_factory: pytest.TempPathFactory, scripted_engine: ScriptedEngine
) -> Iterator[LiveServer]:
    """A server whose only engine does as it is told."""
    folder = tmp_path_factory.mktemp("scripted")
    config = folder / "bigmodel.toml"
    config.write_text(CONFIG.format(base_url=scripted_engine.base_url))
    live = LiveServer(folder / "data", config=config)
    yield live
    assert live.stop() == 0


@pytest.fixture(scope="session")
def run_of(server: LiveServer, scripted: LiveServer) -> Callable[[ClientKind], ClientRun]:
    """The run of a client; without Node on this machine, its tests are skipped, but not by CI."""

    @functools.cache
    def run(kind: ClientKind) -> ClientRun:
        return run_client(kind, server, scripted)

    def run_or_skip(kind: ClientKind) -> ClientRun:
        try:
            return run(kind)
        except NodeMissingError as missing:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(f"{missing}: {kind.name} cannot run")

    return run_or_skip
