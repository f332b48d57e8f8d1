"""The HTTP checker: asks a service of the operator's own choice whether a text may pass.

Rule: every question gets a verdict within the time-out, whatever the service does. What that verdict is without an
answer, the settings decide: nothing passes unchecked, or everything does. The questions and answers are documented
in docs/moderation.md; they hold what callers wrote, so nothing of them is ever logged.
"""

import asyncio
from collections.abc import Callable
from typing import Literal, get_args

import httpx
import msgspec

from openbigmodel.moderation.verdict import CLEAR, CheckerUnavailable, Role, Verdict
from openbigmodel.schemas.chat import Finding

Stage = Literal["input", "output"]

MAX_ANSWER_BYTES = 64 * 1024
# Questions that wait for their turn, for each one that may be asked at once.
_WAITING_PER_QUESTION = 64

_ENCODE = msgspec.json.Encoder().encode


class Part(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One text of a question. `kind` is what an answer's text is: content, reasoning or a call's arguments."""

    role: Role
    text: str
    kind: Literal["content", "reasoning", "arguments"] = "content"


class Question(msgspec.Struct, frozen=True, gc=False):
    """What the checker is sent. `before` is the end of what it has let pass of the same answer."""

    id: str
    stage: Stage
    model: str
    user_id: str
    before: str
    parts: list[Part]


class _Answer(msgspec.Struct, frozen=True, gc=False):
    """What it answers; other fields are ignored."""

    allowed: bool
    level: int | None = None
    role: Role | None = None


_DECODE = msgspec.json.Decoder(_Answer, float_hook=float).decode


class HttpChecker:
    """The client of one checker. `note` is told when the service stops answering, and when it answers again.

    `failures`: questions without an answer, by stage.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str,
        timeout_s: float,
        concurrency: int,
        failure_passes: bool,
        note: Callable[[str], None],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        headers = {"content-type": "application/json", "accept": "application/json"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        # The time-out that counts is ours, over all; a proxy from the environment would be a setting that nobody made.
        self._client = httpx.AsyncClient(
            headers=headers, limits=limits, timeout=timeout_s, trust_env=False, transport=transport
        )
        self.failures = dict.fromkeys(get_args(Stage), 0)
        self._url = url
        self._timeout_s = timeout_s
        self._failure_passes = failure_passes
        self._note = note
        self._turns = asyncio.Semaphore(concurrency)
        self._asked_max = concurrency * (1 + _WAITING_PER_QUESTION)
        self._asked = 0
        self._failing = False

    async def ask(self, question: Question) -> Verdict:
        """The service's verdict; raises CheckerUnavailable where there is none and nothing may pass without."""
        try:
            answer = await self._answer(question)
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError, TimeoutError, _Unusable) as error:
            self.failures[question.stage] += 1
            return self._without_answer(_reason(error))
        if self._failing:
            self._failing = False
            self._note("moderation checker: answers again")
        return _verdict(answer, question)

    async def _answer(self, question: Question) -> _Answer:
        if self._asked >= self._asked_max:
            raise _Unusable(f"{self._asked} questions are waiting")
        self._asked += 1
        try:
            async with asyncio.timeout(self._timeout_s), self._turns:
                return await self._post(_ENCODE(question))
        finally:
            self._asked -= 1

    async def _post(self, body: bytes) -> _Answer:
        async with self._client.stream("POST", self._url, content=body) as response:
            if response.status_code != 200:
                raise _Unusable(f"status {response.status_code}")
            received = bytearray()
            async for data in response.aiter_bytes():
                received += data
                if len(received) > MAX_ANSWER_BYTES:
                    raise _Unusable(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        answer = _DECODE(received)
        if answer.level is not None and not 0 <= answer.level <= 3:
            raise _Unusable(f"level {answer.level}")
        return answer

    def _without_answer(self, reason: str) -> Verdict:
        if not self._failing:
            self._failing = True
            outcome = "passes unchecked" if self._failure_passes else "is refused"
            self._note(
                f"moderation checker: no answer ({reason}); until it answers, what it should check {outcome}"
            )
        if self._failure_passes:
            return CLEAR
        raise CheckerUnavailable(f"the moderation checker gave no answer ({reason})")

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()


class _Unusable(Exception):  # noqa: N818  it describes an answer
    """The service answered with something that is no verdict."""


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "too slow"
    if isinstance(error, msgspec.MsgspecError):
        return "not the answer that docs/moderation.md describes"
    return str(error) or type(error).__name__


def _verdict(answer: _Answer, question: Question) -> Verdict:
    """A blocked text without a level has 1, bigmodel.cn's usual one; an allowed one with a level is noted."""
    role: Role = "assistant" if question.stage == "output" else answer.role or "user"
    if not answer.allowed:
        return Verdict(Finding(1 if answer.level is None else answer.level, role))
    return CLEAR if answer.level is None else Verdict(noted=(Finding(answer.level, role),))
