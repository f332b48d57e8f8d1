"""What a caller sees, and under which headers."""

import json
from collections.abc import Callable

import msgspec
import pytest

from openbigmodel.auth.api_keys import Principal
from openbigmodel.errors import ApiError
from openbigmodel.inference.anthropic.dialect import AnthropicDialect
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.chat_request import Surface
from openbigmodel.inference.outlet import Outlet
from tests.unit.inference.pipeline_bench import RecordingSink

CALLER = Caller(Principal("account", "key"), Surface("/base"), "/path", "en")
ANTHROPIC = AnthropicDialect(lambda model_id: None)


def outlet(caller: Caller = CALLER) -> tuple[Outlet, RecordingSink]:
    sink = RecordingSink([], "request")
    return Outlet(sink, caller, "2026"), sink


def test_a_stream_opens_with_its_first_words() -> None:
    out, sink = outlet()
    out.engine = "gpu"
    out.write(b"data: 1\n\n")
    assert out.open
    out.write(b"data: 2\n\n")
    out.end(b"data: 3\n\n")
    assert sink.headers == {
        "content-type": "text/event-stream;charset=UTF-8",
        "x-log-id": "2026",
        "x-bigmodel-engine": "gpu",
    }
    assert (sink.events, sink.ends) == (["1", "2", "3"], ["end"])


def test_a_stream_that_is_over_at_once_has_opened_too() -> None:
    out, sink = outlet()
    out.end(b"data: 1\n\n")
    assert (out.open, sink.status, sink.events) == (True, 200, ["1"])


def test_a_body_now_and_again() -> None:
    out, sink = outlet()
    out.body(b"{}")
    assert (sink.status, sink.body, sink.ends) == (200, bytearray(b"{}"), ["respond"])
    assert "x-bigmodel-engine" not in sink.headers
    out, sink = outlet()
    out.replay(b"{}")
    assert sink.headers["x-idempotent-replay"] == "true"


@pytest.mark.parametrize(
    "answer",
    [
        lambda out: out.write(b"data: 1\n\n"),
        lambda out: out.end(b"data: 1\n\n"),
        lambda out: out.body(b"{}"),
        lambda out: out.replay(b"{}"),
        lambda out: out.error(ApiError("1305")),
    ],
    ids=["write", "end", "body", "replay", "error"],
)
def test_the_id_is_where_a_dialects_clients_look_for_it(answer: Callable[[Outlet], object]) -> None:
    out, sink = outlet(msgspec.structs.replace(CALLER, dialect=ANTHROPIC))
    answer(out)
    assert sink.headers["request-id"] == sink.headers["x-log-id"] == "2026"


def test_an_error_in_the_callers_language() -> None:
    out, sink = outlet()
    assert out.error(ApiError("1305", retry_after_s=7)) == 429
    assert sink.headers["retry-after"] == "7"
    assert json.loads(sink.body)["error"]["code"] == "1305"
    assert not out.open


def test_what_must_not_look_complete() -> None:
    out, sink = outlet()
    out.write(b"data: 1\n\n")
    out.abort()
    assert sink.ends == ["abort"]
