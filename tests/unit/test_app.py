"""What engines tell the platform reaches its log and, where a state has changed, those who choose among them."""

import io
from pathlib import Path

from openbigmodel.app import _Reporter
from openbigmodel.catalog import load_catalog
from openbigmodel.cli.terminal import ServeTerminal
from openbigmodel.engines.factory import build_registry
from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import error_answer
from openbigmodel.engines.outcome import Outcome
from openbigmodel.engines.remote import CHAT_PATH
from openbigmodel.engines.router import Router
from openbigmodel.settings import load_settings
from openbigmodel.telemetry import RequestLog
from tests.unit.engines.engine_listener import Listener, run

SETTINGS = """
[[engines]]
name = "a"
kind = "glm"
base_url = "{url}"
api_key = ["one.1", "two.2"]

[[engines]]
name = "b"
kind = "openai"
base_url = "{url}"

[[models]]
id = "glm-4.6"
engine = ["a", "b"]
"""


def test_one_refused_key_is_told_and_no_sign_that_its_engine_is_back(tmp_path: Path) -> None:
    async def test() -> None:
        async with FakeEngine() as fake:
            fake.play(error_answer(401, "no"))
            path = tmp_path / "bigmodel.toml"
            path.write_text(SETTINGS.format(url=fake.endpoint.url), encoding="utf-8")
            settings = load_settings(path, flags={"data": str(tmp_path)}, environ={})
            written = io.StringIO()
            reporter = _Reporter(RequestLog(written, as_json=False), ServeTerminal(settings))
            registry = build_registry(settings, tmp_path, reporter, load_catalog())
            # Before there is a router, states are for the log only.
            for engine in registry.engines:
                await engine.start()
            (route,) = registry.routes()
            router = reporter.router = Router(registry, now_s=lambda: 100.0)

            def asked(outcome: Outcome = Outcome.SERVED) -> str:
                seat = router.desk(route).seat(None)
                assert seat is not None
                seat.leave(outcome, 100.0, retry_after_s=20.0)
                return seat.target.engine.name

            assert (asked(Outcome.BUSY), asked()) == ("a", "b")
            listener = Listener()
            route.targets[0].engine.post(CHAT_PATH, b"{}", listener, "one.1")
            await listener.outcome()
            told = written.getvalue().splitlines()
            assert told[-1].endswith("engine a: key 1 of 2 is refused; the others go on without it")
            assert len(told) == 3
            assert asked() == "b"
            reporter.engine_state("a", "ready", "")
            assert asked() == "a"
            reporter.engine_state("a", "unreachable", "no route")
            assert asked() == "b"
            await registry.stop()

    run(test())
