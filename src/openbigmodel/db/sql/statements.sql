-- name: fetch_summed
-- The last usage row that is in the sums, and the last that there is.
SELECT usage_id, (SELECT coalesce(max(id), 0) FROM usage) FROM usage_summed

-- name: add_to_sums
-- Adds the usage rows after ?1 up to ?2 to the sums of their hours and days.
WITH hours AS MATERIALIZED (
    SELECT
        account_id, ended_ms / 3600000 * 3600000 AS from_ms, model, api_key_id,
        count(*) AS requests,
        sum(coalesce(code, '') <> '') AS failed,
        sum(coalesce(code, '') = '' AND charge + pack_tokens + pack_calls + plan_credits = 0) AS free,
        sum(prompt_tokens) AS prompt_tokens,
        sum(cached_tokens) AS cached_tokens,
        sum(completion_tokens) AS completion_tokens,
        sum(reasoning_tokens) AS reasoning_tokens,
        sum(charge) AS charge,
        sum(CASE WHEN pack_tokens + pack_calls > 0
            THEN saved_by_packs(price_version, batch, prompt_tokens, cached_tokens, completion_tokens, charge + overage)
            ELSE 0 END) AS saved,
        sum(pack_tokens) AS pack_tokens,
        sum(pack_calls) AS pack_calls,
        sum(plan_credits) AS plan_credits
    FROM usage NOT INDEXED
    WHERE id > ?1 AND id <= ?2
    GROUP BY 1, 2, 3, 4
)
INSERT INTO usage_sums
SELECT
    account_id, 'hour', from_ms, model, api_key_id, requests, failed, free,
    prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, charge, saved, pack_tokens, pack_calls,
    plan_credits
FROM hours
UNION ALL
SELECT
    account_id, 'day', (from_ms + 28800000) / 86400000 * 86400000 - 28800000, model, api_key_id, requests, failed, free,
    prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, charge, saved, pack_tokens, pack_calls,
    plan_credits
FROM hours
WHERE true
ON CONFLICT (account_id, span, from_ms, model, api_key_id) DO UPDATE SET
    requests = requests + excluded.requests,
    failed = failed + excluded.failed,
    free = free + excluded.free,
    prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    cached_tokens = cached_tokens + excluded.cached_tokens,
    completion_tokens = completion_tokens + excluded.completion_tokens,
    reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
    charge = charge + excluded.charge,
    saved = saved + excluded.saved,
    pack_tokens = pack_tokens + excluded.pack_tokens,
    pack_calls = pack_calls + excluded.pack_calls,
    plan_credits = plan_credits + excluded.plan_credits

-- name: set_summed
-- Remembers, in the same transaction, that the sums hold the usage rows up to ?2; does nothing if they don't end at ?1.
UPDATE usage_summed SET usage_id = ?2 WHERE usage_id = ?1

-- name: compare_sums
-- What the summed rows come to, by line, by hour and by day; for `verify`, because it reads all of them.
SELECT
    'line', count(*), sum(coalesce(code, '') <> ''), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens),
    sum(reasoning_tokens), sum(charge), sum(pack_tokens), sum(pack_calls), sum(plan_credits)
FROM usage
WHERE id <= (SELECT usage_id FROM usage_summed)
UNION ALL
SELECT
    'hour', coalesce(sum(requests), 0), sum(failed), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens),
    sum(reasoning_tokens), sum(charge), sum(pack_tokens), sum(pack_calls), sum(plan_credits)
FROM usage_sums
WHERE span = 'hour'
UNION ALL
SELECT
    'day', coalesce(sum(requests), 0), sum(failed), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens),
    sum(reasoning_tokens), sum(charge), sum(pack_tokens), sum(pack_calls), sum(plan_credits)
FROM usage_sums
WHERE span = 'day'

