"""An engine that runs elsewhere and is spoken to as OpenAI's API: vLLM, SGLang, llama-server, Ollama …"""

from urllib.parse import urlsplit

from openbigmodel.engines.connection import ConnectionPool, EngineCall, EngineConsumer
from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.translate import Profile


class RemoteEngine:
    """Sends calls to one endpoint. It is never started or stopped from here, so it is always `ready`."""

    def __init__(self, name: str, endpoint: Endpoint, profile: Profile) -> None:
        self.name = name
        self.kind = "openai"
        self.profile = profile
        self._pool = ConnectionPool(endpoint, keep_alive=profile.keep_alive)

    @property
    def state(self) -> str:
        """For operators."""
        return "ready"

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Close idle connections."""
        self._pool.close()

    def post(self, path: str, body: bytes, consumer: EngineConsumer) -> EngineCall:
        """Send `body` to `path` below the base URL."""
        return self._pool.post(path, body, consumer)


def endpoint_of(base_url: str, api_key: str) -> Endpoint:
    """The endpoint that a base URL names. Raises ValueError for anything but http and https with a host."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not an http(s) URL: {base_url}")
    tls = parts.scheme == "https"
    return Endpoint(
        host=parts.hostname,
        port=parts.port or (443 if tls else 80),
        api_key=api_key,
        tls=tls,
        path=parts.path.rstrip("/"),
    )
