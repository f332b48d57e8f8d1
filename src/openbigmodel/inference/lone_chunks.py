"""The way of a chunk that comes alone: from the engine's connection to the caller's, past everybody between.

Where an engine's pace is a token at a time, nearly all that the platform does is to pass chunks on that differ from the
one before in nothing but a short text. Who reads and who writes them has said what stands around it, and nobody else
has to know. It ends with the first chunk that differs in any other way: that one goes the long way, and may begin it
anew.

Nothing here asks whether the answer is over. It need not: it ends either on the long way, on which the taker is
forgotten, or by cancelling the call to the engine, after which nothing comes.
"""

from openbigmodel.edge import Sink
from openbigmodel.inference.chunk_run import SHORT_BYTES
from openbigmodel.inference.engine_reader import EngineReader

_CRLF = b"\r\n"


class LoneChunks:
    """Takes chunks like the last one that `reader` was fed, until it has seen `deltas_max`. See ChunkTaker."""

    __slots__ = (
        "_after",
        "_before",
        "_deltas_max",
        "_reader",
        "_reasoning",
        "_shown_after",
        "_shown_before",
        "_sink",
        "_size_max",
        "_text_begins",
        "_text_ends",
    )

    def __init__(self, reader: EngineReader, sink: Sink, deltas_max: int) -> None:
        run, shown_around = reader.run, reader.shown_around
        assert run is not None
        assert shown_around is not None
        self._before, self._after = run.before, run.after + _CRLF
        self._text_begins, self._text_ends = len(self._before), -len(self._after)
        self._size_max = len(self._before) + len(self._after) + SHORT_BYTES
        self._shown_before, self._shown_after = shown_around
        self._reasoning = run.reasoning
        self._reader = reader
        self._sink = sink
        self._deltas_max = deltas_max

    def take(self, chunk: bytes, begin: int) -> bool:
        """See ChunkTaker."""
        if len(chunk) - begin > self._size_max:
            return False
        if not chunk.startswith(self._before, begin) or not chunk.endswith(self._after):
            return False
        text = chunk[begin + self._text_begins : self._text_ends]
        try:
            shown = text.decode()
        except UnicodeDecodeError:
            return False
        # Stricter than `chunk_run` and cheaper: no control character, separator, quotation mark (which there would be
        # between two events) or escape. More than a word may be more than a token.
        if not shown.isprintable() or '"' in shown or "\\" in shown or shown.count(" ") > 1:
            return False
        reader = self._reader
        if not text or reader.deltas >= self._deltas_max:
            return False
        # As the reader does, without one call more.
        reader.deltas += 1
        if self._reasoning:
            reader.reasoning_seen += 1
        self._sink.write(self._shown_before + text + self._shown_after)
        return True
