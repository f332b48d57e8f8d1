"""The guard alone, with a checker whose verdicts the test gives."""

from collections.abc import Callable

import pytest

from openbigmodel.billing.usage import Usage
from openbigmodel.inference.output_guard import (
    BEFORE_CHARACTERS,
    PIECE_CHARACTERS,
    SENTENCE_CHARACTERS,
    ContentBlocked,
    OutputGuard,
)
from openbigmodel.inference.reply import BodyWriter, ReplyHead, StreamWriter
from openbigmodel.moderation.checker import HttpChecker, Part
from openbigmodel.moderation.moderator import Check, Moderator, Outcome, Subject
from openbigmodel.moderation.verdict import CLEAR, CheckerUnavailable, Verdict
from openbigmodel.moderation.words import WordList
from openbigmodel.schemas.chat import Finding

SUBJECT = Subject("id", "glm-4.6", "")
HEAD = ReplyHead("i", "r", 1, "glm-4.6")
WORDS = WordList({"bomb": 1, "mild": 3}, block_level=2)


class AskedModerator(Moderator):
    """Keeps the questions; the test answers them."""

    def __init__(self, words: WordList | None) -> None:
        never = HttpChecker(
            "http://x/", key="", timeout_s=1, concurrency=1, failure_passes=False, note=lambda line: None
        )
        super().__init__(words, never)
        self.questions: list[tuple[str, list[Part]]] = []
        self.cancelled = 0
        self._tell: Callable[[Outcome], None] | None = None

    def check_output(
        self, subject: Subject, before: str, parts: list[Part], tell: Callable[[Outcome], None]
    ) -> Check:
        assert self._tell is None, "one at a time"
        self.questions.append((before, parts))
        self._tell = tell
        return self

    def cancel(self) -> None:
        self.cancelled += 1
        self._tell = None

    def say(self, outcome: Outcome = CLEAR) -> None:
        tell, self._tell = self._tell, None
        assert tell is not None, "nobody asked"
        tell(outcome)


