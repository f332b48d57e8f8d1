"""What the hash of a posting covers, so that nobody changes the past unseen.

Rule: the hash of a posting is SHA-256 over the hash of the posting before (32 zero bytes for the first) and then the
columns of the posting and of its usage row as one JSON list without blanks, in UTF-8 and in the order given here, with
`null` for every column of a usage row that it has none of. The order never changes: hashes on disk depend on it.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

GENESIS = bytes(32)


class PostingColumns(NamedTuple):
    """A row of the ledger without its hash."""

    seq: int
    at_ms: int
    kind: str
    debit: int
    credit: int
    amount: int
    balance: int
    usage_id: int | None
    log_id: str
    memo: str


class UsageColumns(NamedTuple):
    """A row of the usage table without its id."""

    log_id: str
    request_id: str
    account_id: str
    api_key_id: str
    model: str
    engine: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    finish_reason: str | None
    code: str | None
    started_ms: int
    ended_ms: int
    charge: int
    overage: int
    price_version: int
    pack_tokens: int
    pack_calls: int
    plan_credits: int
    source: str
    note: str
    stream: int
    batch: int
    claims: int
    posting: int | None


POSTING_WIDTH = len(PostingColumns._fields)
NO_USAGE: tuple[None, ...] = (None,) * len(UsageColumns._fields)

canonical: Callable[[tuple[Any, ...]], bytes] = msgspec.json.Encoder().encode


def link(previous: bytes, fields: tuple[Any, ...]) -> bytes:
    """The hash of the posting with these columns, its usage row's after its own."""
    return sha256(previous + canonical(fields)).digest()
