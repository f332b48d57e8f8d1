"""The header lines of an answer to a chat request, ready for a sink."""

from functools import lru_cache

JSON = b"application/json; charset=UTF-8"
EVENT_STREAM = b"text/event-stream;charset=UTF-8"
REPLAY = b"x-idempotent-replay: true\r\n"


@lru_cache(maxsize=1024)
def engine_line(engine_name: str) -> bytes:
    """The line that names the engine, made once for each."""
    return f"x-bigmodel-engine: {engine_name}\r\n".encode()
