"""Server-sent events: bytes in, event data out; pure, shared by the relay and the client.

Lines end in LF, CRLF or CR and nothing else. Libraries that split on Unicode line separators lose events
(httpx's `iter_lines` does, and the official SDK reads with it), so text that we send never contains one raw:
`escape_separators`.
"""

import re

# NEL, LINE SEPARATOR, PARAGRAPH SEPARATOR. The other characters that `str.splitlines` splits on are control
# characters, which JSON already escapes.
_SEPARATORS = re.compile("[\u0085\u2028\u2029]")
_SEPARATOR_BYTES = re.compile(b"\xc2\x85|\xe2\x80[\xa8\xa9]")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ESCAPED = {b"\xc2\x85": b"\\u0085", b"\xe2\x80\xa8": b"\\u2028", b"\xe2\x80\xa9": b"\\u2029"}


class EventTooLarge(ValueError):  # noqa: N818  it says what happened
    """The peer sent an event without end."""


class EventParser:
    """Incremental parser of an event stream; yields the `data` of each event.

    `max_event_bytes` bounds what is kept of an unfinished event.
    """

    __slots__ = ("_begun", "_data", "_max_event_bytes", "_size", "_tail")

    def __init__(self, max_event_bytes: int = 4 * 1024 * 1024) -> None:
        self._tail = b""
        self._begun = False
        self._data: list[bytes] = []
        self._size = 0
        self._max_event_bytes = max_event_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that `data` completes. Raises EventTooLarge."""
        if self._tail:
            data = self._tail + data
        if b"\r" in data:
            data = self._without_carriage_returns(data)
            held = b"\r" if data.endswith(b"\r") else b""
            if held:
                data = data[:-1]
        else:
            held = b""
        lines = data.split(b"\n")
        self._tail = lines.pop() + held
        if lines and not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        events: list[bytes] = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                    self._data.clear()
                    self._size = 0
            elif line.startswith(b"data:"):
                value = line[6:] if line.startswith(b"data: ") else line[5:]
                self._data.append(value)
                self._size += len(value)
        if len(self._tail) + self._size > self._max_event_bytes:
            raise EventTooLarge(f"an event of more than {self._max_event_bytes} bytes")
        return events

    @staticmethod
    def _without_carriage_returns(data: bytes) -> bytes:
        """CRLF and CR become LF; a CR at the very end stays, because its LF may come with the next bytes."""
        body, last = (data[:-1], b"\r") if data.endswith(b"\r") else (data, b"")
        return body.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + last


def escape_separators(encoded_json: bytes) -> bytes:
    """JSON with U+0085, U+2028 and U+2029 written as escapes."""
    return _SEPARATOR_BYTES.sub(lambda match: _ESCAPED[match[0]], encoded_json)


def has_separator(text: str) -> bool:
    """Whether `text` needs `escape_separators` once it is encoded."""
    return not text.isascii() and _SEPARATORS.search(text) is not None
