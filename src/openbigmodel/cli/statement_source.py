"""Where the commands about usage and bills get what they print: the database file, and the server for the balance.

Rule: the file is opened for reading only, whether a server runs on it, was stopped or was killed. A failure is told
before the first byte of an answer, because an answer may be longer than memory and is written as it is read.
"""

import difflib
import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Self

import msgspec

from openbigmodel.admin.protocol import AdminError
from openbigmodel.admin.reach import check_folder
from openbigmodel.admin.remote import NoServer, ask_server
from openbigmodel.billing.explain import CreditExplanation, explain, explain_credits, find_requests
from openbigmodel.billing.export import Language, usage_csv
from openbigmodel.billing.money import format_yuan
from openbigmodel.billing.periods import DAY_MS, FOREVER_MS, HOUR_MS, Period, clock_name, parse_moment
from openbigmodel.billing.plan_windows import CreditTerms, terms_at
from openbigmodel.billing.statement import By, Filter, Line, Owner, Statements, UnknownOwner
from openbigmodel.catalog import Catalog, load_catalog
from openbigmodel.cli.admin import Site, answer_with
from openbigmodel.cli.statement_views import (
    explanation_json,
    group_json,
    show_explanation,
    show_groups,
    show_lines,
    show_used,
    stream_json,
    used_json,
)
from openbigmodel.cli.tables import show_note, written
from openbigmodel.db.connection import DatabaseError
from openbigmodel.db.migrations import DatabaseTooNew
from openbigmodel.errors import ERROR_CODES

GROUPS: dict[str, By] = {
    "model": By(model=True),
    "key": By(key=True),
    "day": By(span_ms=DAY_MS),
    "hour": By(span_ms=HOUR_MS),
}


class Statement:
    """The open statement of one account and one period."""

    def __init__(self, site: Site, statements: Statements, owner: Owner, period: Period) -> None:
        self._site = site
        self._statements = statements
        self._owner = owner
        self._period = period

    @classmethod
    def of(
        cls, site: Site, statements: Statements, account: str, since: str | None, until: str | None
    ) -> Self:
        """Raises AdminError for an account that there is not, or a moment that is none."""
        return cls(site, statements, find_owner(statements, account), _period(since, until))

    def print_json(self, only: Filter, limit: int | None) -> None:
        """Totals, balance, lines."""
        used, moment = self._statements.total(self._owner.account_id, self._period, only)
        balance, held = self._money()
        head = {"totals": used_json(used), "balance": balance, "held": held} | self._unknown(only)
        lines = self._statements.lines(self._owner.account_id, self._period, only, limit=limit, moment=moment)
        write_out(stream_json(head, lines))

    def show(self, only: Filter, limit: int) -> None:
        """The same for people: totals, and the newest lines."""
        self._note_unknown(only)
        used, moment = self._statements.total(self._owner.account_id, self._period, only)
        balance, held = self._money()
        show_used(
            used,
            (
                ("account", f"{self._owner.name} ({self._owner.account_id})"),
                ("from (UTC+8)", clock_name(self._period.from_ms) if self._period.from_ms else ""),
                ("before (UTC+8)", clock_name(self._period.to_ms) if self._period.to_ms < FOREVER_MS else ""),
                ("balance, yuan", balance),
                ("held, yuan", held),
            ),
        )
        show_lines(
            self._statements.lines(self._owner.account_id, self._period, only, limit=limit, moment=moment)
        )
        if used.requests > limit:
            print(f"The newest {limit} of {used.requests} requests; --limit shows more.")

    def print_groups(self, name: str, only: Filter) -> None:
        """Totals, balance, and totals in groups."""
        account, by = self._owner.account_id, GROUPS[name]
        with self._statements.snapshot():
            groups, _ = self._statements.groups(account, by, self._period, only)
            used, _ = self._statements.total(account, self._period, only)
            key_names = self._statements.key_names(account)
        balance, held = self._money()
        answer = {
            "totals": used_json(used),
            "balance": balance,
            "held": held,
            "groups": [group_json(group, by) for group in groups],
        } | self._unknown(only)
        if not self._site.as_json:
            self._note_unknown(only)
        answer_with(self._site, answer, lambda _: show_groups(groups, by, key_names))

    def print_csv(
        self, only: Filter, limit: int | None, language: Language, *, refunds: bool = False
    ) -> None:
        """The lines for a spreadsheet; with `refunds`, which are no requests, they come to what the account paid."""
        self._note_unknown(only)
        account, statements = self._owner.account_id, self._statements
        with statements.snapshot():
            moment = statements.moment()
            given_back = statements.refunds(account, self._period, only) if refunds else []
            key_names = statements.key_names(account)
        lines = statements.lines(account, self._period, only, limit=limit, moment=moment)
        write_csv(usage_csv(lines, given_back, key_names, statements.saved, language, limit=limit))

    def print_log(self, only: Filter, limit: int | None) -> None:
        """The lines alone."""
        write_out(
            stream_json(
                self._unknown(only),
                self._statements.lines(self._owner.account_id, self._period, only, limit=limit),
            )
        )

    def show_log(self, only: Filter, limit: int) -> None:
        """The lines alone, for people."""
        self._note_unknown(only)
        show_lines(self._statements.lines(self._owner.account_id, self._period, only, limit=limit))

    def _unknown(self, only: Filter) -> dict[str, str]:
        """What an answer says besides if something was chosen that nothing here is called: `warning`."""
        return {"warning": warning} if (warning := unknown_names(self._statements, self._owner, only)) else {}

    def _note_unknown(self, only: Filter) -> None:
        for warning in self._unknown(only).values():
            show_note(warning)

    def _money(self) -> tuple[str, str]:
        """Balance and what is held, from the server that may spend it, else from the file."""
        try:
            shown = ask_server(self._site.folder(), "accounts.show", {"account": self._owner.account_id})
        except NoServer:
            # A hold lives in a server's memory: without one there is none.
            return format_yuan(self._statements.balance(self._owner.account_id)), format_yuan(0)
        return str(shown["balance"]), str(shown["held"])


