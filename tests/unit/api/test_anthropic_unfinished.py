"""Questions to count whose body never comes to its end: what the log has of them, and that nobody sees a traceback."""

import asyncio
from typing import Any

import pytest

from tests.unit.api.api_bench import USER
from tests.unit.api.test_anthropic import COUNT, Api, run
from tests.unit.inference.pipeline_bench import until


def scope_of_count() -> dict[str, Any]:
    """A request to count whose body the test brings itself."""
    headers = [(b"x-api-key", str(USER).encode()), (b"content-length", b"1000")]
    return {
        "type": "http",
        "method": "POST",
        "path": COUNT,
        "raw_path": COUNT.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
    }


@pytest.mark.parametrize(("ends", "status", "code"), [("client leaves", 499, ""), ("we stop", 500, "1234")])
def test_a_body_that_never_ends_leaves_one_line(ends: str, status: int, code: str) -> None:
    sent: list[dict[str, Any]] = []

    async def test(api: Api) -> None:
        told = [{"type": "http.request", "body": b"{", "more_body": True}]
        if ends == "client leaves":
            told.append({"type": "http.disconnect"})

        async def receive() -> dict[str, Any]:
            if not told:
                await asyncio.Event().wait()
            return told.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        asked = asyncio.ensure_future(api.app(scope_of_count(), receive, send))
        await until(lambda: asked.done() or api.room.taken > 0)
        if ends == "we stop":
            asked.cancel()
        await asked
        assert not api.room.taken and not api.made._asked

    assert [(record["status"], record.get("code", "")) for record in run(test)] == [(status, code)]
    assert [message["status"] for message in sent if "status" in message] == [status]
