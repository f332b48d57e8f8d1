"""Reads the answer of an engine that hands on a model's raw text: reasoning and calls are still in it, as markup."""

from openbigmodel.engines.glm_parser import CallArguments, CallStarted, Content, Event, GlmParser, Reasoning
from openbigmodel.engines.profiles import RawFormat
from openbigmodel.engines.translate import Generation
from openbigmodel.inference.calls_in_order import WHOLE
from openbigmodel.inference.dialect import AnswerWriter
from openbigmodel.inference.engine_reader import EngineReader
from openbigmodel.schemas.chat import ChatRequest


def raw_text_parser(written: RawFormat, request: ChatRequest, generation: Generation) -> GlmParser:
    """The parser for the answer to a request, in one of the formats that GLM models write.

    The templates of 4.7 and later end in `<think>` where the model is to think; earlier ones leave that to the model
    (api.md §13.1).
    """
    assert written
    thinks = generation.thinking_default if generation.thinking is None else generation.thinking
    starts_thinking = thinks if written == "glm47" else None if thinks else False
    return GlmParser(written, request.tools or (), starts_thinking=starts_thinking)


class RawTextReader(EngineReader):
    """Counts as EngineReader does, and tells the writer what the parser makes of the text."""

    __slots__ = ("_at_end", "_parser")

    def __init__(self, writer: AnswerWriter, parser: GlmParser) -> None:
        super().__init__(writer)
        self._parser = parser
        self._at_end = False
        # Texts that look alike may be a tag in pieces.
        self._lessons_left = 0

    def ended_well(self) -> bool:
        """Whether the answer is whole; what was held back is told then.

        An engine that has died leaves it as it is: a call whose arguments were closed for it would look like one.
        """
        if self.finish_reason not in {None, "network_error"} and not self._at_end:
            self._at_end = True
            self._tell(self._parser.finish(cut=self.finish_reason not in WHOLE))
        return super().ended_well()

    def _content(self, text: str) -> None:
        self._tell(self._parser.feed(text))

    def _tell(self, events: list[Event]) -> None:
        writer = self._writer
        for event in events:
            if isinstance(event, Content):
                writer.content(event.text)
            elif isinstance(event, Reasoning):
                self.reasoning_seen += 1
                writer.reasoning(event.text)
            elif isinstance(event, CallStarted):
                self._calls = max(self._calls, event.index + 1)
                writer.tool_call(event.index, event.name, "")
            elif isinstance(event, CallArguments):
                writer.tool_call(event.index, None, event.fragment)