-- name: sums_by_time
-- An account's summed hours or days from ?3 to ?4, in the order of the table, which needs no sorting.
SELECT
    from_ms, '', '',
    sum(requests), sum(failed), sum(free),
    sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(reasoning_tokens),
    sum(charge), sum(saved), sum(pack_tokens), sum(pack_calls), sum(plan_credits)
FROM usage_sums
WHERE account_id = ?1 AND span = ?2 AND from_ms >= ?3 AND from_ms < ?4
    AND (?5 IS NULL OR model = ?5) AND (?6 IS NULL OR api_key_id = ?6)
GROUP BY from_ms

-- name: sums_as_kept
-- The same, one by one.
SELECT
    from_ms, model, api_key_id, requests, failed, free,
    prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, charge, saved, pack_tokens, pack_calls,
    plan_credits
FROM usage_sums
WHERE account_id = ?1 AND span = ?2 AND from_ms >= ?3 AND from_ms < ?4
    AND (?5 IS NULL OR model = ?5) AND (?6 IS NULL OR api_key_id = ?6)

-- name: sums_by_kind
-- The same in groups: of ?7 milliseconds if that is not 0, by model if ?8, by key if ?9.
SELECT
    CASE WHEN ?7 > 0 THEN (from_ms + 28800000) / ?7 * ?7 - 28800000 ELSE 0 END,
    CASE WHEN ?8 THEN model ELSE '' END,
    CASE WHEN ?9 THEN api_key_id ELSE '' END,
    sum(requests), sum(failed), sum(free),
    sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(reasoning_tokens),
    sum(charge), sum(saved), sum(pack_tokens), sum(pack_calls), sum(plan_credits)
FROM usage_sums
WHERE account_id = ?1 AND span = ?2 AND from_ms >= ?3 AND from_ms < ?4
    AND (?5 IS NULL OR model = ?5) AND (?6 IS NULL OR api_key_id = ?6)
GROUP BY 1, 2, 3

-- name: sum_lines
-- The same of lines, from ?3 to ?4, as far as they are part of the sums (up to row ?2): for hours that are cut.
SELECT
    CASE WHEN ?7 > 0 THEN (ended_ms + 28800000) / ?7 * ?7 - 28800000 ELSE 0 END,
    CASE WHEN ?8 THEN model ELSE '' END,
    CASE WHEN ?9 THEN api_key_id ELSE '' END,
    count(*),
    sum(coalesce(code, '') <> ''),
    sum(coalesce(code, '') = '' AND charge + pack_tokens + pack_calls + plan_credits = 0),
    sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(reasoning_tokens),
    sum(charge),
    sum(CASE WHEN pack_tokens + pack_calls > 0
        THEN saved_by_packs(price_version, batch, prompt_tokens, cached_tokens, completion_tokens, charge + overage)
        ELSE 0 END),
    sum(pack_tokens), sum(pack_calls), sum(plan_credits)
FROM usage
WHERE account_id = ?1 AND ended_ms >= ?3 AND ended_ms < ?4 AND id <= ?2
    AND (?5 IS NULL OR model = ?5) AND (?6 IS NULL OR api_key_id = ?6)
GROUP BY 1, 2, 3

-- name: sum_unsummed
-- The same of the lines after row ?2 up to row ?10, which are in no sum yet.
SELECT
    CASE WHEN ?7 > 0 THEN (ended_ms + 28800000) / ?7 * ?7 - 28800000 ELSE 0 END,
    CASE WHEN ?8 THEN model ELSE '' END,
    CASE WHEN ?9 THEN api_key_id ELSE '' END,
    count(*),
    sum(coalesce(code, '') <> ''),
    sum(coalesce(code, '') = '' AND charge + pack_tokens + pack_calls + plan_credits = 0),
    sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(reasoning_tokens),
    sum(charge),
    sum(CASE WHEN pack_tokens + pack_calls > 0
        THEN saved_by_packs(price_version, batch, prompt_tokens, cached_tokens, completion_tokens, charge + overage)
        ELSE 0 END),
    sum(pack_tokens), sum(pack_calls), sum(plan_credits)
