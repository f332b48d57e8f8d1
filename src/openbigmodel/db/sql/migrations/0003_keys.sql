-- What an account is entitled to, what a key is restricted to, and who signs in. Times are Unix milliseconds.

ALTER TABLE accounts ADD COLUMN exempt INTEGER NOT NULL DEFAULT 0 CHECK (exempt IN (0, 1));  -- no limits, no price
ALTER TABLE accounts ADD COLUMN tier TEXT NOT NULL DEFAULT 'V0' CHECK (tier <> '');
ALTER TABLE accounts ADD COLUMN state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'locked'));
ALTER TABLE accounts ADD COLUMN rotate_leaked INTEGER NOT NULL DEFAULT 0 CHECK (rotate_leaked IN (0, 1));

-- So it was for the operator's own account when there was no column for it.
UPDATE accounts SET exempt = operator;

-- JSON arrays of text; NULL allows everything.
ALTER TABLE api_keys ADD COLUMN models TEXT CHECK (models IS NULL OR json_type(models) = 'array');
ALTER TABLE api_keys ADD COLUMN endpoints TEXT CHECK (endpoints IS NULL OR json_type(endpoints) = 'array');
ALTER TABLE api_keys ADD COLUMN networks TEXT CHECK (networks IS NULL OR json_type(networks) = 'array');
ALTER TABLE api_keys ADD COLUMN rotated_to TEXT REFERENCES api_keys (id);
ALTER TABLE api_keys ADD COLUMN leaked_ms INTEGER;
-- 0 for a key that the platform made on its own: nobody has been told its secret yet.
ALTER TABLE api_keys ADD COLUMN told INTEGER NOT NULL DEFAULT 1 CHECK (told IN (0, 1));

-- People who sign in. Those who run the platform belong to no account.
CREATE TABLE users (
    id          TEXT    NOT NULL PRIMARY KEY,
    account_id  TEXT    REFERENCES accounts (id),
    email       TEXT    NOT NULL COLLATE NOCASE UNIQUE,
    name        TEXT    NOT NULL,
    role        TEXT    NOT NULL CHECK (role IN ('owner', 'member', 'viewer', 'operator')),
    state       TEXT    NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled')),
    created_ms  INTEGER NOT NULL,
    CHECK ((account_id IS NULL) = (role = 'operator'))
) STRICT, WITHOUT ROWID;

CREATE INDEX users_by_account ON users (account_id, created_ms);
