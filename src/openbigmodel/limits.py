"""How much an account may ask for: at once, in a minute and in a day, of each model; and the whole platform at once.

Owned by the event loop, so a check and its entry are one step: no two requests can take the last place. Nothing waits
here; who has to wait is told for how long. Requests are counted exactly, in integers; tokens are known only when they
were used, so they are guessed first and put right then. An account that rests is forgotten after some sweeps.

    in_flight  1302   requests of one account to one model at the same time (api.md §9.1)
    rpm        1303   a bucket of `rpm` requests that fills up within a minute: after a rest all of them pass at once,
                      then one each 60/rpm s; so never more than rpm + rpm·t/60 in any t seconds
    tpm        1303   a bucket of `tpm` tokens, which pays for every token in the end. A request reserves what it will
                      use by what the account's latest have used, but never more than it may use or the bucket holds;
                      what it did not use comes back at its end, what it uses beyond that is taken as soon as it is
                      known, and until that is repaid nobody enters. So t seconds see tpm + tpm·t/60, and what those
                      under way use beyond their reservations, which the next have to wait for. In a steady run of
                      many minutes that evens out, and none of the refill is lost. While no answer was seen, the
                      prompt's bytes and the length that was named are reserved, which no text goes beyond; where
                      none was named a tenth of `tpm`, which ten long answers at once may
    daily      1304   requests from midnight to midnight in Beijing
    platform   1305   requests of everybody at the same time
"""

import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from openbigmodel.catalog import ModelLimits
from openbigmodel.errors import ApiError

__all__ = ["Limits", "ModelLimits", "Place"]

# Asking again sooner would only meet the same crowd.
_OVERLOAD_RETRY_AFTER_S = 2
_MINUTE_US = 60_000_000
_DAY_S = 86_400
_BEIJING_S = 8 * 3600
# Of what is kept, this part is looked through a second; whatever has become idle is gone a minute later.
_LOOK_THROUGH_S = 60
_LOOKS_MIN = 1000
# With each that is new so many are looked at: without any sweep, not much more is kept than twice what is not idle.
_LOOKS_OF_NEW = 2
# Of an answer that may be of any length, while none has been seen.
_FIRST_ANSWER_PART = 10
# The latest requests are eight: such a part of what is known of them is forgotten with each new one.
_LATEST_BITS = 3


def _none(account_id: str, model_id: str, midnight_s: int, enough: int) -> int:
    return 0