FROM usage NOT INDEXED
WHERE id > ?2 AND id <= ?10 AND account_id = ?1 AND ended_ms >= ?3 AND ended_ms < ?4
    AND (?5 IS NULL OR model = ?5) AND (?6 IS NULL OR api_key_id = ?6)
GROUP BY 1, 2, 3

-- name: hours_of_usage
-- The hours from ?2 to ?3, newest first, in which an account (and a model, a key) had requests; rows after ?4 up to ?5 are not summed.
SELECT from_ms FROM usage_sums
WHERE account_id = ?1 AND span = 'hour' AND from_ms >= ?2 AND from_ms < ?3
    AND (?6 IS NULL OR model = ?6) AND (?7 IS NULL OR api_key_id = ?7)
UNION
SELECT ended_ms / 3600000 * 3600000 FROM usage NOT INDEXED
WHERE id > ?4 AND id <= ?5 AND account_id = ?1 AND ended_ms >= ?2 AND ended_ms < ?3
    AND (?6 IS NULL OR model = ?6) AND (?7 IS NULL OR api_key_id = ?7)
ORDER BY 1 DESC

-- name: list_usage
-- A page of an account's request log, newest first: from ?2, before the row ?4 of the moment ?3, up to row ?5.
SELECT
    id, log_id, request_id, api_key_id, model, engine, prompt_tokens, cached_tokens, completion_tokens,
    reasoning_tokens, coalesce(finish_reason, ''), coalesce(code, ''), started_ms, ended_ms, charge, price_version,
    pack_tokens, pack_calls, source, note, stream, batch, plan_credits, overage, account_id
FROM usage
WHERE account_id = ?1 AND ended_ms >= ?2 AND ended_ms <= ?3 AND (ended_ms < ?3 OR id < ?4) AND id <= ?5
    AND (?6 IS NULL OR model = ?6) AND (?7 IS NULL OR api_key_id = ?7)
ORDER BY ended_ms DESC, id DESC
LIMIT ?8

-- name: list_failed
-- The same, of requests that failed, with the code ?9 or any.
SELECT
    id, log_id, request_id, api_key_id, model, engine, prompt_tokens, cached_tokens, completion_tokens,
    reasoning_tokens, coalesce(finish_reason, ''), coalesce(code, ''), started_ms, ended_ms, charge, price_version,
    pack_tokens, pack_calls, source, note, stream, batch, plan_credits, overage, account_id
FROM usage INDEXED BY usage_failed
WHERE account_id = ?1 AND ended_ms >= ?2 AND ended_ms <= ?3 AND (ended_ms < ?3 OR id < ?4) AND id <= ?5
    AND (?6 IS NULL OR model = ?6) AND (?7 IS NULL OR api_key_id = ?7)
    AND code <> '' AND (?9 IS NULL OR code = ?9)
ORDER BY ended_ms DESC, id DESC
LIMIT ?8

-- name: find_charged
-- The request that cost something, by the platform's id of it.
SELECT
    id, log_id, request_id, api_key_id, model, engine, prompt_tokens, cached_tokens, completion_tokens,
    reasoning_tokens, coalesce(finish_reason, ''), coalesce(code, ''), started_ms, ended_ms, charge, price_version,
    pack_tokens, pack_calls, source, note, stream, batch, plan_credits, overage, account_id
FROM usage
WHERE log_id = ?1 AND posting IS NOT NULL

-- name: find_by_request_id
-- Requests by an id that callers gave, newest first; more than one if it failed before, or if accounts chose the same.
SELECT
    id, log_id, request_id, api_key_id, model, engine, prompt_tokens, cached_tokens, completion_tokens,
    reasoning_tokens, coalesce(finish_reason, ''), coalesce(code, ''), started_ms, ended_ms, charge, price_version,
    pack_tokens, pack_calls, source, note, stream, batch, plan_credits, overage, account_id
FROM usage
WHERE request_id = ?1 AND request_id <> log_id
ORDER BY id DESC
LIMIT 20

