"""An event loop in virtual time, for the platform's own code: what it calls later happens when the schedule says so."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVarTuple

from tests.simulation.virtual_time import Scope

_SECOND_US = 1_000_000
_Ts = TypeVarTuple("_Ts")


class VirtualLoop(asyncio.AbstractEventLoop):
    """The loop of one process: what waits on it is gone when its scope ends.

    What is called soon is called in order, right after what called it; `errors` keeps what callbacks raised.
    """

    def __init__(self, scope: Scope) -> None:
        self.errors: list[BaseException] = []
        self._scope = scope
        self._ready: deque[asyncio.Handle] = deque()

    def run_ready(self) -> None:
        """Call everything that is due now. To be called after everything that happens."""
        ready = self._ready
        while ready and self._scope.alive:
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def time(self) -> float:
        return self._scope.schedule.now_us / _SECOND_US

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        delay_us = max(0, round((when - self.time()) * _SECOND_US))
        self._scope.after(delay_us, self._timer_is_due, timer)
        return timer

    def _timer_is_due(self, timer: asyncio.TimerHandle) -> None:
        if not timer.cancelled():
            self._ready.append(timer)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> "asyncio.Task[Any]":  # type: ignore[override]
        return asyncio.Task(coro, loop=self, **options)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.errors.append(error if isinstance(error, BaseException) else RuntimeError(context["message"]))

    def get_debug(self) -> bool:
        return False

    def is_closed(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True


def virtual_loop(scope: Scope) -> VirtualLoop:
    """A loop for one process. Sockets and signals, which other loops have, it has none."""
    return VirtualLoop(scope)  # type: ignore[abstract]
