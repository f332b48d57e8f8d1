"""An engine that runs elsewhere: one of OpenAI's protocol (vLLM, SGLang, llama-server, Ollama …), or another GLM
platform.

    starting → ready ⇄ unreachable     nobody could connect
                  ⇅
               refused                 it does not take our credential, path or model

Rule: requests are sent in every state, since only they show for certain that an engine answers again. Whoever chooses
among engines may prefer those that are ready. Probes run beside requests: while there is a doubt, and now and then at
an engine that nobody asks anything, never at one that is at work. One refused credential of several is no doubt.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import msgspec

from openbigmodel.engines.connection import ConnectionPool, EngineCall, EngineConsumer
from openbigmodel.engines.endpoint import Endpoint
from openbigmodel.engines.engine_errors import OPERATORS_FAULT
from openbigmodel.engines.probing import Found, Prober
from openbigmodel.engines.profiles import PROFILES, Profile
from openbigmodel.engines.signer import Signer

CHAT_PATH = "/chat/completions"
_FIRST_PAUSE_S = 1.0
_LAST_PAUSE_S = 30.0
# So that a cluster that comes back is not asked by all at once.
_JITTER = 0.5
# A request was refused though probes are answered well: after this time the next one may show that it was mended.
_REFUSED_S = 60.0
# So often an engine is looked at that nobody has heard of for so long.
_IDLE_LOOK_S = 30.0
# Another credential may do better: see upstream_keys.py.
_NOT_THIS_KEY = 401


class RemoteEngine:
    """Sends calls to one endpoint. Without a `prober` nothing is known of its health, and it counts as `ready`.

    `fit` makes the settings' own limits part of a profile that was found out; `keys` are credentials of which each
    call names one, and `plan_endpoint` is where those go that belong to a Coding Plan. With a `signer` a JWT
    made with the key is shown. `report(state, reason)` hears every change of state, and `remark` what an operator
    should know although the state is the same. `max_in_flight` is for whoever chooses among engines; None for no
    limit.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        profile: Profile,
        *,
        prober: Prober | None = None,
        report: Callable[[str, str], None] = lambda *_: None,
        remark: Callable[[str], None] = lambda _: None,
        fit: Callable[[Profile], Profile] = lambda profile: profile,
        keys: Sequence[str] = (),
        plan_endpoint: Endpoint | None = None,
        signer: Signer | None = None,
        max_in_flight: int | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        first_pause_s: float = _FIRST_PAUSE_S,
        idle_look_s: float = _IDLE_LOOK_S,
    ) -> None:
        self.name = name
        self.kind = "glm" if profile.speaks_glm else "openai"
        self.profile = fit(profile)
        self.keys = tuple(dict.fromkeys(keys))
        self.max_in_flight = max_in_flight
        self._fit = fit
        self._prober = prober
        self._report = report
        self._remark = remark
        self._monotonic_s = monotonic_s
        self._chance = chance
        self._first_pause_s = first_pause_s
        self._idle_look_s = idle_look_s
        self._signer = signer
        # Nearly always there is one credential, which the pool knows.
        self._one_credential = signer is None and plan_endpoint is None
        self._state = "ready" if prober is None else "starting"
        self._refused_until_s = 0.0
        # Those of several credentials that were refused and have not worked since.
        self._refused_keys: set[str] = set()
        # Nobody has heard of it since it was last looked at.
        self._unheard = False
        self._watching: asyncio.Task[None] | None = None
        self._glancing: asyncio.Task[None] | None = None
        self._next_glance: asyncio.TimerHandle | None = None
        self._plan_keys: frozenset[str] = frozenset()
        self._pool = self._new_pool(endpoint)
        self._plan_pool = None if plan_endpoint is None else self._new_pool(plan_endpoint)

    def _new_pool(self, endpoint: Endpoint) -> ConnectionPool:
        pool = ConnectionPool(endpoint, keep_alive=self.profile.keep_alive)
        if self._prober is not None:
            pool.watcher = self
        return pool

    @property
    def state(self) -> str:
        """For operators, and for whoever chooses among engines."""
        return self._state

    @property
    def doubtful(self) -> bool:
        """Whether a good answer would be news."""
        return self._unheard or self._state != "ready" or bool(self._refused_keys)

    async def start(self) -> None:
        """Look at it once; if it is not well, go on in the background."""
        if self._prober is not None:
            await self._look(self._prober)
            if self._state != "ready":
                self._keep_looking()
            self._plan_glance(self._prober)

    async def stop(self) -> None:
        """Close idle connections."""
        for task in (self._watching, self._glancing, self._next_glance):
            if task is not None:
                task.cancel()
        self._pool.close()
        if self._plan_pool is not None:
            self._plan_pool.close()

    def post(self, path: str, body: bytes, consumer: EngineConsumer, key: str | None = None) -> EngineCall:
        """Send `body` to `path` below the base URL, with one of `keys` or the endpoint's own credential."""
        if key is None and self._one_credential:
            return self._pool.post(path, body, consumer)
        key = key or (self.keys[0] if self.keys else "")
        pool = self._plan_pool if key in self._plan_keys and self._plan_pool is not None else self._pool
        call = pool.post(path, body, consumer, key if self._signer is None else self._signer.bearer(key))
        call.key = key
        return call

    # health: what connections see, and what probes see

    def answered(self, call: EngineCall, status: int) -> None:
        """See Watcher."""
        self._unheard = False
        path = call.path
        if path != CHAT_PATH:
            return
        if status == 200:
            self._refused_keys.discard(call.key)
        if status in OPERATORS_FAULT:
            if status == _NOT_THIS_KEY and self._has_other_keys(call.key):
                return
            clock = self._monotonic_s
            self._refused_until_s = clock() + _REFUSED_S
            self._become("refused", f"POST {path} answers {status}: are api_key, base_url and target right?")
            self._keep_looking()
        elif status == 200 or (self._state == "unreachable" and status < 500):
            self._become("ready", "")

    def _has_other_keys(self, key: str) -> bool:
        """Whether one credential was refused and not all of them are; the operator must hear of it nevertheless."""
        keys, refused = self.keys, self._refused_keys
        if key not in keys:
            return False
        if key not in refused:
            refused.add(key)
            number = keys.index(key) + 1
            if len(refused) < len(keys):
                self._remark(f"key {number} of {len(keys)} is refused; the others go on without it")
        return len(refused) < len(keys)

    def unreachable(self, reason: str) -> None:
        """See Watcher."""
        self._become("unreachable", reason)
        self._keep_looking()

    def _become(self, state: str, reason: str) -> None:
        if state != self._state:
            self._state = state
            self._report(state, reason)

    def _keep_looking(self) -> None:
        if self._prober is not None and (self._watching is None or self._watching.done()):
            self._watching = asyncio.get_running_loop().create_task(self._watch(self._prober))

    async def _watch(self, prober: Prober) -> None:
        """Look until all is well, at least once: what comes back may be another engine."""
        pause_s = self._first_pause_s
        while True:
            await asyncio.sleep(pause_s * (1 + _JITTER * self._chance()))
            await self._look(prober)
            if self._state == "ready":
                return
            pause_s = min(2 * pause_s, _LAST_PAUSE_S)

    def _plan_glance(self, prober: Prober) -> None:
        """So that an engine which dies while nobody asks it is not found out by the next one who does."""
        pause_s = self._idle_look_s * (1 + _JITTER * self._chance())
        self._next_glance = asyncio.get_running_loop().call_later(pause_s, self._glance_if_idle, prober)

    def _glance_if_idle(self, prober: Prober) -> None:
        pools = (self._pool,) if self._plan_pool is None else (self._pool, self._plan_pool)
        if self._unheard and self._state == "ready" and not any(pool.busy for pool in pools):
            self._glancing = asyncio.get_running_loop().create_task(self._glance(prober))
        self._unheard = True
        self._plan_glance(prober)

    async def _glance(self, prober: Prober) -> None:
        found = await prober.look(briefly=True)
        if self._unheard and self._state == "ready":
            self._heed(found)
            if found.state != "ready":
                # More than a brief look may show why.
                self._keep_looking()

    async def _look(self, prober: Prober) -> None:
        self._heed(await prober.look())

    def _heed(self, found: Found) -> None:
        clock = self._monotonic_s
        if found.state == "ready":
            self._learn(found)
        elif self._plan_keys & found.unsure_keys:
            # Keys of a plan are never taken there, and nobody has said that these are none any more.
            found = Found("ready")
        else:
            self._become(found.state, found.reason)
            return
        if self._state != "refused" or clock() >= self._refused_until_s:
            profile = f"profile {self.profile.name}" if found.profile else ""
            self._become("ready", "; ".join(filter(None, (profile, found.reason))))

    def _learn(self, found: Found) -> None:
        self._plan_keys = found.plan_keys | (self._plan_keys & found.unsure_keys)
        if found.profile or found.context_tokens != self.profile.context_tokens:
            known = PROFILES[found.profile] if found.profile else self.profile
            self.profile = self._fit(msgspec.structs.replace(known, context_tokens=found.context_tokens))
            self._pool.set_keep_alive(self.profile.keep_alive)


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
