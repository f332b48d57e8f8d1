"""GLM's own dialect: what the pipeline speaks anyway."""

from openbigmodel.errors import ApiError, Language, error_headers, render_error
from openbigmodel.inference.chat_request import read_chat_request
from openbigmodel.inference.dialect import Asked, ReplyFacts
from openbigmodel.inference.reply import BodyWriter, StreamWriter, new_writer


class GlmDialect:
    """`POST …/chat/completions`."""

    name = "glm"
    id_header = b""

    def read(self, body: bytes, account_id: str) -> Asked:
        """See Dialect. Raises ApiError 1210, 1213 or 1214."""
        return Asked(read_chat_request(body), body)

    def writer(self, facts: ReplyFacts, asked: Asked) -> StreamWriter | BodyWriter:
        """See Dialect."""
        return new_writer(facts)

    def error(
        self, error: ApiError, language: Language, log_id: str, asked: Asked | None = None
    ) -> tuple[int, bytes, bytes]:
        """See Dialect."""
        lines = b"".join(b"%b: %b\r\n" % header for header in error_headers(error))
        return error.status, lines, render_error(error, language)


GLM = GlmDialect()
