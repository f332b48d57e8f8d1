-- name: insert_account
-- A new active account.
INSERT INTO accounts (id, name, operator, created_ms, exempt, tier, rotate_leaked)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)

-- name: any_operator
-- One row if there is an operator's account.
SELECT 1 FROM accounts WHERE operator = 1 LIMIT 1

-- name: fetch_account
-- One account.
SELECT id, name, operator, created_ms, exempt, tier, state, rotate_leaked FROM accounts WHERE id = ?1

-- name: list_accounts
-- At most ?3 accounts after that one, oldest first.
SELECT id, name, operator, created_ms, exempt, tier, state, rotate_leaked FROM accounts
WHERE (created_ms, id) > (?1, ?2)
ORDER BY created_ms, id LIMIT ?3

-- name: update_account
-- Changes an account; what is NULL stays as it is.
UPDATE accounts SET name = ifnull(?2, name), exempt = ifnull(?3, exempt), tier = ifnull(?4, tier),
    state = ifnull(?5, state), rotate_leaked = ifnull(?6, rotate_leaked)
WHERE id = ?1

-- name: insert_key
-- A new active key, first version.
INSERT INTO api_keys (id, account_id, kind, name, created_ms, expires_ms, models, endpoints, networks)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)

-- name: copy_key
-- A new key that may do what another may, for as long.
INSERT INTO api_keys (id, account_id, kind, name, created_ms, expires_ms, models, endpoints, networks, told)
SELECT ?2, account_id, kind, name, ?3, expires_ms, models, endpoints, networks, ?4 FROM api_keys WHERE id = ?1

-- name: retire_key
-- Has a key end at a time, or sooner if it does anyway, in favour of another.
UPDATE api_keys SET rotated_to = ?2, expires_ms = min(ifnull(expires_ms, ?3), ?3) WHERE id = ?1

-- name: fetch_key
-- One key with what a caller's standing depends on; runs for every credential that is not cached.
SELECT k.account_id, k.kind, k.version, k.state, k.expires_ms, k.models, k.endpoints, k.networks, k.leaked_ms,
    k.rotated_to, a.operator, a.exempt, a.tier, a.state, a.rotate_leaked
FROM api_keys AS k JOIN accounts AS a ON a.id = k.account_id
WHERE k.id = ?1

-- name: fetch_key_record
-- One key as a list shows it.
SELECT id, account_id, kind, version, name, state, created_ms, last_used_ms, expires_ms, models, endpoints, networks,
    rotated_to, leaked_ms, told
FROM api_keys WHERE id = ?1

-- name: list_keys
-- At most ?4 keys of one account after that one, oldest first.
SELECT id, account_id, kind, version, name, state, created_ms, last_used_ms, expires_ms, models, endpoints, networks,
    rotated_to, leaked_ms, told
FROM api_keys
WHERE account_id = ?1 AND (created_ms, id) > (?2, ?3)
ORDER BY created_ms, id LIMIT ?4

-- name: list_key_states
-- The same, as far as it takes to tell which of them work.
SELECT created_ms, id, state, expires_ms FROM api_keys
WHERE account_id = ?1 AND (created_ms, id) > (?2, ?3)
ORDER BY created_ms, id LIMIT ?4

-- name: disable_key
-- Takes a key out of use; changes nothing if it is already disabled or does not exist.
UPDATE api_keys SET state = 'disabled' WHERE id = ?1 AND state = 'active'

-- name: rename_key
-- Another name for a key.
UPDATE api_keys SET name = ?2 WHERE id = ?1

-- name: set_key_expiry
-- Another end for a key; NULL is none.
UPDATE api_keys SET expires_ms = ?2 WHERE id = ?1

-- name: set_key_restrictions
-- All that a key may be used for from now on; NULL allows everything.
UPDATE api_keys SET models = ?2, endpoints = ?3, networks = ?4 WHERE id = ?1

-- name: note_key_used
-- When a key was last used; never goes back.
UPDATE api_keys SET last_used_ms = max(ifnull(last_used_ms, 0), ?2) WHERE id = ?1

-- name: flag_leaked_key
-- Notes when a key was seen where no key belongs; the first time counts.
UPDATE api_keys SET leaked_ms = ?2 WHERE id = ?1 AND leaked_ms IS NULL

-- name: mark_key_told
-- The secret of a key that the platform made on its own is about to be told, for the only time.
UPDATE api_keys SET told = 1 WHERE id = ?1 AND told = 0

-- name: insert_user
-- A new active user.
INSERT INTO users (id, account_id, email, name, role, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)

-- name: fetch_user
-- One user.
SELECT id, account_id, email, name, role, state, created_ms FROM users WHERE id = ?1

-- name: any_user_with_email
-- One row if somebody has this address, in any letter case.
SELECT 1 FROM users WHERE email = ?1

-- name: list_all_users
-- At most ?3 users after that one, oldest first.
SELECT id, account_id, email, name, role, state, created_ms FROM users
WHERE (created_ms, id) > (?1, ?2)
ORDER BY created_ms, id LIMIT ?3

-- name: list_users
-- At most ?4 users of one account after that one, oldest first.
SELECT id, account_id, email, name, role, state, created_ms FROM users
WHERE account_id = ?1 AND (created_ms, id) > (?2, ?3)
ORDER BY created_ms, id LIMIT ?4

-- name: count_users
-- How many users an account has.
SELECT count(*) FROM users WHERE account_id = ?1

-- name: any_other_owner
-- One row if the account of this user has another owner who can sign in.
SELECT 1 FROM users AS u JOIN users AS o ON o.account_id = u.account_id
WHERE u.id = ?1 AND o.id <> u.id AND o.role = 'owner' AND o.state = 'active'

-- name: any_other_user
-- One row if the account of this user has any other user.
SELECT 1 FROM users AS u JOIN users AS o ON o.account_id = u.account_id WHERE u.id = ?1 AND o.id <> u.id

-- name: update_user
-- Changes a user; what is NULL stays as it is.
UPDATE users SET role = ifnull(?2, role), state = ifnull(?3, state) WHERE id = ?1

-- name: delete_user
-- Forgets a user.
DELETE FROM users WHERE id = ?1

-- name: fetch_master_fingerprint
-- The fingerprint of one version of the master key.
SELECT fingerprint FROM master_keys WHERE version = ?1

-- name: add_master_fingerprint
-- Remembers the master key that a new key's secret derives from, if it is not known yet.
INSERT OR IGNORE INTO master_keys (version, fingerprint, created_ms) VALUES (?1, ?2, ?3)
