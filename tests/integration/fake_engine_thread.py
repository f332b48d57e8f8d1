"""A fake engine beside a test that runs no loop of its own."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from openbigmodel.engines.fake import FakeEngine
from openbigmodel.engines.fake_script import FakeRequest, Script, Step


class ThreadedFakeEngine:
    """Its records may be read from here; whatever changes it must go through `call`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.engine = FakeEngine()
        self._loop = loop

    @property
    def requests(self) -> list[FakeRequest]:
        return self.engine.requests

    @property
    def config(self) -> str:
        """Settings with this engine for the models with the fake names."""
        names = (
            "fake-echo",
            "fake-endless-50",
            "fake-stall-2",
            "fake-reset-after-2",
            "fake-close-after-2",
            "fake-error-503",
        )
        models = "".join(f'[[models]]\nid = "{name}"\nengine = "fake"\n' for name in names)
        return (
            f'[[engines]]\nname = "fake"\nkind = "openai"\nbase_url = "{self.engine.endpoint.url}"\n{models}'
        )

    def play(self, script: Script | list[Step]) -> None:
        """What the engine says to the next request that has no script yet."""
        self._loop.call_soon_threadsafe(self.engine.play, script)

    def open_gate(self, number: int) -> None:
        self._loop.call_soon_threadsafe(self.requests[number].open_gate)


@contextlib.contextmanager
def fake_engine() -> Iterator[ThreadedFakeEngine]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    threaded = ThreadedFakeEngine(loop)
    asyncio.run_coroutine_threadsafe(threaded.engine.start(), loop).result(5)
    try:
        yield threaded
    finally:
        asyncio.run_coroutine_threadsafe(threaded.engine.stop(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
