"""Which of a route's engines is asked next.

    failover     the first that works, in the order of the settings
    least-load   the one with the fewest requests for its weight; chance decides between equals
    prefix       the one that a conversation has been on, because it has its beginning in its cache; the next one if
                 that would have a quarter more than its part of all requests (bounded load)
    weighted     in turn, by weight, evenly mixed

Rule: whatever the policy, those come first that can answer now: their circuit breaker lets them, they have a place,
have not just said that they are busy and have not fallen silent (pulse.py). Then those who are busy or silent. If one
is only full, waiting for it is better than asking one that is broken; if all are broken, the one that is due soonest
is tried nevertheless.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from openbigmodel.engines.affinity import claim
from openbigmodel.engines.candidate import Candidate, Seat
from openbigmodel.engines.circuit_breaker import CircuitBreaker
from openbigmodel.engines.retry_budget import RetryBudget

# A failure that a retry meets twice is rarely one that a third engine does not have.
ATTEMPTS_MAX = 3
# More than its part by so much, and a conversation goes where its cache is not. Below, queues would grow too long;
# nearer to 1, too few conversations would stay.
_LOAD_FACTOR = 1.25
# Few requests are no load, whatever their part of the total is: an engine works on some at once for the price of one.
_NO_LOAD = 4
# At least this part of a route's engines must be left by the rule on failure shares: what is wrong with most of them
# is not wrong with the engines.
_EJECTED_SHARE_MAX = 0.5

_TargetT = TypeVar("_TargetT")


class Balancer(Generic[_TargetT]):
    """The choice among the candidates of one route. `random` gives numbers in [0, 1).

    `is_well` says whether the engine itself knows of nothing that is wrong with it, its last health probe for instance.
    """

    __slots__ = ("_candidates", "_is_well", "_pick", "_random", "budget", "sticky")

    def __init__(
        self,
        balance: str,
        candidates: Sequence[Candidate[_TargetT]],
        random: Callable[[], float],
        now_s: float,
        is_well: Callable[[_TargetT], bool] = lambda _: True,
    ) -> None:
        assert candidates
        self._candidates = tuple(candidates)
        self._is_well = is_well
        self._random = random
        picks: dict[str, Callable[[list[Candidate[_TargetT]], int | None], Candidate[_TargetT]]] = {
            "failover": _first,
            "least-load": self._least_loaded,
            "prefix": self._sticky,
            "weighted": self._in_turn,
        }
        self._pick = picks[balance]
        # Whether the conversation's key matters: it is not worth computing otherwise.
        self.sticky = balance == "prefix" and len(candidates) > 1
        self.budget = RetryBudget(now_s)
        for breaker in {id(each.breaker): each.breaker for each in candidates}.values():
            breaker.guard(self._may_eject)

    def first(self, key: int | None, now_s: float) -> Seat[_TargetT] | None:
        """A seat for a new request; None when nobody can be asked now (see `crowded`)."""
        candidate = self.choose(key, now_s)
        if candidate is None:
            return None
        self.budget.requested()
        return candidate.take(now_s)

    def another(
        self, key: int | None, now_s: float, tried: Sequence[Candidate[_TargetT]], *, broken: bool = False
    ) -> Seat[_TargetT] | None:
        """A seat for a request that those in `tried` have not served, in that order; None: its error stands.

        `broken`: the connection to the last one was lost before a byte came, so where nobody else is left it may be
        asked once more.
        """
        if len(tried) >= ATTEMPTS_MAX:
            return None
        # Whether an engine works again is for those to find out who have not failed yet.
        sound = self.sound(now_s, tried)
        sound = [each for each in sound if each.pulse is None or each.pulse.trusted(now_s)] or sound
        candidate = self._one_of(sound, key) if sound else self.choose(key, now_s, tried)
        if candidate is None and broken and tried.count(tried[-1]) == 1:
            candidate = self._in_need(now_s, [each for each in self._candidates if each is not tried[-1]])
        if candidate is None or not self.budget.spend(now_s):
            return None
        return candidate.take(now_s)

    def sound(self, now_s: float, tried: Sequence[object]) -> list[Candidate[_TargetT]]:
        """Those against whom nothing speaks, not counting those that were tried."""
        is_well = self._is_well
        return [each for each in self._able(now_s, tried) if each.breaker.sound and is_well(each.target)]

    def elsewhere(self, now_s: float, tried: Sequence[Candidate[_TargetT]]) -> list[Candidate[_TargetT]]:
        """Those who could take over from the last of `tried` that has said nothing yet.

        The last retries are kept for requests that have failed: who only waits may wait for the next one.
        """
        if len(tried) >= ATTEMPTS_MAX or not self.budget.plenty(now_s):
            return []
        return self.sound(now_s, tried)

    def choose(
        self, key: int | None, now_s: float, tried: Sequence[object] = ()
    ) -> Candidate[_TargetT] | None:
        """Who is to be asked, not counting those that were tried. `key` is the conversation's, for `prefix`.

        None: nobody can be asked now; `crowded` says whether waiting helps.
        """
        able = self._able(now_s, tried)
        return self._one_of(able, key) if able else self._in_need(now_s, tried)

    def has_place(self, now_s: float) -> bool:
        """Whether `first` would find a seat."""
        return bool(self._able(now_s, ())) or self._in_need(now_s, ()) is not None

    def crowded(self, tried: Sequence[object] = ()) -> bool:
        """Whether somebody is left who only has no place now. To be asked after `choose` found nobody."""
        return any(each not in tried for each in self._candidates)

    def _able(self, now_s: float, tried: Sequence[object]) -> list[Candidate[_TargetT]]:
        return [
            each
            for each in self._candidates
            if each.load.in_flight < each.load.max_in_flight
            and (each.breaker.state == "closed" or each.breaker.ready(now_s))
            and each.aside_until_s <= now_s
            and each not in tried
            and (each.pulse is None or not each.silent(now_s))
        ]

    def _one_of(self, able: list[Candidate[_TargetT]], key: int | None) -> Candidate[_TargetT]:
        if len(able) == 1:
            return able[0]
        pick = self._pick
        return pick(able, key)

    def _in_need(self, now_s: float, tried: Sequence[object]) -> Candidate[_TargetT] | None:
        left = [each for each in self._candidates if each not in tried]
        working = [each for each in left if each.breaker.ready(now_s)]
        busy = [each for each in working if not each.load.full]
        if busy:
            # They have just said no. Long back-offs are for when others do the work.
            for each in left:
                if each.breaker.worth_a_look(now_s) and not each.load.full:
                    return each
            return min(busy, key=lambda each: (each.silent(now_s), each.aside_until_s))
        if working:
            return None
        broken = [each for each in left if each.breaker.pressable and not each.load.full]
        return min(broken, key=_due, default=None)

    def _may_eject(self, breaker: CircuitBreaker) -> bool:
        """Whether an engine may be taken out for failing more often than not."""
        breakers = {id(each.breaker): each.breaker for each in self._candidates}
        out = sum(each.state != "closed" for each in breakers.values() if each is not breaker)
        return out + 1 <= _EJECTED_SHARE_MAX * len(breakers)

    # the policies; each is given at least two

    def _least_loaded(self, able: list[Candidate[_TargetT]], key: int | None) -> Candidate[_TargetT]:
        # All are looked at: their number is small and known exactly, so two choices at random would only be worse.
        best = able[:1]
        least, weight = able[0].load.in_flight, able[0].weight
        for each in able[1:]:
            # in_flight / weight, compared without division
            mine, others = each.load.in_flight * weight, least * each.weight
            if mine < others:
                best, least, weight = [each], each.load.in_flight, each.weight
            elif mine == others:
                best.append(each)
        if len(best) == 1:
            return best[0]
        random = self._random
        return best[int(random() * len(best))]

    def _sticky(self, able: list[Candidate[_TargetT]], key: int | None) -> Candidate[_TargetT]:
        if key is None:
            return self._least_loaded(able, key)
        in_flight = 1 + sum(each.load.in_flight for each in able)
        share = _LOAD_FACTOR * in_flight / sum(each.weight for each in able)
        calm = [each for each in able if each.load.in_flight < max(_NO_LOAD, share * each.weight)]
        # Never empty: not all can be above their part of the total.
        return max(calm, key=lambda each: claim(key, each.place, each.weight))

    def _in_turn(self, able: list[Candidate[_TargetT]], key: int | None) -> Candidate[_TargetT]:
        # Each gets credit by its weight, who has most is asked and pays for all: 3:1 becomes a a b a, not a a a b.
        for each in able:
            each.served += each.weight
        chosen = max(able, key=_credit)
        chosen.served -= sum(each.weight for each in able)
        return chosen


def _first(able: list[Candidate[_TargetT]], key: int | None) -> Candidate[_TargetT]:
    return able[0]


def _due(candidate: Candidate[_TargetT]) -> float:
    return candidate.breaker.due_s


def _credit(candidate: Candidate[_TargetT]) -> int:
    return candidate.served
