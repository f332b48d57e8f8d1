-- Accounts in the order in which they are listed, so that a hundred thousand of them can be read a page at a time.

CREATE INDEX accounts_by_age ON accounts (created_ms, id);
