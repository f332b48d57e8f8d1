"""Anthropic's dialect for the pipeline: `POST /api/anthropic/v1/messages`."""

from openbigmodel.errors import ApiError, Language
from openbigmodel.inference.anthropic.body import BodyWriter
from openbigmodel.inference.anthropic.errors import anthropic_headers, error_status, render_error
from openbigmodel.inference.anthropic.fields import in_callers_words
from openbigmodel.inference.anthropic.read import ModelFinder, ReplyWishes, read_messages_request
from openbigmodel.inference.anthropic.stream import StreamWriter
from openbigmodel.inference.dialect import Asked, ReplyFacts


class AnthropicDialect:
    """Messages. `model_of` finds what is known of a model; `thinking_optional`: each can be told not to think."""

    name = "anthropic"
    id_header = b"request-id"

    def __init__(self, model_of: ModelFinder, *, thinking_optional: bool = False) -> None:
        self._model_of = model_of
        self._thinking_optional = thinking_optional

    def read(self, body: bytes, account_id: str) -> Asked:
        """See Dialect."""
        return Asked(*read_messages_request(body, self._model_of, thinking_optional=self._thinking_optional))

    def read_to_count(self, body: bytes) -> Asked:
        """A request that is not to be answered, only measured. Raises ApiError as `read` does."""
        return Asked(
            *read_messages_request(
                body, self._model_of, thinking_optional=self._thinking_optional, counting=True
            )
        )

    def writer(self, facts: ReplyFacts, asked: Asked) -> StreamWriter | BodyWriter:
        """See Dialect."""
        wishes = asked.extra
        assert isinstance(wishes, ReplyWishes)
        return StreamWriter(facts, wishes) if facts.request.stream else BodyWriter(facts, wishes)

    def error(
        self, error: ApiError, language: Language, log_id: str, asked: Asked | None = None
    ) -> tuple[int, bytes, bytes]:
        """See Dialect. `asked` is the request, if it was read: it has the caller's names of GLM's fields."""
        wishes = asked.extra if asked is not None else None
        origins = wishes.origins if isinstance(wishes, ReplyWishes) else None
        error = in_callers_words(error, origins)
        lines = b"".join(b"%b: %b\r\n" % header for header in anthropic_headers(error, log_id))
        return error_status(error), lines, render_error(error, language, log_id)
