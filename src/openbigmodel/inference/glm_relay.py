"""An answer of an upstream that speaks GLM itself, passed on as it came.

    upstream event  →  one event for the caller, its JSON verbatim but for `id`, `model` and `request_id`
    a role alone    →  kept back until there is something to read: until then another upstream may be asked
    finish reason   →  kept back, with all that follows it, until the usage is written: `finish` gives it
    upstream dies   →  what was kept back is dropped, and the stream ends as our own do: network_error, usage, [DONE]

What the upstream leaves out stays out, also its usage. Fields that nobody has heard of, integers of any size and the
order of keys survive; only an event's line breaks become blanks, and what would break its line is escaped.
"""

from typing import Any

import msgspec

from openbigmodel.billing.usage import Usage
from openbigmodel.inference.chunk_run import ChunkRun, learn_run
from openbigmodel.inference.dialect import ReplyFacts
from openbigmodel.inference.engine_counts import usage_of
from openbigmodel.inference.engine_reader import EngineProtocolError, EngineReader
from openbigmodel.inference.glm_request import Members, read_members
from openbigmodel.inference.reply import DONE, new_writer
from openbigmodel.schemas.chat import Finding
from openbigmodel.schemas.engine import Choice, Delta, EngineReply
from openbigmodel.sse import escape_separators

_REPLY = msgspec.json.Decoder(EngineReply, float_hook=float).decode
_ANYTHING = msgspec.json.Decoder(float_hook=float).decode
_ENCODE = msgspec.json.Encoder().encode
# Stands for what an event brings in a shape that nobody knows: no less than a token.
_SOMETHING = "?"
# After its finish reason an upstream has a usage to tell, and perhaps what its search found; before its first token
# hardly anything.
MAX_HELD_BYTES = 16 * 1024 * 1024


class GlmWriter:
    """What the caller gets of it. `content_filter` is what our own moderation has found in the question."""

    __slots__ = (
        "_begun",
        "_created",
        "_facts",
        "_finish_reason",
        "_held",
        "_held_bytes",
        "_ours",
        "_out",
        "_pending",
        "_run",
        "_streams",
        "content_filter",
    )

    def __init__(self, facts: ReplyFacts) -> None:
        self._facts = facts
        self._streams = bool(facts.request.stream)
        self._ours = {
            "id": msgspec.Raw(_ENCODE(facts.id)),
            "model": msgspec.Raw(_ENCODE(facts.named)),
            "request_id": msgspec.Raw(_ENCODE(facts.request_id)),
        }
        self.content_filter: tuple[Finding, ...] = ()
        self._created: msgspec.Raw | None = None
        self._run: ChunkRun | None = None
        # Whether there is anything yet that a caller could want to see.
        self._begun = False
        self._pending: list[bytes] = []
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._out = self._pending
        self._finish_reason: str | None = None

    def event(self, members: Members, finish_reason: str | None) -> None:
        """One event, or the whole body; with `finish_reason`, the end has begun. Raises EngineProtocolError."""
        self._begun = self._begun or _says_something(members)
        if finish_reason is not None:
            if self._finish_reason is None and self.content_filter:
                members["content_filter"] = self._findings(members.get("content_filter"))
            self._finish_reason = finish_reason
            self._out = self._held
        if self._streams:
            self._created = members.get("created", self._created)
            self._put(b"data: %b\n\n" % _one_line(self._rewritten(members)))
        else:
            self._put(self._rewritten(members))

    def learn(self, event: bytes, text: str, *, reasoning: bool) -> bool:
        """Whether events that differ from `event` in nothing but its text can be written without a look at each."""
        self._run = learn_run(_one_line(self._rewritten(read_members(event))), text, reasoning=reasoning)
        return self._run is not None

    def _rewritten(self, members: Members) -> bytes:
        ours = self._ours
        for name in ours:
            if name in members:
                members[name] = ours[name]
        return _ENCODE(members)

    def _findings(self, theirs: msgspec.Raw | None) -> msgspec.Raw:
        """The upstream's findings and ours."""
        try:
            found = msgspec.json.decode(theirs or b"[]", type=list[msgspec.Raw])
        except msgspec.ValidationError:
            found = []
        return msgspec.Raw(_ENCODE([*found, *self.content_filter]))

    def _put(self, data: bytes) -> None:
        self._out.append(data)
        if self._finish_reason is not None or not self._begun:
            self._held_bytes += len(data)
            if self._streams and self._held_bytes > MAX_HELD_BYTES:
                where = "before the first token" if self._finish_reason is None else "after the finish reason"
                raise EngineProtocolError(f"more than {MAX_HELD_BYTES} bytes {where}")

    def reasoning(self, text: str) -> None:
        """Nothing: its event goes out as it came. The same for the other pieces."""

    def content(self, text: str) -> None:
        """Nothing, see `reasoning`."""

    def tool_call(self, index: int, name: str | None, arguments: str) -> None:
        """Nothing, see `reasoning`."""

    def reasoning_run(self, texts: list[bytes]) -> None:
        """Events like the one that was learnt."""
        assert self._run is not None
        self._put(self._run.events(texts))

    def content_run(self, texts: list[bytes]) -> None:
        """The same."""
        self.reasoning_run(texts)

    def around(self, *, reasoning: bool) -> tuple[bytes, bytes] | None:
        """See AnswerWriter: what was learnt, unless it is kept back."""
        run = self._run
        if run is None or not self._begun or self._out is not self._pending:
            return None
        return run.before, run.after

    def take(self) -> bytes:
        """The events that may be seen by now."""
        return self._flushed() if self._begun else b""

    def _flushed(self) -> bytes:
        pending = self._pending
        if not pending:
            return b""
        data = b"".join(pending)
        pending.clear()
        return data

    def finish(self, finish_reason: str, usage: Usage, ended_s: int) -> bytes:
        """The upstream's own end, if that is how it ends; else one of ours, with the usage known so far."""
        if not self._streams:
            return b"".join(self._held or self._pending)
        if finish_reason == self._finish_reason:
            return b"%b%b%b" % (self._flushed(), b"".join(self._held), DONE)
        ours = new_writer(msgspec.structs.replace(self._facts, created_s=self._created_s()))
        ours.content_filter = self.content_filter
        return self._flushed() + ours.finish(finish_reason, usage, ended_s)

    def _created_s(self) -> int:
        """When the stream began, as its other events have it."""
        try:
            return msgspec.json.decode(self._created or b"", type=int)
        except msgspec.DecodeError:
            return self._facts.created_s


