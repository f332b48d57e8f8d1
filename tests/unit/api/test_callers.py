import asyncio
import io
import json
import os
from collections.abc import Callable

import pytest
from starlette.requests import Request

from openbigmodel.api.callers import Callers
from openbigmodel.api.client_address import TrustedProxies
from openbigmodel.auth.api_keys import Authenticator, Principal
from openbigmodel.auth.leaked import LeakWatch
from openbigmodel.auth.restrictions import ApiEndpoint, parse_networks
from openbigmodel.credentials import ApiKey
from openbigmodel.edge.head import read_head
from openbigmodel.errors import ApiError, Language
from openbigmodel.ids import IdSource
from openbigmodel.telemetry import Metrics, RequestLog
from tests.unit.api.api_bench import CODING_USER, OPERATOR, RESTRICTED_USER, USER, Keys
from tests.unit.inference.pipeline_bench import RecordingSink

CHAT = ApiEndpoint("chat", coding_keys=False)
CODING_CHAT = ApiEndpoint("chat", coding_keys=True)
METRICS = ApiEndpoint("metrics", coding_keys=True)

Judge = Callable[[Callers, ApiKey | None, ApiEndpoint, str, list[str]], Principal]


def callers(
    log: io.StringIO | None = None, language: Language = "zh", leaks: LeakWatch | None = None
) -> Callers:
    request_log = RequestLog(log or io.StringIO(), as_json=True)
    ids = IdSource(lambda: 0.0, os.urandom)
    return Callers(
        Authenticator(Keys()),
        request_log,
        Metrics(),
        ids,
        default_language=language,
        proxies=TrustedProxies(parse_networks(["127.0.0.1"])),
        leaks=leaks,
        now_s=lambda: 0.5,
    )


def at_the_edge(
    known: Callers, key: ApiKey | None, endpoint: ApiEndpoint, peer: str, forwarded: list[str]
) -> Principal:
    lines = [f"authorization: Bearer {key}"] if key else []
    lines += [f"x-forwarded-for: {claim}" for claim in forwarded]
    found = read_head("\r\n".join(("POST / HTTP/1.1", "host: a", *lines, "\r\n")).encode())
    assert found is not None
    sink = RecordingSink([], "hot")
    sink.peer = peer
    return known.authenticate(found[0], sink, endpoint)


def by_asgi(
    known: Callers, key: ApiKey | None, endpoint: ApiEndpoint, peer: str, forwarded: list[str]
) -> Principal:
    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    headers += [(b"x-forwarded-for", claim.encode()) for claim in forwarded]
    request = Request({"type": "http", "headers": headers, "client": (peer, 1) if peer else None})
    return known.authenticate_request(request, endpoint)


both_doors = pytest.mark.parametrize("judge", [at_the_edge, by_asgi])


@both_doors
def test_who_is_calling(judge: Judge) -> None:
    assert judge(callers(), USER, CHAT, "1.2.3.4", []).api_key_id == USER.id
    assert judge(callers(), OPERATOR, METRICS, "1.2.3.4", ["9.9.9.9"]).operator
    with pytest.raises(ApiError, match="1001: "):
        judge(callers(), None, CHAT, "1.2.3.4", [])


@both_doors
@pytest.mark.parametrize(
    ("key", "endpoint", "peer", "forwarded", "code"),
    [
        (CODING_USER, CODING_CHAT, "1.2.3.4", [], None),
        (CODING_USER, CHAT, "1.2.3.4", [], "1113 429"),
        (USER, CODING_CHAT, "1.2.3.4", [], None),
        (RESTRICTED_USER, CHAT, "203.0.113.7", [], None),
        (RESTRICTED_USER, CODING_CHAT, "203.0.113.7", [], None),
        (RESTRICTED_USER, METRICS, "203.0.113.7", [], "1220 403"),
        (RESTRICTED_USER, CHAT, "203.0.113.8", [], "1220 403"),
        (RESTRICTED_USER, CHAT, "", [], "1220 403"),
        # Only the proxy is believed.
        (RESTRICTED_USER, CHAT, "203.0.113.8", ["203.0.113.7"], "1220 403"),
        (RESTRICTED_USER, CHAT, "127.0.0.1", ["203.0.113.7"], None),
        (RESTRICTED_USER, CHAT, "127.0.0.1", ["203.0.113.7, 203.0.113.8"], "1220 403"),
        (RESTRICTED_USER, CHAT, "127.0.0.1", ["203.0.113.7", "203.0.113.8"], "1220 403"),
        (RESTRICTED_USER, CHAT, "127.0.0.1", ["203.0.113.8", "203.0.113.7"], None),
        (RESTRICTED_USER, CHAT, "127.0.0.1", ["unknown"], "1220 403"),
        (RESTRICTED_USER, CHAT, "127.0.0.1", [], None),
    ],
)
def test_what_a_key_is_not_for(
    judge: Judge, key: ApiKey, endpoint: ApiEndpoint, peer: str, forwarded: list[str], code: str | None
) -> None:
    try:
        judge(callers(), key, endpoint, peer, forwarded)
    except ApiError as error:
        assert f"{error.code} {error.status}" == code
    else:
        assert code is None


ANTHROPIC = ApiEndpoint("chat", coding_keys=True, api_key_header=True)


