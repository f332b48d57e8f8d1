-- name: list_plans
-- Every subscription, by account and in time.
SELECT id, account_id, level, from_ms, to_ms, created_ms, ended_ms FROM plans ORDER BY account_id, from_ms

-- name: insert_plan
-- A new subscription.
INSERT INTO plans (account_id, level, from_ms, to_ms, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)

-- name: end_plan
-- Ends a subscription earlier; changes nothing if it has ended or does not exist.
UPDATE plans SET ended_ms = ?2 WHERE id = ?1 AND ended_ms IS NULL AND ?2 >= from_ms AND ?2 < to_ms

-- name: insert_plan_window
-- A window, unless it is there, and up to where the usage rows are older than it.
INSERT INTO plan_windows (plan_id, kind, from_ms, after_usage)
SELECT ?1, ?2, ?3, (SELECT coalesce(max(id), 0) FROM usage)
WHERE NOT EXISTS (SELECT 1 FROM plan_windows WHERE plan_id = ?1 AND kind = ?2 AND from_ms = ?3)

-- name: last_plan_window
-- When the last window of a plan began, and what an account of such plans has used since.
SELECT w.from_ms, (
    SELECT coalesce(sum(u.plan_credits), 0) FROM usage AS u
    WHERE u.account_id = ?3 AND u.plan_credits > 0 AND u.id > w.after_usage
)
FROM plan_windows AS w WHERE w.plan_id = ?1 AND w.kind = ?2 ORDER BY w.id DESC LIMIT 1
