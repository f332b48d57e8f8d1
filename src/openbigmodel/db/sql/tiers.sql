-- name: spent_by_account
-- What an account was charged on the days from ?2 up to, not including, ?3.
SELECT coalesce(sum(charge), 0) FROM usage_sums
WHERE account_id = ?1 AND span = 'day' AND from_ms >= ?2 AND from_ms < ?3

-- name: fetch_spend_tier
-- The tier that followed from an account's spending when that was last looked at.
SELECT tier FROM spend_tiers WHERE account_id = ?1

-- name: set_spend_tier
-- What followed from an account's spending today.
INSERT INTO spend_tiers (account_id, tier, calculated_ms) VALUES (?1, ?2, ?3)
ON CONFLICT (account_id) DO UPDATE SET tier = excluded.tier, calculated_ms = excluded.calculated_ms
