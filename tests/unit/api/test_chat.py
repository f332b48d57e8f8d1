"""The hot route judges the caller before the body, and serves the rest."""

import asyncio
import json
from typing import Any

import pytest

from openbigmodel.api.surfaces import CODING, OPENAI, PAAS
from openbigmodel.auth.api_keys import unix_ms
from openbigmodel.credentials import ApiKey, sign_jwt
from openbigmodel.edge import RequestHead
from openbigmodel.edge.head import read_head
from openbigmodel.engines.fake_script import Reply
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.chat_request import Surface
from tests.unit.api.api_bench import CODING_USER, RESTRICTED_USER, USER, ApiBench, run
from tests.unit.inference.pipeline_bench import RecordingSink

MESSAGES = [{"role": "user", "content": "hi"}]
PATH = "/api/paas/v4/chat/completions"
KEY = f"Bearer {USER}".encode()


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "glm-4.6", "messages": MESSAGES, "stream": True, **fields}).encode()


def head(*headers: tuple[bytes, bytes]) -> RequestHead:
    lines = b"".join(b"%b: %b\r\n" % header for header in ((b"host", b"platform"), *headers))
    found = read_head(b"POST %b HTTP/1.1\r\n%b\r\n" % (PATH.encode(), lines))
    assert found is not None
    return found[0]


def test_the_hot_route() -> None:
    async def test(api: ApiBench) -> None:
        sink = RecordingSink([], "hot")
        route = api.chat[PAAS]
        request = head((b"authorization", KEY), (b"accept-language", b"en"))
        accepted = route.accept(request, sink)
        assert isinstance(accepted, Caller)
        assert (accepted.language, accepted.path, accepted.surface) == ("en", PATH, PAAS)
        assert route.run(accepted, request, body(), sink) is not None
        await asyncio.wait_for(sink.over.wait(), 3)

        assert sink.text == "Hello, world"
        assert api.bench.records[0]["path"] == PATH

    run(test, Reply().stream())


@pytest.mark.parametrize(("credential", "code"), [(None, "1001"), (b"Bearer a.b", "1000"), (b"", "1001")])
def test_the_hot_route_refuses_before_the_body(credential: bytes | None, code: str) -> None:
    async def test(api: ApiBench) -> None:
        sink = RecordingSink([], "hot")
        headers = [] if credential is None else [(b"authorization", credential)]
        assert api.chat[PAAS].accept(head(*headers), sink) is None

        assert (sink.status, sink.code) == (401, code)
        assert api.bench.records[0]["code"] == code

    run(test)


@pytest.mark.parametrize(
    ("key", "surface", "refusal"),
    [
        (USER, CODING, None),
        (CODING_USER, CODING, None),
        (CODING_USER, PAAS, (429, "1113")),
        (CODING_USER, OPENAI, (429, "1113")),
        (RESTRICTED_USER, PAAS, None),
    ],
)
def test_a_key_is_for_its_bases(key: ApiKey, surface: Surface, refusal: tuple[int, str] | None) -> None:
    async def test(api: ApiBench) -> None:
        sink = RecordingSink([], "hot")
        accepted = api.chat[surface].accept(head((b"authorization", f"Bearer {key}".encode())), sink)
        assert (accepted is None) == (refusal is not None)
        if refusal is not None:
            assert (sink.status, sink.code) == refusal
            # Nobody need ask again.
            assert sink.headers["x-should-retry"] == "false"

    run(test)


def test_a_key_is_for_its_addresses() -> None:
    async def test(api: ApiBench) -> None:
        sink = RecordingSink([], "hot")
        sink.peer = "203.0.113.8"
        request = head((b"authorization", f"Bearer {RESTRICTED_USER}".encode()), (b"accept-language", b"en"))
        assert api.chat[PAAS].accept(request, sink) is None
        assert (sink.status, sink.code) == (403, "1220")
        assert b"203.0.113.8" in sink.body

    run(test)


