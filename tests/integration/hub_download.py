"""Downloads as an operator starts them, from a hub on this machine into an empty folder."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from openbigmodel.engines.weights import (
    Hubs,
    HuggingFace,
    ModelScope,
    Patience,
    Progress,
    WeightsError,
    resolve_weights,
)
from tests.integration.hub_server import HubServer, hub_server

PATIENCE = Patience(
    attempts_max=3, backoff_s=0.001, connect_timeout_s=2, silence_timeout_s=5, lock_poll_s=0.01
)
MODEL = random.Random(1).randbytes(700_001)
HF = "hf:zai/glm/q4/glm.gguf"
MODELSCOPE = "modelscope:zai/glm/q4/glm.gguf"
BOTH = pytest.mark.parametrize("source", [HF, MODELSCOPE])


class Download:
    """One operator's folder and what the download told."""

    def __init__(self, folder: Path, hub: HubServer) -> None:
        self.folder = folder
        self.hub = hub
        self.credential = ""
        self.patience = PATIENCE
        self.free = 1 << 40
        self.told: list[Progress] = []

    async def __call__(self, source: str = HF) -> Path:
        return await resolve_weights(
            source,
            models_dir=self.folder,
            hubs=Hubs(HuggingFace(self.hub.url, self.credential), ModelScope(self.hub.url, self.credential)),
            patience=self.patience,
            progress=self.told.append,
            free_bytes=lambda folder: self.free,
        )

    async def fails(self, words: str, source: str = HF) -> None:
        with pytest.raises(WeightsError, match=words):
            await self(source)
        assert not list(self.folder.rglob("*.gguf")), "an unchecked file has its final name"

    @property
    def part(self) -> Path:
        return self.folder / "hf/zai/glm/q4/glm.gguf.part"


def run(folder: Path, test: Callable[[Download, HubServer], Awaitable[None]]) -> None:
    async def main() -> None:
        async with hub_server() as hub:
            hub.files["zai/glm/q4/glm.gguf"] = MODEL
            await asyncio.wait_for(test(Download(folder, hub), hub), 20)

    asyncio.run(main())
