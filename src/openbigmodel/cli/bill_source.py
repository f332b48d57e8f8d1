"""Makes and prints bills; what `cli/bills.py` has done once it knows what is wanted."""

from openbigmodel.admin.protocol import AdminError
from openbigmodel.billing.bill import make_bill, make_bills
from openbigmodel.billing.export import Language, bills_csv, details_csv
from openbigmodel.billing.periods import DAY_MS, Month, parse_month
from openbigmodel.billing.statement import By
from openbigmodel.cli.admin import Site, answer_with
from openbigmodel.cli.statement_source import find_owner, open_statements, write_csv
from openbigmodel.cli.statement_views import (
    bill_json,
    group_json,
    show_bill,
    show_bills,
    show_groups,
)

_BY_DAY = By(span_ms=DAY_MS)
_BY_MODEL = By(model=True)
_BY_KEY = By(key=True)
_DETAILS = By(span_ms=DAY_MS, model=True, key=True)


def print_bills(site: Site, account: str, now_ms: int, csv_language: Language | None) -> None:
    """All months of an account, newest first. Raises AdminError."""
    with open_statements(site) as statements:
        bills = make_bills(statements, find_owner(statements, account), now_ms)
    if csv_language is not None:
        write_csv(bills_csv(bills, csv_language))
        return
    answer = {"account": account, "bills": [bill_json(bill) for bill in bills]}
    answer_with(site, answer, lambda _: show_bills(bills))


def print_bill(site: Site, account: str, month_text: str, now_ms: int, csv_language: Language | None) -> None:
    """One month, and what it consists of. Raises AdminError."""
    month = _month(month_text, now_ms)
    with open_statements(site) as statements:
        owner = find_owner(statements, account)
        with statements.snapshot():
            bill = make_bill(statements, owner, month, now_ms)
            models, _ = statements.groups(account, _BY_MODEL, month.period)
            keys, _ = statements.groups(account, _BY_KEY, month.period)
            days, _ = statements.groups(account, _BY_DAY, month.period)
            key_names = statements.key_names(account)
    if csv_language is not None:
        write_csv(bills_csv([bill], csv_language))
        return
    answer = bill_json(bill) | {
        "models": [group_json(group, _BY_MODEL) for group in models],
        "keys": [group_json(group, _BY_KEY) for group in keys],
        "days": [group_json(group, _BY_DAY) for group in days],
    }

    def show(_: object) -> None:
        show_bill(bill)
        # All three are empty, or none is.
        for groups, by in ((models, _BY_MODEL), (keys, _BY_KEY), (days, _BY_DAY))[: 3 if models else 1]:
            show_groups(groups, by, key_names)

    answer_with(site, answer, show)


def print_details(site: Site, account: str, month_text: str, now_ms: int, language: Language) -> None:
    """One month as CSV, by day, model and key. Raises AdminError."""
    month = _month(month_text, now_ms)
    with open_statements(site) as statements:
        find_owner(statements, account)
        with statements.snapshot():
            groups, _ = statements.groups(account, _DETAILS, month.period)
            refunds = statements.refunds(account, month.period)
            key_names = statements.key_names(account)
    write_csv(details_csv(groups, refunds, key_names, language))


def _month(text: str, now_ms: int) -> Month:
    try:
        month = parse_month(text)
    except ValueError as error:
        raise AdminError("bad_value", f"{error}.") from error
    if now_ms < month.period.from_ms:
        raise AdminError("bad_value", f"The month {month} has not begun.")
    return month
