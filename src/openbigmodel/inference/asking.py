"""Gets a request to an engine: has its media made ready, waits for a place at one, and goes on to the next when one
fails.

Rule: another engine is asked only while nothing has been produced, so nobody can tell that there were two. All that
was taken at an engine is given back in `end`, once for each attempt.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from openbigmodel.engines.affinity import conversation_key
from openbigmodel.engines.candidate import Seat
from openbigmodel.engines.connection import EngineConsumer
from openbigmodel.engines.endpoint import EngineUnavailable
from openbigmodel.engines.engine_errors import EngineFault
from openbigmodel.engines.outcome import Outcome
from openbigmodel.engines.policy import ATTEMPTS_MAX
from openbigmodel.engines.registry import Route, Target
from openbigmodel.engines.router import Router, Tried
from openbigmodel.engines.translate_messages import check_media
from openbigmodel.errors import ApiError
from openbigmodel.inference.admission import Admission
from openbigmodel.inference.attempt import Attempt, Wish, outcome_of_fault
from openbigmodel.inference.silence import Silence
from openbigmodel.inference.surroundings import Awaited
from openbigmodel.media.parts import needs_preparing
from openbigmodel.media.preparation import Media, Preparation
from openbigmodel.schemas.chat import Message

# A model's file that is still being downloaded takes minutes.
_ENGINE_AWAY_RETRY_AFTER_S = 30


def fetches_media(route: Route, messages: list[Message]) -> bool:
    """Whether the platform has to make bytes of what the messages name, since an engine may not fetch it itself.

    bigmodel.cn and other platforms of its kind do, so they get the caller's own words.
    """
    return needs_preparing(messages) and not route.relays


# Told the messages whose media are ready, and what comes next if they may pass. Raises ApiError if they may not.
Judge = Callable[[list[Message], Callable[[], None]], None]


class Asker(EngineConsumer, Protocol):
    """Whose request it is. `paused`: nobody can take an answer now."""

    paused: bool

    def open(self, attempt: Attempt) -> None:
        """This engine is asked next: say who writes the reply if it answers."""

    def wait_for(self, awaited: Awaited) -> None:
        """Nothing more can be done now; what is awaited calls `proceed` or `refuse`."""

    def proceed(self, step: Callable[[], None]) -> None:
        """What was awaited is there, and `step` comes next, which raises ApiError."""

    def refuse(self, error: ApiError) -> None:
        """What was awaited will not come."""


class Asking:
    """One request's way to an engine. `detail`, for the log, is why no engine could be asked.

    `judge`, if there is one, is shown what was made of the media before an engine is.
    """

    __slots__ = (
        "_admission",
        "_asker",
        "_attempt",
        "_desk",
        "_key",
        "_media",
        "_now_s",
        "_preparation",
        "_router",
        "_seat",
        "_tried",
        "_wish",
        "detail",
        "judge",
    )

    _attempt: Attempt
    _seat: Seat[Target]

    def __init__(
        self,
        asker: Asker,
        wish: Wish,
        router: Router,
        admission: Admission,
        now_s: Callable[[], float],
        media: Media | None,
    ) -> None:
        self._asker = asker
        self._wish = wish
        self._router = router
        self._desk = desk = router.desk(wish.route)
        # None as soon as there is nothing more to make ready.
        self._media = media
        self._preparation: Preparation | None = None
        self._admission = admission
        self._now_s = now_s
        self._key = desk.key(wish.asked.request.messages)
        self._tried: Tried = ()
        self.detail = ""
        self.judge: Judge | None = None

    def ask(self) -> None:
        """Ask the engine whose turn it is, as soon as the request is ready and one has a place. Raises ApiError."""
        wish, media = self._wish, self._media
        if media is not None and wish.messages is not None and fetches_media(wish.route, wish.messages):
            check_media(wish.messages, wish.route.takes)
            self._media = None
            owner = self._admission.account_id
            preparation = media.prepare(wish.messages, wish.route.model, self._prepared, owner)
            self._preparation = preparation
            self._asker.wait_for(preparation)
            return
        self._ask_first()

    def _prepared(self, outcome: list[Message] | ApiError) -> None:
        self._asker.proceed(partial(self._ask_with, outcome))

    def _ask_with(self, outcome: list[Message] | ApiError) -> None:
        """Go on with messages whose media are bytes, and no URLs any more."""
        assert self._preparation is not None
        self.detail = self._preparation.detail
        if isinstance(outcome, ApiError):
            raise outcome
        self._admission.hold_more(self._preparation.prompt_tokens)
        if self.judge is None:
            self._ask_about(outcome)
        else:
            self.judge(outcome, partial(self._ask_about, outcome))

    def _ask_about(self, messages: list[Message]) -> None:
        self._wish.messages = messages
        self._ask_first()

    def _ask_first(self) -> None:
        seat = self._desk.seat(self._key)
        if seat is not None:
            self._ask_at(seat)
        elif self._desk.crowded:
            self._asker.wait_for(
                self._desk.wait(self._admission.account_id, self._place_free, self._asker.refuse)
            )
        else:
            raise ApiError("1305", retry_after_s=_ENGINE_AWAY_RETRY_AFTER_S)

    def ask_another(self, *, broken: bool) -> bool:
        """Whether another engine is asked now, this one having failed before anybody has seen anything of it.

        `broken`: it has not said a word, so if there is no other it may be asked once more.
        """
        seat = self._desk.another(self._key, self._tried, broken=broken)
        return seat is not None and self._asked_at(seat)

    def _asked_at(self, seat: Seat[Target]) -> bool:
        try:
            self._ask_at(seat)
        except ApiError:
            return False
        return True

    def too_silent(self, silence: Silence, swept_s: float, now_s: float, *, begun: bool) -> str:
        """What is to be said of the engine, empty as long as it may be silent; `swept_s` is when it was last looked at.

        Where others could answer, it may be so for a shorter time.
        """
        attempt, seat = self._attempt, self._seat
        if silence.note(swept_s, attempt.reader.deltas):
            seat.spoke(now_s)
        complaint = silence.too_long(now_s, attempt.target.engine.profile, begun=begun)
        if complaint or begun or not seat.overdue(now_s) or not self._desk.elsewhere(self._tried, now_s):
            return complaint
        seat.moves()
        return "no word from the engine for far longer than usual, and others are there"

    def refused(self, fault: EngineFault, why: str, *, final: bool = False) -> bool:
        """The engine has said no. Whether another one is asked now, or the same one with another credential.

        `final`: nobody else may be, since something has been produced.
        """
        clock, tried = self._now_s, self._tried
        has_other_key = self._attempt.blame_key(fault, clock())
        # An engine that goes on with another credential is to be left alone by nobody.
        self.end(Outcome.REFUSED if has_other_key else outcome_of_fault(fault), why, fault.retry_after_s)
        if has_other_key and len(tried) < ATTEMPTS_MAX and not final:
            seat = self._desk.again(tried[-1])
            if seat is not None:
                return self._asked_at(seat)
        return not final and fault.retry == "elsewhere" and self.ask_another(broken=False)

    def _sticky(self) -> int:
        """What keeps a conversation with one credential, whose account has its beginning in its cache."""
        if self._key is not None:
            return self._key
        return conversation_key(bytes(self._wish.asked.request.messages))

    def answered(self, now_s: float) -> None:
        """The engine has produced something, so no other will be asked."""
        self._attempt.answered(now_s)
        if self._preparation is not None:
            # A hundred megabytes, and nobody's for the rest of the answer.
            self._wish.messages = []

    def leave(self) -> None:
        """The request is over: nothing that was made ready for it is kept."""
        if self._preparation is not None:
            self._preparation.leave()

    def end(self, outcome: Outcome, why: str = "", retry_after_s: float | None = None) -> None:
        """The engine that was asked last will not be listened to any more."""
        clock = self._now_s
        self._attempt.end(outcome, clock(), why, retry_after_s)

    def _place_free(self) -> bool:
        seat = self._desk.free_seat(self._key)
        if seat is None:
            return False
        self._asker.proceed(partial(self._ask_at, seat))
        return True

    def _ask_at(self, seat: Seat[Target]) -> None:
        """Ask there, or at the next engine that can be asked. Raises ApiError when there is none."""
        next_seat: Seat[Target] | None = seat
        while next_seat is not None:
            self._tried += (next_seat.candidate,)
            try:
                self._ask_engine(next_seat)
                return
            except EngineUnavailable as error:
                self.detail = error.reason
                next_seat = self._desk.another(self._key, self._tried, broken=False)
        raise ApiError("1305", retry_after_s=_ENGINE_AWAY_RETRY_AFTER_S)

    def _ask_engine(self, seat: Seat[Target]) -> None:
        """Ask this one. Raises EngineUnavailable, or ApiError for a request that it cannot be asked."""
        asker, clock = self._asker, self._now_s
        try:
            attempt = Attempt(seat, self._wish)
        except BaseException:
            seat.leave(Outcome.LEFT, clock())
            raise
        self._attempt = attempt
        self._seat = seat
        if seat.candidate.pulse is not None:
            seat.expect(len(attempt.sent) if attempt.streams else 0)
        try:
            keys = self._router.keys(seat.target.engine)
            if keys is not None:
                attempt.show(keys, self._sticky(), clock())
            asker.open(attempt)
            attempt.ask(asker)
        except BaseException as error:
            self.end(Outcome.FAILED if isinstance(error, EngineUnavailable) else Outcome.LEFT, str(error))
            raise
        if asker.paused:
            attempt.pause()
