"""Recognises runs of stream chunks that differ in nothing but their text, so that a run costs what a chunk costs.

An engine repeats some 200 bytes around each token's text. Decoding and encoding every chunk would make up most
of the relay's work; splitting the bytes at what is known to repeat does the same for a whole run at once. A run
is only taken when that is certain: between two repeated parts there is text that needs no second look. Anything
else is left to the decoder, chunk by chunk, with the same outcome.
"""

import re

# What ends a JSON string, is not allowed in one, is an escape with rules of its own (a code point's), or has to be
# escaped for callers (sse.escape_separators).
_NEEDS_A_LOOK = re.compile(rb'["\x00-\x1f]|\\(?![\\/bfnrt])|\xc2\x85|\xe2\x80[\xa8\xa9]')
# Every such place has one of these bytes, and text without them is most text: in 3,000 bytes they are looked for in
# 1.4 µs, the pattern in 27.
_SUSPECT_BYTES = bytes((*range(0x20), *b'"\\\xc2\xe2'))
_TEXT_FOLLOWS = re.compile(rb'"(?:content|reasoning_content|reasoning)": ?"\Z')
_END_OF_EVENT = b"\n\n"
# A text of this size has hardly more than a long word.
SHORT_BYTES = 24


class ChunkRun:
    """The repeated bytes of one stream's chunks, before and after the text.

    `reasoning` says which kind of text it is.
    """

    __slots__ = ("_between", "_size_max", "after", "before", "reasoning")

    def __init__(self, before: bytes, after: bytes, *, reasoning: bool) -> None:
        self.before = before
        self.after = after
        self._between = after + before
        self._size_max = 2 * len(self._between)
        self.reasoning = reasoning

    def events(self, texts: list[bytes]) -> bytes:
        """Chunks of the run with these texts, encoded as in JSON."""
        return b"%b%b%b" % (self.before, self._between.join(texts), self.after)

    def only_text(self, data: bytes) -> bytes:
        """The text if `data` is exactly one chunk of the run, as when an engine's pace is a token at a time; else
        nothing. A third of the price of `take`; most such chunks take the short way (`lone_chunks`), which knows alike.
        """
        if not data.startswith(self.before) or not data.endswith(self.after) or len(data) > self._size_max:
            return b""
        text = data[len(self.before) : -len(self.after)]
        # With a second chunk there would be a quotation mark between.
        plain = text.translate(None, _SUSPECT_BYTES) == text and _is_utf8(text)
        return text if plain else b""

    def take(self, data: bytes, start: int) -> tuple[list[bytes], int]:
        """The texts, as encoded in JSON, of the run that begins at `start`, and where it ends.

        An empty list when no run begins there.
        """
        before, after = self.before, self.after
        if not data.startswith(before, start):
            return [], start
        texts = self._events_alike(data, start) or self._split(data, start)
        # With blanks between, half a character or a lone backslash at a text's end stays what it is.
        joined = b" ".join(texts)
        if not all(texts) or _needs_a_look(joined):
            texts = _certain(texts)
            joined = b" ".join(texts)
        if not texts:
            return [], start
        return texts, start + len(joined) + 1 - len(texts) + len(texts) * (len(before) + len(after))

    def _events_alike(self, data: bytes, start: int) -> list[bytes]:
        """The texts if the events from `start` on are alike, perhaps up to the last few; else nothing.

        Cuts the lines by their sizes and then looks whether the pieces make up the data again: 0.15 µs for each
        event instead of 0.4, because a search for 200 repeated bytes prepares itself anew each time.
        """
        before, after = self.before, self.after
        ending = after[: -len(_END_OF_EVENT)]
        events = data[start:].split(b"\n")[:-1:2]  # every other line is empty, the last one not complete
        # The end of a stream: a finish reason, the usage, [DONE].
        while events and not (events[-1].startswith(before) and events[-1].endswith(ending)):
            events.pop()
        texts = [event[len(before) : -len(ending)] for event in events]
        alike = data.startswith(b"%b%b%b" % (before, self._between.join(texts), after), start)
        return texts if alike else []

    def _split(self, data: bytes, start: int) -> list[bytes]:
        """The texts of the first events from `start` on that are alike; the first one begins as it must."""
        texts = data[start + len(self.before) :].split(self._between)
        last, end, _ = texts[-1].partition(self.after)
        if end:
            texts[-1] = last
        else:
            # The last chunk is incomplete, or is followed by one of another kind.
            texts.pop()
        return texts


def _certain(texts: list[bytes]) -> list[bytes]:
    """The texts up to the first that needs a second look."""
    for count, text in enumerate(texts):
        # A chunk without text is nothing to a caller.
        if not text or _needs_a_look(text):
            return texts[:count]
    return texts


def _needs_a_look(text: bytes) -> bool:
    if text.translate(None, _SUSPECT_BYTES) != text and _NEEDS_A_LOOK.search(text) is not None:
        return True
    return not _is_utf8(text)


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def learn_run(event: bytes, text: str, *, reasoning: bool) -> ChunkRun | None:
    """What repeats in chunks like this one, whose only content is `text`; None if that cannot be told.

    `event` is the data of one event, as it came.
    """
    encoded = text.encode()
    if not encoded or _NEEDS_A_LOOK.search(encoded) is not None or b"\\" in encoded:
        return None
    quoted = b'"' + encoded + b'"'
    start = event.find(quoted)
    if start < 0 or event.find(quoted, start + 1) >= 0 or not event.startswith(b"{"):
        return None
    if _TEXT_FOLLOWS.search(event, 0, start + 1) is None:
        return None
    end = start + len(quoted) - 1
    return ChunkRun(b"data: " + event[: start + 1], event[end:] + _END_OF_EVENT, reasoning=reasoning)
