"""An engine that a test holds by the hand: it sends a token or none, and the rest only when it is told to go on.

It speaks as much of OpenAI's protocol as the relay needs, and notices when its client hangs up.
"""

import json
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HELD_S_MAX = 20.0
_LOOK_EVERY_S = 0.02


class HeldEngine(ThreadingHTTPServer):
    """`go_on` lets held streams continue; `asked` is set when one begins, `left` when its client hangs up."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.go_on = threading.Event()
        self.asked = threading.Event()
        self.left = threading.Event()
        self.tokens_before_hold = 1

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def hold(self, after_tokens: int = 1) -> None:
        """From now on, streams stop after their first token, or before it."""
        self.tokens_before_hold = after_tokens
        for event in (self.go_on, self.asked, self.left):
            event.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HeldEngine

    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body["stream"]:
            self._stream()
        else:
            message = {"role": "assistant", "content": "one two"}
            self._whole(
                {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": _USAGE}
            )

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as in the class above
        pass

    def _whole(self, reply: dict[str, Any]) -> None:
        data = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.flush()
        self.server.asked.set()
        for number, token in enumerate(("one", " two")):
            if number == self.server.tokens_before_hold and not self._may_go_on():
                return
            self._event({"choices": [{"index": 0, "delta": {"content": token}}]})
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self._event({"choices": [], "usage": _USAGE})
        self.wfile.write(b"data: [DONE]\n\n")

    def _may_go_on(self) -> bool:
        """Wait for leave to; False when the client has gone meanwhile."""
        waited_s = 0.0
        while not self.server.go_on.is_set() and waited_s < HELD_S_MAX:
            readable, _, _ = select.select([self.connection], [], [], _LOOK_EVERY_S)
            waited_s += _LOOK_EVERY_S
            if readable:
                self.server.left.set()
                return False
        return True

    def _event(self, event: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()


_USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@contextmanager
def held_engine() -> Iterator[HeldEngine]:
    """An engine that listens, and holds nothing yet."""
    engine = HeldEngine()
    engine.go_on.set()
    thread = threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield engine
    finally:
        engine.shutdown()
        engine.server_close()
        thread.join()
