"""One log line for each request that does not reach an engine: lists, unknown paths, wrong methods.

Here their URLs are also searched for API keys, which would get into the logs of every proxy on the way.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openbigmodel.api.callers import Callers

# Asked every few seconds by machines; the answers would bury everything else.
_QUIET = frozenset((("/health", 200), ("/health", 503), ("/metrics", 200)))


# Where in the scope a handler of errors leaves the code that it answered with.
ERROR_CODE = "openbigmodel.error_code"
# And the id under which the request is to be noted, if the answer's body tells it.
LOG_ID = "openbigmodel.log_id"


class AccessLog:
    """ASGI middleware: notes the outcome and gives the answer its `x-log-id`."""

    def __init__(self, app: ASGIApp, callers: Callers) -> None:
        self._app = app
        self._callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path: str = scope["path"]
        for part in (scope["raw_path"], scope["query_string"]):
            self._callers.look_for_keys(part, "url")

        async def note_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                status: int = message["status"]
                if (path, status) not in _QUIET:
                    log_id = self._callers.note(path, status, scope.get(ERROR_CODE, ""), scope.get(LOG_ID))
                    message["headers"] = [*message["headers"], (b"x-log-id", log_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, note_and_send)
        except Exception:
            # Whatever it was, it is answered further out; here it only leaves its line.
            self._callers.note(path, 500)
            raise
