"""Judges a stream by Anthropic's protocol: what may follow what, and what must have come before the end.

    message_start → ( content_block_start → content_block_delta* → content_block_stop )* → message_delta → message_stop

`ping` may stand anywhere between the first and the last event, `error` anywhere and last.
"""

import json

from tests.unit.inference.anthropic.messages_bench import Event

_DELTAS = {
    "thinking": ("thinking_delta", "signature_delta"),
    "text": ("text_delta",),
    "tool_use": ("input_json_delta",),
}
_REASONS = {
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "refusal",
    "model_context_window_exceeded",
}


class Judge:
    """One stream. `faults` are sentences for whatever is not legal."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._state = "before"
        self._blocks = 0
        self._open = ""
        self._signed = False
        self._arguments = ""
        self._kinds: list[str] = []
        self._whole = True

    def see(self, event: Event) -> None:
        """The next event."""
        kind = event["type"]
        if self._state == "over":
            self.faults.append(f"{kind} after the end")
        elif kind == "error":
            self._state = "over"
            if not event["error"]["type"].endswith("_error"):
                self.faults.append(f"no error type: {event}")
        elif kind == "message_start":
            self._start(event)
        elif self._state == "before":
            self.faults.append(f"{kind} before message_start")
        elif kind != "ping":
            {
                "content_block_start": self._block_start,
                "content_block_delta": self._block_delta,
                "content_block_stop": self._block_stop,
                "message_delta": self._message_delta,
                "message_stop": self._message_stop,
            }[kind](event)

    def end(self) -> None:
        """There are no more events."""
        if self._state != "over":
            self.faults.append(f"the stream ends {self._state}")

    def _start(self, event: Event) -> None:
        message = event["message"]
        if self._state != "before":
            self.faults.append("message_start again")
        self._state = "within"
        if message["content"] or message["stop_reason"] is not None or not message["id"].startswith("msg_"):
            self.faults.append(f"not the beginning of a message: {message}")

    def _block_start(self, event: Event) -> None:
        block = event["content_block"]
        if self._open or self._state != "within":
            self.faults.append(f"a {block['type']} begins inside of something else")
        if event["index"] != self._blocks:
            self.faults.append(f"block {event['index']} instead of {self._blocks}")
        if block["type"] == "tool_use" and (block["input"] != {} or not block["id"].startswith("call_")):
            self.faults.append(f"not the beginning of a call: {block}")
        self._open = block["type"]
        self._kinds.append(self._open)
        self._signed, self._arguments = False, ""

    def _block_delta(self, event: Event) -> None:
        delta = event["delta"]["type"]
        if event["index"] != self._blocks or delta not in _DELTAS.get(self._open, ()):
            self.faults.append(f"{delta} for block {event['index']}, but {self._open or 'nothing'} is open")
        if self._signed:
            self.faults.append("more after the signature")
        self._signed = delta == "signature_delta"
        self._arguments += event["delta"].get("partial_json", "")

    def _block_stop(self, event: Event) -> None:
        if event["index"] != self._blocks or not self._open:
            self.faults.append(f"block {event['index']} ends, but {self._open or 'nothing'} is open")
        if self._open == "thinking" and not self._signed:
            self.faults.append("thinking without a signature")
        if self._open == "tool_use" and not _is_object(self._arguments):
            self._whole = False
        self._open = ""
        self._blocks += 1

    def _message_delta(self, event: Event) -> None:
        reason, usage = event["delta"]["stop_reason"], event["usage"]
        if self._open or self._state != "within":
            self.faults.append("message_delta inside of something else")
        if reason not in _REASONS:
            self.faults.append(f"no stop reason: {reason}")
        if reason == "tool_use" and "tool_use" not in self._kinds:
            self.faults.append("tool_use without one")
        if reason == "end_turn" and "tool_use" in self._kinds:
            self.faults.append("calls that nobody is told of")
        if reason == "tool_use" and not self._whole:
            self.faults.append("a call without a JSON object for its arguments")
        if min(usage["input_tokens"], usage["output_tokens"], usage["cache_read_input_tokens"]) < 0:
            self.faults.append(f"less than nothing: {usage}")
        self._state = "ended"

    def _message_stop(self, event: Event) -> None:
        if self._state != "ended":
            self.faults.append("message_stop without message_delta")
        self._state = "over"


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def faults_of(found: list[Event]) -> list[str]:
    """What is not legal about a stream; empty is good."""
    judge = Judge()
    for event in found:
        judge.see(event)
    judge.end()
    return judge.faults
