"""What the pipeline sees of moderation: whether a request is moderated, its input's verdict, its answer's checks.

Rule: words first, because they cost nothing; the checker is only asked about what they let pass. What can be said
at once is said at once, without a task; everything else is told later, once, unless it was cancelled.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Literal, Protocol

import msgspec

from openbigmodel.moderation.checker import HttpChecker, Part, Question, Stage
from openbigmodel.moderation.text_filter import TextFilter
from openbigmodel.moderation.verdict import (
    CLEAR,
    CheckerUnavailable,
    Role,
    Verdict,
    most_severe,
)
from openbigmodel.moderation.words import WordList, read_word_list
from openbigmodel.schemas.chat import ChatRequest, Finding, Message, SensitiveWordCheck
from openbigmodel.settings import ModerationSettings

# Characters that are searched for words in one go; others get their turn after 5 ms at most.
SLICE_CHARACTERS = 16 * 1024

_DECODE_MESSAGES = msgspec.json.Decoder(list[Message], float_hook=float).decode
_DECODE_ARGUMENTS = msgspec.json.Decoder(float_hook=float).decode

Outcome = Verdict | CheckerUnavailable
Tell = Callable[[Outcome], None]


class Check(Protocol):
    """A verdict that is still to come."""

    def cancel(self) -> object:
        """Nobody wants to know any more; nothing will be told."""


class Subject(msgspec.Struct, frozen=True, gc=False):
    """The request that is moderated, as the checker is told about it."""

    id: str
    model: str
    user_id: str


def build_moderator(settings: ModerationSettings, note: Callable[[str], None]) -> "Moderator | None":
    """What the settings ask for, None if nothing; raises WordListError. `note` gets lines for the operator."""
    if not settings.on:
        return None
    words = None if settings.word_list is None else read_word_list(settings.word_list, settings.block_level)
    checker = None
    if settings.checker_url:
        checker = HttpChecker(
            settings.checker_url,
            key=settings.checker_key.reveal(),
            timeout_s=settings.checker_timeout_s,
            concurrency=settings.checker_concurrency,
            failure_passes=settings.checker_on_failure == "pass",
            note=note,
        )
    return Moderator(
        words,
        checker,
        inputs=settings.applies_to != "output",
        outputs=settings.applies_to != "input",
        may_disable=settings.may_disable,
    )


class Moderator:
    """One per process. `inputs`, `outputs`: what it applies to; `may_disable`: accounts that may opt out.

    `seen` counts what was found, by stage and outcome.
    """

    def __init__(
        self,
        words: WordList | None,
        checker: HttpChecker | None,
        *,
        inputs: bool = True,
        outputs: bool = True,
        may_disable: Iterable[str] = (),
    ) -> None:
        self.words = words
        self.checker = checker
        self.inputs = inputs
        self.outputs = outputs
        self.seen: dict[tuple[Stage, Literal["blocked", "noted"]], int] = {}
        self._may_disable = frozenset(may_disable)
        self._checks: set[asyncio.Task[None]] = set()

    def skips(self, account_id: str, wish: SensitiveWordCheck | None, *, exempt: bool) -> bool:
        """Whether the caller has switched moderation off and may do so (`sensitive_word_check`, api.md §3.1)."""
        if wish is None or wish.status != "DISABLE":
            return False
        return exempt or account_id in self._may_disable or "*" in self._may_disable

    def count(self, stage: Stage, outcome: Literal["blocked", "noted"]) -> None:
        """Count a find; for the one who searches an answer for words, too."""
        self.seen[stage, outcome] = self.seen.get((stage, outcome), 0) + 1

    def counts(self) -> dict[tuple[str, ...], float]:
        """What was found, and what the checker did not answer, as metrics want it."""
        found: dict[tuple[str, ...], float] = {key: float(count) for key, count in self.seen.items()}
        if self.checker is not None:
            found |= {(stage, "failed"): float(count) for stage, count in self.checker.failures.items()}
        return found

    def check_input(self, subject: Subject, request: ChatRequest, tell: Tell) -> Verdict | Check:
        """The verdict on what the caller sent, or the check that will tell it."""
        parts = list(_parts_of(request))
        long = sum(len(part.text) for part in parts) > SLICE_CHARACTERS
        if self.checker is None and not long:
            return self._counted("input", self._by_words(parts))
        return self._start("input", lambda: self._judge_input(subject, parts), tell)

    def check_output(self, subject: Subject, before: str, parts: list[Part], tell: Tell) -> Check:
        """Ask the checker about a piece of the answer; `before` is the end of what it has let pass."""
        checker = self.checker
        assert checker is not None
        question = Question(subject.id, "output", subject.model, subject.user_id, before, parts)
        return self._start("output", lambda: checker.ask(question), tell)

    async def close(self) -> None:
        """Forget what is under way, and close the checker's connections."""
        for check in list(self._checks):
            check.cancel()
        if self.checker is not None:
            await self.checker.close()

    def _by_words(self, parts: list[Part]) -> Verdict:
        noted: list[Finding] = []
        for part in parts:
            for blocked in self._search(part, noted):
                if blocked is not None:
                    return Verdict(blocked)
        return Verdict(noted=most_severe(noted)) if noted else CLEAR

    def _search(self, part: Part, noted: list[Finding]) -> Iterator[Finding | None]:
        """Search one part for words, a slice at a time; a finding ends it."""
        if self.words is None:
            return
        text = part.text
        words = TextFilter(self.words)
        for start in range(0, len(text), SLICE_CHARACTERS):
            end = start + SLICE_CHARACTERS
            words.feed(text[start:end], final=end >= len(text))
            if words.blocked is not None:
                yield Finding(words.blocked, part.role)
                return
            yield None
        if words.noted is not None:
            noted.append(Finding(words.noted, part.role))

    async def _judge_input(self, subject: Subject, parts: list[Part]) -> Verdict:
        noted: list[Finding] = []
        for part in parts:
            for blocked in self._search(part, noted):
                if blocked is not None:
                    return Verdict(blocked)
                await asyncio.sleep(0)
        if self.checker is None:
            return Verdict(noted=most_severe(noted))
        answer = await self.checker.ask(
            Question(subject.id, "input", subject.model, subject.user_id, "", parts)
        )
        return Verdict(answer.blocked, most_severe([*noted, *answer.noted]))

    def _start(self, stage: Stage, judge: Callable[[], Awaitable[Verdict]], tell: Tell) -> Check:
        check = asyncio.get_running_loop().create_task(self._tell_later(stage, judge, tell))
        self._checks.add(check)
        check.add_done_callback(self._checks.discard)
        return check

    async def _tell_later(self, stage: Stage, judge: Callable[[], Awaitable[Verdict]], tell: Tell) -> None:
        try:
            outcome: Outcome = self._counted(stage, await judge())
        except CheckerUnavailable as error:
            outcome = error
        tell(outcome)

    def _counted(self, stage: Stage, verdict: Verdict) -> Verdict:
        if verdict.blocked is not None:
            self.count(stage, "blocked")
        elif verdict.noted:
            self.count(stage, "noted")
        return verdict


