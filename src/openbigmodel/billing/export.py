"""Bills and usage as CSV for spreadsheets, with the console's Chinese column names or in English.

Rule: consumption − discount − refunds = payable in every line, and in every sum of lines: those of a month come to its
bill before it is rounded. It opens in Excel with a double click and runs nothing. The file begins with a byte order
mark, which is how Excel knows UTF-8, and text that a spreadsheet would take for a formula is quoted: ids and notes may
come from callers.
"""

import csv
import heapq
import io
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from openbigmodel.billing.bill import Bill
from openbigmodel.billing.money import format_fen, format_yuan
from openbigmodel.billing.periods import clock_name, day_name, day_start
from openbigmodel.billing.statement import Group, Line, Refunded, Used

Language = Literal["zh", "en"]

BYTE_ORDER_MARK = "\ufeff"

# What makes a formula in Excel, LibreOffice and Google Sheets, also in the full width of Chinese keyboards.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")

# Name of a column in Chinese, in English.
_Head = tuple[str, str]

_PERIOD: _Head = ("账期", "Billing period")
_CONSUMPTION: _Head = ("总消费金额", "Total consumption (CNY)")
_PAYABLE: _Head = ("应付金额", "Amount payable (CNY)")
_DISCOUNT: _Head = ("优惠金额", "Discount (CNY)")
_REFUNDS: _Head = ("退款金额", "Refunds (CNY)")
_REQUESTS: _Head = ("调用次数", "Requests")
_FAILED: _Head = ("失败次数", "Failed requests")
_MODEL: _Head = ("模型", "Model")
_KEY: _Head = ("API key", "API key")
_KEY_NAME: _Head = ("API key 名称", "API key name")
_TOKENS: tuple[_Head, ...] = (
    ("输入 tokens", "Prompt tokens"),
    ("缓存 tokens", "Cached tokens"),
    ("输出 tokens", "Completion tokens"),
    ("思考 tokens", "Reasoning tokens"),
    ("资源包抵扣 tokens", "Tokens paid by packs"),
    ("资源包抵扣次数", "Calls paid by packs"),
)
_BILL: tuple[_Head, ...] = (
    _PERIOD,
    _CONSUMPTION,
    _PAYABLE,
    _DISCOUNT,
    _REFUNDS,
    _REQUESTS,
    _FAILED,
    *_TOKENS,
)
_DETAILS: tuple[_Head, ...] = (
    _PERIOD,
    _MODEL,
    _KEY,
    _KEY_NAME,
    _CONSUMPTION,
    _PAYABLE,
    _DISCOUNT,
    _REFUNDS,
    _REQUESTS,
    _FAILED,
    *_TOKENS,
)
_LINES: tuple[_Head, ...] = (
    _PERIOD,
    ("结束时间", "Ended (UTC+8)"),
    ("请求 ID", "Log id"),
    ("调用方请求 ID", "Caller's request id"),
    _MODEL,
    _KEY,
    _KEY_NAME,
    _CONSUMPTION,
    _PAYABLE,
    _DISCOUNT,
    _REFUNDS,
    *_TOKENS,
    ("价格版本", "Price version"),
    ("计量方式", "Measured by"),
    ("结束原因", "Finish reason"),
    ("错误码", "Error code"),
    ("备注", "Note"),
)

# The reason why the line of a refund is there, among the reasons why requests finished.
_REFUND: _Head = ("退款", "refund")
_SOURCES: dict[str, _Head] = {
    "engine": ("引擎", "engine"),
    "counted": ("平台计数", "counted"),
    "none": ("无", "none"),
}


def bills_csv(bills: Iterable[Bill], language: Language) -> Iterator[str]:
    """A line for each month, in yuan to the fen."""
    yield from _table(_BILL, language, (_bill_cells(bill) for bill in bills))


def details_csv(
    groups: Iterable[Group], refunds: Iterable[Refunded], key_names: dict[str, str], language: Language
) -> Iterator[str]:
    """A line for each day, model and key, in yuan to the nano-yuan: their sum is the month's before it is rounded.

    What was given back is in the line of the day on which it was, with the model and the key of its request.
    """
    parts = {(group.from_ms, group.model, group.api_key_id): group for group in groups}
    given_back: Counter[tuple[int, str, str]] = Counter()
    for refund in refunds:
        place = (day_start(refund.at_ms), refund.model, refund.api_key_id)
        given_back[place] += refund.amount
        parts.setdefault(place, Group(*place, Used()))
    rows = (_group_cells(parts[place], given_back[place], key_names) for place in sorted(parts))
    yield from _table(_DETAILS, language, rows)


