"""HTTP towards model hubs: redirects followed with care, statuses turned into errors.

Rule: credentials go to the hub's own origin only; a redirect may leave for a storage host, but never from https
to http, and never to anything that is not HTTP.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urljoin, urlsplit

import httpx

REDIRECTS_MAX = 10

# Request headers that may follow a redirect to another host.
_NOT_SECRET = frozenset(("range", "if-range"))


class WeightsError(Exception):
    """The weights cannot be had; the text is a sentence or two for the operator."""


class TransientError(WeightsError):
    """It may go better in a moment."""

    def __init__(self, text: str, retry_after_s: float = 0.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(text)


@contextlib.asynccontextmanager
async def request(
    client: httpx.AsyncClient, method: str, url: str, headers: Mapping[str, str], *, stop_at: str = ""
) -> AsyncIterator[httpx.Response]:
    """Send, following redirects; `headers` with credentials never go to another host than the first.

    A redirect that carries the header `stop_at` is handed out as it is. Raises WeightsError, TransientError.
    """
    origin = _origin(url)
    for _ in range(REDIRECTS_MAX):
        own = {
            name: value for name, value in headers.items() if _origin(url) == origin or name in _NOT_SECRET
        }
        try:
            response = await client.send(client.build_request(method, url, headers=own), stream=True)
        except httpx.TransportError as error:
            raise TransientError(
                f"{urlsplit(url).hostname} cannot be reached ({str(error) or type(error).__name__})."
            ) from error
        except httpx.InvalidURL as error:
            raise WeightsError(f"{url!r} is no address, or leads to one that is none.") from error
        location = response.headers.get("location")
        if not (300 <= response.status_code < 400 and location) or (stop_at and stop_at in response.headers):
            try:
                yield response
            finally:
                await response.aclose()
            return
        await response.aclose()
        url = _redirected(url, location)
    raise WeightsError(f"{urlsplit(url).hostname} redirects in a circle.")


def check_status(response: httpx.Response, what: str) -> None:
    """Raise for anything but success: TransientError if it may pass."""
    status = response.status_code
    if 200 <= status < 300:
        return
    host = response.url.host
    if status in (408, 425, 429) or status >= 500:
        wait = response.headers.get("retry-after", "")
        raise TransientError(f"{host} answered {status} for {what}.", float(wait) if wait.isdigit() else 0.0)
    raise WeightsError(f"{host} answered {status} for {what}.")


def _redirected(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
        # Reading the port checks it.
        allowed = parts.scheme in ("https", urlsplit(url).scheme) and parts.port != 0
    except ValueError:
        target, allowed = "", False
    if not allowed:
        raise WeightsError(
            f"{urlsplit(url).hostname} redirects to an address that is not allowed: {location[:200]!r}."
        )
    return target


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
