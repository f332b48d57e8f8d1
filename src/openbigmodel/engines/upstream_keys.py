"""The API keys with which a GLM platform upstream is asked, several accounts or plans as one.

A conversation stays with one key, because the upstream's cache belongs to an account. A key that cannot pay or has used
up its plan is set aside, and *new* requests go to the others; the request that met it is answered with what the
upstream said, and never asked again. A key that has too much to do is left alone for a moment, one that is not accepted
for longer; a request that met either may be asked again with another, since nothing was charged for it.

Rule: no key of several is ever the reason why nobody is served. When all are set aside, the one that is due soonest is
used: what it says is the truth, and it may have been paid for in the meantime.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone

from openbigmodel.engines.affinity import claim, text_key

# Each time that such a key comes back too early costs a caller an error; that it comes back late costs nothing as
# long as there are others.
_LASTING_S = 1800.0
_BUSY_S = 2.0
_BUSY_MAX_S = 30.0
# A week's limit is the longest there is; whoever says more has another clock.
_RESET_MAX_S = 8 * 86_400.0
_BEIJING = timezone(timedelta(hours=8))
_RESET_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")

# Too many at once or a minute. Counted for each model.
_BUSY = frozenset(("1302", "1303", "1313"))
# No money (free models work nevertheless, and a plan has some models only), the day's limit, not in the plan.
_OF_MODEL = frozenset(("1113", "1304", "1311"))
# Plans: used up until a time that the text tells, or over; locked accounts; credentials that are not accepted.
NOT_ACCEPTED = frozenset(("1000", "1001", "1002", "1003", "1004"))
_OF_KEY = NOT_ACCEPTED | frozenset(
    "1110 1111 1112 1121 1308 1309 1310 1314 1315 1316 1317 1318 1319 1320 1321".split()
)


class UpstreamKey:
    """One key: `text` is what is shown to the upstream, or signed with; `name` is for operators."""

    __slots__ = ("_aside", "_aside_for", "name", "place", "text")

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.place = text_key(text)
        self._aside = float("-inf")
        self._aside_for: dict[str, float] = {}

    def __repr__(self) -> str:
        # The usual one would do, too, but nobody should have to know that.
        return f"UpstreamKey({self.name!r})"

    def aside_until_s(self, model: str) -> float:
        """Until when it is set aside for a model; monotonic seconds."""
        return max(self._aside, self._aside_for.get(model, self._aside))

    def set_aside(self, until_s: float, model: str | None) -> None:
        """For one model, or for all. A later word of the upstream replaces an earlier one."""
        if model is None:
            self._aside = until_s
        else:
            self._aside_for[model] = until_s

    def worked(self, model: str) -> None:
        """It has been accepted, so whatever was wrong is over."""
        self._aside = float("-inf")
        if self._aside_for:
            self._aside_for.pop(model, None)


class UpstreamKeys:
    """All keys of one engine. `wall_s` is Unix time.

    `model` is always the upstream's name of a model that the operator has configured.
    """

    __slots__ = ("_keys", "_wall_s")

    def __init__(self, keys: Sequence[str], wall_s: Callable[[], float]) -> None:
        assert keys
        self._keys = tuple(UpstreamKey(text, f"key {number}") for number, text in enumerate(keys, start=1))
        self._wall_s = wall_s

    def __len__(self) -> int:
        return len(self._keys)

    def choose(self, sticky: int, model: str, now_s: float) -> UpstreamKey:
        """The key for a new request; `sticky` is its conversation's key, or its account's (affinity.py)."""
        keys = self._keys
        if len(keys) == 1:
            return keys[0]
        ready = [each for each in keys if each.aside_until_s(model) <= now_s]
        if ready:
            return max(ready, key=lambda each: claim(sticky, each.place))
        return min(keys, key=lambda each: each.aside_until_s(model))

    def has_other(self, model: str, now_s: float) -> bool:
        """Whether a request that met a busy or refused key may be asked of this engine once more, with another one."""
        return any(each.aside_until_s(model) <= now_s for each in self._keys)

    def refused(
        self,
        key: UpstreamKey,
        code: str,
        model: str,
        now_s: float,
        *,
        text: str = "",
        retry_after_s: float | None = None,
    ) -> float:
        """The upstream has said `code`, with `text`. Returns for how many seconds the key is set aside, 0 if it is not.

        Codes that say nothing of the key (the request was wrong, the model is overloaded) change nothing.
        An upstream without codes is to be given as `1000` for HTTP 401 and `1302` for 429.
        """
        wall_clock = self._wall_s
        if code in _BUSY:
            seconds = _BUSY_S if retry_after_s is None else min(max(retry_after_s, 0.0), _BUSY_MAX_S)
        elif code in _OF_MODEL or code in _OF_KEY:
            seconds = seconds_to_reset(text, wall_clock()) or _LASTING_S
        else:
            return 0.0
        key.set_aside(now_s + seconds, None if code in _OF_KEY else model)
        return seconds


def seconds_to_reset(text: str, wall_s: float) -> float | None:
    """How long until the time that a text names; without a zone it is Beijing's (api.md §8.2, 1308).

    None: it names none.
    """
    times = _RESET_TIME.findall(text)
    if not times:
        return None
    try:
        reset = datetime.fromisoformat(times[-1]).replace(tzinfo=_BEIJING)
    except ValueError:
        return None
    return min(max(reset.timestamp() - wall_s, 1.0), _RESET_MAX_S)
