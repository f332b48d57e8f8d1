"""How long an engine has said nothing, or nothing that counts, and for how long it may.

Rule: a chunk is counted or sets a flag, and the sweep once a second makes a time of it: a clock for each chunk would
cost more than the chunk.
"""

from openbigmodel.engines.profiles import Profile

# An engine that says nothing for so long is taken for dead. Prompts of a million tokens take minutes to read.
FIRST_TOKEN_TIMEOUT_S = 600.0
BETWEEN_TOKENS_TIMEOUT_S = 120.0


class Silence:
    """Of one request. `heard`: something has come since the last sweep; deltas need not set it, they are counted.

    Times are monotonic seconds.
    """

    __slots__ = ("_brought_s", "_deltas", "_heard_s", "heard")

    def __init__(self, now_s: float) -> None:
        self.heard = False
        self._heard_s = self._brought_s = now_s
        self._deltas = 0

    def restart(self, now_s: float) -> None:
        """Only from now on is anybody expected to say something."""
        self._heard_s = self._brought_s = now_s
        self._deltas = 0

    def note(self, swept_s: float, deltas: int) -> bool:
        """A sweep is under way; the last one was at `swept_s`. `deltas` is how often something was produced by now.

        Whether that is more than at the last one.
        """
        brought = self._deltas != deltas
        if self.heard or brought:
            self.heard = False
            self._heard_s = max(self._heard_s, swept_s)
        if brought:
            self._deltas, self._brought_s = deltas, max(self._brought_s, swept_s)
        return brought

    def too_long(self, now_s: float, profile: Profile, *, begun: bool) -> str:
        """What is to be said of an engine of this kind, empty as long as it may be silent."""
        first_s = profile.first_token_s or FIRST_TOKEN_TIMEOUT_S
        limit_s = (profile.between_tokens_s or BETWEEN_TOKENS_TIMEOUT_S) if begun else first_s
        if now_s - self._heard_s > limit_s:
            return f"no word from the engine for {limit_s:.0f} s"
        if now_s - self._brought_s > max(first_s, limit_s):
            return f"words, but no token from the engine for {max(first_s, limit_s):.0f} s"
        return ""
