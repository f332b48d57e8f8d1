"""Raw text of a GLM model, as an engine without parsers of its own returns it, into reasoning, content and calls."""

from openbigmodel.engines.glm_parser.events import (
    CallArguments,
    CallEnded,
    CallStarted,
    Content,
    Event,
    Reasoning,
)
from openbigmodel.engines.glm_parser.parser import Format, GlmParser

__all__ = [
    "CallArguments",
    "CallEnded",
    "CallStarted",
    "Content",
    "Event",
    "Format",
    "GlmParser",
    "Reasoning",
]
