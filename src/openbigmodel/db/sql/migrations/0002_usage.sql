-- One row per request, written at settlement and never changed. Times are Unix milliseconds.

-- No foreign keys: a row is evidence of work done, and must not be refused for the sake of another table.
CREATE TABLE usage (
    id                 INTEGER PRIMARY KEY,
    log_id             TEXT    NOT NULL,  -- the platform's own, as in x-log-id and the request log
    request_id         TEXT    NOT NULL,  -- the caller's, or the same
    account_id         TEXT    NOT NULL,
    api_key_id         TEXT    NOT NULL,
    model              TEXT    NOT NULL,
    engine             TEXT    NOT NULL,
    prompt_tokens      INTEGER NOT NULL CHECK (prompt_tokens >= 0),
    cached_tokens      INTEGER NOT NULL CHECK (cached_tokens >= 0),
    completion_tokens  INTEGER NOT NULL CHECK (completion_tokens >= 0),
    reasoning_tokens   INTEGER NOT NULL CHECK (reasoning_tokens >= 0),
    finish_reason      TEXT,
    code               TEXT,
    started_ms         INTEGER NOT NULL,
    ended_ms           INTEGER NOT NULL
) STRICT;

CREATE INDEX usage_by_account ON usage (account_id, ended_ms);

CREATE TRIGGER usage_is_never_changed BEFORE UPDATE ON usage
BEGIN
    SELECT RAISE (ABORT, 'usage is append-only');
END;

CREATE TRIGGER usage_is_never_deleted BEFORE DELETE ON usage
BEGIN
    SELECT RAISE (ABORT, 'usage is append-only');
END;