def at_the_edge_with(known: Callers, endpoint: ApiEndpoint, lines: list[str]) -> Principal:
    found = read_head("\r\n".join(("POST / HTTP/1.1", "host: a", *lines, "\r\n")).encode())
    assert found is not None
    return known.authenticate(found[0], RecordingSink([], "hot"), endpoint)


def by_asgi_with(known: Callers, endpoint: ApiEndpoint, lines: list[str]) -> Principal:
    headers = [tuple(part.encode() for part in line.split(": ", 1)) for line in lines]
    return known.authenticate_request(Request({"type": "http", "headers": headers}), endpoint)


@pytest.mark.parametrize("judge", [at_the_edge_with, by_asgi_with])
@pytest.mark.parametrize(
    ("lines", "endpoint", "code"),
    [
        ([f"x-api-key: {USER}"], ANTHROPIC, None),
        ([f"authorization: Bearer {USER}"], ANTHROPIC, None),
        ([f"authorization: Bearer {USER}", f"x-api-key: {USER}"], ANTHROPIC, None),
        ([f"authorization: {USER}", f"x-api-key: {USER}"], ANTHROPIC, None),
        ([f"x-api-key: {USER}"], CHAT, "1001"),
        ([f"authorization: Bearer {USER}", f"x-api-key: {CODING_USER}"], CHAT, None),
        ([f"authorization: Bearer {USER}", f"x-api-key: {CODING_USER}"], ANTHROPIC, "1002"),
        ([f"authorization: Bearer {CODING_USER}", f"x-api-key: {USER}"], ANTHROPIC, "1002"),
        ([f"authorization: Bearer {USER}", "x-api-key: nonsense"], ANTHROPIC, "1002"),
        (["x-api-key: nonsense"], ANTHROPIC, "1002"),
        ([f"x-api-key: {USER.id}.{CODING_USER.secret}"], ANTHROPIC, "1000"),
        ([], ANTHROPIC, "1001"),
    ],
)
def test_a_credential_in_the_header_of_anthropics_clients(
    judge: Callable[[Callers, ApiEndpoint, list[str]], Principal],
    lines: list[str],
    endpoint: ApiEndpoint,
    code: str | None,
) -> None:
    known = callers()
    for _ in range(2):  # the second time it is remembered
        try:
            principal = judge(known, endpoint, lines)
        except ApiError as error:
            assert error.code == code
        else:
            assert (code, principal.api_key_id) == (None, USER.id)


def test_two_keys_in_one_header_are_none() -> None:
    for judge in (at_the_edge_with, by_asgi_with):
        with pytest.raises(ApiError) as refused:
            judge(callers(), ANTHROPIC, [f"x-api-key: {USER}, {CODING_USER}"])
        assert refused.value.code == "1002"


def test_keys_where_none_belong_are_looked_for() -> None:
    async def main() -> None:
        leaks = LeakWatch(Keys(), print)
        known = callers(leaks=leaks)
        known.look_for_keys(b"nothing here", "body")
        known.look_for_keys(f"key={USER}".encode(), "url")
        known.look_for_keys(f"{USER.id}.{OPERATOR.secret}".encode(), "body")
        assert leaks.seen == {"body": 0, "url": 1}
        # Without anybody who listens there is nothing to do.
        callers().look_for_keys(str(USER).encode(), "body")

    asyncio.run(main())


def test_the_language_of_those_who_name_none() -> None:
    assert callers().language(None) == "zh"
    assert callers(language="en").language(None) == "en"
    assert callers(language="en").language(b"zh-CN") == "zh"


def test_a_refusal_is_noted_without_the_credential() -> None:
    log = io.StringIO()
    known = callers(log)

    async def note() -> None:
        error = ApiError("1000")
        log_id = known.note("/v1/models", error.status, error.code)
        assert log_id.startswith("19700101080000")
        known._request_log.flush()

    asyncio.run(note())
    record = json.loads(log.getvalue())
    assert record.pop("id").startswith("19700101080000")
    assert record == {"time": "1970-01-01T00:00:00.500Z", "path": "/v1/models", "status": 401, "code": "1000"}
    assert (
        b'bigmodel_requests_total{code="1000",engine="",model="",status="401"} 1.0' in known._metrics.render()
    )


def test_a_key_in_a_path_does_not_get_into_the_log() -> None:
    log = io.StringIO()
    known = callers(log)

    async def note() -> None:
        known.note(f"/v1/models/{USER}", 404)
        known._request_log.flush()

    asyncio.run(note())
    assert USER.secret not in log.getvalue()
    assert json.loads(log.getvalue())["path"] == f"/v1/models/{USER.id}.***"


def test_a_head_that_comes_back_is_judged_again() -> None:
    keys = Keys()
    known = callers()
    known._authenticator = Authenticator(keys)
    found = read_head(f"POST / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {USER}\r\n\r\n".encode())
    assert found is not None
    head, sink = found[0], RecordingSink([], "hot")

    assert known.authenticate(head, sink, CHAT) == known.authenticate(head, sink, CHAT)
    keys.disabled.add(USER.id)
    keys.tell(USER.id)
    with pytest.raises(ApiError, match="1000: "):
        known.authenticate(head, sink, CHAT)
