"""The supervisor: keeps one worker alive for one model, and says where it answers.

Rule: one task (`_supervise`) owns the worker and is the only one that changes `state` and `endpoint`, except that
`stop` ends it. Everything that happens to a worker arrives there as an EngineUnavailable with its reason.

    stopped → starting → ready ⇄ restarting
                  └────────┴────────┴──→ broken → (after a pause, or start()) → ready
"""

import asyncio
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

from openbigmodel.engines.endpoint import Endpoint, EngineUnavailable
from openbigmodel.engines.llamacpp.machine import Machine
from openbigmodel.engines.llamacpp.preflight import (
    ModelFacts,
    ModelUnusable,
    Preflight,
    context_per_request,
    pool_tokens,
)
from openbigmodel.engines.llamacpp.process import WORKER_COMMAND, WorkerProcess, WorkerRefused, answers_health
from openbigmodel.engines.llamacpp.spec import EngineTimings, LlamaCppSpec, WorkerTerms, worker_config

EngineState = Literal["starting", "ready", "restarting", "broken", "stopped"]
Outcome = Endpoint | EngineUnavailable

# Callers that may wait for one engine at a time; the next are refused instead of kept in memory.
WAITING_MAX = 10_000
_END_ANNOUNCED_S = 0.2

_TIMINGS = EngineTimings()
_MACHINE = Machine()


def _new_api_key() -> str:
    return secrets.token_urlsafe(32)


def _ignore_state(state: EngineState, reason: str) -> None:
    """Nobody is interested."""


