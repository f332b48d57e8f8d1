-- Accounts and the API keys they own. Times are Unix milliseconds.

CREATE TABLE accounts (
    id          TEXT    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL,
    operator    INTEGER NOT NULL DEFAULT 0 CHECK (operator IN (0, 1)),
    created_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which master keys the secrets derive from: a fingerprint tells the right file from a wrong one, and no more.
CREATE TABLE master_keys (
    version      INTEGER NOT NULL PRIMARY KEY CHECK (version >= 1),
    fingerprint  TEXT    NOT NULL,
    created_ms   INTEGER NOT NULL
) STRICT;

-- A key's secret is not here: it is derived from the master key, the id and the version.
CREATE TABLE api_keys (
    id            TEXT    NOT NULL PRIMARY KEY,
    account_id    TEXT    NOT NULL REFERENCES accounts (id),
    kind          TEXT    NOT NULL CHECK (kind IN ('standard', 'coding')),
    version       INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1),
    name          TEXT    NOT NULL,
    state         TEXT    NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled')),
    created_ms    INTEGER NOT NULL,
    last_used_ms  INTEGER,
    expires_ms    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX api_keys_by_account ON api_keys (account_id, created_ms);
