"""One request, what the world knows of it, and what became of it: the evidence for the judges."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from openbigmodel.billing.usage import Usage


@dataclass(eq=False, slots=True)
class Ask:
    """A request as its caller sent it, once. `prompt` and `cached` are what the engine will count, in tokens.

    `prompt_estimate` is what the platform would guess; None: whatever it likes. `body` stands for what it says.
    """

    number: int
    account: str
    request_id: str | None
    body: int
    model: str
    prompt: int
    cached: int
    prompt_bound: int
    prompt_estimate: int | None
    max_tokens: int
    stream: bool
    # With the key of a Coding Plan; and how long a file is that comes with it, in bytes.
    coding: bool = False
    file: int | None = None

    # What the platform made of it. `unsaved`: its charge could not be stored, and the platform knows.
    process: int = 0
    log_id: str = ""
    digest: bytes = b""
    price_version: int = 0
    held: int = 0
    unsaved: bool = False
    # The longest prompt that it was held for, where that is known; what of a plan is reserved, and at how many percent.
    held_for: int | None = None
    reserved: int | None = None
    percent: int = 100

    # What the engine did: true tokens, chunks that it sent, and the usage that it reported, if any.
    asked: bool = False
    produced: int = 0
    chunks: int = 0
    reported: Usage | None = None
    finished: bool = False
    stopped_us: int | None = None

    # What the caller saw, and when.
    sent_us: int = 0
    ended_us: int = 0
    refused: str = ""
    delivered: int = 0
    ended: bool = False
    replayed: bool = False
    broken: bool = False
    left_us: int | None = None
    reply: bytes = b""

    def key(self) -> tuple[str, str]:
        assert self.request_id is not None
        return (self.account, self.request_id)


@dataclass(frozen=True, slots=True)
class Burned:
    pack_id: str
    unit: str
    amount: int


@dataclass(frozen=True, slots=True)
class Bill:
    """What is on disk about a request that has ended. `made`: something was, so it is charged and claims its id."""

    log_id: str
    request_id: str
    account: str
    usage: Usage
    price_version: int
    nano: int
    burns: tuple[Burned, ...]
    made: bool
    reply: tuple[bytes, bytes] | None = None  # digest of the body, answer
    plan_credits: int = 0
    # Of the error with which it ended, as far as the platform knows.
    code: str = ""

    @property
    def free(self) -> bool:
        return self.nano == 0 and not self.burns and not self.plan_credits


@dataclass(frozen=True, slots=True)
class Entry:
    """Everything else that is on disk: amounts with a sign, for the account or its pack."""

    kind: str
    id: str
    account: str
    amount: int
    pack_id: str = ""


class Log:
    """What happened: counted, to know that a run has seen everything, and mixed into one number, to compare runs."""

    def __init__(self, *, verbose: bool = False) -> None:
        self.counts: dict[str, int] = {}
        self.digest = 0
        self.now_us: Callable[[], int] = lambda: 0
        self._verbose = verbose

    def add(self, what: str, detail: str = "") -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        line = f"{self.now_us() / 1e6:12.6f} {what} {detail}"
        self.digest = zlib.crc32(line.encode(), self.digest)
        if self._verbose:
            print(line)
