"""All chat requests under way: begins each, looks after their deadlines, and can end them all.

A request comes through some door (today the edge's hot route) that knows who asks and gives a sink; `exchange` is what
happens to it then. One sweep a second looks after all of them, because a timer for each would cost more.
"""

import asyncio
import time
from collections.abc import Callable
from typing import ParamSpec

from openbigmodel.edge import Sink
from openbigmodel.engines.circuit_breaker import CircuitBreaker
from openbigmodel.engines.registry import Registry
from openbigmodel.engines.router import Router
from openbigmodel.errors import ApiError
from openbigmodel.ids import IdSource
from openbigmodel.inference.admission import Admissions
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.exchange import ChatExchange
from openbigmodel.inference.finished import FinishedRequests
from openbigmodel.inference.moderated_exchange import ModeratedExchange
from openbigmodel.inference.reading import READING_FROM_BYTES, Reading
from openbigmodel.media.preparation import Media
from openbigmodel.moderation.moderator import Moderator
from openbigmodel.telemetry import Metrics, RequestLog

_SWEEP_INTERVAL_S = 1.0

_Arguments = ParamSpec("_Arguments")


class Pipeline:
    """Everything that a request passes, and all requests under way."""

    def __init__(
        self,
        *,
        registry: Registry,
        admissions: Admissions,
        request_log: RequestLog,
        metrics: Metrics,
        ids: IdSource,
        moderator: Moderator | None = None,
        media: Media | None = None,
        now_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = registry

        def breaker_changed(breaker: CircuitBreaker, before: str, why: str) -> None:
            request_log.event(f"engine {breaker.name}: circuit breaker {breaker.state}, {why}")

        self.router = Router(registry, now_s=monotonic_s, on_change=breaker_changed)
        self.admissions = admissions
        self.metrics = metrics
        self.finished = FinishedRequests(request_log, metrics)
        self.ids = ids
        self.moderator = moderator
        self.media = media
        self.now_s = now_s
        self.monotonic_s = monotonic_s
        self.reading = Reading(monotonic_s)
        self.exchanges: set[ChatExchange] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self.swept_s = monotonic_s()

    def chat(self, body: bytes, caller: Caller, sink: Sink) -> ChatExchange | None:
        """Begin a chat request; None when it was refused, which the sink then has been told."""
        if self.moderator is None:
            exchange = ChatExchange(self, caller, sink)
        else:
            exchange = ModeratedExchange(self, caller, sink, self.moderator)
        try:
            if len(body) >= READING_FROM_BYTES:
                self.reading.take(caller.principal, body)
            earlier = exchange.begin(body)
        except ApiError as error:
            exchange.refuse(error)
            return None
        except Exception:  # a fault of ours, which the door answers
            exchange.give_up()
            raise
        if earlier is not None:
            exchange.replay(earlier)
            return None
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_INTERVAL_S, self._sweep)
        return exchange

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        # First of all: whatever goes wrong with one request or with the rest, the deadlines of the others hold.
        self._sweeper = loop.call_later(_SWEEP_INTERVAL_S, self._sweep)
        now_s = self.monotonic_s()
        for exchange in list(self.exchanges):
            _guarded(loop, exchange.check_deadline, now_s)
        self.swept_s = now_s
        limits = self.admissions.limits
        _guarded(loop, limits.forget_idle)
        _guarded(loop, self.router.expire)
        if not self.exchanges and not len(limits):
            self._sweeper.cancel()
            self._sweeper = None

    def cut_all(self) -> None:
        """End every request now, as if its engine had died; used when the platform stops."""
        for exchange in list(self.exchanges):
            _guarded(asyncio.get_running_loop(), exchange.cut, "the platform is stopping")


def _guarded(
    loop: asyncio.AbstractEventLoop,
    call: Callable[_Arguments, None],
    *args: _Arguments.args,
    **more: _Arguments.kwargs,
) -> None:
    """Call; a fault of ours goes to the loop's handler instead of to whoever comes next."""
    try:
        call(*args, **more)
    except Exception as error:  # noqa: BLE001  the edge of one request's work among others
        loop.call_exception_handler({"message": "a sweep met a fault", "exception": error})
