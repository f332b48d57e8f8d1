"""Stands between the reader of an engine's answer and the writer of the reply, and lets through what may be shown.

Rule: nothing reaches the writer that was not judged, and what reaches it does so in order. Words are looked for as the
text comes, so a word that blocks raises ContentBlocked out of the engine's data, after the clean text before it has
been written. The checker judges pieces of some sentences, one at a time; while it thinks, the next piece collects.
"""

import re
from typing import Literal, Protocol

import msgspec

from openbigmodel.billing.usage import Usage
from openbigmodel.inference.dialect import ReplyWriter
from openbigmodel.inference.reply import decoded
from openbigmodel.moderation.checker import Part
from openbigmodel.moderation.moderator import Check, Moderator, Outcome, Subject
from openbigmodel.moderation.text_filter import TextFilter
from openbigmodel.moderation.verdict import CheckerUnavailable, most_severe
from openbigmodel.schemas.chat import Finding

# The checker is asked about so many characters of a stream, or about a sentence or more of this length.
PIECE_CHARACTERS = 200
SENTENCE_CHARACTERS = 40
# And is shown so many of those before.
BEFORE_CHARACTERS = 200

_END_OF_SENTENCE = re.compile("[.!?。！？…\n]")

_Kind = Literal["content", "reasoning", "arguments"]