-- name: find_ended
-- A request that cost nothing, by the platform's id of it and the moments ?2 and ?3 between which it ended.
SELECT
    u.id, u.log_id, u.request_id, u.api_key_id, u.model, u.engine, u.prompt_tokens, u.cached_tokens,
    u.completion_tokens, u.reasoning_tokens, coalesce(u.finish_reason, ''), coalesce(u.code, ''), u.started_ms,
    u.ended_ms, u.charge, u.price_version, u.pack_tokens, u.pack_calls, u.source, u.note, u.stream, u.batch,
    u.plan_credits, u.overage, u.account_id
FROM accounts AS a CROSS JOIN usage AS u INDEXED BY usage_by_account
    ON u.account_id = a.id AND u.ended_ms >= ?2 AND u.ended_ms < ?3
WHERE u.log_id = ?1
LIMIT 1

-- name: postings_of_usage
-- What a request moved: its charge and what it took out of packs, then what was given back.
SELECT l.seq, l.at_ms, l.kind, d.name, c.name, l.amount, c.unit, l.balance, l.memo, l.hash
FROM usage AS u
    CROSS JOIN ledger AS l ON l.seq BETWEEN u.posting AND u.posting + 1000 AND l.usage_id = u.id
    JOIN books AS d ON d.id = l.debit JOIN books AS c ON c.id = l.credit
WHERE u.id = ?1 AND l.kind IN ('post', 'pack_burn')
UNION ALL
SELECT l.seq, l.at_ms, l.kind, d.name, c.name, l.amount, c.unit, l.balance, l.memo, l.hash
FROM ledger AS l JOIN books AS d ON d.id = l.debit JOIN books AS c ON c.id = l.credit
WHERE l.usage_id = ?1 AND l.kind = 'refund'
ORDER BY 1

-- name: fetch_price_body
-- One version of a price.
SELECT body FROM prices WHERE version = ?1

-- name: sum_actions
-- What was paid in, adjusted and given back on a book between two moments, by kind; adjustments may be negative.
SELECT kind, sum(CASE WHEN credit = book THEN amount ELSE -amount END)
FROM ledger
WHERE book = ?1 AND at_ms >= ?2 AND at_ms < ?3 AND kind NOT IN ('post', 'pack_burn')
GROUP BY kind

-- name: list_refunds
-- What was given back on a book between two moments, newest first, and the request that it was given back for.
-- `NOT IN` says nothing that `= 'refund'` does not: it is the condition of the index ledger_actions_by_book, which
-- SQLite takes only for a query that repeats it.
SELECT l.at_ms, l.amount, l.memo, coalesce(u.log_id, ''), coalesce(u.request_id, ''), coalesce(u.model, ''),
    coalesce(u.api_key_id, '')
FROM ledger AS l LEFT JOIN usage AS u ON u.id = l.usage_id
WHERE l.book = ?1 AND l.at_ms >= ?2 AND l.at_ms < ?3 AND l.kind NOT IN ('post', 'pack_burn') AND l.kind = 'refund'
    AND (?4 IS NULL OR u.model = ?4) AND (?5 IS NULL OR u.api_key_id = ?5)
ORDER BY l.at_ms DESC, l.seq DESC

-- name: find_cash_book
-- The number of an account's cash book.
SELECT id FROM books WHERE account_id = ?1 AND name = 'cash'

-- name: last_balance
-- What a book holds.
SELECT balance FROM ledger WHERE book = ?1 ORDER BY seq DESC LIMIT 1

-- name: account_of_statement
-- Whose statement it is, since when there is an account, and when its first request ended.
SELECT
    a.name, a.created_ms,
    coalesce((SELECT ended_ms FROM usage WHERE account_id = a.id ORDER BY ended_ms LIMIT 1), a.created_ms)
FROM accounts AS a
WHERE a.id = ?1

-- name: key_names
-- What the keys of an account are called.
SELECT id, name FROM api_keys WHERE account_id = ?1
