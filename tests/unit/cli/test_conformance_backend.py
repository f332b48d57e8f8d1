"""The scripted engine says what it is told to for a mark, and else what a good model would."""

import asyncio
import json

import httpx
import pytest

from openbigmodel.cli.conformance_backend import Measured, ScriptedBackend, measure, steps_of
from openbigmodel.conformance.backend import Says
from openbigmodel.conformance.engine_shapes import UPSTREAMS
from openbigmodel.conformance.subject import Unmeasurable
from openbigmodel.engines.fake_script import Close, Data, End, Gate, Head, Reset, Sleep, Stall
from tests.planted_gateway import KEY, Gateway, Mistake, free_port


@pytest.mark.parametrize(
    ("says", "steps"),
    [
        (Says(pieces=(b"ab",)), [Head, Data, End]),
        (Says(pieces=(b"a", b"b"), ending="close", pause_s=0.1), [Head, Data, Sleep, Data, Sleep, Close]),
        (Says(pieces=(b"a",), ending="reset"), [Head, Data, Sleep, Reset]),
        (Says(pieces=(b"a", b"b"), gated=True), [Head, Data, Gate, Data, End]),
        (Says(ending="wait"), [Stall]),
        (Says(pieces=(b"a",), ending="wait"), [Head, Data, Stall]),
    ],
)
def test_an_answer_becomes_steps(says: Says, steps: list[type]) -> None:
    assert [type(step) for step in steps_of(says)] == steps


def test_a_drip_goes_on_but_not_for_ever() -> None:
    steps = list(steps_of(Says(pieces=(b"a",), ending="drip")))
    assert isinstance(steps[-1], Close) and steps.count(Data(b"a")) > 100


def test_marks_choose_the_answer() -> None:
    async def main() -> None:
        backend = ScriptedBackend(UPSTREAMS["glm"])
        backend.say("mark1x", lambda _: Says(status=429, pieces=(b"{}",)))
        await backend.start()
        url = f"{backend.endpoint.url}/chat/completions"
        async with httpx.AsyncClient(trust_env=False) as client:
            marked = await client.post(url, json={"messages": [{"role": "user", "content": "mark1x"}]})
            plain = await client.post(url, json={"messages": [{"role": "user", "content": "你好"}]})
            models = await client.get(f"{backend.endpoint.url}/models")
            other = await client.get(f"{backend.endpoint.url}/version")
        assert (marked.status_code, plain.status_code) == (429, 200)
        assert plain.json()["choices"][0]["finish_reason"] == "stop"
        assert [asked.json for asked in backend.asked("mark1x")] == [json.loads(marked.request.content)]
        assert not backend.asked("mark1x")[0].gone and backend.asked("mark2x") == []
        assert (models.status_code, other.status_code) == (200, 404)
        await backend.stop()

    asyncio.run(main())


def test_a_server_that_does_not_ask_the_engine_cannot_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openbigmodel.conformance.suite._START_TRIES", 2)
    monkeypatch.setattr("openbigmodel.conformance.suite._START_PAUSE_S", 0.01)

    async def main() -> None:
        other = ScriptedBackend(UPSTREAMS["glm"])
        await other.start()
        async with Gateway(other.endpoint.port, Mistake()) as gateway:
            measured = Measured(
                f"http://127.0.0.1:{gateway.port}", str(KEY), "glm-5.2", "", free_port(), "glm"
            )
            with pytest.raises(Unmeasurable, match="does not ask the engine of this suite"):
                await measure(measured)
        await other.stop()

    asyncio.run(main())