def _one_line(encoded_json: bytes) -> bytes:
    """The same JSON on one line; a line break can only stand where a blank can."""
    if not encoded_json.isascii():
        encoded_json = escape_separators(encoded_json)
    if b"\n" in encoded_json or b"\r" in encoded_json:
        encoded_json = encoded_json.replace(b"\n", b" ").replace(b"\r", b" ")
    return encoded_json


class GlmReader(EngineReader):
    """Reads and counts as EngineReader does, and hands each event on; shapes that it does not know do not stop it."""

    __slots__ = ("_relay",)

    def __init__(self, writer: GlmWriter) -> None:
        super().__init__(writer)
        self._relay = writer

    def ended_well(self) -> bool:
        """Whether the upstream's own end can be passed on: also `network_error`, once there is an answer to end."""
        reason = self.finish_reason
        return reason is not None and (reason != "network_error" or self.produced)

    def _reply(self, data: bytes) -> Delta | None:
        try:
            if not data.isascii():
                data.decode()
            members = read_members(data)
            try:
                reply = _REPLY(data)
            except msgspec.ValidationError:
                reply = _loosely(members)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise EngineProtocolError(f"not a chat completion: {error}") from error
        if reply.error is None and "choices" not in members and "code" in members:
            # An error without its envelope (api.md §8.1).
            reply.error = {"code": _ANYTHING(members["code"])}
        message = self._read(reply, data)
        self._relay.event(members, self.finish_reason)
        return message

    def _learn(self, delta: Delta, event: bytes) -> None:
        known = self.run
        super()._learn(delta, event)
        run = self.run
        if run is not None and run is not known:
            text = delta.reasoning_content or delta.reasoning or delta.content or ""
            self.run = run if self._relay.learn(event, text, reasoning=run.reasoning) else None

    def _tool_calls(self, delta: Delta) -> None:
        """Nothing to put together, so nothing that could be out of step."""


def _says_something(members: Members) -> bool:
    """Whether an event brings anything but its head, a role and counts: a token, a sound, what a search has found."""
    try:
        choices = _ANYTHING(members.get("choices", b"null"))
    except RecursionError:
        # Whatever it is, it is more than a role.
        return True
    for choice in choices if isinstance(choices, list) else ():
        said = choice.get("delta") or choice.get("message") if isinstance(choice, dict) else None
        if said and (not isinstance(said, dict) or any(said[name] for name in said if name != "role")):
            return True
    return any(
        name not in ("choices", "usage") and value[:1] in (b"[", b"{") and bool(value[1:-1].strip())
        for name, value in ((name, bytes(raw)) for name, raw in members.items())
    )


def _loosely(members: Members) -> EngineReply:
    """What can be told of an event whose shape is new to us: its usage, its finish reason, and whether it says
    anything.
    """
    told = {name: _ANYTHING(members.get(name, b"null")) for name in ("choices", "usage", "error")}
    choices = told["choices"] if isinstance(told["choices"], list) else []
    return EngineReply(
        [_loose_choice(choice) for choice in choices if isinstance(choice, dict)],
        usage_of(told["usage"]),
        error=told["error"],
    )


def _loose_choice(choice: dict[str, Any]) -> Choice:
    said, reason = choice.get("delta") or choice.get("message"), choice.get("finish_reason")
    try:
        delta = msgspec.convert(said, Delta | None)
    except msgspec.ValidationError:
        delta = Delta(content=_SOMETHING)
    return Choice(delta=delta, finish_reason=reason if isinstance(reason, str) else None)
