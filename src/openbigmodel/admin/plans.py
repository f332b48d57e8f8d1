"""Admin commands about Coding Plan subscriptions."""

from collections.abc import Callable, Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from openbigmodel.admin.accounts import find_account
from openbigmodel.admin.protocol import Answer
from openbigmodel.admin.service import Arguments, Command
from openbigmodel.auth.store import AuthStore
from openbigmodel.billing.periods import moment_name, parse_end, parse_moment
from openbigmodel.billing.plans import PlanRecord, Plans


class AddPlan(Arguments):
    """`from_` None: from now on."""

    account: str
    level: str
    to: str
    from_: str | None = msgspec.field(default=None, name="from")


class ListPlans(Arguments):
    account: str | None = None


class EndPlan(Arguments):
    """`at` None: now."""

    plan: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    at: str | None = None


class PlanTerms(Arguments):
    """`at_ms`: when the request began, for its time of day."""

    model: str
    at_ms: int


class PlanCommands:
    """The subscriptions of accounts."""

    def __init__(self, auth: AuthStore, plans: Plans, now_ms: Callable[[], int]) -> None:
        self._auth = auth
        self._plans = plans
        self._now_ms = now_ms

    def commands(self) -> Iterator[Command]:
        """All of them."""
        yield Command("plans.add", AddPlan, self.add)
        yield Command("plans.list", ListPlans, self.list, reads=True)
        yield Command("plans.end", EndPlan, self.end)
        yield Command("plans.show", PlanTerms, self.show, reads=True)

    async def add(self, wanted: AddPlan) -> Answer:
        """The new subscription."""
        account = find_account(self._auth, wanted.account)
        from_ms = self._now_ms() if wanted.from_ is None else parse_moment(wanted.from_)
        return self._facts(
            await self._plans.subscribe(account.id, wanted.level, from_ms, parse_end(wanted.to))
        )

    async def list(self, wanted: ListPlans) -> Answer:
        """Those of an account, or all; earliest first."""
        if wanted.account is not None:
            find_account(self._auth, wanted.account)
        return {"plans": [self._facts(plan) for plan in self._plans.list(wanted.account)]}

    async def end(self, wanted: EndPlan) -> Answer:
        """The subscription as it is now."""
        at_ms = None if wanted.at is None else parse_end(wanted.at)
        return self._facts(await self._plans.end(wanted.plan, at_ms))

    async def show(self, wanted: PlanTerms) -> Answer:
        """By what a request takes credits: only the server knows which catalogue it has. See CreditTerms."""
        terms: Answer = msgspec.to_builtins(self._plans.terms(wanted.model, wanted.at_ms))
        return terms

    def _facts(self, plan: PlanRecord) -> Answer:
        now_ms = self._now_ms()
        if now_ms >= plan.until_ms:
            state = "ended"
        else:
            state = "valid" if now_ms >= plan.from_ms else "future"
        return {
            "id": plan.id,
            "account": plan.account_id,
            "level": plan.level,
            "state": state,
            "from": moment_name(plan.from_ms),
            "to": moment_name(plan.until_ms),
            "created": moment_name(plan.created_ms),
        }
