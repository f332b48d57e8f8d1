-- name: insert_response
-- Keeps a response; harmless when repeated.
INSERT INTO responses (id, account_id, previous_id, created_ms, bytes, input, response)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (id) DO NOTHING

-- name: find_response
-- A response of an account that was stored at or after ?3 (Unix ms).
SELECT previous_id, input, response FROM responses WHERE id = ?1 AND account_id = ?2 AND created_ms >= ?3

-- name: find_response_size
-- What a response of an account counts, and what it followed, without its content.
SELECT previous_id, bytes FROM responses WHERE id = ?1 AND account_id = ?2 AND created_ms >= ?3

-- name: delete_response
-- Forgets one response of an account that was stored at or after ?3 (Unix ms).
DELETE FROM responses WHERE id = ?1 AND account_id = ?2 AND created_ms >= ?3

-- name: find_response_total
-- How many bytes an account has stored.
SELECT bytes FROM response_totals WHERE account_id = ?1

-- name: any_old_response
-- Whether there is a response from before ?1 (Unix ms).
SELECT 1 FROM responses WHERE created_ms < ?1 LIMIT 1

-- name: delete_old_responses
-- Forgets the oldest responses from before ?1 (Unix ms), at most ?2 of them.
DELETE FROM responses WHERE id IN (SELECT id FROM responses WHERE created_ms < ?1 ORDER BY created_ms LIMIT ?2)
