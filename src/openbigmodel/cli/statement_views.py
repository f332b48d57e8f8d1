"""How statements look: the JSON that other programs rely on, and tables for people.

Rule: money is text in yuan with nine places, exact to the nano-yuan, everywhere but in the bill's own amounts, which
are in fen. Times in JSON are UTC; in tables, like days and months everywhere, they are UTC+8.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from openbigmodel.billing.bill import Amounts, Bill
from openbigmodel.billing.explain import CreditExplanation, Explanation, Posting
from openbigmodel.billing.money import NANO_PER_YUAN, format_fen, format_yuan
from openbigmodel.billing.periods import clock_name, day_name, moment_name
from openbigmodel.billing.pricing import PARTS_PER_NANO
from openbigmodel.billing.statement import By, Group, Line, Used
from openbigmodel.cli.tables import show_facts, show_table

Json = dict[str, Any]

# Lines that are written at once.
_CHUNK_LINES = 256
_PARTS_PER_YUAN = PARTS_PER_NANO * NANO_PER_YUAN


def used_json(used: Used) -> Json:
    """Usage in sum."""
    return msgspec.structs.asdict(used) | {
        "charge": format_yuan(used.charge),
        "saved": format_yuan(used.saved),
    }


def line_json(line: Line) -> Json:
    """A request."""
    return {
        "request_id": line.request_id,
        "model": line.model,
        "prompt_tokens": line.prompt_tokens,
        "completion_tokens": line.completion_tokens,
        "cached_tokens": line.cached_tokens,
        "charge": format_yuan(line.charge),
        "time": moment_name(line.ended_ms),
        "log_id": line.log_id,
        "api_key_id": line.api_key_id,
        "reasoning_tokens": line.reasoning_tokens,
        "pack_tokens": line.pack_tokens,
        "pack_calls": line.pack_calls,
        "plan_credits": line.plan_credits,
        "finish_reason": line.finish_reason,
        "code": line.code,
        "stream": bool(line.stream),
        "source": line.source,
        "note": line.note,
    }


def group_json(group: Group, by: By) -> Json:
    """A part of the usage, with what it was grouped by."""
    named: Json = {}
    if by.span_ms:
        named["from"] = moment_name(group.from_ms)
        named["day"] = day_name(group.from_ms)
    if by.model:
        named["model"] = group.model
    if by.key:
        named["api_key_id"] = group.api_key_id
    return named | used_json(group.used)


def stream_json(head: Json, lines: Iterable[Line]) -> Iterator[str]:
    """One JSON object, `head` and then `lines`, in pieces: as many lines as there are take no memory."""
    yield msgspec.json.encode(head).decode().removesuffix("}") + (', "lines": [' if head else '"lines": [')
    chunk: list[str] = []
    first = True
    for line in lines:
        chunk.append(msgspec.json.encode(line_json(line)).decode())
        if len(chunk) == _CHUNK_LINES:
            yield ("" if first else ",") + ",".join(chunk)
            first = False
            chunk.clear()
    if chunk:
        yield ("" if first else ",") + ",".join(chunk)
    yield "]}\n"


def show_used(used: Used, facts: Iterable[tuple[str, object]] = ()) -> None:
    """Usage in sum, for people."""
    show_facts(
        (
            *facts,
            ("requests", used.requests),
            ("failed", used.failed),
            ("free of charge", used.free),
            ("prompt tokens", f"{used.prompt_tokens} ({used.cached_tokens} cached)"),
            ("completion tokens", f"{used.completion_tokens} ({used.reasoning_tokens} reasoning)"),
            ("paid by packs", _by_packs(used)),
            ("saved by packs, yuan", format_yuan(used.saved) if used.saved else ""),
            ("credits of a plan", _plan_credits(used.plan_credits)),
            ("charge, yuan", format_yuan(used.charge)),
        )
    )


def show_lines(lines: Iterable[Line]) -> None:
    """Requests, for people."""
    show_table(
        [
            "ended (UTC+8)",
            "log id",
            "model",
            "prompt>",
            "cached>",
            "completion>",
            "packs>",
            "charge>",
            "outcome",
        ],
        (
            [
                clock_name(line.ended_ms),
                line.log_id,
                line.model,
                line.prompt_tokens,
                line.cached_tokens,
                line.completion_tokens,
                line.pack_tokens or (f"{line.pack_calls} call" if line.pack_calls else ""),
                format_yuan(line.charge),
                line.code or line.finish_reason,
            ]
            for line in lines
        ),
        none="No requests.",
    )


def show_groups(groups: Iterable[Group], by: By, key_names: dict[str, str]) -> None:
    """Usage in groups, for people."""
    named = [
        name
        for name, wanted in (
            ("from (UTC+8)", by.span_ms),
            ("model", by.model),
            ("key", by.key),
            ("key name", by.key),
        )
        if wanted
    ]
    numbers = ["requests>", "failed>", "prompt>", "cached>", "completion>", "saved>", "charge>"]
    show_table(
        [*named, *numbers], (_group_cells(group, by, key_names) for group in groups), none="No requests."
    )


def bill_json(bill: Bill) -> Json:
    """A month."""
    exact = _amounts_json(bill.exact, format_yuan)
    return {
        "account": bill.owner.account_id,
        "month": str(bill.month),
        "period": bill.month.dates,
        "closed": bill.closed,
        **_amounts_json(bill.fen, format_fen),
        "exact": exact,
        "rounding": format_yuan(bill.rounding),
        "topups": format_yuan(bill.topups),
        "gifts": format_yuan(bill.gifts),
        "adjustments": format_yuan(bill.adjustments),
        "usage": used_json(bill.used),
    }


def show_bills(bills: Iterable[Bill]) -> None:
    """Months, for people."""
    show_table(
        ["period", "consumption>", "payable>", "discount>", "refunds>", "requests>", ""],
        (
            [
                bill.month.dates,
                format_fen(bill.fen.consumption),
                format_fen(bill.fen.payable),
                format_fen(bill.fen.discount),
                format_fen(bill.fen.refunds),
                bill.used.requests,
                "" if bill.closed else "so far",
            ]
            for bill in bills
        ),
    )


def show_bill(bill: Bill) -> None:
    """A month, for people."""
    show_used(
        bill.used,
        (
            ("account", f"{bill.owner.name} ({bill.owner.account_id})"),
            ("period (UTC+8)", bill.month.dates + ("" if bill.closed else ", so far")),
            ("consumption, yuan", format_fen(bill.fen.consumption)),
            ("discount, yuan", format_fen(bill.fen.discount)),
            ("refunds, yuan", format_fen(bill.fen.refunds)),
            ("payable, yuan", format_fen(bill.fen.payable)),
            ("rounded by, yuan", format_yuan(bill.rounding)),
            ("paid in, yuan", format_yuan(bill.topups) if bill.topups else ""),
            ("given, yuan", format_yuan(bill.gifts) if bill.gifts else ""),
            ("adjusted, yuan", format_yuan(bill.adjustments) if bill.adjustments else ""),
        ),
    )


def explanation_json(explained: Explanation, by_plan: CreditExplanation | None = None) -> Json:
    """Where a charge comes from."""
    line = explained.line
    return line_json(line) | {
        "account": line.account_id,
        "engine": line.engine,
        "started": moment_name(line.started_ms),
        "batch": bool(line.batch),
        "price": _price_json(explained),
        "parts": [
            {
                "what": part.what,
                "measured": part.measured,
                "by_packs": part.by_packs,
                "charged": part.charged,
                "price": format_yuan(part.price),
                "amount": format_parts(part.parts),
            }
            for part in explained.parts
        ],
        "exact": format_parts(explained.exact_parts),
        "rounding": format_parts(explained.rounding_parts),
        "computed": format_yuan(explained.computed),
        "overage": format_yuan(line.overage),
        "unexplained": format_yuan(explained.unexplained),
        "saved": format_yuan(explained.saved),
        "refunded": format_yuan(explained.refunded),
        "packs": [
            {"pack": posting.debit.removeprefix("pack:"), "unit": posting.unit, "amount": posting.amount}
            for posting in explained.postings
            if posting.kind == "pack_burn"
        ],
        "postings": [_posting_json(posting) for posting in explained.postings],
        "plan": None if by_plan is None else _credits_json(by_plan),
    }


def show_explanation(explained: Explanation, by_plan: CreditExplanation | None = None) -> None:
    """Where a charge comes from, for people."""
    line, price = explained.line, explained.price
    length = f"{line.prompt_tokens} prompt and {line.completion_tokens} completion tokens"
    show_facts(
        (
            ("log id", line.log_id),
            ("caller's request id", line.request_id if line.request_id != line.log_id else ""),
            ("account", line.account_id),
            ("API key", line.api_key_id),
            ("model, engine", f"{line.model}, {line.engine}"),
            ("started, ended (UTC+8)", f"{clock_name(line.started_ms)}, {clock_name(line.ended_ms)}"),
            ("outcome", line.code or line.finish_reason),
            ("measured", f"{length}, {line.cached_tokens} of the prompt cached" + _found(line)),
            ("note", line.note),
            ("price", f"version {price.version} of {price.model}" if price.version else "none"),
            ("for lengths from", _band_of(explained)),
            ("percent of the price", price.percent if price.percent != 100 else ""),
        )
    )
    if by_plan is not None:
        _show_credits(by_plan)
    show_table(
        ["of", "measured>", "by packs>", "charged>", "price, yuan>", "for", "amount, yuan>"],
        (
            [
                part.what,
                part.measured,
                part.by_packs,
                part.charged,
                format_yuan(part.price),
                "each" if part.what == "call" else "million tokens",
                format_parts(part.parts),
            ]
            for part in explained.parts
        ),
        none="Nothing of it has a price." if by_plan is None else "The plan paid for it: nothing else did.",
    )
    show_facts(
        (
            ("sum, yuan", format_parts(explained.exact_parts)),
            ("rounding, yuan", format_parts(explained.rounding_parts)),
            ("beyond its hold, not charged", format_yuan(line.overage) if line.overage else ""),
            (
                "NOT EXPLAINED, yuan" if explained.unexplained else "unexplained, yuan",
                format_yuan(explained.unexplained),
            ),
            ("charge, yuan", format_yuan(line.charge)),
            ("saved by packs, yuan", format_yuan(explained.saved) if explained.saved else ""),
            ("credits of a plan", _plan_credits(line.plan_credits)),
            ("given back, yuan", format_yuan(explained.refunded) if explained.refunded else ""),
        )
    )
    show_table(
        ["posting>", "time (UTC+8)", "kind", "from", "to", "amount>", "", "balance>"],
        ([*_posting_cells(posting)] for posting in explained.postings),
        none="Nothing was posted: it cost nothing.",
    )


def _credits_json(by_plan: CreditExplanation) -> Json:
    return {
        "percent": by_plan.percent,
        "parts": [
            {
                "what": part.what,
                "measured": part.measured,
                "rate": format_credits(part.rate),
                "credits": format_credit_parts(part.parts),
            }
            for part in by_plan.parts
        ],
        "computed": format_credits(by_plan.computed),
        "taken": format_credits(by_plan.taken),
        "capped": format_credits(by_plan.capped),
        "unexplained": format_credits(by_plan.unexplained),
    }


def _show_credits(by_plan: CreditExplanation) -> None:
    shown = _credits_json(by_plan)
    show_table(
        ["of", "measured>", "credits for each>", "percent at that time>", "credits>"],
        (
            [part["what"], part["measured"], part["rate"], by_plan.percent, part["credits"]]
            for part in shown["parts"]
        ),
    )
    show_facts(
        (
            ("sum, credits", shown["computed"]),
            ("not taken, the plan had no more", shown["capped"] if by_plan.capped else ""),
            (
                "NOT EXPLAINED, credits" if by_plan.unexplained else "unexplained, credits",
                shown["unexplained"],
            ),
            ("taken, credits", shown["taken"]),
        )
    )


def format_credits(millionths: int) -> str:
    """Credits with all their six places."""
    return f"{millionths // 1_000_000}.{millionths % 1_000_000:06}"


def format_credit_parts(parts: int) -> str:
    """Credits before rounding, with all their eight places."""
    return f"{parts // 100_000_000}.{parts % 100_000_000:08}"


def format_parts(parts: int) -> str:
    """An amount before rounding: yuan with all its seventeen places."""
    yuan, rest = divmod(abs(parts), _PARTS_PER_YUAN)
    return f"{'-' if parts < 0 else ''}{yuan}.{rest:017}"


def _by_packs(used: Used) -> str:
    tokens = f"{used.pack_tokens} tokens" if used.pack_tokens else ""
    calls = f"{used.pack_calls} calls" if used.pack_calls else ""
    return ", ".join(filter(None, (tokens, calls)))


def _plan_credits(millionths: int) -> str:
    return format_credits(millionths) if millionths else ""


def _group_cells(group: Group, by: By, key_names: dict[str, str]) -> Iterator[object]:
    if by.span_ms:
        yield clock_name(group.from_ms)
    if by.model:
        yield group.model
    if by.key:
        yield group.api_key_id
        yield key_names.get(group.api_key_id)
    used = group.used
    yield from (used.requests, used.failed, used.prompt_tokens, used.cached_tokens, used.completion_tokens)
    yield from (format_yuan(used.saved), format_yuan(used.charge))


def _amounts_json(amounts: Amounts, show: Any) -> Json:
    return {name: show(amount) for name, amount in msgspec.structs.asdict(amounts).items()}


def _price_json(explained: Explanation) -> Json | None:
    price, band = explained.price, explained.band
    if not price.version:
        return None
    return {
        "version": price.version,
        "model": price.model,
        "input_from": band.input_from if band else 0,
        "output_from": band.output_from if band else 0,
        "input": format_yuan(band.input if band else 0),
        "output": format_yuan(band.output if band else 0),
        "cached": None if band is None or band.cached is None else format_yuan(band.cached),
        "per_call": format_yuan(price.per_call),
        "percent": price.percent,
    }


def _posting_json(posting: Posting) -> Json:
    money = posting.unit == "nano"
    return {
        "seq": posting.seq,
        "time": moment_name(posting.at_ms),
        "kind": posting.kind,
        "debit": posting.debit,
        "credit": posting.credit,
        "unit": "yuan" if money else posting.unit,
        "amount": format_yuan(posting.amount) if money else posting.amount,
        "balance": format_yuan(posting.balance) if money else posting.balance,
        "memo": posting.memo,
        "hash": posting.hash.hex(),
    }


def _posting_cells(posting: Posting) -> Iterator[object]:
    shown = _posting_json(posting)
    yield posting.seq
    yield clock_name(posting.at_ms)
    yield from (shown[name] for name in ("kind", "debit", "credit", "amount", "unit", "balance"))


def _found(line: Line) -> str:
    words = {
        "engine": "; as the engine says",
        "counted": "; as the platform counted",
        "none": "; nothing was",
    }
    return words.get(line.source, "")


def _band_of(explained: Explanation) -> str:
    band = explained.band
    if band is None or len(explained.price.bands) == 1:
        return ""
    return f"{band.input_from} prompt and {band.output_from} completion tokens"
