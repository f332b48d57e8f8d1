"""Runs the checks one after the other, and counts.

Rule: a check that breaks in a way that nobody foresaw has failed: the server did something that this suite could not
imagine. Only a server that answers no plain question at all is no result.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Literal

import httpx
import msgspec

from openbigmodel.conformance import (
    answer_checks,
    auth_checks,
    disconnect_checks,
    engine_fault_checks,
    error_checks,
    from_engine_checks,
    refusal_checks,
    request_checks,
    stream_checks,
    to_engine_checks,
)
from openbigmodel.conformance.checks import BACKEND_GROUPS, Check, Failed, Skipped
from openbigmodel.conformance.subject import TEXT, Subject, Unmeasurable, encode

CHECKS: tuple[Check, ...] = (
    *request_checks.CHECKS,
    *refusal_checks.CHECKS,
    *answer_checks.CHECKS,
    *stream_checks.CHECKS,
    *auth_checks.CHECKS,
    *error_checks.CHECKS,
    *disconnect_checks.CHECKS,
    *to_engine_checks.CHECKS,
    *from_engine_checks.CHECKS,
    *engine_fault_checks.CHECKS,
)
CHECK_TIMEOUT_S = 180.0
_START_TRIES = 60
_START_PAUSE_S = 0.5

Verdict = Literal["passed", "failed", "skipped"]


class Outcome(msgspec.Struct, frozen=True):
    """What came of a check; `seen` says why, unless it passed."""

    check: Check
    verdict: Verdict
    seen: str = ""


class Report(msgspec.Struct, frozen=True):
    """What came of all of them."""

    outcomes: tuple[Outcome, ...]

    def count(self, verdict: Verdict, *, required: bool | None = None) -> int:
        """How many of them came out so."""
        return sum(
            outcome.verdict == verdict and required in {None, outcome.check.required}
            for outcome in self.outcomes
        )

    @property
    def ok(self) -> bool:
        """Whether every required check passed, and there was at least one."""
        return self.count("failed", required=True) == 0 and self.count("passed", required=True) > 0

    @property
    def score(self) -> int:
        """Whole per cent of the required checks that had something to judge; only what is perfect has 100."""
        passed, failed = self.count("passed", required=True), self.count("failed", required=True)
        return 100 * passed // (passed + failed) if passed + failed else 0


def chosen(names: Iterable[str], *, upstream: str | None) -> list[Check]:
    """The checks of these groups or ids that fit the kind of engine; without names all. Raises Unmeasurable."""
    fitting = [
        check
        for check in CHECKS
        if (check.group not in BACKEND_GROUPS if upstream is None else upstream in check.upstreams)
    ]
    wanted = list(names)
    unknown = [name for name in wanted if not any(name in {check.group, check.id} for check in CHECKS)]
    if unknown:
        raise Unmeasurable(f"there is no check or group {', '.join(unknown)}")
    found = [check for check in fitting if not wanted or {check.group, check.id} & set(wanted)]
    if not found:
        raise Unmeasurable(
            f"{', '.join(wanted)} needs an engine of another kind behind the server: --backend"
        )
    return found


async def run(
    subject: Subject, checks: Iterable[Check], heard: Callable[[Outcome], None] = lambda _: None
) -> Report:
    """Run them in order, `heard` after each. Raises Unmeasurable."""
    await _look(subject)
    outcomes = []
    for check in checks:
        outcome = await _judged(subject, check)
        heard(outcome)
        outcomes.append(outcome)
    return Report(tuple(outcomes))


async def _judged(subject: Subject, check: Check) -> Outcome:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check.run(subject)
    except Failed as error:
        return Outcome(check, "failed", str(error))
    except Skipped as error:
        return Outcome(check, "skipped", str(error))
    except TimeoutError:
        return Outcome(check, "failed", f"no answer within {CHECK_TIMEOUT_S:g} s")
    except Unmeasurable as error:
        return Outcome(check, "failed", str(error))
    except Exception as error:  # noqa: BLE001 - the edge of a check: whatever a stranger says must not end the suite
        return Outcome(check, "failed", f"{type(error).__name__}: {error}")
    return Outcome(check, "passed")


async def _look(subject: Subject) -> None:
    """Whether there is something to measure. A server with our engine behind it may have to find that first."""
    said = ""
    for _ in range(_START_TRIES if subject.upstream else 1):
        try:
            said = await _first_answer(subject)
        except httpx.HTTPError as error:
            raise Unmeasurable(f"{subject.url} cannot be reached: {type(error).__name__} {error}") from error
        if not said:
            return
        await subject.sleep(_START_PAUSE_S)
    raise Unmeasurable(said)


async def _first_answer(subject: Subject) -> str:
    """What is wrong with the answer to a plain question; nothing if it can be measured. Raises Unmeasurable."""
    text = subject.scripted_everyday() if subject.upstream else TEXT
    answer = await subject.post(encode(subject.request(text)))
    code = answer.error.get("code")
    if answer.status in {401, 403}:
        raise Unmeasurable(f"the server refuses the key: {answer.status} {answer.body[:200]!r}")
    if code == "1211" or answer.status == 404:
        raise Unmeasurable(
            f"{subject.url} does not serve {subject.model}: {answer.status} {answer.body[:200]!r}"
        )
    if answer.status != 200:
        return f"the server answers {answer.status} to a plain question: {answer.body[:300]!r}"
    if subject.upstream and not subject.asked(text):
        return f"the server answers for {subject.model}, but does not ask the engine of this suite for it"
    return ""
