"""What a caller sees of a request: one error, one body, or one stream that ends.

Rule: it is answered once. Who calls this decides when; how it looks on the wire is the dialect's matter.
"""

from openbigmodel.edge import Sink
from openbigmodel.errors import ApiError
from openbigmodel.inference.answer_head import EVENT_STREAM, JSON, REPLAY, lines_before_id
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.dialect import Asked


class Outlet:
    """The way out of one request. `engine` is who answers, empty as long as nobody does; `open`: a stream has begun.

    `asked` is what the request was read as, None until then; `sink` is for who writes the same as `write`.
    """

    __slots__ = ("_caller", "_id", "asked", "engine", "open", "sink")

    def __init__(self, sink: Sink, caller: Caller, log_id: str) -> None:
        self.sink = sink
        self._caller = caller
        self._id = log_id
        self.asked: Asked | None = None
        self.engine = ""
        self.open = False

    def write(self, events: bytes) -> None:
        """Some more of a stream."""
        if not self.open:
            self.open = True
            self.sink.start(self._headers(EVENT_STREAM))
        self.sink.write(events)

    def end(self, events: bytes) -> None:
        """The last of a stream."""
        if not self.open:
            self.open = True
            self.sink.start(self._headers(EVENT_STREAM))
        self.sink.end(events)

    def body(self, body: bytes) -> None:
        """An answer in one piece."""
        self.sink.respond(200, self._headers(JSON), body)

    def replay(self, body: bytes) -> None:
        """The same as an earlier time."""
        self.sink.respond(200, self._headers(JSON) + REPLAY, body)

    def error(self, error: ApiError) -> int:
        """An error instead of an answer. Returns its HTTP status."""
        caller = self._caller
        try:
            status, lines, body = caller.dialect.error(error, caller.language, self._id, self.asked)
            self.sink.respond(status, self._headers(JSON, error=True) + lines, body)
        except Exception:  # a fault of ours: nobody must wait for an answer that cannot be put into words
            self.sink.abort()
            raise
        return status

    def abort(self) -> None:
        """Drop the connection: the stream must not look complete."""
        self.sink.abort()

    def _headers(self, content_type: bytes, *, error: bool = False) -> bytes:
        """Where clients look for the id, it stands, too; an error's own lines have it there."""
        id_header = b"" if error else self._caller.dialect.id_header
        log_id = self._id.encode()
        lines = lines_before_id(content_type, self.engine) + log_id + b"\r\n"
        return b"%b%b: %b\r\n" % (lines, id_header, log_id) if id_header else lines
