-- name: count_many_requests_since
-- The same where many rows are not summed yet, counted no further than ?4: the account's own, by time.
SELECT
    (
        SELECT coalesce(sum(requests), 0) FROM usage_sums
        WHERE account_id = ?1 AND span = 'day' AND from_ms = ?3 AND model = ?2
    ) + (
        SELECT count(*) FROM (
            SELECT 1 FROM usage INDEXED BY usage_by_account
            WHERE account_id = ?1 AND ended_ms >= ?3 AND +model = ?2 AND +id > (SELECT usage_id FROM usage_summed)
            LIMIT ?4
        )
    )

-- name: count_requests_since
-- How many requests to model ?2 account ?1 has made since its day began at ?3 (Unix ms): as summed, and those not summed yet.
SELECT
    (
        SELECT coalesce(sum(requests), 0) FROM usage_sums
        WHERE account_id = ?1 AND span = 'day' AND from_ms = ?3 AND model = ?2
    ) + (
        SELECT count(*) FROM usage
        WHERE id > (SELECT usage_id FROM usage_summed)
            AND +account_id = ?1 AND model = ?2 AND +ended_ms >= ?3
    )
