"""Finds out whether an engine can be reached and which kind it is, by asking it what it tells everybody.

Rule: only GET requests, never on the way of a caller's request, each with a limit on time and size. Which kind it is
must be beyond doubt, else it counts as `openai`: a wrong guess would send it fields that it refuses.

    GET /models          reachable? our credential? whose models, and how long may a prompt be
    GET /get_model_info  SGLang          GET /props         llama-server
    GET /api/version     Ollama          GET /version       vLLM, with `max_model_len` in its list of models
    GET /api/monitor/usage/quota/limit   of kind glm: whether a key belongs to a Coding Plan
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import msgspec

from openbigmodel.engines.endpoint import Endpoint

PROBE_TIMEOUT_S = 5.0
_DECODE = msgspec.json.Decoder(float_hook=float).decode
_MAX_BODY_BYTES = 4 * 1024 * 1024
_OWNERS = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llama-server",
    "lmdeploy": "lmdeploy",
    "tensorrt_llm": "tensorrt-llm",
    # What Ray Serve LLM writes for every model.
    "organization-owner": "ray",
}
# Where an engine is that does not say so in its list of models, and a key of what it answers there.
_MARKS = (
    ("sglang", "/get_model_info", "model_path"),
    ("llama-server", "/props", "default_generation_settings"),
    ("ollama", "/api/version", "version"),
)
_QUOTA = "/api/monitor/usage/quota/limit"
# Another credential may do better.
_NOT_THIS_KEY = frozenset((401, 402, 403))

EngineState = Literal["ready", "unreachable", "refused"]


class Found(msgspec.Struct, frozen=True):
    """What a look has shown. `profile` is empty where it was not asked for; `reason` is a sentence for the operator.

    `plan_keys`: those of the credentials that belong to a Coding Plan; of `unsure_keys` nobody has said so or not.
    Where the list of models was refused for another reason than its credential, nothing is said of either.
    """

    state: EngineState
    reason: str = ""
    profile: str = ""
    context_tokens: int | None = None
    plan_keys: frozenset[str] = frozenset()
    unsure_keys: frozenset[str] = frozenset()


class _Page(msgspec.Struct, frozen=True):
    status: int
    server: str
    body: Any


class Prober:
    """Looks at one endpoint.

    `identify`: find out the kind, too; `keys`: its credentials, one of which will do, or the endpoint's own; `plans`:
    tell them apart by plan; `bearer`: what is shown for one.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        identify: bool,
        keys: Sequence[str] = (),
        plans: bool = False,
        bearer: Callable[[str], str] = str,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout_s: float = PROBE_TIMEOUT_S,
    ) -> None:
        self._endpoint = endpoint
        self._identify = identify
        self._keys = tuple(keys) or (endpoint.api_key,)
        self._plans = plans
        self._bearer = bearer
        self._transport = transport
        self._timeout_s = timeout_s
        self._tls = ssl.create_default_context() if endpoint.tls else False
        parts = urlsplit(endpoint.url)
        self._root = f"{parts.scheme}://{parts.netloc}"

    async def look(self, *, briefly: bool = False) -> Found:
        """What there is now; takes at most `timeout_s`. `briefly`: no more than the list of models is asked for."""
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                # As for requests, nothing in the environment sends it elsewhere. The time limit is the one above.
                httpx.AsyncClient(
                    transport=self._transport, verify=self._tls, trust_env=False, timeout=2 * self._timeout_s
                ) as client,
            ):
                return await self._look(client, briefly=briefly)
        except TimeoutError:
            return Found("unreachable", f"{self._endpoint.url} gives no answer in {self._timeout_s:g} s")
        except (httpx.HTTPError, OSError, ValueError) as error:
            return Found("unreachable", f"{self._endpoint.url}: {str(error) or type(error).__name__}")

    async def _look(self, client: httpx.AsyncClient, *, briefly: bool) -> Found:
        models = await self._models(client)
        state, reason = judge(models.status)
        if reason:
            reason = f"GET {self._endpoint.url}/models answers {models.status}: {reason}"
        plan_keys, unsure_keys = frozenset[str](), frozenset(self._keys if self._plans else ())
        if self._plans and not briefly and (state == "ready" or models.status in _NOT_THIS_KEY):
            plan_keys, unsure_keys = await self._plan_keys(client)
        if plan_keys and models.status in _NOT_THIS_KEY:
            # Their own base takes them.
            state, reason = "ready", ""
        if state != "ready":
            unsure_keys = unsure_keys if models.status in _NOT_THIS_KEY else frozenset()
            return Found(state, reason, unsure_keys=unsure_keys)
        profile = await self._kind(client, models, briefly=briefly) if self._identify else ""
        return Found(state, reason, profile, context_of(models.body), plan_keys, unsure_keys)

    async def _models(self, client: httpx.AsyncClient) -> _Page:
        """As the first credential that is taken sees them; if none is, as the first one does."""
        pages = []
        for key in self._keys:
            page = await self._get(client, self._endpoint.url + "/models", key)
            if page.status not in _NOT_THIS_KEY:
                return page
            pages.append(page)
        return pages[0]

    async def _kind(self, client: httpx.AsyncClient, models: _Page, *, briefly: bool) -> str:
        known = kind_of(models.body, models.server)
        if known or briefly:
            return known
        for name, path, mark in _MARKS:
            page = await self._get(client, self._root + path, self._endpoint.api_key)
            if page.status == 200 and isinstance(page.body, dict) and mark in page.body:
                return name
        if context_of(models.body) is not None:
            page = await self._get(client, self._root + "/version", self._endpoint.api_key)
            if page.status == 200 and isinstance(page.body, dict) and "version" in page.body:
                return "vllm"
        return "openai"

    async def _plan_keys(self, client: httpx.AsyncClient) -> tuple[frozenset[str], frozenset[str]]:
        """Those that belong to a plan, and those of which the upstream could not say it."""
        found = await asyncio.gather(*(self._has_plan(client, key) for key in self._keys))
        told = dict(zip(self._keys, found, strict=True))
        return (
            frozenset(key for key, has_plan in told.items() if has_plan),
            frozenset(key for key, has_plan in told.items() if has_plan is None),
        )

    async def _has_plan(self, client: httpx.AsyncClient, key: str) -> bool | None:
        page = await self._get(client, self._root + _QUOTA, key)
        if page.status == 429 or page.status >= 500:
            return None
        data = page.body.get("data") if isinstance(page.body, dict) else None
        return (
            page.status == 200 and isinstance(data, dict) and bool(data.get("level") and data.get("limits"))
        )

    async def _get(self, client: httpx.AsyncClient, url: str, key: str) -> _Page:
        headers = {
            "accept": "application/json",
            **({"authorization": f"Bearer {self._bearer(key)}"} if key else {}),
        }
        async with client.stream("GET", url, headers=headers) as response:
            body = bytearray()
            async for data in response.aiter_bytes():
                body += data
                if len(body) > _MAX_BODY_BYTES:
                    raise ValueError(f"{url} answers more than {_MAX_BODY_BYTES} bytes")
            return _Page(response.status_code, response.headers.get("server", ""), _decoded(bytes(body)))


