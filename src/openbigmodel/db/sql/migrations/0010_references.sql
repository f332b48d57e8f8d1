-- What operators call the things that they have done, so that whoever does not know whether something was done can ask
-- for it once more: a reference stands for one posting of one account, and is written with it or not at all.

CREATE TABLE posting_references (
    account_id  TEXT    NOT NULL,
    reference   TEXT    NOT NULL,
    content     TEXT    NOT NULL,  -- what was asked for, as JSON; the same reference with anything else is a mistake
    posting     INTEGER NOT NULL CHECK (posting > 0),
    PRIMARY KEY (account_id, reference)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER posting_references_are_never_changed BEFORE UPDATE ON posting_references
BEGIN
    SELECT RAISE (ABORT, 'posting_references is append-only');
END;

CREATE TRIGGER posting_references_are_never_deleted BEFORE DELETE ON posting_references
BEGIN
    SELECT RAISE (ABORT, 'posting_references is append-only');
END;

-- Users in the order in which they are listed, a page at a time, as accounts are.
CREATE INDEX users_by_age ON users (created_ms, id);
