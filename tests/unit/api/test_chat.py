"""The hot route judges the caller before the body, and serves the rest."""

import asyncio
import json
from typing import Any

import pytest

from openbigmodel.api.surfaces import PAAS
from openbigmodel.edge import RequestHead
from openbigmodel.edge.head import read_head
from openbigmodel.engines.fake_script import Reply
from openbigmodel.inference.pipeline import Caller
from tests.unit.api.api_bench import USER, ApiBench, run
from tests.unit.inference.pipeline_bench import RecordingSink

MESSAGES = [{"role": "user", "content": "hi"}]
PATH = "/api/paas/v4/chat/completions"
KEY = f"Bearer {USER}".encode()


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "glm-4.6", "messages": MESSAGES, "stream": True, **fields}).encode()


def head(*headers: tuple[bytes, bytes]) -> RequestHead:
    lines = b"".join(b"%b: %b\r\n" % header for header in ((b"host", b"platform"), *headers))
    found = read_head(b"POST %b HTTP/1.1\r\n%b\r\n" % (PATH.encode(), lines))
    assert found is not None
    return found[0]


def test_the_hot_route() -> None:
    async def test(api: ApiBench) -> None:
        sink = RecordingSink([], "hot")
        route = api.chat[PAAS]
        request = head((b"authorization", KEY), (b"accept-language", b"en"))
        accepted = route.accept(request, sink)
        assert isinstance(accepted, Caller)
        assert (accepted.language, accepted.path, accepted.surface) == ("en", PATH, PAAS)
        assert route.run(accepted, request, body(), sink) is not None
        await asyncio.wait_for(sink.over.wait(), 3)

        assert sink.text == "Hello, world"
        assert api.bench.records[0]["path"] == PATH

    run(test, Reply().stream())


@pytest.mark.parametrize(("credential", "code"), [(None, "1001"), (b"Bearer a.b", "1000"), (b"", "1001")])
def test_the_hot_route_refuses_before_the_body(credential: bytes | None, code: str) -> None:
    async def test(api: ApiBench) -> None:
        sink = RecordingSink([], "hot")
        headers = [] if credential is None else [(b"authorization", credential)]
        assert api.chat[PAAS].accept(head(*headers), sink) is None

        assert (sink.status, sink.code) == (401, code)
        assert api.bench.records[0]["code"] == code

    run(test)
