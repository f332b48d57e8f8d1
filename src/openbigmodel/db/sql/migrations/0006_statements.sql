-- Sums of usage, so that a statement does not read every line. Times are Unix milliseconds, money is nano-yuan.

-- Made from the usage rows up to `usage_summed.usage_id` and from nothing else; every hour is also part of its day.
-- Days begin at midnight UTC+8, as bills on bigmodel.cn do.
CREATE TABLE usage_sums (
    account_id         TEXT    NOT NULL,
    span               TEXT    NOT NULL CHECK (span IN ('hour', 'day')),
    from_ms            INTEGER NOT NULL,
    model              TEXT    NOT NULL,
    api_key_id         TEXT    NOT NULL,
    requests           INTEGER NOT NULL,
    failed             INTEGER NOT NULL,  -- of these: ended with an error code
    free               INTEGER NOT NULL,  -- of these: neither failed nor cost anything
    prompt_tokens      INTEGER NOT NULL,
    cached_tokens      INTEGER NOT NULL,
    completion_tokens  INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    charge             INTEGER NOT NULL,
    saved              INTEGER NOT NULL,  -- what packs covered, at the price of each request
    pack_tokens        INTEGER NOT NULL,
    pack_calls         INTEGER NOT NULL,
    plan_credits       INTEGER NOT NULL,
    PRIMARY KEY (account_id, span, from_ms, model, api_key_id)
) STRICT, WITHOUT ROWID;

-- One row: the last usage row that is part of the sums.
CREATE TABLE usage_summed (
    singleton  INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
    usage_id   INTEGER NOT NULL
) STRICT;

INSERT INTO usage_summed (singleton, usage_id) VALUES (1, 0);

-- Only requests to which the caller gave an id, and only those that failed, pay for these.
CREATE INDEX usage_by_request_id ON usage (request_id) WHERE request_id <> log_id;
CREATE INDEX usage_failed ON usage (account_id, ended_ms) WHERE code <> '';
-- What an account was paid in, adjusted and given back in a month; the many postings of requests are not in it.
CREATE INDEX ledger_actions_by_book ON ledger (book, at_ms) WHERE kind NOT IN ('post', 'pack_burn');
