-- name: insert_account
-- A new account.
INSERT INTO accounts (id, name, operator, created_ms) VALUES (?1, ?2, ?3, ?4)

-- name: any_account
-- One row if there is any account at all.
SELECT 1 FROM accounts LIMIT 1

-- name: fetch_account
-- One account.
SELECT id, name, operator, created_ms FROM accounts WHERE id = ?1

-- name: list_accounts
-- All accounts, oldest first.
SELECT id, name, operator, created_ms FROM accounts ORDER BY created_ms, id

-- name: insert_key
-- A new active key, first version.
INSERT INTO api_keys (id, account_id, kind, name, created_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)

-- name: fetch_key
-- One key with what a caller's standing depends on; runs for every credential that is not cached.
SELECT k.account_id, k.kind, k.version, k.state, k.expires_ms, a.operator
FROM api_keys AS k JOIN accounts AS a ON a.id = k.account_id
WHERE k.id = ?1

-- name: list_keys
-- The keys of one account, oldest first.
SELECT id, account_id, kind, version, name, state, created_ms, last_used_ms, expires_ms
FROM api_keys WHERE account_id = ?1 ORDER BY created_ms, id

-- name: disable_key
-- Takes a key out of use; changes nothing if it is already disabled or does not exist.
UPDATE api_keys SET state = 'disabled' WHERE id = ?1 AND state = 'active'

-- name: fetch_master_fingerprint
-- The fingerprint of one version of the master key.
SELECT fingerprint FROM master_keys WHERE version = ?1

-- name: add_master_fingerprint
-- Remembers the master key that a new key's secret derives from, if it is not known yet.
INSERT OR IGNORE INTO master_keys (version, fingerprint, created_ms) VALUES (?1, ?2, ?3)
