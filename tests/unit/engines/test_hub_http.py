import asyncio
from collections.abc import Callable

import httpx
import pytest

from openbigmodel.engines.hub_http import TransientError, WeightsError, check_status, request

Handler = Callable[[httpx.Request], httpx.Response]


def ask(handler: Handler, url: str = "https://hub.example/a", stop_at: str = "") -> httpx.Response:
    async def main() -> httpx.Response:
        headers = {"authorization": "Bearer secret", "range": "bytes=5-"}
        async with (
            httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client,
            request(client, "GET", url, headers, stop_at=stop_at) as response,
        ):
            return response

    return asyncio.run(main())


def redirecting(target: str) -> Handler:
    def handle(asked: httpx.Request) -> httpx.Response:
        if asked.url.path == "/a":
            return httpx.Response(302, headers={"location": target, "x-linked-size": "5"})
        return httpx.Response(200, json=dict(asked.headers))

    return handle


def test_credentials_stay_with_their_origin() -> None:
    assert ask(redirecting("/b")).request.headers["authorization"] == "Bearer secret"
    for other in ("https://storage.example/b", "https://hub.example:8443/b", "//hub.example.evil/b"):
        sent = ask(redirecting(other)).request.headers
        assert "authorization" not in sent
        assert sent["range"] == "bytes=5-"


def test_stops_at_a_redirect_that_tells_enough() -> None:
    assert ask(redirecting("https://storage.example/b"), stop_at="x-linked-size").status_code == 302


@pytest.mark.parametrize(
    "target", ["http://hub.example/b", "file:///etc/passwd", "https://[", "https://hub.example:99999/b"]
)
def test_redirects_that_are_not_followed(target: str) -> None:
    with pytest.raises(WeightsError, match="not allowed"):
        ask(redirecting(target))


def test_from_http_to_https_is_allowed() -> None:
    assert ask(redirecting("https://hub.example/b"), "http://hub.example/a").status_code == 200


def test_redirects_end() -> None:
    with pytest.raises(WeightsError, match="in a circle"):
        ask(redirecting("/a"))


def test_an_address_that_is_none() -> None:
    with pytest.raises(WeightsError, match="is no address"):
        ask(redirecting("/b"), "https://hub.example:port/a")


def test_nobody_answers() -> None:
    def fail(asked: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("", request=asked)

    with pytest.raises(TransientError, match=r"cannot be reached \(ConnectError\)"):
        ask(fail)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_statuses_that_may_pass(status: int) -> None:
    response = httpx.Response(
        status, headers={"retry-after": "7"}, request=httpx.Request("GET", "http://hub/a")
    )
    with pytest.raises(TransientError, match=f"hub answered {status} for a file") as caught:
        check_status(response, "a file")
    assert caught.value.retry_after_s == 7


def test_a_date_to_retry_after_is_ignored() -> None:
    headers = {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}
    response = httpx.Response(503, headers=headers, request=httpx.Request("GET", "http://hub/a"))
    with pytest.raises(TransientError) as caught:
        check_status(response, "a file")
    assert caught.value.retry_after_s == 0


def test_statuses_that_will_not_pass() -> None:
    response = httpx.Response(410, request=httpx.Request("GET", "http://hub/a"))
    with pytest.raises(WeightsError, match="410") as caught:
        check_status(response, "a file")
    assert not isinstance(caught.value, TransientError)
