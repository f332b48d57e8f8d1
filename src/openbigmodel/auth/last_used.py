"""Writes down when keys were last used: noted in memory, written once a minute and at the end, many in one go.

Rule: no request waits for it, and a use is told late rather than not at all; what a crash loses is a minute.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from openbigmodel.auth.api_keys import Authenticator

INTERVAL_S = 60.0


class UsedStore(Protocol):
    """Where keys are kept."""

    async def note_used(self, used: Mapping[str, int]) -> None:
        """Writes down when keys were last used: key id to Unix milliseconds."""


class LastUsed:
    """Carries the times from the Authenticator to the store. `report` takes a line for the operator's log."""

    def __init__(
        self,
        authenticator: Authenticator,
        store: UsedStore,
        report: Callable[[str], None],
        *,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._authenticator = authenticator
        self._store = store
        self._report = report
        self._interval_s = interval_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Write from now on."""
        self._task = asyncio.get_running_loop().create_task(self._write_now_and_then())

    async def close(self) -> None:
        """Write what there is and stop; before the database is closed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None
        await self.flush()

    async def flush(self) -> None:
        """Write what there is; what cannot be written stays noted for the next time."""
        used = self._authenticator.take_used()
        if not used:
            return
        try:
            await self._store.note_used(used)
        except asyncio.CancelledError:
            self._authenticator.give_back_used(used)
            raise
        except Exception as error:  # noqa: BLE001 - the edge of a task: no fault of the disk may end it
            self._authenticator.give_back_used(used)
            self._report(f"when keys were last used was not written: {error}")

    async def _write_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self.flush()
