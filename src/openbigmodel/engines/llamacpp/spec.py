"""What the operator may choose about an embedded model, how patient its supervisor is, and what the worker is told.

Rule: every default of the library that would hurt is overridden here (engine.md §2.4 item 8), in one place.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec

# The library answers every request on a thread of its own and starts too few when many arrive at once: then
# even /health waits for a slot, and a busy worker looks hung. With this many kept ready, 120 at once did no harm.
HTTP_THREADS = 64

_GIB = 1 << 30


class LlamaCppSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One model to be served by one worker. Sizes are in tokens unless named otherwise."""

    path: Path
    context_tokens: int = 4096
    """Longest prompt and answer together, per request; the model's own training length caps it."""
    slots: int = 4
    """Requests generated side by side."""
    threads: int | None = None
    """None: the cores this process may use, less one for the platform."""
    max_output: int = 4096
    """Tokens generated when a request names no limit. The engine takes a larger number from a request."""
    batch_tokens: int = 128
    """Tokens computed between two looks at whether the client left: small cancels fast, large prefills fast."""
    prompt_cache_mib: int = 256
    chat_template: Path | None = None

    def __post_init__(self) -> None:
        for name in ("context_tokens", "slots", "max_output", "batch_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.threads is not None and self.threads < 1:
            raise ValueError("threads must be at least 1")
        if self.prompt_cache_mib < 0:
            raise ValueError("prompt_cache_mib must not be negative")


@dataclass(frozen=True, slots=True)
class EngineTimings:
    """The supervisor's patience. Tests shorten it."""

    load_s: float = 60.0
    load_s_per_gib: float = 40.0
    """9B at 5.3 GB took 23-32 s on a busy core (engine.md §2.1, §2.3); slow disks give 25 MB/s."""
    health_every_s: float = 5.0
    health_timeout_s: float = 5.0
    health_misses_max: int = 3
    crashes_max: int = 3
    crash_window_s: float = 300.0
    backoff_s: float = 1.0
    """Before the second restart in the window; the first one is immediate."""
    cooldown_s: float = 60.0
    """Before a broken engine is tried again; doubles each time up to `cooldown_max_s`."""
    cooldown_max_s: float = 600.0
    stop_grace_s: float = 2.0
    """Between SIGTERM and SIGKILL."""

    def load_timeout_s(self, file_bytes: int) -> float:
        """How long a load may take."""
        return self.load_s + self.load_s_per_gib * file_bytes / _GIB


@dataclass(frozen=True, slots=True)
class WorkerTerms:
    """What the supervisor adds to a spec for one worker."""

    model: Path
    """The file to load: the first part, if there are several."""
    alias: str
    api_key: str
    threads: int
    context_tokens: int
    pool_tokens: int
    """That all slots hold together."""
    parent: int
    """Process id of the supervisor."""


def worker_config(spec: LlamaCppSpec, terms: WorkerTerms) -> dict[str, object]:
    """The line that the worker reads on stdin."""
    settings: dict[str, object] = {
        "model.path": str(terms.model),
        "offline": True,
        "n_ctx": terms.pool_tokens,
        "n_parallel": spec.slots,
        "kv_unified": True,
        "kv_unified_per_slot": terms.context_tokens,
        "n_batch": spec.batch_tokens,
        "n_ubatch": spec.batch_tokens,
        "n_predict": spec.max_output,
        "cache_ram_mib": spec.prompt_cache_mib,
        "cpuparams.n_threads": terms.threads,
        "cpuparams_batch.n_threads": terms.threads,
        # Only errors: anything more talkative prints parts of prompts.
        "verbosity": 1,
        "hostnames": ["127.0.0.1"],
        "port": 0,
        "n_threads_http": HTTP_THREADS + spec.slots,
        "api_keys": [terms.api_key],
        # No page on this machine has this origin, and credentials are refused as well.
        "cors_origins": "http://worker.invalid",
        "cors_credentials": False,
        "ui": False,
        # Frequent polling of /metrics delays cancelling by a minute (engine.md §2.4 item 4): leave it closed.
        "endpoint_metrics": False,
        # Neutral sampling: what a model wants is the platform's knowledge, sent with each request.
        "sampling.temp": 1.0,
        "sampling.top_k": 0,
        "sampling.top_p": 1.0,
        "sampling.min_p": 0.0,
    }
    return {
        "parent": terms.parent,
        "alias": terms.alias,
        "settings": settings,
        "chat_template": None if spec.chat_template is None else str(spec.chat_template),
    }