class Supervisor:
    """One model, served by one supervised worker process at a time.

    `on_state(state, reason)` hears every change of state on the event loop and, before a file is loaded for the
    first time, what is odd about it. Must be used on one event loop.
    """

    def __init__(
        self,
        name: str,
        spec: LlamaCppSpec,
        *,
        timings: EngineTimings = _TIMINGS,
        machine: Machine = _MACHINE,
        command: Sequence[str] = WORKER_COMMAND,
        now_s: Callable[[], float] = time.monotonic,
        new_api_key: Callable[[], str] = _new_api_key,
        on_state: Callable[[EngineState, str], None] = _ignore_state,
    ) -> None:
        self.name = name
        self.spec = spec
        self.state: EngineState = "stopped"
        self.endpoint: Endpoint | None = None
        self.pid: int | None = None
        self.context_tokens = spec.context_tokens
        """Per request; less than the spec says if the model was trained for less. Known once ready."""
        self._timings = timings
        self._machine = machine
        self._command = command
        self._now_s = now_s
        self._new_api_key = new_api_key
        self._on_state = on_state
        self._preflight = Preflight(spec, machine)
        self._facts: ModelFacts | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure = EngineUnavailable(f'Engine "{name}" is not running.')
        self._waiting: list[Callable[[Outcome], None]] = []
        self._crashes_s: deque[float] = deque()
        self._pauses = 0
        self._retry_now = asyncio.Event()
        self._suspected = asyncio.Event()

    async def start(self) -> None:
        """Until ready. Raises EngineUnavailable; the engine then stays broken and is tried again until `stop`."""
        if self._task is None:
            self._forget_crashes()
            self._enter("starting")
            self._task = asyncio.create_task(self._supervise(), name=f"engine {self.name}")
        elif self.state == "broken":
            self._forget_crashes()
            self._enter("starting")
            self._retry_now.set()
        known: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.when_ready(lambda outcome: None if known.done() else known.set_result(outcome))
        outcome = await known
        if isinstance(outcome, EngineUnavailable):
            raise EngineUnavailable(outcome.reason, outcome.detail)

    async def stop(self) -> None:
        """End the worker, in at most 3 s. Requests under way break off: drain before."""
        task = self._task
        if task is None:
            return
        if self.state != "stopped":
            self._failure = EngineUnavailable(f'Engine "{self.name}" has been stopped.')
            self.endpoint = None
            self._enter("stopped")
            self._tell_waiting(self._failure)
            task.cancel()
        await asyncio.wait({task})
        self._task = None

    def when_ready(self, callback: Callable[[Outcome], None], failed: Endpoint | None = None) -> None:
        """Call `callback` once: at once if the engine is ready, broken or stopped, else when that is known.

        `failed` is an endpoint that the caller could not connect to. If it is the current one, the worker is looked
        at first, so that the caller is not sent back to a worker whose end has not been noticed yet.
        """
        if self.state == "ready" and self.endpoint is not None:
            if failed != self.endpoint:
                callback(self.endpoint)
                return
            self._suspected.set()
        elif self.state in ("broken", "stopped"):
            callback(self._failure)
            return
        if len(self._waiting) >= WAITING_MAX:
            callback(EngineUnavailable(f'Too many requests wait for engine "{self.name}".'))
            return
        self._waiting.append(callback)

    async def _supervise(self) -> None:
        """One worker after another, until cancelled by `stop`."""
        while True:
            try:
                await self._serve_with_one_worker()
            except EngineUnavailable as failure:
                self._failure = failure
            except Exception as error:  # noqa: BLE001  the task's edge: a mistake of ours must not leave the engine undead
                self._failure = EngineUnavailable(f"Supervisor failed: {error!r}.")
            await self._pause_after(self._failure)

    async def _serve_with_one_worker(self) -> None:
        """Start a worker and watch it. Always ends by raising: EngineUnavailable says why it is over."""
        facts = await self._preflight.run()
        if facts is not self._facts:
            self._facts = facts
            for warning in facts.warnings:
                self._on_state(self.state, warning)
        self.context_tokens = context_per_request(facts, self.spec)
        terms = WorkerTerms(
            model=facts.path,
            alias=self.name,
            api_key=self._new_api_key(),
            threads=self.spec.threads or self._machine.threads(),
            context_tokens=self.context_tokens,
            pool_tokens=pool_tokens(facts, self.spec),
            parent=os.getpid(),
        )
        worker = await WorkerProcess.spawn(self._command, worker_config(self.spec, terms))
        self.pid = worker.pid
        try:
            timeout_s = self._timings.load_timeout_s(facts.file_bytes)
            endpoint = await worker.ready(timeout_s, terms.api_key)
            self.endpoint = endpoint
            self._suspected.clear()
            self._enter("ready")
            self._tell_waiting(endpoint)
            await self._watch(worker, endpoint)
        except EngineUnavailable as failure:
            if self.state == "ready":
                self._enter("restarting", failure.reason)
            raise
        finally:
            self.endpoint = None
            self.pid = None
            await worker.end(self._timings.stop_grace_s if self.state == "stopped" else 0.0)

    async def _watch(self, worker: WorkerProcess, endpoint: Endpoint) -> None:
        """Until the worker ends or hangs, then raise EngineUnavailable."""
        misses = 0
        ended = asyncio.create_task(worker.wait())
        try:
            while misses < self._timings.health_misses_max:
                await self._wait_for_reason_to_look(ended)
                if ended.done():
                    break
                if await answers_health(endpoint, self._timings.health_timeout_s):
                    misses = 0
                    self._tell_waiting(endpoint)
                else:
                    misses += 1
            reason = f"hung: {misses} health checks went unanswered"
        except ConnectionRefusedError:
            # Its sockets close a moment before its end is announced.
            await asyncio.wait({ended}, timeout=_END_ANNOUNCED_S)
            reason = "no longer listens"
        finally:
            ended.cancel()
        if ended.done() and not ended.cancelled():
            reason = f"ended: {await worker.epitaph()}"
        raise EngineUnavailable(f"The worker {reason}.", worker.stderr_tail)

    async def _wait_for_reason_to_look(self, ended: asyncio.Task[None]) -> None:
        suspected = asyncio.create_task(self._suspicion())
        try:
            await asyncio.wait(
                {ended, suspected}, timeout=self._timings.health_every_s, return_when="FIRST_COMPLETED"
            )
        finally:
            suspected.cancel()
        self._suspected.clear()

    async def _suspicion(self) -> None:
        await self._suspected.wait()

    async def _pause_after(self, failure: EngineUnavailable) -> None:
        """Decide between restarting and giving up for a while, and wait as long as that takes."""
        now_s = self._now_s()
        while self._crashes_s and self._crashes_s[0] <= now_s - self._timings.crash_window_s:
            self._crashes_s.popleft()
        self._crashes_s.append(now_s)
        hopeless = isinstance(failure, (WorkerRefused, ModelUnusable))
        if hopeless or len(self._crashes_s) >= self._timings.crashes_max:
            await self._rest(failure)
            return
        self._pauses = 0
        if len(self._crashes_s) > 1:
            await asyncio.sleep(self._timings.backoff_s * 2 ** (len(self._crashes_s) - 2))

    async def _rest(self, failure: EngineUnavailable) -> None:
        pause_s = min(self._timings.cooldown_s * 2**self._pauses, self._timings.cooldown_max_s)
        self._pauses += 1
        self._retry_now.clear()
        self._enter("broken", failure.reason)
        self._tell_waiting(failure)
        try:
            await asyncio.wait_for(self._retry_now.wait(), pause_s)
        except TimeoutError:
            # Still "broken" for callers while it is tried: they get their answer at once instead of waiting again.
            pass

    def _forget_crashes(self) -> None:
        self._crashes_s.clear()
        self._pauses = 0

    def _enter(self, state: EngineState, reason: str = "") -> None:
        if state != self.state:
            self.state = state
            self._on_state(state, reason)

    def _tell_waiting(self, outcome: Outcome) -> None:
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            try:
                callback(outcome)
            except Exception as error:  # noqa: BLE001  a caller's mistake must not keep the others waiting
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f'Callback waiting for engine "{self.name}" failed', "exception": error}
                )
