"""Each wrong way with an engine's fault has a gateway that goes it, and a check that notices."""

from typing import Any

import pytest

from openbigmodel.conformance.engine_fault_checks import CHECKS
from tests.planted_gateway import (
    Members,
    Mistake,
    caught,
    dropped,
    every_check_has_a_mistake,
    failures,
    measured,
)


def recoded(body: Members) -> Members:
    """What a gateway says that knows only statuses."""
    return {**body, "error": {**body["error"], "code": "1234", "message": "upstream error"}}


def one_behind() -> Any:
    """Each event but the first waits for the next one, as in a gateway that looks for a seam."""
    kept: list[Members] = []

    def change(chunk: Members) -> list[Members]:
        if any(choice.get("finish_reason") for choice in chunk["choices"]):
            told, kept[:] = [*kept, chunk], []
            return told
        if not kept and chunk["choices"][0]["delta"].get("reasoning_content"):
            return [chunk]
        told, kept[:] = list(kept), [chunk]
        return told

    return change


_DEATHS = ("reset", "closed", "ended", "done_only", "error_event")
PLANTED: list[tuple[str, Mistake]] = [
    ("engine_faults.streams_at_once", Mistake(buffers=True)),
    *(("engine_faults.streams_at_once", Mistake(buffers=True, passes_first=count)) for count in (1, 3)),
    ("engine_faults.streams_at_once", Mistake(chunk=one_behind())),
    ("engine_faults.left_stream", Mistake(cancels=False)),
    ("engine_faults.left_answer", Mistake(cancels=False)),
    *((f"engine_faults.code_{code}", Mistake(error=recoded)) for code in ("1301", "1302", "1305", "1113", "1308", "1261")),
    *((f"engine_faults.code_{code}", Mistake(headers=dropped("retry-after"))) for code in ("1302", "1305", "1113", "1308")),
    ("engine_faults.code_1113", Mistake(status=lambda status: 402 if status == 429 else status)),
    ("engine_faults.code_1302", Mistake(error=lambda body: {"error": {**body["error"], "message": "slow"}})),
    ("engine_faults.content_filter", Mistake(error=dropped("contentFilter"))),
    ("engine_faults.permanent_once", Mistake(retries=2)),
    ("engine_faults.permanent_once", Mistake(headers=dropped("x-should-retry"))),
    ("engine_faults.retry_after", Mistake(headers=dropped("retry-after"))),
    ("engine_faults.two_busy_callers", Mistake(breaker_at=2)),
    *((f"engine_faults.{name}", Mistake(death="")) for name in _DEATHS),
    ("engine_faults.reset", Mistake(death="", ending=b"")),
    ("engine_faults.reset", Mistake(death="break")),
    ("engine_faults.closed", Mistake(death="no usage")),
    ("engine_faults.error_event", Mistake(death="error event")),
    ("engine_faults.whole_answer_cut", Mistake(status=lambda status: 200 if status == 500 else status)),
    ("engine_faults.before_the_first_byte", Mistake(status=lambda status: 200 if status == 500 else status)),
    ("engine_faults.server_error", Mistake(error=lambda body: {"detail": "Internal Server Error"})),
    ("engine_faults.credential_refused", Mistake(status=lambda status: 401 if status == 500 else status)),
]  # fmt: skip


@pytest.mark.parametrize(("check_id", "mistake"), PLANTED)
def test_a_gateway_that_gets_it_wrong_is_found(check_id: str, mistake: Mistake) -> None:
    caught(mistake, check_id)


def test_each_check_has_a_mistake() -> None:
    every_check_has_a_mistake(CHECKS, PLANTED, but=set())


def test_a_gateway_that_translates_no_errors_is_found_in_front_of_another_engine() -> None:
    checks = ("engine_faults.busy", "engine_faults.too_long", "engine_faults.bad_request")
    assert failures(measured(Mistake(), *checks, upstream="openai")).keys() == set(checks)
