"""Where an engine answers, and the one error for an engine that does not.

Rule: an endpoint is a value. A worker that comes back after a crash is a new endpoint (other port, other key), so
whoever holds an old one can tell that it is old by comparing.
"""

import msgspec


class Endpoint(msgspec.Struct, frozen=True):
    """Address of an OpenAI-compatible server; `path` goes before `/chat/completions`."""

    host: str
    port: int
    api_key: str = ""
    tls: bool = False
    path: str = "/v1"

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{self.path}"

    def __repr__(self) -> str:
        # The generated one would put the key into logs and tracebacks.
        return f"Endpoint({self.url}, api_key={'***' if self.api_key else 'none'})"


class EngineUnavailable(Exception):  # noqa: N818  a state of the engine, not a mistake
    """The engine cannot answer. `reason` is a sentence for the operator; `detail` the end of the engine's own log."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}\n{detail}" if detail else reason)