class ContentBlocked(Exception):  # noqa: N818  it says what happened
    """The answer goes on with something that must not be shown."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"level {finding.level}")
        self.finding = finding


class Listener(Protocol):
    """Who is told what the checker says."""

    def output_passed(self) -> None:
        """The writer has more, or all of it."""

    def output_blocked(self, finding: Finding) -> None:
        """The answer must not go on."""

    def output_unchecked(self, reason: str) -> None:
        """The checker gave no answer, and nothing may pass without."""


class _Piece(msgspec.Struct, gc=False):
    """Text that waits for the checker; `index` and `name` are those of a tool call."""

    kind: _Kind
    text: str
    index: int = 0
    name: str | None = None


class OutputGuard:
    """The ReplyWriter that an engine's reader is given when the answer is moderated."""

    __slots__ = tuple(
        "_asked _before _blocked _check _closing _filter _listener _moderator _found _pieces _place _size _streams _subject _whole _writer".split()
    )

    def __init__(
        self,
        writer: ReplyWriter,
        moderator: Moderator,
        subject: Subject,
        listener: Listener,
        *,
        streams: bool,
        whole: bool = False,
    ) -> None:
        """`streams`: what was judged can be shown at once, so it is judged in pieces.

        `whole`: the engine gives its answer in one piece, so it is read to its end, with the usage, before it is
        blocked.
        """
        self._writer = writer
        self._moderator = moderator
        self._subject = subject
        self._listener = listener
        self._streams = streams
        self._whole = whole
        self._blocked: ContentBlocked | None = None
        self._filter: TextFilter | None = None
        self._place: tuple[_Kind, int] = ("content", 0)
        self._found: list[Finding] = []
        self._pieces: list[_Piece] = []
        self._size = 0
        self._asked: list[_Piece] = []
        self._before = ""
        self._check: Check | None = None
        self._closing = False

    # what the engine says

    def reasoning(self, text: str) -> None:
        """See ReplyWriter; raises ContentBlocked, as all of these."""
        self._say(_Piece("reasoning", text))

    def content(self, text: str) -> None:
        """See ReplyWriter."""
        self._say(_Piece("content", text))

    def reasoning_run(self, texts: list[bytes]) -> None:
        """See ReplyWriter."""
        self._say(_Piece("reasoning", decoded(texts)), texts)

    def content_run(self, texts: list[bytes]) -> None:
        """See ReplyWriter."""
        self._say(_Piece("content", decoded(texts)), texts)

    def around(self, *, reasoning: bool) -> None:
        """See AnswerWriter: every text has to be judged."""

    def tool_call(self, index: int, name: str | None, arguments: str) -> None:
        """See ReplyWriter."""
        self._say(_Piece("arguments", arguments, index, name))

    def _say(self, piece: _Piece, texts: list[bytes] | None = None) -> None:
        """Write what may be shown; a run of chunks that may be shown as a whole stays one."""
        words = self._words_for(piece)
        if words is None:
            self._pass_on(piece)
            return
        said, held = piece.text, words.held
        piece.text = words.feed(said)
        if texts is not None and not held and piece.text == said and self._moderator.checker is None:
            self._write_run(piece.kind, texts)
        elif piece.text or piece.name is not None:
            self._pass_on(piece)
        if words.blocked is not None:
            self._block(words.blocked)

    def _block(self, level: int) -> None:
        if self._blocked is None:
            self._moderator.count("output", "blocked")
        self._blocked = self._blocked or ContentBlocked(Finding(level, "assistant"))
        if self._closing or not self._whole:
            raise self._blocked

    def _words_for(self, piece: _Piece) -> TextFilter | None:
        """The filter of the text that `piece` goes on with. What came before it has ended then."""
        place = (piece.kind, piece.index)
        if self._filter is None or place != self._place:
            self._end_text()
            self._place = place
            words = self._moderator.words
            self._filter = None if words is None else TextFilter(words, escaped=piece.kind == "arguments")
        return self._filter

    def _end_text(self) -> None:
        words, (kind, index) = self._filter, self._place
        if words is None:
            return
        held = words.feed("", final=True)
        self._filter = None
        if words.noted is not None:
            self._moderator.count("output", "noted")
            self._found.append(Finding(words.noted, "assistant"))
        if held:
            self._pass_on(_Piece(kind, held, index))
        if words.blocked is not None:
            self._block(words.blocked)

    def close(self) -> bool:
        """The engine will say no more. True if all of it is written; if not, the listener will be told.

        Raises ContentBlocked.
        """
        self._closing = True
        if self._blocked is not None:
            raise self._blocked
        self._end_text()
        if self._pieces and self._check is None:
            self._ask()
        return self.closed

    @property
    def closed(self) -> bool:
        """Whether the engine has said all, and all of it is written."""
        return self._closing and self._check is None

    # what the checker says

    def _pass_on(self, piece: _Piece) -> None:
        if self._moderator.checker is None:
            self._write(piece)
            return
        self._pieces.append(piece)
        self._size += len(piece.text)
        if self._streams and self._check is None and self._worth_asking(piece.text):
            self._ask()

    def _worth_asking(self, text: str) -> bool:
        if self._size >= PIECE_CHARACTERS:
            return True
        return self._size >= SENTENCE_CHARACTERS and _END_OF_SENTENCE.search(text) is not None

    def _ask(self) -> None:
        self._asked, self._pieces, self._size = self._pieces, [], 0
        parts = _parts(self._asked)
        if not parts:
            self._write_asked()
            return
        self._check = self._moderator.check_output(self._subject, self._before, parts, self._judged)
        self._before = (self._before + "".join(part.text for part in parts))[-BEFORE_CHARACTERS:]

    def _judged(self, outcome: Outcome) -> None:
        self._check = None
        if isinstance(outcome, CheckerUnavailable):
            self._listener.output_unchecked(str(outcome))
            return
        if outcome.blocked is not None:
            self._listener.output_blocked(outcome.blocked)
            return
        self._found += outcome.noted
        self._write_asked()
        if self._pieces and (self._closing or self._worth_asking(self._pieces[-1].text)):
            self._ask()
        self._listener.output_passed()

    def note(self, *findings: Finding) -> None:
        """Something was found that callers are told of at the answer's end."""
        self._found += findings

    def cancel(self) -> None:
        """Nothing more will be written."""
        if self._check is not None:
            self._check.cancel()
            self._check = None

    # to the writer

    def _write_asked(self) -> None:
        for piece in self._asked:
            self._write(piece)

    def _write(self, piece: _Piece) -> None:
        if piece.kind == "arguments":
            self._writer.tool_call(piece.index, piece.name, piece.text)
        elif piece.kind == "reasoning":
            self._writer.reasoning(piece.text)
        else:
            self._writer.content(piece.text)

    def _write_run(self, kind: _Kind, texts: list[bytes]) -> None:
        if kind == "reasoning":
            self._writer.reasoning_run(texts)
        else:
            self._writer.content_run(texts)

    def take(self) -> bytes:
        """See ReplyWriter."""
        return self._writer.take()

    def finish(self, finish_reason: str, usage: Usage, ended_s: int) -> bytes:
        """See ReplyWriter; the reply tells what was found."""
        self._writer.content_filter = most_severe(self._found)
        return self._writer.finish(finish_reason, usage, ended_s)


def _parts(pieces: list[_Piece]) -> list[Part]:
    """Texts without seams: pieces of the same text make up one part."""
    parts: list[Part] = []
    place: tuple[_Kind, int] | None = None
    for piece in pieces:
        if place == (piece.kind, piece.index):
            parts[-1] = Part("assistant", parts[-1].text + piece.text, piece.kind)
        elif piece.text:
            place = (piece.kind, piece.index)
            parts.append(Part("assistant", piece.text, piece.kind))
    return parts
