"""Who is calling, and in which language they are answered: the same for every door of the API."""

import time
from collections.abc import Callable

from starlette.requests import Request

from openbigmodel.auth.api_keys import Authenticator, Principal
from openbigmodel.errors import Language, language_of
from openbigmodel.ids import IdSource
from openbigmodel.telemetry import Metrics, RequestLog, RequestRecord, timestamp


class Callers:
    """Judges credentials. `default_language` is for callers without `Accept-Language`."""

    def __init__(
        self,
        authenticator: Authenticator,
        request_log: RequestLog,
        metrics: Metrics,
        ids: IdSource,
        *,
        default_language: Language = "zh",
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._authenticator = authenticator
        self._request_log = request_log
        self._metrics = metrics
        self._ids = ids
        self._default_language = default_language
        self._now_s = now_s

    def authenticate(self, authorization: bytes | None) -> Principal:
        """The owner of a credential. Raises ApiError 1000-1004."""
        return self._authenticator.authenticate(authorization)

    def language(self, accept_language: bytes | None) -> Language:
        """The language of error texts."""
        return language_of(accept_language, self._default_language)

    def authenticate_request(self, request: Request) -> Principal:
        """The same for an ASGI request."""
        return self.authenticate(_header(request, "authorization"))

    def language_of_request(self, request: Request) -> Language:
        """The same for an ASGI request."""
        return self.language(_header(request, "accept-language"))

    def note(self, path: str, status: int, code: str = "") -> str:
        """Log and count a request that never reaches an engine; returns the id under which the log has it."""
        log_id = self._ids.request_id()
        record = RequestRecord(time=timestamp(self._now_s()), id=log_id, path=path, status=status, code=code)
        self._request_log.write(record)
        self._metrics.count(record, "")
        return log_id


def _header(request: Request, name: str) -> bytes | None:
    value = request.headers.get(name)
    return None if value is None else value.encode("latin-1")
