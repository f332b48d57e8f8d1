"""The header lines of an answer to a chat request, ready for a sink."""

from functools import lru_cache

JSON = b"application/json; charset=UTF-8"
EVENT_STREAM = b"text/event-stream;charset=UTF-8"
REPLAY = b"x-idempotent-replay: true\r\n"


@lru_cache(maxsize=1024)
def lines_before_id(content_type: bytes, engine_name: str) -> bytes:
    """All up to the value of x-log-id, made once for each engine; its name is empty where none was asked."""
    engine = f"x-bigmodel-engine: {engine_name}\r\n".encode() if engine_name else b""
    return b"content-type: %b\r\n%bx-log-id: " % (content_type, engine)
