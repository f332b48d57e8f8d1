"""Where requests of one route wait while all its engines have as many as they may have.

Rule: small, short and fair. Accounts take turns, and each account's requests come in the order of their arrival; no
crowd of one keeps another out. Who would wait for nothing is told so at once, with a time to come back (1305).

    full                   the newest of the account with the most entries has to go, be it the newcomer or not
    too slow               what was let in had waited for 0.5 s or more, and that for 1 s: newcomers are refused until
                           it gets better (as CoDel does with packets: a queue is for bursts, not for a lasting crowd),
                           but for those of an account that has nobody here, if it is others who crowd it
    deadline               refused, by `serve` or by `expire`, whichever sees it first
"""

from collections import OrderedDict
from collections.abc import Callable

from openbigmodel.errors import ApiError

# Each entry holds a request's body.
SIZE_MAX = 256
# Whoever waits for longer than this has left, or has a proxy that does.
WAIT_MAX_S = 10.0
DELAY_MAX_S = 0.5
DELAYED_MAX_S = 1.0
RETRY_AFTER_MAX_S = 30


class Waiting:
    """A request that waits."""

    __slots__ = ("account", "deadline_s", "entered_s", "refuse", "resume")

    def __init__(
        self,
        account: str,
        entered_s: float,
        deadline_s: float,
        resume: Callable[[], bool],
        refuse: Callable[[ApiError], None],
    ) -> None:
        self.account = account
        self.entered_s = entered_s
        self.deadline_s = deadline_s
        self.resume = resume
        self.refuse = refuse


class WaitingRoom:
    """One route's room. `has_place(now_s)`: whether some engine could be asked; `random` gives numbers in [0, 1).

    Times are monotonic seconds. A callback that raises is not called again; others wait for the next `serve`.
    """

    __slots__ = (
        "_accounts",
        "_all",
        "_delayed_since_s",
        "_has_place",
        "_random",
        "_serving",
        "delay_max_s",
        "delayed_max_s",
        "size_max",
        "wait_max_s",
    )

    def __init__(
        self,
        has_place: Callable[[float], bool],
        random: Callable[[], float],
        *,
        size_max: int = SIZE_MAX,
        wait_max_s: float = WAIT_MAX_S,
        delay_max_s: float = DELAY_MAX_S,
        delayed_max_s: float = DELAYED_MAX_S,
    ) -> None:
        self._has_place = has_place
        self._random = random
        self.size_max = size_max
        self.wait_max_s = wait_max_s
        self.delay_max_s = delay_max_s
        self.delayed_max_s = delayed_max_s
        # The oldest first. The accounts in the order of their turns.
        self._all: OrderedDict[Waiting, None] = OrderedDict()
        self._accounts: OrderedDict[str, OrderedDict[Waiting, None]] = OrderedDict()
        self._delayed_since_s: float | None = None
        self._serving = False

    def __len__(self) -> int:
        return len(self._all)

    def enter(
        self,
        account: str,
        now_s: float,
        resume: Callable[[], bool],
        refuse: Callable[[ApiError], None],
        deadline_s: float = float("inf"),
    ) -> Waiting:
        """Wait. Exactly one callback follows: `resume`, again and again until it returns True; or `refuse`; but none
        after `leave`. `resume` asks an engine, and returns False if there was none for this request.

        Raises ApiError 1305 when it cannot wait.
        """
        polite = account not in self._accounts and len(self._all) > len(self._accounts)
        if self._delayed(now_s) and not polite:
            raise self._refusal(now_s)
        deadline_s = min(deadline_s, now_s + self.wait_max_s)
        if deadline_s <= now_s:
            raise self._refusal(now_s)
        superfluous = self._superfluous(account, now_s) if len(self._all) >= self.size_max else None
        waiting = Waiting(account, now_s, deadline_s, resume, refuse)
        self._all[waiting] = None
        entries = self._accounts.get(account)
        if entries is None:
            entries = self._accounts[account] = OrderedDict()
        entries[waiting] = None
        if superfluous is not None:
            self.leave(superfluous)
            superfluous.refuse(self._refusal(now_s))
        return waiting

    def leave(self, waiting: Waiting) -> None:
        """The client has left; nothing is called any more. Does nothing for one that does not wait."""
        if waiting not in self._all:
            return
        del self._all[waiting]
        entries = self._accounts[waiting.account]
        del entries[waiting]
        if not entries:
            del self._accounts[waiting.account]
        if not self._all:
            self._delayed_since_s = None

    def serve(self, now_s: float) -> None:
        """A place may have become free: let in who is next, as long as there are places."""
        if self._serving:
            return  # called by a callback of ours: the loop below goes on anyway
        self._serving = True
        # Whose first request finds no engine, though others might: it has tried that one already.
        unlucky: set[str] = set()
        has_place = self._has_place
        try:
            while has_place(now_s):
                waiting = self._next(unlucky)
                if waiting is None:
                    break
                if waiting.deadline_s <= now_s:
                    self.leave(waiting)
                    waiting.refuse(self._refusal(now_s))
                elif self._resumes(waiting):
                    self._let_in(waiting, now_s)
                else:
                    unlucky.add(waiting.account)
        finally:
            self._serving = False

    def expire(self, now_s: float) -> None:
        """Refuse those whose time is over; about once a second is enough."""
        late = [waiting for waiting in self._all if waiting.deadline_s <= now_s]
        for waiting in late:
            if waiting in self._all:  # not ended by the callback of another
                self.leave(waiting)
                waiting.refuse(self._refusal(now_s))

    def _next(self, unlucky: set[str]) -> Waiting | None:
        for account, entries in self._accounts.items():
            if account not in unlucky:
                return next(iter(entries))
        return None

    def _resumes(self, waiting: Waiting) -> bool:
        try:
            return waiting.resume()
        except BaseException:
            # Who knows how far it came: it must not be resumed a second time.
            self.leave(waiting)
            raise

    def _let_in(self, waiting: Waiting, now_s: float) -> None:
        account = waiting.account
        self.leave(waiting)
        if account in self._accounts:
            self._accounts.move_to_end(account)
        if now_s - waiting.entered_s < self.delay_max_s:
            self._delayed_since_s = None
        elif self._delayed_since_s is None and self._all:
            self._delayed_since_s = now_s

    def _delayed(self, now_s: float) -> bool:
        """Whether it has been slow for so long that newcomers had better not wait."""
        if not self._all:
            return False
        if self._delayed_since_s is not None and now_s - self._delayed_since_s > self.delayed_max_s:
            return True
        # Nobody may have been let in at all.
        oldest = next(iter(self._all))
        return now_s - oldest.entered_s > self.delay_max_s + self.delayed_max_s

    def _superfluous(self, newcomer: str, now_s: float) -> Waiting:
        """Who has to go from a full room for the newcomer's sake. Raises ApiError 1305 if that is the newcomer."""
        account, entries = max(self._accounts.items(), key=lambda each: len(each[1]), default=("", None))
        mine = self._accounts.get(newcomer, ())
        if entries is None or account == newcomer or len(entries) <= len(mine) + 1:
            raise self._refusal(now_s)
        return next(reversed(entries))

    def _refusal(self, now_s: float) -> ApiError:
        """Come back after about as long as others have been waiting, but not all at once."""
        waited_s = now_s - next(iter(self._all)).entered_s if self._all else 0.0
        random = self._random
        spread_s = min(RETRY_AFTER_MAX_S, 2 + 2 * waited_s)
        return ApiError("1305", retry_after_s=1 + int(random() * spread_s))