def _decoded(body: bytes) -> Any:
    try:
        return _DECODE(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def judge(status: int) -> tuple[EngineState, str]:
    """What the status of `GET /models` says, and what an operator could look at."""
    if status < 300 or status == 429:
        return "ready", ""
    if status in _NOT_THIS_KEY:
        return "refused", "is api_key right?"
    if status < 400:
        return "refused", "is base_url right?"
    if status < 500 or status == 501:
        # Somebody is there; not everybody has such a list.
        return "ready", "is base_url right? That of most engines ends in /v1"
    return "unreachable", "it is starting, or something in front of it cannot reach it"


def kind_of(models: object, server: str) -> str:
    """The profile of what answers, by its list of models and the `Server` header; empty if that is not sure."""
    if server.lower().startswith("llama.cpp"):
        return "llama-server"
    kinds = {_OWNERS.get(str(entry.get("owned_by"))) for entry in _entries(models)}
    # Something that collects models from several engines is none of them.
    kind = kinds.pop() if len(kinds) == 1 else None
    return kind or ""


def context_of(models: object) -> int | None:
    """Tokens of prompt and answer together, where the engine has one answer for all its models."""
    lengths = {entry.get("max_model_len") for entry in _entries(models)}
    length = lengths.pop() if len(lengths) == 1 else None
    return length if isinstance(length, int) and not isinstance(length, bool) and length > 0 else None


def _entries(models: object) -> list[dict[str, Any]]:
    data = models.get("data") if isinstance(models, dict) else None
    return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
