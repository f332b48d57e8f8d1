import hashlib

from openbigmodel.billing.chain import GENESIS, NO_USAGE, POSTING_WIDTH, PostingColumns, UsageColumns, link
from openbigmodel.billing.store import INSERT_USAGE

POSTING = PostingColumns(1, 1000, "topup", 1, 100, 5, 5, None, "log", '中文 "quoted"')


def test_the_hash_is_what_anybody_can_work_out() -> None:
    text = '[1,1000,"topup",1,100,5,5,null,"log","中文 \\"quoted\\"",' + ",".join(["null"] * 26) + "]"
    expected = hashlib.sha256(bytes(32) + text.encode()).digest()
    assert link(GENESIS, (*POSTING, *NO_USAGE)) == expected


def test_every_column_and_the_hash_before_count() -> None:
    usage = UsageColumns(*range(26))
    fields = (*POSTING, *usage)
    seen = {link(GENESIS, fields), link(b"\1" * 32, fields)}
    for index in range(len(fields)):
        seen.add(link(GENESIS, (*fields[:index], "other", *fields[index + 1 :])))
    assert len(seen) == 2 + POSTING_WIDTH + 26


def test_the_columns_are_those_of_the_tables() -> None:
    assert PostingColumns._fields == tuple(
        "seq at_ms kind debit credit amount balance usage_id log_id memo".split()
    )
    inserted = INSERT_USAGE[INSERT_USAGE.index("(") + 1 : INSERT_USAGE.index(")")]
    assert UsageColumns._fields == tuple(name.strip() for name in inserted.split(","))
