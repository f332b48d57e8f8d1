-- Money: books and the postings between them, resource packs, prices, what a request cost, replies kept for repetition.
-- Money is in nano-yuan, times are Unix milliseconds.

-- One line per thing that can hold something. The platform's have no account and numbers below 100, which never
-- change; customers' are numbered from 100.
CREATE TABLE books (
    id          INTEGER PRIMARY KEY,
    account_id  TEXT,
    name        TEXT NOT NULL,  -- 'cash' or 'pack:<id>' of an account, or the platform's, as below
    unit        TEXT NOT NULL CHECK (unit IN ('nano', 'tokens', 'calls')),
    CHECK ((account_id IS NULL) = (id < 100))
) STRICT;

CREATE UNIQUE INDEX books_by_account ON books (account_id, name) WHERE account_id IS NOT NULL;

INSERT INTO books (id, name, unit) VALUES
    (1, 'funding', 'nano'),
    (2, 'revenue', 'nano'),
    (3, 'adjustments', 'nano'),
    (4, 'packs_sold', 'tokens'),
    (5, 'packs_sold', 'calls'),
    (6, 'gifts', 'tokens'),
    (7, 'gifts', 'calls'),
    (8, 'packs_used', 'tokens'),
    (9, 'packs_used', 'calls'),
    (10, 'packs_expired', 'tokens'),
    (11, 'packs_expired', 'calls');

-- What a resource pack is. What is left of it is the balance of its book.
CREATE TABLE packs (
    id          TEXT    NOT NULL PRIMARY KEY,
    account_id  TEXT    NOT NULL,
    unit        TEXT    NOT NULL CHECK (unit IN ('tokens', 'calls')),
    amount      INTEGER NOT NULL CHECK (amount > 0),
    models      TEXT,   -- a JSON list of model ids in lower case; NULL: every model
    gift        INTEGER NOT NULL CHECK (gift IN (0, 1)),
    from_ms     INTEGER NOT NULL,
    to_ms       INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL,
    CHECK (from_ms < to_ms)
) STRICT;

CREATE INDEX packs_by_account ON packs (account_id, to_ms);

-- Each version of each model's price; `body` is billing.pricing.Price as JSON. A usage row names the version it was
-- charged by.
CREATE TABLE prices (
    version     INTEGER PRIMARY KEY,
    model       TEXT    NOT NULL,
    source      TEXT    NOT NULL CHECK (source IN ('config', 'operator', 'catalog')),
    body        TEXT    NOT NULL,
    created_ms  INTEGER NOT NULL
) STRICT;

CREATE INDEX prices_by_model ON prices (model);

-- One row per posting: `amount` goes from the book `debit` to the book `credit`, one of which is a customer's: that is
-- `book`, and `balance` is what it holds afterwards. `hash` is SHA-256 over the hash before, this row and the usage row.
CREATE TABLE ledger (
    seq       INTEGER PRIMARY KEY,
    at_ms     INTEGER NOT NULL,
    kind      TEXT    NOT NULL
              CHECK (kind IN ('topup', 'adjust', 'refund', 'post', 'pack_grant', 'pack_burn', 'pack_expire')),
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

-- A book's last posting has its balance.
CREATE INDEX ledger_by_book ON ledger (book);
-- What was given back of a request.
CREATE INDEX ledger_refunds ON ledger (usage_id) WHERE kind = 'refund';

ALTER TABLE usage ADD COLUMN charge        INTEGER NOT NULL DEFAULT 0 CHECK (charge >= 0);
ALTER TABLE usage ADD COLUMN price_version INTEGER NOT NULL DEFAULT 0 CHECK (price_version >= 0);
ALTER TABLE usage ADD COLUMN pack_tokens   INTEGER NOT NULL DEFAULT 0 CHECK (pack_tokens >= 0);
ALTER TABLE usage ADD COLUMN pack_calls    INTEGER NOT NULL DEFAULT 0 CHECK (pack_calls >= 0);
-- What went beyond the hold and was not charged.
ALTER TABLE usage ADD COLUMN overage       INTEGER NOT NULL DEFAULT 0 CHECK (overage >= 0);
-- Who counted the tokens: 'engine', 'counted' (the platform), 'none'; '' in rows from before there were prices.
ALTER TABLE usage ADD COLUMN source        TEXT    NOT NULL DEFAULT '';
-- Why something was cut, estimated or not charged.
ALTER TABLE usage ADD COLUMN note          TEXT    NOT NULL DEFAULT '';
ALTER TABLE usage ADD COLUMN stream        INTEGER NOT NULL DEFAULT 0 CHECK (stream IN (0, 1));
ALTER TABLE usage ADD COLUMN batch         INTEGER NOT NULL DEFAULT 0 CHECK (batch IN (0, 1));
ALTER TABLE usage ADD COLUMN plan_credits  INTEGER NOT NULL DEFAULT 0 CHECK (plan_credits >= 0);
-- 1: something was charged or delivered, so the caller's request id is used up for ever.
ALTER TABLE usage ADD COLUMN claims        INTEGER NOT NULL DEFAULT 0 CHECK (claims IN (0, 1));
-- The first of its postings, which follow one another; NULL: nothing was charged.
ALTER TABLE usage ADD COLUMN posting       INTEGER CHECK (posting > 0);

CREATE UNIQUE INDEX usage_claims ON usage (account_id, request_id) WHERE request_id <> log_id AND claims = 1;
-- A request is billed once.
CREATE UNIQUE INDEX usage_charged ON usage (log_id) WHERE posting IS NOT NULL;

-- Whole answers, kept for a day for a caller who sends the same request id again.
CREATE TABLE replies (
    id           INTEGER PRIMARY KEY,
    account_id   TEXT    NOT NULL,
    request_id   TEXT    NOT NULL,
    body_digest  BLOB    NOT NULL,
    reply        BLOB    NOT NULL,
    created_ms   INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX replies_by_request ON replies (account_id, request_id);
CREATE INDEX replies_by_age ON replies (created_ms);

CREATE TRIGGER books_are_never_changed BEFORE UPDATE ON books
BEGIN
    SELECT RAISE (ABORT, 'books is append-only');
END;

CREATE TRIGGER books_are_never_deleted BEFORE DELETE ON books
BEGIN
    SELECT RAISE (ABORT, 'books is append-only');
END;

CREATE TRIGGER packs_are_never_changed BEFORE UPDATE ON packs
BEGIN
    SELECT RAISE (ABORT, 'packs is append-only');
END;

CREATE TRIGGER packs_are_never_deleted BEFORE DELETE ON packs
BEGIN
    SELECT RAISE (ABORT, 'packs is append-only');
END;

CREATE TRIGGER prices_are_never_changed BEFORE UPDATE ON prices
BEGIN
    SELECT RAISE (ABORT, 'prices is append-only');
END;

CREATE TRIGGER prices_are_never_deleted BEFORE DELETE ON prices
BEGIN
    SELECT RAISE (ABORT, 'prices is append-only');
END;

CREATE TRIGGER ledger_is_never_changed BEFORE UPDATE ON ledger
BEGIN
    SELECT RAISE (ABORT, 'ledger is append-only');
END;

CREATE TRIGGER ledger_is_never_deleted BEFORE DELETE ON ledger
BEGIN
    SELECT RAISE (ABORT, 'ledger is append-only');
END;
