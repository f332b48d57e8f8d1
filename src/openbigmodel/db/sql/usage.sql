-- name: insert_usage
-- What one request used and cost; runs once per request, on the hot path.
INSERT INTO usage (
    log_id, request_id, account_id, api_key_id, model, engine,
    prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens,
    finish_reason, code, started_ms, ended_ms,
    charge, overage, price_version, pack_tokens, pack_calls, plan_credits,
    source, note, stream, batch, claims, posting
) VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24,
    ?25, ?26
)