class Heard:
    """A Listener."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def output_passed(self) -> None:
        self.said.append("passed")

    def output_blocked(self, finding: Finding) -> None:
        self.said.append(f"blocked {finding.level}")

    def output_unchecked(self, reason: str) -> None:
        self.said.append(reason)


def guarded(moderator: Moderator, *, streams: bool = True, whole: bool = False) -> tuple[OutputGuard, Heard]:
    heard = Heard()
    writer = StreamWriter(HEAD, 0, tool_stream=True) if streams else BodyWriter(HEAD, 0)
    return OutputGuard(writer, moderator, SUBJECT, heard, streams=streams, whole=whole), heard


def asked_of(moderator: AskedModerator) -> list[str]:
    return ["".join(part.text for part in parts) for _, parts in moderator.questions]


def test_the_checker_is_asked_about_pieces_of_some_length() -> None:
    moderator = AskedModerator(None)
    guard, heard = guarded(moderator)
    guard.content("a" * (PIECE_CHARACTERS - 1))
    assert moderator.questions == []
    guard.content("bb")
    guard.content("c" * PIECE_CHARACTERS)
    assert asked_of(moderator) == ["a" * (PIECE_CHARACTERS - 1) + "bb"]
    assert guard.take() == b""
    moderator.say()
    assert guard.take().count(b"data:") == 2
    assert asked_of(moderator)[1:] == ["c" * PIECE_CHARACTERS]
    assert moderator.questions[1][0] == ("a" * (PIECE_CHARACTERS - 1) + "bb")[-BEFORE_CHARACTERS:]
    assert heard.said == ["passed"]


def test_or_about_a_sentence() -> None:
    moderator = AskedModerator(None)
    guard, _ = guarded(moderator)
    guard.content("Short.")
    assert moderator.questions == []
    guard.content("x" * SENTENCE_CHARACTERS)
    assert moderator.questions == []
    guard.content("。")
    assert len(moderator.questions) == 1


def test_kinds_of_text_are_told_apart() -> None:
    moderator = AskedModerator(WORDS)
    guard, heard = guarded(moderator)
    guard.reasoning_run([b"think ", b"\\u4e2d"])
    guard.content("answer")
    guard.tool_call(0, "f", '{"a"')
    guard.tool_call(0, None, ":1}")
    guard.tool_call(1, "g", "")
    assert guard.close() is False
    assert guard.close() is False
    assert moderator.questions[0][1] == [
        Part("assistant", "think 中", "reasoning"),
        Part("assistant", "answer"),
        Part("assistant", '{"a":1}', "arguments"),
    ]
    moderator.say()
    assert heard.said == ["passed"]
    assert guard.closed
    data = guard.take().decode()
    assert data.index("think 中") < data.index("answer") < data.index('"name":"f"') < data.index('"name":"g"')


def test_verdicts_reach_the_listener() -> None:
    for outcome, said in (
        (Verdict(Finding(0, "assistant")), "blocked 0"),
        (CheckerUnavailable("no answer"), "no answer"),
    ):
        moderator = AskedModerator(None)
        guard, heard = guarded(moderator)
        guard.content("x")
        assert not guard.close()
        moderator.say(outcome)
        assert heard.said == [said]
        assert guard.take() == b""


def test_what_was_noted_is_told_at_the_end() -> None:
    moderator = AskedModerator(WORDS)
    guard, _ = guarded(moderator)
    guard.note(Finding(2, "user"))
    guard.content("a mild text")
    guard.close()
    moderator.say(Verdict(noted=(Finding(2, "assistant"),)))
    last = guard.finish("stop", Usage(), 1)
    assert b'"content_filter":[{"level":2,"role":"user"},{"level":2,"role":"assistant"}]' in last


def test_a_cancelled_guard_asks_no_more() -> None:
    moderator = AskedModerator(None)
    guard, heard = guarded(moderator)
    guard.cancel()
    guard.content("x" * PIECE_CHARACTERS)
    guard.cancel()
    guard.cancel()
    assert (moderator.cancelled, heard.said) == (1, [])


def test_a_body_is_not_judged_in_pieces() -> None:
    moderator = AskedModerator(None)
    guard, _ = guarded(moderator, streams=False)
    for _ in range(10):
        guard.content("x" * PIECE_CHARACTERS)
    assert moderator.questions == []
    assert not guard.close()
    assert asked_of(moderator) == ["x" * 10 * PIECE_CHARACTERS]


def test_a_word_ends_a_stream_at_once_and_a_whole_answer_at_its_end() -> None:
    guard, _ = guarded(Moderator(WORDS, None))
    with pytest.raises(ContentBlocked) as caught:
        guard.content("a bomb!")
    assert caught.value.finding == Finding(1, "assistant")
    assert b'"content":"a "' in guard.take()

    guard, _ = guarded(Moderator(WORDS, None), streams=False, whole=True)
    guard.reasoning("a bomb")
    guard.content("a bomb!")
    with pytest.raises(ContentBlocked):
        guard.close()


def test_a_word_at_the_very_end() -> None:
    guard, _ = guarded(Moderator(WORDS, None))
    guard.content("a bomb")
    with pytest.raises(ContentBlocked):
        guard.close()
    guard, _ = guarded(Moderator(WORDS, None))
    guard.reasoning("a bomb")
    with pytest.raises(ContentBlocked):
        guard.content("fine")


def test_runs_stay_runs_where_nothing_is_held() -> None:
    guard, _ = guarded(Moderator(WORDS, None))
    guard.content_run([b"one ", b"two ", b"bo"])
    assert guard.take().count(b"data:") == 1
    guard.content_run([b"x ", b"y"])
    assert guard.take().count(b"data:") == 1
    guard.content_run([b"one ", b"two "])
    guard.reasoning_run([b"three ", b"four "])
    assert guard.take().count(b"data:") == 4
