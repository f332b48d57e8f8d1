"""Chat in every dialect, served protocol to protocol: see `edge` for the way in, `inference` for the rest."""

from openbigmodel.api.callers import Callers
from openbigmodel.api.errors import respond_error
from openbigmodel.auth.restrictions import ApiEndpoint
from openbigmodel.edge import Exchange, RequestHead, Sink
from openbigmodel.errors import ApiError
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.chat_request import Surface
from openbigmodel.inference.dialect import Dialect
from openbigmodel.inference.glm_dialect import GLM
from openbigmodel.inference.pipeline import Pipeline

# Bytes. A prompt of a million tokens is about 4 MiB; as base64, images and files of 7.5 MiB in all fit in.
BODY_LIMIT = 10 * 1024 * 1024

_CALLER = "caller"


class ChatRoute:
    """The hot route for one surface, which speaks one dialect. `path` is where it answers."""

    body_limit = BODY_LIMIT

    def __init__(
        self, surface: Surface, pipeline: Pipeline, callers: Callers, dialect: Dialect = GLM
    ) -> None:
        self.path = surface.prefix + surface.path
        self._surface = surface
        self._dialect = dialect
        self._endpoint = ApiEndpoint("chat", coding_keys=surface.coding)
        self._pipeline = pipeline
        self._callers = callers

    def accept(self, head: RequestHead, sink: Sink) -> Caller | None:
        """See HotRoute: judge the credential before a byte of the body is read."""
        callers = self._callers
        known: Caller | None = head.derived.get(_CALLER)
        if known is not None and callers.still_holds(head, known.judged_at):
            return known
        language = callers.language(head.fields.get(b"accept-language"))
        path = head.path.decode("ascii")
        if head.query:
            callers.look_for_keys(head.query, "url")
        try:
            principal = callers.authenticate(head, sink, self._endpoint)
        except ApiError as error:
            log_id = callers.note(path, error.status, error.code)
            respond_error(sink, error, language, log_id, self._dialect)
            return None
        caller = Caller(principal, self._surface, path, language, callers.changes, self._dialect)
        if not principal.restricted and not head.query:
            head.derived[_CALLER] = caller
        return caller

    def owner(self, accepted: object) -> str:
        """See HotRoute: the account, whichever key it shows."""
        assert isinstance(accepted, Caller)
        return accepted.principal.account_id

    def run(self, accepted: object, head: RequestHead, body: bytes, sink: Sink) -> Exchange | None:
        """See HotRoute: serve an accepted request."""
        assert isinstance(accepted, Caller)
        callers = self._callers
        callers.look_for_keys(body, "body")
        if accepted.judged_at != callers.changes:
            # A body can be hours on its way, and the key disabled in the meantime.
            judged = self.accept(head, sink)
            if judged is None:
                return None
            accepted = judged
        return self._pipeline.chat(body, accepted, sink)
