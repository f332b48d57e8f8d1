-- Responses that callers asked to be stored (OpenAI's Responses API), for a week. Times are Unix milliseconds.

-- `input` is the JSON of the request's own items or its text, `response` the whole object as it was answered; both are
-- last, so that a look at the rest reads none of their pages. `bytes` is what a row counts for its account.
CREATE TABLE responses (
    id           TEXT    NOT NULL PRIMARY KEY,
    account_id   TEXT    NOT NULL,
    previous_id  TEXT    NOT NULL,  -- '' for the first of a conversation
    created_ms   INTEGER NOT NULL,
    bytes        INTEGER NOT NULL CHECK (bytes > 0),
    input        BLOB    NOT NULL,
    response     BLOB    NOT NULL
) STRICT;

CREATE INDEX responses_by_age ON responses (created_ms);

-- What each account has stored; kept by the triggers below, because adding up its rows would take milliseconds.
CREATE TABLE response_totals (
    account_id  TEXT    NOT NULL PRIMARY KEY,
    bytes       INTEGER NOT NULL CHECK (bytes >= 0)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER responses_are_counted AFTER INSERT ON responses
BEGIN
    INSERT INTO response_totals (account_id, bytes) VALUES (NEW.account_id, NEW.bytes)
    ON CONFLICT (account_id) DO UPDATE SET bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER responses_are_counted_off AFTER DELETE ON responses
BEGIN
    UPDATE response_totals SET bytes = bytes - OLD.bytes WHERE account_id = OLD.account_id;
END;

CREATE TRIGGER responses_are_never_changed BEFORE UPDATE ON responses
BEGIN
    SELECT RAISE (ABORT, 'a response is as it was answered');
END;