class _Bucket:
    """A token bucket whose level is a moment: the one at which it is full again, in µs times `rate`.

    A unit (a request, a token) is 60,000,000 parts, and each µs brings `rate` parts, so all of it is integers.
    """

    __slots__ = ("_full_at", "_rate", "_size")

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._size = rate * _MINUTE_US
        self._full_at = 0

    def take(self, units: int, rate: int, now_us: int) -> int:
        """Take so many if they are there; else returns for how many µs they will not be.

        `rate` is what the bucket holds, and what a minute brings.
        """
        if rate != self._rate:
            self._change_rate(rate, now_us)
        now, full_at = now_us * rate, self._full_at
        if full_at < now:  # noqa: PLR1730  a call of max() costs more than all the rest
            full_at = now
        full_at += units * _MINUTE_US
        enough = now + self._size
        if full_at > enough:
            return -((enough - full_at) // rate)
        self._full_at = full_at
        return 0

    def _change_rate(self, rate: int, now_us: int) -> None:
        """The limit was changed. What is missing stays missing, but never more than the new bucket holds."""
        size = rate * _MINUTE_US
        missing = min(max(self._full_at - now_us * self._rate, 0), size)
        self._rate, self._size, self._full_at = rate, size, now_us * rate + missing

    def take_more(self, units: int, now_us: int) -> None:
        """Take so many, below zero if need be."""
        self._full_at = max(self._full_at, now_us * self._rate) + units * _MINUTE_US

    def give_back(self, units: int) -> None:
        """Put back what was taken and not used."""
        self._full_at -= units * _MINUTE_US

    def full(self, now_us: int) -> bool:
        return self._full_at <= now_us * self._rate


class _Standing:
    """What one account does with one model."""

    __slots__ = (
        "answers",
        "day",
        "in_flight",
        "prompt_bounds",
        "prompt_tokens",
        "requests",
        "today",
        "tokens",
    )

    def __init__(self) -> None:
        # Tokens of the latest eight answers, by the bits of the number that each might have had: who asks for a word
        # and who asks for a book have nothing to do with each other.
        self.answers: dict[int, int] = {}
        # Of the latest eight prompts: what they might have had, and what they had.
        self.prompt_bounds = 0
        self.prompt_tokens = 0
        self.in_flight = 0
        self.requests: _Bucket | None = None
        self.tokens: _Bucket | None = None
        self.day = 0
        self.today = 0

    def likely_prompt(self, bound: int) -> int:
        """How many tokens a prompt has that may have so many, as the latest had."""
        seen = self.prompt_bounds
        return min(-(-bound * self.prompt_tokens // seen), bound) if seen else bound

    def idle(self, now_us: int, today: int) -> bool:
        """Whether forgetting it opens no limit; what was learned is learned again."""
        return (
            self.in_flight == 0
            and (self.requests is None or self.requests.full(now_us))
            and (self.tokens is None or self.tokens.full(now_us))
            and (self.today == 0 or self.day != today)
        )


class Place(msgspec.Struct, gc=False):
    """What one limited request has taken. `standing` is None once it was given back.

    One of `rpm` requests a minute, 0 if those are not limited; `reserved` tokens, of these `answer` for an answer of
    its `kind`; one of the requests of `day`, 0 if those are not limited.
    """

    standing: _Standing | None
    rpm: int
    reserved: int = 0
    prompt_bound: int = 0
    answer: int = 0
    kind: int = 0
    day: int = 0


class Limits:
    """All limits of the platform. `platform_limit` bounds the requests in flight of everybody together.

    `now_s` is monotonic, `wall_s` the time of day (Unix); daily limits follow the second. `earlier` knows how many
    requests an account made to a model since a midnight (Unix), before it was known here: a restart opens no limit. It
    need not count further than the limit, its last argument.
    """

    def __init__(
        self,
        platform_limit: int,
        *,
        now_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        earlier: Callable[[str, str, int, int], int] = _none,
    ) -> None:
        assert platform_limit > 0
        self._platform_limit = platform_limit
        self._now_s = now_s
        self._wall_s = wall_s
        self._earlier = earlier
        self._standings: OrderedDict[tuple[str, str], _Standing] = OrderedDict()
        # In Beijing: the day's number, never 0, and when it ends (Unix seconds).
        self._today = self._midnight_s = -_DAY_S
        self.total = 0

    def __len__(self) -> int:
        """How many pairs of an account and a model are remembered."""
        return len(self._standings)

    def enter(
        self,
        account_id: str,
        model_id: str,
        limits: ModelLimits | None = None,
        prompt_bound: int = 0,
        answer_bound: int = 0,
        named: bool = True,
    ) -> Place | None:
        """Take a place, to be given back with `leave` or `take_back`; None is one without limits of its own.

        The bounds are the most tokens that the request may use; `named`: the answer's was asked for. Raises ApiError
        1302, 1303, 1304 or 1305, and then has taken nothing.
        """
        if self.total >= self._platform_limit:
            raise ApiError("1305", retry_after_s=_OVERLOAD_RETRY_AFTER_S)
        if limits is None:
            self.total += 1
            return None
        key = (account_id, model_id)
        standing = self._standings.get(key)
        if standing is None:
            self._forget_idle(_LOOKS_OF_NEW)
            standing = self._standings[key] = _Standing()
        if limits.in_flight and standing.in_flight >= limits.in_flight:
            raise _beyond("1302", 1, f"{limits.in_flight}个并发请求", f"{limits.in_flight} requests at once")
        clock = self._now_s
        now_us = int(clock() * 1_000_000)
        rpm, tpm, daily = limits.rpm, limits.tpm, limits.daily
        if rpm:
            requests = standing.requests
            if requests is None:
                requests = standing.requests = _Bucket(rpm)
            if wait_us := requests.take(1, rpm, now_us):
                raise _beyond("1303", wait_us, f"每分钟{rpm}个请求", f"{rpm} requests a minute")
        if tpm:
            bucket = standing.tokens
            if bucket is None:
                bucket = standing.tokens = _Bucket(tpm)
            prompt = standing.likely_prompt(prompt_bound)
            kind = answer_bound.bit_length()
            if lately := standing.answers.get(kind):
                answer = -(-lately >> _LATEST_BITS)
            else:
                answer = answer_bound if named else tpm // _FIRST_ANSWER_PART
            if answer > answer_bound:  # noqa: PLR1730  as above
                answer = answer_bound
            reserved = prompt + answer or 1
            if reserved > tpm:
                # What is missing is the answer's: that is taken as it comes.
                reserved, answer = tpm, max(tpm - prompt, 0)
            if wait_us := bucket.take(reserved, tpm, now_us):
                if rpm and standing.requests is not None:
                    standing.requests.give_back(1)
                raise _beyond("1303", wait_us, f"每分钟{tpm}个token", f"{tpm} tokens a minute")
            place = Place(standing, rpm, reserved, prompt_bound, answer, kind)
        else:
            place = Place(standing, rpm)
        standing.in_flight += 1
        self.total += 1
        if daily:
            self._take_of_day(key, place, standing, daily)
        return place

    def longer(self, place: Place, prompt_tokens: int) -> None:
        """The prompt may have so many tokens more than its text told: what such prompts have is taken."""
        place.prompt_bound += prompt_tokens
        standing = place.standing
        assert standing is not None, "it is over"
        if place.reserved and standing.tokens is not None:
            likely, clock = standing.likely_prompt(prompt_tokens), self._now_s
            standing.tokens.take_more(likely, int(clock() * 1_000_000))
            place.reserved += likely

    def go_on(self, place: Place, answer_tokens: int) -> None:
        """The request is under way, its answer so long by now: what goes beyond its reservation is taken."""
        standing, beyond = place.standing, answer_tokens - place.answer
        assert standing is not None, "it is over"
        if beyond > 0 and place.reserved and standing.tokens is not None:
            clock = self._now_s
            standing.tokens.take_more(beyond, int(clock() * 1_000_000))
            place.answer = answer_tokens
            place.reserved += beyond

    def leave(self, place: Place | None, used_tokens: int = 0, answer_tokens: int = 0) -> None:
        """The request is over and has used so many tokens, of these so many for its answer."""
        assert self.total > 0, "left more often than entered"
        self.total -= 1
        if place is None:
            return
        standing, place.standing = place.standing, None
        assert standing is not None, "left twice"
        standing.in_flight -= 1
        if place.reserved and standing.tokens is not None:
            if answer_tokens:  # one of nothing says nothing of the next
                answers, kind = standing.answers, place.kind
                lately = answers.get(kind, answer_tokens << _LATEST_BITS)
                answers[kind] = lately + answer_tokens - (lately >> _LATEST_BITS)
                bounds, prompts = standing.prompt_bounds, standing.prompt_tokens
                standing.prompt_bounds = bounds + place.prompt_bound - (bounds >> _LATEST_BITS)
                standing.prompt_tokens = prompts + used_tokens - answer_tokens - (prompts >> _LATEST_BITS)
            unused = place.reserved - used_tokens
            if unused > 0:
                standing.tokens.give_back(unused)
            elif unused < 0:
                clock = self._now_s
                standing.tokens.take_more(-unused, int(clock() * 1_000_000))

    def take_back(self, place: Place | None) -> None:
        """The request was refused after all: as if it had never come."""
        if place is not None:
            standing = place.standing
            assert standing is not None, "taken back twice"
            if place.rpm and standing.requests is not None:
                standing.requests.give_back(1)
            if place.day and standing.day == place.day:
                standing.today -= 1
        self.leave(place)

    def _take_of_day(self, key: tuple[str, str], place: Place, standing: _Standing, daily: int) -> None:
        """Take one of the day's requests. Raises ApiError when there is none, and then gives back all the others."""
        wall_clock = self._wall_s
        now_s = wall_clock()
        if not self._midnight_s - _DAY_S <= now_s < self._midnight_s:
            self._today = 1 + (int(now_s) + _BEIJING_S) // _DAY_S
            self._midnight_s = self._today * _DAY_S - _BEIJING_S
        if standing.day != self._today and standing.day != self._today + 1:
            # A clock that was set back over midnight, by a day at most, does not open the new day's limit twice.
            try:
                earlier = 0 if standing.day else self._earlier(*key, self._midnight_s - _DAY_S, daily)
            except BaseException:  # the database, asked about the time before a restart
                self.take_back(place)
                raise
            standing.day, standing.today = self._today, earlier
        if standing.today >= daily:
            self.take_back(place)
            wait_us = (self._midnight_s - int(now_s)) * 1_000_000
            raise _beyond("1304", wait_us, f"每日{daily}个请求", f"{daily} requests a day")
        standing.today += 1
        place.day = standing.day

    def forget_idle(self) -> None:
        """Forget some of what has become idle; to be called about once a second while anything is remembered."""
        self._forget_idle(_LOOKS_MIN + len(self._standings) // _LOOK_THROUGH_S)

    def _forget_idle(self, looks: int) -> None:
        standings = self._standings
        clock, wall_clock = self._now_s, self._wall_s
        now_us, today = int(clock() * 1_000_000), 1 + (int(wall_clock()) + _BEIJING_S) // _DAY_S
        for _ in range(min(len(standings), looks)):
            key, standing = next(iter(standings.items()))
            if standing.idle(now_us, today):
                del standings[key]
            else:
                standings.move_to_end(key)


def _beyond(code: str, wait_us: int, zh: str, en: str) -> ApiError:
    """What is refused says which limit it met, and after how many whole seconds it would not."""
    return ApiError(
        code, retry_after_s=-(-wait_us // 1_000_000), detail_zh=f"限额：{zh}。", detail_en=f"Limit: {en}."
    )
