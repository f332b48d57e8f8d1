"""Whoever looks at the log or the metrics finds every request that is over, once and in order."""

import asyncio
import io
import json
from typing import Any

import msgspec
import pytest

from openbigmodel.api.surfaces import PAAS
from openbigmodel.auth.api_keys import Principal
from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import load_catalog
from openbigmodel.inference import finished
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.finished import Finished, FinishedRequests
from openbigmodel.telemetry import Metrics, RequestLog, RequestRecord

MODEL = next(iter(load_catalog()))
DONE = Finished(
    id="log",
    request_id="mine",
    caller=Caller(Principal("account", "key"), PAAS, "/path", "zh"),
    model=MODEL.id,
    engine="gpu",
    usage=Usage(13, 2, 9, 5),
    status=200,
    code="1230",
    finish_reason="stop",
    client_left=False,
    stream=True,
    detail="why",
    ended_s=1.25,
    started_s=100.0,
    first_token_s=100.5,
    over_s=102.0,
)


def test_every_fact_is_in_its_field() -> None:
    assert DONE.record() == RequestRecord(
        time="1970-01-01T00:00:01.250Z",
        id="log",
        path="/path",
        status=200,
        request_id="mine",
        account="account",
        api_key="key",
        model=MODEL.id,
        engine="gpu",
        stream=True,
        code="1230",
        finish_reason="stop",
        client_left=False,
        prompt_tokens=13,
        cached_tokens=2,
        completion_tokens=9,
        reasoning_tokens=5,
        first_token_ms=500,
        duration_ms=2000,
        detail="why",
    )


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"request_id": "log"}, "request_id", ""),
        ({"client_left": True}, "client_left", True),
        ({"client_left": True}, "finish_reason", ""),
        ({"model": ""}, "model", ""),
        ({"engine": ""}, "engine", ""),
        ({"first_token_s": None}, "first_token_ms", None),
    ],
)
def test_what_is_not_there_is_left_out(changes: dict[str, Any], field: str, value: object) -> None:
    assert getattr(msgspec.structs.replace(DONE, **changes).record(), field) == value


class Desk:
    def __init__(self) -> None:
        self.out = io.StringIO()
        self.log = RequestLog(self.out, as_json=True)
        self.metrics = Metrics()
        self.requests = FinishedRequests(self.log, self.metrics)

    def end(self, *ids: str, **changes: Any) -> None:
        for each in ids:
            self.requests.add(msgspec.structs.replace(DONE, id=each, **changes))

    @property
    def lines(self) -> list[str]:
        return [line.get("id") or line["event"] for line in map(json.loads, self.out.getvalue().splitlines())]

    def counted(self, model: str) -> bool:
        return b'model="%b",status="200"} 2.0' % model.encode() in self.metrics.render()


def test_a_flush_writes_what_waits_and_a_reading_counts_it() -> None:
    async def main() -> None:
        desk = Desk()
        desk.end("1", "2")
        assert desk.lines == [] and desk.counted(MODEL.id)
        desk.log.flush()
        desk.log.flush()
        assert desk.lines == ["1", "2"] and desk.counted(MODEL.id)

    asyncio.run(main())


def test_a_request_for_no_known_model_has_a_label_of_its_own() -> None:
    async def main() -> None:
        desk = Desk()
        desk.end("1", "2", model="")
        assert desk.counted("unknown")
        desk.log.flush()

    asyncio.run(main())


def test_lines_keep_their_order_among_other_lines() -> None:
    async def main() -> None:
        desk = Desk()
        desk.end("1")
        desk.log.write(RequestRecord(time="", id="2", path="", status=401))
        desk.end("3")
        desk.log.event("4")
        desk.end("5")
        desk.log.flush()
        assert desk.lines == ["1", "2", "3", "4", "5"]

    asyncio.run(main())


def test_a_line_is_out_soon_without_anybody_asking() -> None:
    async def main() -> None:
        desk = Desk()
        for each in ("1", "2"):
            desk.end(each)
            await asyncio.sleep(0.1)
        assert desk.lines == ["1", "2"]

    asyncio.run(main())


def test_not_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finished, "_MAX_WAITING", 2)

    async def main() -> None:
        desk = Desk()
        desk.end("1", "2", "3")
        assert [each.id for each in desk.requests._waiting] == ["3"]
        desk.log.flush()
        assert desk.lines == ["1", "2", "3"]

    asyncio.run(main())