@contextmanager
def open_statements(site: Site) -> Iterator[Statements]:
    """The statements of a data folder. Raises AdminError."""
    folder = site.folder()
    check_folder(folder, to_read=True)
    try:
        statements = Statements.open(folder)
    except (DatabaseError, DatabaseTooNew) as error:
        raise AdminError("database", str(error)) from error
    with statements:
        yield statements


@contextmanager
def open_statement(site: Site, account: str, since: str | None, until: str | None) -> Iterator[Statement]:
    """The statement of an account. Raises AdminError."""
    with open_statements(site) as statements:
        yield Statement.of(site, statements, account, since, until)


def find_owner(statements: Statements, account: str) -> Owner:
    """Raises AdminError for an account that there is not."""
    try:
        return statements.owner(account)
    except UnknownOwner as error:
        raise AdminError("not_found", f"There is no account {account}.") from error


def unknown_names(statements: Statements, owner: Owner, only: Filter) -> str:
    """A sentence for each name in a filter by which nothing of the account's can ever be found."""
    found = []
    if only.model is not None:
        used = {group.model for group in statements.groups(owner.account_id, By(model=True))[0]}
        if only.model not in used:
            close = difflib.get_close_matches(only.model, sorted(used), n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            found.append(f"No request of this account was for a model {only.model}.{hint}")
    if only.api_key_id is not None and only.api_key_id not in statements.key_names(owner.account_id):
        found.append(f"This account has no API key {only.api_key_id}.")
    if only.code is not None and only.code not in ERROR_CODES:
        found.append(f"There is no error code {only.code}.")
    return " ".join(found)


def explain_charge(site: Site, reference: str, account: str | None) -> None:
    """Prints where the charges of the requests with an id come from. Raises AdminError."""
    with open_statements(site) as statements:
        terms = _PlanTerms(site)
        found = [
            (explain(statements, line), terms.explain(line))
            for line in find_requests(statements, reference)
            if account is None or line.account_id == account
        ]
    if not found:
        raise AdminError("not_found", f"There is no request {reference}.")

    def show(_: object) -> None:
        for explained in found:
            show_explanation(*explained)

    answer: dict[str, object] = {"requests": [explanation_json(*explained) for explained in found]}
    if terms.warning and site.as_json:
        answer["warning"] = terms.warning
    elif terms.warning:
        show_note(terms.warning)
    answer_with(site, answer, show)


class _PlanTerms:
    """By what plans take credits: as the server says that answers, else by the catalogue that the settings name.

    `warning`: a sentence once they differ from what was taken, and are perhaps not the server's.
    """

    def __init__(self, site: Site) -> None:
        self._settings = site.settings()
        self._catalog: Catalog | None = None
        self.warning = ""

    def explain(self, line: Line) -> CreditExplanation | None:
        """None for a request that no plan paid for."""
        if not line.plan_credits:
            return None
        try:
            told = ask_server(
                self._settings.data.expanduser().absolute(),
                "plans.show",
                {"model": line.model, "at_ms": line.started_ms},
            )
        except (NoServer, AdminError):
            # Also one of another release, or of another user: the file can be read all the same.
            return self._explain_alone(line)
        return explain_credits(msgspec.convert(told, CreditTerms), line)

    def _explain_alone(self, line: Line) -> CreditExplanation:
        if self._catalog is None:
            self._catalog = load_catalog(self._settings.server.catalog)
        explained = explain_credits(terms_at(self._catalog, line.model, line.started_ms), line)
        if self._settings.config is None and explained.computed != explained.taken:
            self.warning = (
                "No settings file was read, so credits are computed by the catalogue of this release. If the "
                "server has one of its own, its rates are known with --config FILE, or from the running server."
            )
        return explained


def write_out(pieces: Iterable[str]) -> None:
    """Prints a text that may be longer than memory."""
    with written():
        for piece in pieces:
            sys.stdout.write(piece)


def write_csv(pieces: Iterable[str]) -> None:
    """Prints a CSV, in UTF-8 whatever the terminal speaks: it is meant for a file."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    write_out(pieces)


def _period(since: str | None, until: str | None) -> Period:
    try:
        period = Period(
            parse_moment(since) if since is not None else 0,
            parse_moment(until) if until is not None else FOREVER_MS,
        )
    except ValueError as error:
        raise AdminError("bad_value", f"{error}.") from error
    if period.from_ms > period.to_ms:
        raise AdminError("bad_value", f"--since {since} is after --until {until}.")
    return period
