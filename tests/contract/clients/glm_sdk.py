"""zai-sdk and zhipuai, which share their shape: `glm_sdk.py WORLD ZaiClient|ZhipuAiClient|ZhipuAI`.

The base URL and key come from the environment where the client reads them, as in a program that is not touched.
"""

import importlib
import sys
import time
from collections.abc import Callable
from typing import Any

import scenarios
from scenarios import DO_NOT_THINK, GREETING, Reply, world

MODULES = {"ZaiClient": "zai", "ZhipuAiClient": "zai", "ZhipuAI": "zhipuai"}
# What the older SDK has no parameter for goes through `extra_body`, as its documentation says.
EXTRA = {"ZhipuAI": ("tool_stream",)}

name = sys.argv[2]
sdk = importlib.import_module(MODULES[name])
make: Callable[..., Any] = getattr(sdk, name)


class SdkClient:
    def __init__(self, sdk_client: Any) -> None:
        self.sdk = sdk_client

    def _create(self, messages: list[Any], fields: dict[str, Any]) -> Any:
        extra = {field: fields.pop(field) for field in EXTRA.get(name, ()) if field in fields}
        if extra:
            fields["extra_body"] = extra
        return self.sdk.chat.completions.create(messages=messages, **{"model": "glm-4.6", **fields})

    def chat(self, messages: list[Any], **fields: Any) -> Reply:
        completion = self._create(messages, fields)
        # With its nulls: what programs that follow the documentation send back.
        return scenarios.whole(completion.model_dump(), completion.choices[0].message.model_dump())

    def stream(self, messages: list[Any], **fields: Any) -> Reply:
        chunks = self._create(messages, {"stream": True, **fields})
        return scenarios.assembled(chunk.model_dump() for chunk in chunks)


def connect(key: str) -> SdkClient:
    return SdkClient(make(api_key=key))


def jwt_mode() -> dict[str, Any]:
    """The SDK signs a JWT and caches it."""
    client = SdkClient(make(disable_token_cache=False))
    return {"first": client.chat(GREETING).seen, "again": client.stream(GREETING, thinking=DO_NOT_THINK).seen}


def cancelled() -> dict[str, Any]:
    client = make(api_key=here.slow_key, base_url=here.slow_root + "/api/paas/v4")
    stream = client.chat.completions.create(
        model="glm-4.6", messages=[{"role": "user", "content": "count"}], stream=True
    )
    read = [next(stream).choices[0].delta.content for _ in range(3)]
    stream.response.close()
    return {"read": read, "left_s": scenarios.now_s()}


def busy() -> object:
    client = make(api_key=here.slow_key, base_url=here.slow_root + "/api/paas/v4", max_retries=2)
    return SdkClient(client).chat([{"role": "user", "content": "busy"}]).seen


def broken_stream() -> object:
    client = SdkClient(make(api_key=here.slow_key, base_url=here.slow_root + "/api/paas/v4"))
    return client.stream([{"role": "user", "content": "die"}]).seen


def separators() -> object:
    client = SdkClient(make(api_key=here.slow_key, base_url=here.slow_root + "/api/paas/v4"))
    return client.stream([{"role": "user", "content": "separators"}]).seen


here = world()
usual = SdkClient(make())
scenarios.play(
    name,
    {
        **scenarios.everyday(usual),
        **scenarios.tool_streaming(usual),
        **scenarios.mistakes(connect, here.key, here.wrong_key),
        **scenarios.jwt_credentials(connect, here),
        "jwt-mode": jwt_mode,
        "float-request-id": lambda: usual.chat(GREETING, request_id=round(1000 * time.time()) + 0.5).seen,
        "text-request-id": lambda: usual.chat(GREETING, request_id="contract-" + name).seen,
        "everything-set": lambda: (
            usual.chat(
                GREETING,
                temperature=1,
                top_p=1,
                seed=7,
                stop=["</s>"],
                user_id="user-12345",
                do_sample=True,
                sensitive_word_check={"type": "ALL", "status": "DISABLE"},
                tool_choice="auto",
                tools=scenarios.TOOLS,
            ).seen
        ),
        "greedy": lambda: usual.chat(GREETING, temperature=0, top_p=0).seen,
        "cancelled": cancelled,
        "busy": busy,
        "broken-stream": broken_stream,
        "separators": separators,
    },
)
