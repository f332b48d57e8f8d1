-- Money that is given to an account and was never paid in: a kind of posting and a book of their own.

INSERT INTO books (id, name, unit) VALUES (12, 'gifts', 'nano');

-- SQLite cannot change which kinds a table takes, so the ledger moves to one that takes one more. Every posting keeps
-- its number and its hash, and with them the chain.
CREATE TABLE ledger_with_gifts (
    seq       INTEGER PRIMARY KEY,
    at_ms     INTEGER NOT NULL,
    kind      TEXT    NOT NULL
              CHECK (kind IN ('topup', 'gift', 'adjust', 'refund', 'post', 'pack_grant', 'pack_burn', 'pack_expire')),
    debit     INTEGER NOT NULL,
    credit    INTEGER NOT NULL,
    amount    INTEGER NOT NULL CHECK (amount > 0),
    balance   INTEGER NOT NULL CHECK (balance >= 0),
    usage_id  INTEGER,            -- of the request that is paid for, or whose charge is given back
    log_id    TEXT    NOT NULL,   -- of the request, or of the operator's action
    memo      TEXT    NOT NULL,   -- in the operator's words
    hash      BLOB    NOT NULL CHECK (length(hash) = 32),
    book      INTEGER NOT NULL GENERATED ALWAYS AS (max(debit, credit)) VIRTUAL,
    CHECK (min(debit, credit) BETWEEN 1 AND 99 AND max(debit, credit) >= 100)
) STRICT;

INSERT INTO ledger_with_gifts (seq, at_ms, kind, debit, credit, amount, balance, usage_id, log_id, memo, hash)
SELECT seq, at_ms, kind, debit, credit, amount, balance, usage_id, log_id, memo, hash FROM ledger ORDER BY seq;

DROP TABLE ledger;
ALTER TABLE ledger_with_gifts RENAME TO ledger;

-- As they were.
CREATE INDEX ledger_by_book ON ledger (book);
CREATE INDEX ledger_refunds ON ledger (usage_id) WHERE kind = 'refund';
CREATE INDEX ledger_actions_by_book ON ledger (book, at_ms) WHERE kind NOT IN ('post', 'pack_burn');

CREATE TRIGGER ledger_is_never_changed BEFORE UPDATE ON ledger
BEGIN
    SELECT RAISE (ABORT, 'ledger is append-only');
END;

CREATE TRIGGER ledger_is_never_deleted BEFORE DELETE ON ledger
BEGIN
    SELECT RAISE (ABORT, 'ledger is append-only');
END;
