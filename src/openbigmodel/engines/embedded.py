"""The built-in engine as the pipeline sees it: its worker's connection pool, and patience while it restarts."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from openbigmodel.engines.connection import ChunkTaker, ConnectionPool, EngineCall, EngineConsumer
from openbigmodel.engines.endpoint import Endpoint, EngineUnavailable
from openbigmodel.engines.llamacpp import Supervisor
from openbigmodel.engines.profiles import Profile
from openbigmodel.engines.weights import WeightsError

# Between attempts to download; doubles up to the last.
_FIRST_PAUSE_S = 10.0
_LAST_PAUSE_S = 600.0


class EmbeddedCall:
    """A call that waits for a slot and a worker, and for the next worker if that one dies before it says a word.

    Asking twice is safe: nothing of the first attempt was seen, and a dead worker goes on with nothing.
    """

    __slots__ = tuple(
        """
        _body _call _consumer _endpoint _engine _heard _path _paused _retried cancelled has_slot headers
        """.split()
    )

    def __init__(self, engine: "EmbeddedEngine", path: str, body: bytes, consumer: EngineConsumer) -> None:
        self._engine = engine
        self._path = path
        self._body = body
        self._consumer = consumer
        self._call: EngineCall | None = None
        self._endpoint: Endpoint | None = None
        self._heard = False
        self._paused = False
        self._retried = False
        self.cancelled = False
        self.has_slot = False
        self.headers: Mapping[bytes, bytes] = {}

    def worker_known(self, outcome: Endpoint | EngineUnavailable) -> None:
        """There is a worker, or there will be none."""
        if self.cancelled:
            return
        if isinstance(outcome, EngineUnavailable):
            self._fail(str(outcome))
            return
        self._endpoint = outcome
        self._call = self._engine.pool(outcome).post(self._path, self._body, self)
        if self._paused:
            self._call.pause()

    def ask_first(self, taker: ChunkTaker) -> None:
        """See Call."""
        if self._call is not None:
            self._call.ask_first(taker)

    def engine_started(self, status: int) -> None:
        """Pass on."""
        self._heard = True
        if status != 200 and self._call is not None:
            self.headers = self._call.headers
        self._consumer.engine_started(status)

    def engine_data(self, data: bytes) -> None:
        """Pass on."""
        self._consumer.engine_data(data)

    def engine_ended(self) -> None:
        """Pass on."""
        self._call = None
        self._engine.slot_free(self)
        self._consumer.engine_ended()

    def engine_failed(self, reason: str) -> None:
        """Try the next worker, once, if nothing was heard of this one."""
        self._call = None
        if self._heard or self._retried:
            self._fail(reason)
        else:
            self._retried = True
            self._engine.ask(self, failed=self._endpoint)

    def _fail(self, reason: str) -> None:
        self._engine.slot_free(self)
        self._consumer.engine_failed(reason)

    def pause(self) -> None:
        """See EngineCall."""
        self._paused = True
        if self._call is not None:
            self._call.pause()

    def resume(self) -> None:
        """See EngineCall."""
        self._paused = False
        if self._call is not None:
            self._call.resume()

    def cancel(self) -> None:
        """See EngineCall. A call that still stands in a line costs nothing from here on."""
        self.cancelled = True
        self._body = b""
        if self._call is not None:
            self._call.cancel()
        self._engine.slot_free(self)


class EmbeddedEngine:
    """One model in a supervised worker process of this server.

    `prepare` gives the supervisor, once the model's file is on this disk: that may be a long download. `report`
    hears (state, reason) of what happens before that.
    """

    def __init__(
        self,
        name: str,
        profile: Profile,
        prepare: Callable[[], Awaitable[Supervisor]],
        report: Callable[[str, str], None],
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        self.name = name
        self.kind = "llamacpp"
        self.profile = profile
        self.keys: tuple[str, ...] = ()
        self._prepare = prepare
        self._report = report
        self._first_pause_s = first_pause_s
        self._preparing = False
        self._failure = ""
        self._supervisor: Supervisor | None = None
        self._pool: ConnectionPool | None = None
        self._endpoint: Endpoint | None = None
        # The worker would take everything at once, and go on with what nobody waits for any more.
        self._line: deque[EmbeddedCall] = deque()
        self._busy_slots = 0

    @property
    def state(self) -> str:
        """For operators: `downloading`, or the supervisor's word."""
        if self._supervisor is not None:
            return self._supervisor.state
        if self._failure:
            return "broken"
        return "downloading" if self._preparing else "stopped"

    async def start(self) -> None:
        """Fetch and load the model. Raises EngineUnavailable, WeightsError."""
        if self._supervisor is None:
            self._supervisor = await self._prepare_patiently()
        await self._supervisor.start()

    async def _prepare_patiently(self) -> Supervisor:
        """Until the model's file is there: a hub that is away comes back, and nobody restarts a server at night."""
        pause_s = self._first_pause_s
        self._preparing = True
        while True:
            try:
                supervisor = await self._prepare()
            except (WeightsError, OSError) as error:
                self._failure = str(error)
                self._report("broken", f"{error} Next attempt in {pause_s:.0f} s.")
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LAST_PAUSE_S)
                self._failure = ""
                self._report("downloading", "")
            else:
                self._preparing = False
                return supervisor

    async def stop(self) -> None:
        """End the worker."""
        if self._pool is not None:
            self._pool.close()
        if self._supervisor is not None:
            await self._supervisor.stop()

    def pool(self, endpoint: Endpoint) -> ConnectionPool:
        """The pool of the live worker; a new worker has a new port and key."""
        if self._pool is None or endpoint != self._endpoint:
            if self._pool is not None:
                self._pool.close()
            self._pool = ConnectionPool(endpoint, keep_alive=self.profile.keep_alive)
            self._endpoint = endpoint
        return self._pool

    def ask(self, call: EmbeddedCall, failed: Endpoint | None = None) -> None:
        """Tell `call` of the worker, later in this turn of the loop at the earliest."""
        assert self._supervisor is not None, "asked before there was a worker"
        asyncio.get_running_loop().call_soon(self._supervisor.when_ready, call.worker_known, failed)

    def post(self, path: str, body: bytes, consumer: EngineConsumer, _key: str | None = None) -> EmbeddedCall:
        """Send `body` as soon as a slot is free. Raises EngineUnavailable when waiting would be of no use."""
        if self._supervisor is None:
            raise EngineUnavailable(
                f"Engine {self.name} has no model file yet: {self._failure or self.state}"
            )
        if self._supervisor.state == "broken":
            raise EngineUnavailable(f"Engine {self.name} is broken and will be tried again.")
        call = EmbeddedCall(self, path, body, consumer)
        self._line.append(call)
        self._fill_slots()
        return call

    def slot_free(self, call: EmbeddedCall) -> None:
        """A call is over; the next in line takes its slot, if it had one."""
        if call.has_slot:
            call.has_slot = False
            self._busy_slots -= 1
            self._fill_slots()

    def _fill_slots(self) -> None:
        assert self._supervisor is not None
        while self._line and self._busy_slots < self._supervisor.spec.slots:
            call = self._line.popleft()
            if not call.cancelled:
                call.has_slot = True
                self._busy_slots += 1
                self.ask(call)
