"""An engine that does what the last message tells it: for answers that no demo model can be made to give.

    count       a number each 20 ms until the caller leaves; `left` then tells when
    separators  text with U+2028, U+2029 and U+0085 in it
    calls       reasoning, content and two tool calls, the arguments in fragments
    die         two words, then the connection is cut
    busy, broken, too long      429, 500, 400 for the length of the prompt
"""

import json
import queue
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SEPARATORS = "一\u2028二\u2029三\u0085四\u000b五\u001e六"
ERRORS = {
    "busy": (429, {"error": {"message": "queue is full"}}),
    "broken": (500, {"error": {"message": "out of memory"}}),
    "too long": (400, {"error": {"message": "This model's maximum context length is 10 tokens"}}),
}
Delta = dict[str, Any]


class ScriptedEngine:
    """`asked` holds the text of each request, `left` the time at which a caller was seen to be gone."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.left: queue.Queue[float] = queue.Queue()
        engine = self

        class Handler(_Handler):
            scripted = engine

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    scripted: ScriptedEngine

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        """Say nothing."""

    def do_POST(self) -> None:  # noqa: N802  the name is the base class's
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = request["messages"][-1]["content"]
        self.scripted.asked.append(text)
        if text in ERRORS:
            status, body = ERRORS[text]
            self._whole(status, body)
        elif request["stream"]:
            self._stream(text)
        else:
            self._whole(200, _body(text))

    def _whole(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, text: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            for delta in _deltas(text):
                self._event({"choices": [{"index": 0, "delta": delta}]})
            if text == "die":
                return
            reason = "tool_calls" if text == "calls" else "stop"
            self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
            usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
            self._event({"choices": [], "usage": usage})
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            self.scripted.left.put(time.time())

    def _event(self, event: object) -> None:
        # ensure_ascii is off: separators reach the platform raw.
        self.wfile.write(b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n")


def _call(index: int, name: str | None, arguments: str) -> Delta:
    call: dict[str, Any] = {"index": index, "function": {"arguments": arguments}}
    if name:
        call |= {"id": f"engine-{index}", "type": "function"}
        call["function"]["name"] = name
    return {"tool_calls": [call]}


def _deltas(text: str) -> Iterator[Delta]:
    if text == "count":
        for number in range(3000):
            yield {"content": f"{number} "}
            time.sleep(0.02)
    elif text == "separators":
        yield {"reasoning_content": SEPARATORS}
        yield {"content": SEPARATORS}
        yield _call(0, "note", json.dumps({"text": SEPARATORS}, ensure_ascii=False))
    elif text == "calls":
        # One delta with both: what some engines send, and what no caller may see.
        yield {"reasoning_content": "two cities", "content": "I look. "}
        yield _call(0, "get_weather", "")
        yield _call(0, None, '{"city": "北')
        yield _call(0, None, '京"}')
        yield _call(1, "get_time", "")
    else:
        yield {"content": "half "}
        yield {"content": "an answer"}


def _body(text: str) -> dict[str, Any]:
    """The same answer in one piece."""
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    calls: list[dict[str, Any]] = []
    for delta in _deltas(text):
        message["content"] += delta.get("content", "")
        if "reasoning_content" in delta:
            message["reasoning_content"] = delta["reasoning_content"]
        for call in delta.get("tool_calls", ()):
            if call["index"] == len(calls):
                calls.append({"id": call["id"], "type": "function", "function": {"name": call["function"]["name"], "arguments": ""}})
            calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
    if calls:
        message["tool_calls"] = calls
    return {
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
    }