def _parts_of(request: ChatRequest) -> Iterator[Part]:
    """Every text that the model will read, and whose it is: the turns before the last question are history."""
    messages = _DECODE_MESSAGES(request.messages)
    last_question = max((i for i, message in enumerate(messages) if message.role == "user"), default=0)
    for index, message in enumerate(messages):
        spoken = message.role in ("user", "assistant", "tool")
        role: Role = "history" if spoken and index < last_question else "user"
        for text in _texts_of(message):
            if text:
                yield Part(role, text)
    for tool in request.tools or ():
        yield Part("user", "\n".join(_strings_in(tool)))


def _texts_of(message: Message) -> Iterator[str]:
    if isinstance(message.content, str):
        yield message.content
    else:
        yield from (part.text or "" for part in message.content or ())
    yield message.reasoning_content or ""
    for call in message.tool_calls or ():
        if call.function is not None:
            arguments = call.function.arguments
            decoded = _decoded(arguments) if isinstance(arguments, str) else arguments
            yield "\n".join(_strings_in(decoded))


def _decoded(arguments: str) -> Any:
    try:
        return _DECODE_ARGUMENTS(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments


def _strings_in(value: Any) -> Iterator[str]:
    """Every text inside a JSON value, keys included; its depth was judged before (inference/chat_request.py)."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting += [part for pair in item.items() for part in pair]
        elif isinstance(item, list):
            waiting += item