def usage_csv(
    lines: Iterable[Line],
    refunds: Iterable[Refunded],
    key_names: dict[str, str],
    saved: Callable[[Line], int],
    language: Language,
    *,
    limit: int | None = None,
) -> Iterator[str]:
    """A line for each request and each refund, newest first as they are given, in yuan to the nano-yuan.

    `saved` tells what packs covered of a request, in nano-yuan.
    """
    moving: Iterator[Line | Refunded] = heapq.merge(lines, refunds, key=_moment_of, reverse=True)
    yield from _table(
        _LINES,
        language,
        (
            _refund_cells(each, key_names, language)
            if isinstance(each, Refunded)
            else _line_cells(each, key_names, saved(each), language)
            for each in itertools.islice(moving, limit)
        ),
    )


def plain_text(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _table(heads: Iterable[_Head], language: Language, rows: Iterable[list[object]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    yield BYTE_ORDER_MARK
    writer.writerow([head[_column(language)] for head in heads])
    yield buffer.getvalue()
    for row in rows:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow(row)
        yield buffer.getvalue()


def _column(language: Language) -> int:
    return 0 if language == "zh" else 1


def _bill_cells(bill: Bill) -> list[object]:
    fen, used = bill.fen, bill.used
    return [
        bill.month.dates,
        format_fen(fen.consumption),
        format_fen(fen.payable),
        format_fen(fen.discount),
        format_fen(fen.refunds),
        used.requests,
        used.failed,
        used.prompt_tokens,
        used.cached_tokens,
        used.completion_tokens,
        used.reasoning_tokens,
        used.pack_tokens,
        used.pack_calls,
    ]


def _group_cells(group: Group, refunds: int, key_names: dict[str, str]) -> list[object]:
    used = group.used
    return [
        day_name(group.from_ms),
        plain_text(group.model),
        group.api_key_id,
        plain_text(key_names.get(group.api_key_id, "")),
        *_money(used.charge, used.saved, refunds),
        used.requests,
        used.failed,
        used.prompt_tokens,
        used.cached_tokens,
        used.completion_tokens,
        used.reasoning_tokens,
        used.pack_tokens,
        used.pack_calls,
    ]


def _line_cells(line: Line, key_names: dict[str, str], saved: int, language: Language) -> list[object]:
    return [
        day_name(line.ended_ms),
        clock_name(line.ended_ms),
        plain_text(line.log_id),
        plain_text(line.request_id if line.request_id != line.log_id else ""),
        plain_text(line.model),
        line.api_key_id,
        plain_text(key_names.get(line.api_key_id, "")),
        *_money(line.charge, saved),
        line.prompt_tokens,
        line.cached_tokens,
        line.completion_tokens,
        line.reasoning_tokens,
        line.pack_tokens,
        line.pack_calls,
        line.price_version,
        _SOURCES.get(line.source, ("", ""))[_column(language)],
        plain_text(line.finish_reason),
        plain_text(line.code),
        plain_text(line.note),
    ]


def _refund_cells(refund: Refunded, key_names: dict[str, str], language: Language) -> list[object]:
    return [
        day_name(refund.at_ms),
        clock_name(refund.at_ms),
        plain_text(refund.log_id),
        plain_text(refund.request_id if refund.request_id != refund.log_id else ""),
        plain_text(refund.model),
        refund.api_key_id,
        plain_text(key_names.get(refund.api_key_id, "")),
        *_money(0, 0, refund.amount),
        *(0 for _ in _TOKENS),
        "",
        "",
        _REFUND[_column(language)],
        "",
        plain_text(refund.memo),
    ]


def _moment_of(moving: Line | Refunded) -> int:
    return moving.at_ms if isinstance(moving, Refunded) else moving.ended_ms


def _money(charge: int, saved: int, refunds: int = 0) -> tuple[str, str, str, str]:
    return (
        format_yuan(charge + saved),
        format_yuan(charge - refunds),
        format_yuan(saved),
        format_yuan(refunds),
    )
