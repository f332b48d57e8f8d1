"""Who is calling, what they may, and in which language they are answered: the same for every door of the API."""

import time
from collections.abc import Callable

from starlette.requests import Request

from openbigmodel.api.client_address import TrustedProxies
from openbigmodel.auth.api_keys import Authenticator, Principal, credential_digest
from openbigmodel.auth.leaked import LEAK_MARK, LeakWatch, Where, without_secrets
from openbigmodel.auth.restrictions import ApiEndpoint
from openbigmodel.edge import RequestHead, Sink
from openbigmodel.errors import ApiError, Language, language_of
from openbigmodel.ids import IdSource
from openbigmodel.telemetry import Metrics, RequestLog, RequestRecord, timestamp

_DIGEST = "credential digest"


class Callers:
    """Judges credentials. `default_language` is for callers without `Accept-Language`.

    `proxies` are believed about the address of whoever they forward; `leaks` hears of keys where none belong.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        request_log: RequestLog,
        metrics: Metrics,
        ids: IdSource,
        *,
        default_language: Language = "zh",
        proxies: TrustedProxies | None = None,
        leaks: LeakWatch | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._authenticator = authenticator
        self._request_log = request_log
        self._metrics = metrics
        self._ids = ids
        self._default_language = default_language
        self._proxies = proxies or TrustedProxies()
        self._leaks = leaks
        self._now_s = now_s

    @property
    def changes(self) -> int:
        """Another number after any change to a key or an account."""
        return self._authenticator.changes

    def authenticate(self, head: RequestHead, sink: Sink, endpoint: ApiEndpoint) -> Principal:
        """The owner of a hot request's credential.

        Raises ApiError 1000-1004, 1112 for a locked account, 1220 for what the key is not allowed, 1113 for what a
        Coding Plan does not include.
        """
        authorization, digest = head.fields.get(b"authorization"), head.derived.get(_DIGEST)
        if endpoint.api_key_header:
            authorization = _one_credential(authorization, head.fields.get(b"x-api-key"))
        if digest is None and authorization:
            # Once for a connection that always brings the same one; whether it still holds is asked each time.
            digest = head.derived[_DIGEST] = credential_digest(authorization)
        principal = self._authenticator.authenticate(authorization, digest)
        if principal.restricted:
            self._check(principal, endpoint, sink.peer, head.get(b"x-forwarded-for"))
        return principal

    def still_holds(self, head: RequestHead, judged_at: int) -> bool:
        """Whether `authenticate` would say the same of this head now; `judged_at` is what `changes` was when it did.

        Only for credentials that are not restricted: what those may depends on more than the head.
        """
        authenticator, digest = self._authenticator, head.derived.get(_DIGEST)
        if digest is None or judged_at != authenticator.changes:
            return False
        return authenticator.still_proved(digest) is not None

    def authenticate_request(self, request: Request, endpoint: ApiEndpoint) -> Principal:
        """The same for an ASGI request."""
        authorization = _header(request, "authorization")
        if endpoint.api_key_header:
            authorization = _one_credential(authorization, _header(request, "x-api-key"))
        principal = self._authenticator.authenticate(authorization)
        if principal.restricted:
            peer = request.client.host if request.client else ""
            forwarded = ", ".join(request.headers.getlist("x-forwarded-for")).encode("latin-1")
            self._check(principal, endpoint, peer, forwarded)
        return principal

    def _check(self, principal: Principal, endpoint: ApiEndpoint, peer: str, forwarded: bytes | None) -> None:
        restrictions = principal.restrictions
        if restrictions is not None and restrictions.networks is not None:
            # First, so that a key in the wrong hands tells nothing about what it may do elsewhere.
            restrictions.check_address(self._proxies.client(peer, forwarded))
        principal.check_endpoint(endpoint)

    def look_for_keys(self, text: bytes, where: Where) -> None:
        """Flag the API keys that stand in the body or the URL of a request."""
        # `in` takes two to four times as long: it is slowed down by letters of the mark that are common in text.
        if text.rfind(LEAK_MARK) >= 0 and self._leaks is not None:
            self._leaks.look(text, where)

    def language(self, accept_language: bytes | None) -> Language:
        """The language of error texts."""
        default = self._default_language
        return default if accept_language is None else language_of(accept_language, default)

    def language_of_request(self, request: Request) -> Language:
        """The same for an ASGI request."""
        return self.language(_header(request, "accept-language"))

    def log_id(self) -> str:
        """An id for a request whose answer tells it, to be noted under it."""
        return self._ids.request_id()

    def note(self, path: str, status: int, code: str = "", log_id: str | None = None) -> str:
        """Log and count a request that never reaches an engine; returns the id under which the log has it."""
        log_id = log_id or self._ids.request_id()
        path = without_secrets(path)
        record = RequestRecord(time=timestamp(self._now_s()), id=log_id, path=path, status=status, code=code)
        self._request_log.write(record)
        self._metrics.count(record, "")
        return log_id


def _one_credential(authorization: bytes | None, api_key: bytes | None) -> bytes | None:
    """The credential of a caller who may show it in either header. Raises ApiError 1002 when both differ."""
    if not api_key or not authorization:
        return authorization or api_key
    if credential_digest(authorization) != credential_digest(api_key):
        # Which of them pays is not for the server to guess.
        raise ApiError(
            "1002",
            detail_zh="x-api-key 与 Authorization 中的凭证不一致，请只保留一个。",
            detail_en="x-api-key and Authorization hold different credentials; send one.",
        )
    return authorization


def _header(request: Request, name: str) -> bytes | None:
    value = request.headers.get(name)
    return None if value is None else value.encode("latin-1")
