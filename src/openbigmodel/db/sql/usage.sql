-- name: insert_usage
-- What one request used; runs once per request, on the hot path.
INSERT INTO usage (
    log_id, request_id, account_id, api_key_id, model, engine,
    prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens,
    finish_reason, code, started_ms, ended_ms
) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
