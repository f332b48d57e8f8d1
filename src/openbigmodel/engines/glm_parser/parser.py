r"""Raw text of a GLM model, in pieces of any size, into events; no I/O. The cuts between pieces make no difference.

Reasoning goes up to `</think>` or up to a call, whichever comes first; the answer is text and calls. What may still
become a tag is held back until that is certain; everything else goes out at once. Whatever is no well-formed call is
text, and text outside of calls is never lost (api.md §13.2). The cost is linear, and what is held back is bounded.

    format     calls                                                   models
    glm45      <tool_call>name\n<arg_key>k</arg_key>\n<arg_value>...    4.5, 4.6, 4.5V, 4.6V
    glm47      the same without line ends                              4.7, 5 and later
    glm0414    name\n{json}                                             GLM-4-0414, Z1, 9B

Decisions, where the models' text leaves room:
- Both kinds of tags are read alike, with or without line ends.
- `<think>` at the very beginning opens the reasoning, or repeats that it is open. Elsewhere it is text.
- A `<tool_call>` ends the reasoning if a call begins there; where the model only mentions the tag, it goes on thinking.
- Blanks alone before, between and after calls are the template's. Blanks beside text are kept as they are.
- Turns' tags (`<|user|>` ...) are dropped from text. In arguments they are text, except one at the end of a value
  that the generation's end cut.
- Box tags of vision models are text, in the answer and in the reasoning, and never cut in two.
- A call that the generation's end leaves open is closed, unless a limit cut it: then it stays open.
- A tag that closes what is not open is dropped at the beginning of an answer or after a call; elsewhere it is text.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from openbigmodel.engines.glm_parser.argument_types import ArgumentTypes
from openbigmodel.engines.glm_parser.calls import JsonCall, TaggedCall
from openbigmodel.engines.glm_parser.events import CallArguments, CallEnded, Event, EventList
from openbigmodel.engines.glm_parser.heads import Head, Heads, Unfinished
from openbigmodel.engines.glm_parser.hermes import HermesReader
from openbigmodel.engines.glm_parser.tags import (
    ASSISTANT,
    BOX,
    CONTROL,
    THINK,
    THINK_END,
    TOOL_CALL,
    TOOL_CALL_END,
    TagSet,
    after_blanks,
)

Format: TypeAlias = Literal["glm45", "glm47", "glm0414"]

_BLANKS_MAX_CHARACTERS = 64
# Each costs reading its text twice.
_FALSE_HERMES_MAX = 8


class _Tags:
    """The tags that mean something in a text, by where one is in it."""

    __slots__ = ("after_call", "answer", "begin", "gap", "reasoning")

    def __init__(self, calls: tuple[str, ...]) -> None:
        anywhere = (*CONTROL, *calls)
        self.begin = TagSet((THINK, THINK_END, *anywhere))
        self.gap = TagSet((THINK_END, *anywhere))
        self.after_call = TagSet((THINK_END, TOOL_CALL_END, *anywhere))
        self.answer = TagSet(anywhere, whole=BOX)
        self.reasoning = TagSet((THINK_END, *anywhere), whole=BOX)


_TAGS: dict[Format, _Tags] = {
    "glm45": _Tags((TOOL_CALL,)),
    "glm47": _Tags((TOOL_CALL,)),
    "glm0414": _Tags(()),
}


class GlmParser:
    """One generation, `written` in a format.

    `tools` as in GLM's requests; `starts_thinking`: the prompt ends in `<think>`.

    Without `starts_thinking` (False: the prompt says not to think; None: it leaves that to the model) a generation
    that begins with `<think>` is reasoning all the same: nobody wants to read it as the answer.
    """

    __slots__ = (
        "_after_call",
        "_at_start",
        "_blanks",
        "_call",
        "_events",
        "_heads",
        "_held",
        "_hermes",
        "_hermes_left",
        "_lines",
        "_reasoning",
        "_replay",
        "_state",
        "_tags",
        "_types",
    )

    def __init__(
        self, written: Format, tools: Sequence[Mapping[str, Any]], *, starts_thinking: bool | None
    ) -> None:
        self._events = EventList()
        self._types = ArgumentTypes(tools)
        self._heads = Heads(self._types.names)
        self._tags = _TAGS[written]
        self._lines = written == "glm0414"
        self._reasoning = bool(starts_thinking)
        # What is before the first visible character: the beginning of all, or the end of a call.
        self._at_start = True
        self._after_call = False
        self._blanks = ""
        self._call: TaggedCall | JsonCall | None = None
        self._hermes: HermesReader | None = None
        self._hermes_left = _FALSE_HERMES_MAX
        self._state: Callable[[GlmParser, str, int, bool], int] = GlmParser._gap
        # Text that has not become an event yet, and text that has to be read once more.
        self._held = ""
        self._replay = ""

    @property
    def in_call(self) -> bool:
        """Whether a call has begun and not ended."""
        return self._call is not None

    def feed(self, text: str) -> list[Event]:
        """More of the text."""
        self._advance(self._held + text if self._held else text, ended=False)
        return self._events.take()

    def finish(self, *, cut: bool = False) -> list[Event]:
        """The generation has ended: what was held back comes out, and what is open is closed.

        `cut`: by a limit, so nobody knows how a call would have gone on. Its arguments stay as far as they came, no
        JSON, or they could be taken for all.
        """
        if cut and self.in_call:
            self._held = ""
            return self._events.take()
        calls = self._events.calls
        self._advance(self._held, ended=True)
        if not self._after_call:
            self._text_of(self._blanks)
        self._blanks = ""
        events = self._events.take()
        if cut and self._events.calls > calls:
            # Of this one nothing has come but its name.
            return [event for event in events if not isinstance(event, CallArguments | CallEnded)]
        return events

    def _advance(self, data: str, *, ended: bool) -> None:
        """Each state reads from a position and says how far it came. If that changes nothing, it wants more text."""
        position = 0
        while True:
            state = self._state
            after = state(self, data, position, ended)
            if self._replay:
                data, after, self._replay = self._replay + data[after:], 0, ""
            elif after == position and self._state is state:
                break
            position = after
            if position == len(data) and not ended:
                break
        self._held = data[position:]

    def _text_of(self, text: str) -> None:
        self._events.text(text, reasoning=self._reasoning)

    def _gap(self, data: str, position: int, ended: bool) -> int:
        """Before the first visible character of the generation, of an answer, or after a call."""
        end = after_blanks(data, position)
        self._blanks += data[position:end]
        if len(self._blanks) > _BLANKS_MAX_CHARACTERS:
            return self._leave_gap(end)
        if end == len(data):
            return end
        tags = self._tags.begin if self._at_start else self._tags.gap
        if self._after_call:
            tags = self._tags.after_call
        found = tags.match(data, end)
        if found:
            self._gap_tag(found[0])
            return found.end()
        if not ended and tags.may_begin(data, end):
            return end
        if self._lines and not self._reasoning:
            head = self._heads.on_a_line(data, end, ended=ended)
            if isinstance(head, Unfinished):
                return end
            if head is not None:
                return self._begin_call(head)
        return self._leave_gap(end)

    def _gap_tag(self, tag: str) -> None:
        if tag == THINK:
            self._blanks = ""
            self._reasoning = True
            self._at_start = False
            self._state = GlmParser._text
        elif tag == THINK_END:
            if self._reasoning:
                self._text_of(self._blanks)
                self._blanks = ""
            self._reasoning = self._at_start = False
        elif tag == TOOL_CALL_END:
            self._blanks = ""
        elif tag == TOOL_CALL:
            self._state = GlmParser._head

    def _leave_gap(self, position: int) -> int:
        self._text_of(self._blanks)
        self._blanks = ""
        self._at_start = self._after_call = False
        self._state = GlmParser._text
        return position

    def _text(self, data: str, position: int, ended: bool) -> int:
        """In the reasoning or in the answer."""
        tags = self._tags.reasoning if self._reasoning else self._tags.answer
        found = tags.find(data, position)
        if found is None:
            end = len(data) if ended else tags.settled(data, position)
            self._text_of(data[position:end])
            return end
        self._text_of(data[position : found.start()])
        tag = found[0]
        if tag == TOOL_CALL:
            self._state = GlmParser._head
        elif tag == THINK_END:
            self._reasoning = False
            self._state = GlmParser._gap
        elif tag == ASSISTANT and self._lines and not self._reasoning:
            self._state = GlmParser._gap
        return found.end()

    def _head(self, data: str, position: int, ended: bool) -> int:
        """After `<tool_call>`."""
        head = self._heads.after_tag(data, position, ended=ended)
        if isinstance(head, Unfinished):
            return position
        if head is not None and head.form != "hermes":
            return self._begin_call(head)
        if head is not None and self._hermes_left:
            self._hermes = HermesReader()
            self._state = GlmParser._in_hermes
            return head.end
        return self._no_call(position)

    def _no_call(self, position: int) -> int:
        self._leave_gap(position)
        self._text_of(TOOL_CALL)
        return position

    def _begin_call(self, head: Head) -> int:
        self._open_call(head.name)
        if head.form == "json":
            self._call = JsonCall(self._events)
        else:
            self._call = TaggedCall(head.name, self._types, self._events)
        self._state = GlmParser._in_call
        return head.end

    def _open_call(self, name: str) -> None:
        self._blanks = ""
        self._reasoning = self._at_start = False
        self._events.call(name)

    def _close_call(self) -> None:
        self._events.end_call()
        self._call = None
        self._after_call = True
        self._state = GlmParser._gap

    def _in_call(self, data: str, position: int, ended: bool) -> int:
        call = self._call
        assert call is not None
        position = call.advance(data, position, ended=ended)
        if call.over:
            self._close_call()
        return position

    def _in_hermes(self, data: str, position: int, ended: bool) -> int:
        reader = self._hermes
        assert reader is not None
        position = reader.advance(data, position, ended=ended)
        if not reader.over:
            return position
        self._hermes = None
        call = reader.call
        if call is not None and self._heads.may_be_called(call.name):
            self._open_call(call.name)
            self._events.arguments(call.arguments)
            self._close_call()
            return position
        self._hermes_left -= 1
        self._replay = reader.raw
        self._no_call(position)
        return position
