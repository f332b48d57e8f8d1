"""What a request takes before an engine is asked, and gives back exactly once: its id, a place, and money.

    claim     the caller's request id     1231 while the same one runs or if it was charged before, or its stored reply
    place     limits                      1305, 1302, 1303, 1304
    hold      the most it may cost        1113, a Coding Plan's 1308 to 1311

In this order. What a later step refuses gives back what the earlier ones took, as if the request had never come.
Everything here is one step of the event loop: of two requests with one id, or for the last place or the last
fen, one gets it.
"""

import hashlib
from collections.abc import Callable
from typing import Protocol

import msgspec

from openbigmodel.auth.api_keys import Principal
from openbigmodel.billing.cashier import Payer
from openbigmodel.billing.ledger import NO_HOLD, Hold
from openbigmodel.billing.plans import PlanHold
from openbigmodel.billing.replies import MAX_REPLY_BYTES, Claimed, StoredReply
from openbigmodel.billing.store import UsageLine
from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import Model
from openbigmodel.errors import ApiError
from openbigmodel.inference.measurement import UNBOUNDED
from openbigmodel.limits import Limits, Place

_DECODE = msgspec.json.Decoder(float_hook=float).decode
_ENCODE_SORTED = msgspec.json.Encoder(order="sorted").encode

# What is longer is told apart by its bytes: to put 10 MB in order would keep everybody waiting.
ORDERED_BYTES_MAX = 64 * 1024

Done = Callable[[BaseException | None], None]

_TAKEN, _SETTLED, _GONE = range(3)


class Cashier(Protocol):
    """Where money is held, charged and written down."""

    def hold(self, payer: Payer, model_id: str, prompt_bound: int, completion_bound: int) -> Hold | PlanHold:
        """Set aside the most that the request may cost. Raises ApiError when that is not there."""

    def settle(
        self, hold: Hold | PlanHold, line: UsageLine, done: Done, reply: StoredReply | None = None
    ) -> UsageLine:
        """Charge the line's usage; `done` hears when it is durable, or why it never will be, and then is void."""

    def void(self, hold: Hold | PlanHold) -> None:
        """No engine was asked: nothing is charged or written."""

    def find_request(self, account_id: str, request_id: str) -> StoredReply | Claimed | None:
        """What became of an earlier request with this id, if it was charged or answered."""


class Claim(msgspec.Struct, gc=False):
    """A caller's request id. `digest` tells the bodies apart that come with it; there is none before it is in use."""

    key: tuple[str, str]
    body: bytes
    digest: bytes = b""

    def seal(self) -> None:
        """The request is let in: all that is needed of its body from now on is the digest."""
        self.digest, self.body = digest_of(self.body), b""


class Admissions:
    """Lets requests in."""

    def __init__(self, limits: Limits, cashier: Cashier) -> None:
        self.limits = limits
        self.cashier = cashier
        # The callers' own request ids that are under way.
        self.running: set[tuple[str, str]] = set()

    def claim(self, account_id: str, request_id: str, body: bytes) -> Claim | StoredReply:
        """Take the caller's own request id, or find the stored reply to the same request.

        Raises ApiError 1231 when the id belongs to another one, or the reply is not there any more. Nothing is
        taken yet: that is `admit`'s.
        """
        key = (account_id, request_id)
        if key in self.running:
            raise ApiError("1231", request_id=request_id)
        earlier = self.cashier.find_request(account_id, request_id)
        if earlier is None:
            return Claim(key, body)
        if isinstance(earlier, StoredReply) and earlier.body_digest == digest_of(body):
            return earlier
        raise ApiError("1231", request_id=request_id)

    def admit(
        self,
        principal: Principal,
        model: Model,
        claim: Claim | None,
        plan: bool,
        prompt_bound: int,
        completion_bound: int,
    ) -> "Admission":
        """Take everything. `plan`: a Coding Plan pays. Raises ApiError, and then has taken nothing."""
        place: Place | None
        hold: Hold | PlanHold
        payer = Payer(principal.account_id, exempt=principal.exempt, plan=plan)
        if principal.exempt:
            place, hold = self.limits.enter(principal.account_id, model.id), NO_HOLD
        else:
            limits = None
            if model.limits:
                limits = model.limits_for(principal.tier)
            # Where nobody has named a length, hardly any answer is as long as it may be.
            named = completion_bound != model.default_max_tokens
            place = self.limits.enter(
                principal.account_id, model.id, limits, prompt_bound, completion_bound, named
            )
            try:
                hold = self.cashier.hold(payer, model.id, prompt_bound, completion_bound)
            except BaseException:
                self.limits.take_back(place)
                raise
        if claim is not None:
            # Not before there is a place and money: a long body takes a while.
            claim.seal()
            self.running.add(claim.key)
        most = prompt_bound + completion_bound
        if not hold.open:
            # Where nothing is at stake an engine is believed whatever it says.
            prompt_bound = completion_bound = UNBOUNDED
        return Admission(self, claim, place, hold, prompt_bound, completion_bound, most, payer, model.id)