def test_a_key_in_the_body_or_the_query_is_seen() -> None:
    async def test(api: ApiBench) -> None:
        route = api.chat[PAAS]
        with_query = read_head(f"POST {PATH}?key={USER} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        assert with_query is not None
        # Also without a credential where it belongs.
        assert route.accept(with_query[0], RecordingSink([], "hot")) is None
        assert api.leaks.seen == {"body": 0, "url": 1}

        sink = RecordingSink([], "hot")
        request = head((b"authorization", KEY))
        accepted = route.accept(request, sink)
        leaking = body(messages=[{"role": "user", "content": f"I use {USER}"}])
        assert route.run(accepted, request, leaking, sink) is not None
        await asyncio.wait_for(sink.over.wait(), 3)
        assert api.leaks.seen == {"body": 1, "url": 1}

    run(test, Reply().stream())


@pytest.mark.parametrize("disabled", [False, True])
def test_a_key_that_changed_while_the_body_was_on_its_way_is_judged_again(disabled: bool) -> None:
    async def test(api: ApiBench) -> None:
        sink = RecordingSink([], "hot")
        route, request = api.chat[PAAS], head((b"authorization", KEY))
        accepted = route.accept(request, sink)
        if disabled:
            api.keys.disabled.add(USER.id)
        api.keys.tell(USER.id)
        started = route.run(accepted, request, body(), sink)
        if disabled:
            assert (started, sink.status, sink.code) == (None, 401, "1000")
        else:
            assert started is not None
            await asyncio.wait_for(sink.over.wait(), 3)
            assert sink.status == 200

    run(test, Reply().stream())


def test_a_head_that_comes_back_brings_the_same_caller_while_nothing_has_changed() -> None:
    async def test(api: ApiBench) -> None:
        route, sink = api.chat[PAAS], RecordingSink([], "hot")
        request = head((b"authorization", KEY), (b"accept-language", b"en"))
        first = route.accept(request, sink)
        assert first is not None
        assert route.accept(request, sink) is first

        # Another key has changed: judged again, and the same again.
        api.keys.tell(CODING_USER.id)
        again = route.accept(request, sink)
        assert again is not None
        assert again is not first
        assert again.judged_at == first.judged_at + 1
        assert route.accept(request, sink) is again

        api.keys.disabled.add(USER.id)
        api.keys.tell(USER.id)
        assert route.accept(request, sink) is None
        assert (sink.status, sink.code) == (401, "1000")

    run(test)


def test_a_head_that_comes_back_with_a_token_is_good_until_that_expires() -> None:
    async def test(api: ApiBench) -> None:
        route, sink, now_ms = api.chat[PAAS], RecordingSink([], "hot"), unix_ms()
        token = sign_jwt(USER, now_ms, 1000)
        request = head((b"authorization", f"Bearer {token}".encode()))
        authenticator = route._callers._authenticator
        authenticator._now_ms = lambda: now_ms + 999
        first = route.accept(request, sink)
        assert first is not None
        assert route.accept(request, sink) is first
        authenticator._now_ms = lambda: now_ms + 1000
        assert route.accept(request, sink) is None
        assert (sink.status, sink.code) == (401, "1003")

    run(test)


def test_what_a_restricted_key_may_is_asked_each_time() -> None:
    async def test(api: ApiBench) -> None:
        route, request = api.chat[PAAS], head((b"authorization", f"Bearer {RESTRICTED_USER}".encode()))
        assert route.accept(request, RecordingSink([], "hot")) is not None
        elsewhere = RecordingSink([], "hot")
        elsewhere.peer = "203.0.113.8"
        assert route.accept(request, elsewhere) is None
        assert (elsewhere.status, elsewhere.code) == (403, "1220")

    run(test)


def test_a_key_in_the_query_is_seen_each_time() -> None:
    async def test(api: ApiBench) -> None:
        lines = f"POST {PATH}?key={USER} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {USER}\r\n\r\n"
        found = read_head(lines.encode())
        assert found is not None
        for count in (1, 2, 3):
            assert api.chat[PAAS].accept(found[0], RecordingSink([], "hot")) is not None
            assert api.leaks.seen["url"] == count

    run(test)