class Admission(msgspec.Struct, gc=False):
    """What one request has taken, and the most tokens that it pays for. Ends once: `withdraw`, or `settle` and `leave`.

    A struct, because one is made for every request: its fields are filled in at a tenth of the price.
    """

    _desk: Admissions
    _claim: Claim | None
    _place: Place | None
    _hold: Hold | PlanHold
    prompt_bound: int
    completion_bound: int
    _most: int
    _payer: Payer
    _model_id: str
    _phase: int = _TAKEN

    @property
    def account_id(self) -> str:
        """Whose request it is."""
        return self._payer.account_id

    def hold_more(self, prompt_tokens: int) -> None:
        """The prompt has so many tokens more than its text told: hold for those as well.

        Raises ApiError 1113, or a plan's, when that is not there; nothing is held then any more.
        """
        assert self._phase == _TAKEN, "the request is over"
        if prompt_tokens <= 0:
            return
        self._most += prompt_tokens
        if self._place is not None:
            self._desk.limits.longer(self._place, prompt_tokens)
        if not self._hold.open:
            return
        cashier, payer, model_id = self._desk.cashier, self._payer, self._model_id
        # What was there when the request came may be gone by now: a pack that has ended, a price that has risen.
        hold, self._hold = self._hold, NO_HOLD
        cashier.void(hold)
        self.prompt_bound += prompt_tokens
        self._hold = cashier.hold(payer, model_id, self.prompt_bound, self.completion_bound)

    def settle(self, line: UsageLine, done: Done, reply: bytes = b"") -> UsageLine:
        """Have the usage charged and written; `reply` is kept for who asks again. Raises what the database raises."""
        assert self._phase == _TAKEN, "settled twice"
        self._phase = _SETTLED
        stored = None if self._claim is None else _stored(self._claim, line, reply)
        cashier = self._desk.cashier
        try:
            return cashier.settle(self._hold, line, done, stored)
        except BaseException:
            if self._hold.open:
                cashier.void(self._hold)
            raise

    def go_on(self, produced_tokens: int) -> None:
        """An engine has answered so much by now: what is beyond the reservation is taken from the minute's tokens."""
        if self._place is not None and self._phase == _TAKEN:
            self._desk.limits.go_on(self._place, min(produced_tokens, self._most))

    def leave(self, usage: Usage) -> None:
        """The usage is durable, or never will be: give back the place and the id."""
        assert self._phase == _SETTLED, "left before it was settled, or twice"
        self._phase = _GONE
        place, limits = self._place, self._desk.limits
        if place is None:
            limits.leave(None)
        else:
            # An engine that counts wrongly costs nobody more than one request's share of a minute.
            answer, most = usage.completion_tokens, self._most
            used = usage.prompt_tokens + answer
            if used > most:
                used, answer = most, min(answer, most)
            limits.leave(place, used, answer)
        if self._claim is not None:
            self._desk.running.remove(self._claim.key)

    def withdraw(self) -> None:
        """No engine was asked: as if the request had never come."""
        assert self._phase == _TAKEN, "withdrawn after it was settled, or twice"
        self._phase = _GONE
        self._desk.cashier.void(self._hold)
        self._desk.limits.take_back(self._place)
        if self._claim is not None:
            self._desk.running.remove(self._claim.key)


def _stored(claim: Claim, line: UsageLine, reply: bytes) -> StoredReply | None:
    return StoredReply(claim.digest, reply, line.ended_ms) if 0 < len(reply) <= MAX_REPLY_BYTES else None


def digest_of(body: bytes) -> bytes:
    """SHA-256 of what a body says; unless it is long, blanks, escapes and the order of members make no difference."""
    if len(body) > ORDERED_BYTES_MAX:
        return hashlib.sha256(body).digest()
    try:
        canonical = _ENCODE_SORTED(_DECODE(body))
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        # What is nested too deeply to be put in order is told apart by its bytes.
        canonical = body
    return hashlib.sha256(canonical).digest()
