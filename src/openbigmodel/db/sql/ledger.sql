-- name: fetch_head
-- Where the chain of postings ends.
SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1

-- name: fetch_book_balance
-- What a book holds after its last posting.
SELECT balance FROM ledger WHERE book = ?1 ORDER BY seq DESC LIMIT 1

-- name: find_book
-- A customer's book.
SELECT id FROM books WHERE account_id = ?1 AND name = ?2

-- name: insert_book
-- A customer's new book.
INSERT INTO books (id, account_id, name, unit) VALUES ((SELECT max(99, max(id)) + 1 FROM books), ?1, ?2, ?3)

-- name: insert_posting
-- The next link of the chain.
INSERT INTO ledger (seq, at_ms, kind, debit, credit, amount, balance, usage_id, log_id, memo, hash)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)

-- name: insert_pack
-- A new resource pack.
INSERT INTO packs (id, account_id, unit, amount, models, gift, from_ms, to_ms, created_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)

-- name: insert_reply
-- An answer that is kept for repetition.
INSERT INTO replies (account_id, request_id, body_digest, reply, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)

-- name: find_reply
-- The answer that was kept of a request, if it is not older than ?3.
SELECT body_digest, reply, created_ms FROM replies WHERE account_id = ?1 AND request_id = ?2 AND created_ms >= ?3

-- name: find_claim
-- The request that used up a caller's request id.
SELECT log_id FROM usage
WHERE account_id = ?1 AND request_id = ?2 AND request_id <> log_id AND claims = 1

-- name: any_old_reply
-- One row if there is an answer from before ?1.
SELECT 1 FROM replies WHERE created_ms < ?1 LIMIT 1

-- name: delete_old_replies
-- Forgets at most ?2 answers from before ?1.
DELETE FROM replies WHERE id IN (SELECT id FROM replies WHERE created_ms < ?1 ORDER BY created_ms LIMIT ?2)

-- name: charged_usage
-- The row of a request that was charged, by the platform's id of it; all columns in the order of insert_usage.
SELECT
    id, log_id, request_id, account_id, api_key_id, model, engine,
    prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens,
    finish_reason, code, started_ms, ended_ms,
    charge, overage, price_version, pack_tokens, pack_calls, plan_credits,
    source, note, stream, batch, claims, posting
FROM usage WHERE log_id = ?1 AND posting IS NOT NULL

-- name: usage_at
-- Whose usage row has this number.
SELECT log_id FROM usage WHERE id = ?1

-- name: posting_at
-- Whose posting has this number.
SELECT log_id FROM ledger WHERE seq = ?1

-- name: list_refundable
-- Book by book, what a request was charged and has not been given back yet.
SELECT b.name, b.unit, l.amount - coalesce((
    SELECT sum(r.amount) FROM ledger AS r WHERE r.usage_id = ?1 AND r.kind = 'refund' AND r.book = l.book
), 0)
FROM usage AS u
    JOIN ledger AS l ON l.seq BETWEEN u.posting AND u.posting + 1000 AND l.usage_id = u.id
    JOIN books AS b ON b.id = l.book
WHERE u.id = ?1 AND l.kind IN ('post', 'pack_burn')

-- name: fetch_pack
-- One pack.
SELECT id, account_id, unit, models, gift, from_ms, to_ms FROM packs WHERE id = ?1

-- name: list_balances
-- What every account has; runs once, at the start.
SELECT account_id, coalesce((SELECT balance FROM ledger WHERE book = b.id ORDER BY seq DESC LIMIT 1), 0)
FROM books AS b WHERE name = 'cash' AND account_id IS NOT NULL

-- name: list_packs
-- Every pack with what is left of it, if anything is; runs once, at the start.
SELECT id, account_id, unit, models, gift, from_ms, to_ms, remaining
FROM (
    SELECT p.*, (
        SELECT balance FROM ledger
        WHERE book = (SELECT id FROM books WHERE account_id = p.account_id AND name = 'pack:' || p.id)
        ORDER BY seq DESC LIMIT 1
    ) AS remaining
    FROM packs AS p
)
WHERE remaining > 0

-- name: list_postings
-- The whole ledger, for `verify`: hash, what it covers, whether it alone is what a usage row says, and what is left to check.
SELECT
    l.hash,
    CAST(json_array(
        l.seq, l.at_ms, l.kind, l.debit, l.credit, l.amount, l.balance, l.usage_id, l.log_id, l.memo,
        u.log_id, u.request_id, u.account_id, u.api_key_id, u.model, u.engine,
        u.prompt_tokens, u.cached_tokens, u.completion_tokens, u.reasoning_tokens,
        u.finish_reason, u.code, u.started_ms, u.ended_ms,
        u.charge, u.overage, u.price_version, u.pack_tokens, u.pack_calls, u.plan_credits,
        u.source, u.note, u.stream, u.batch, u.claims, u.posting
    ) AS BLOB),
    l.kind = 'post' AND l.credit = 2 AND u.posting = l.seq AND u.log_id = l.log_id AND u.claims = 1
        AND u.charge = l.amount AND u.overage = 0 AND u.pack_tokens = 0 AND u.pack_calls = 0,
    l.seq, l.debit, l.amount, l.balance, l.usage_id,
    u.account_id, 2 * u.price_version + u.batch, u.prompt_tokens, u.cached_tokens, u.completion_tokens
FROM ledger AS l LEFT JOIN usage AS u ON u.id = l.usage_id
ORDER BY l.seq

-- name: list_links
-- At most ?2 postings after the posting ?1: hash, and what it covers besides the hash before.
SELECT
    l.hash,
    CAST(json_array(
        l.seq, l.at_ms, l.kind, l.debit, l.credit, l.amount, l.balance, l.usage_id, l.log_id, l.memo,
        u.log_id, u.request_id, u.account_id, u.api_key_id, u.model, u.engine,
        u.prompt_tokens, u.cached_tokens, u.completion_tokens, u.reasoning_tokens,
        u.finish_reason, u.code, u.started_ms, u.ended_ms,
        u.charge, u.overage, u.price_version, u.pack_tokens, u.pack_calls, u.plan_credits,
        u.source, u.note, u.stream, u.batch, u.claims, u.posting
    ) AS BLOB),
    l.seq
FROM ledger AS l LEFT JOIN usage AS u ON u.id = l.usage_id
WHERE l.seq > ?1 ORDER BY l.seq LIMIT ?2

-- name: fetch_balance_as_of
-- What a book held when the ledger ended with posting ?2.
SELECT balance FROM ledger WHERE book = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1

-- name: fetch_posting
-- One posting and its usage row, in the order that the hash covers.
SELECT
    l.seq, l.at_ms, l.kind, l.debit, l.credit, l.amount, l.balance, l.usage_id, l.log_id, l.memo,
    u.log_id, u.request_id, u.account_id, u.api_key_id, u.model, u.engine,
    u.prompt_tokens, u.cached_tokens, u.completion_tokens, u.reasoning_tokens,
    u.finish_reason, u.code, u.started_ms, u.ended_ms,
    u.charge, u.overage, u.price_version, u.pack_tokens, u.pack_calls, u.plan_credits,
    u.source, u.note, u.stream, u.batch, u.claims, u.posting
FROM ledger AS l LEFT JOIN usage AS u ON u.id = l.usage_id
WHERE l.seq = ?1

-- name: list_uncharged
-- Usage rows without a posting that name a price or an amount; all columns in the order of insert_usage.
SELECT
    id, log_id, request_id, account_id, api_key_id, model, engine,
    prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens,
    finish_reason, code, started_ms, ended_ms,
    charge, overage, price_version, pack_tokens, pack_calls, plan_credits,
    source, note, stream, batch, claims, posting
FROM usage
WHERE posting IS NULL AND charge + overage + price_version + pack_tokens + pack_calls > 0

-- name: list_unposted
-- The first usage rows whose posting is not there.
SELECT u.id
FROM usage AS u LEFT JOIN ledger AS l ON l.seq = u.posting AND l.usage_id = u.id
WHERE u.posting IS NOT NULL AND l.seq IS NULL
LIMIT 100

-- name: list_impossible_credits
-- The first usage rows that took credits though they produced nothing, were paid for otherwise, or are an account's that
-- never had a plan.
SELECT id FROM usage AS u INDEXED BY usage_on_plans
WHERE plan_credits > 0 AND (
    claims = 0 OR posting IS NOT NULL OR charge + overage + price_version + pack_tokens + pack_calls > 0
    OR prompt_tokens + completion_tokens = 0
    OR NOT EXISTS (SELECT 1 FROM plans AS p WHERE p.account_id = u.account_id)
)
LIMIT 100

-- name: count_usage
-- How many usage rows there are, and how many of them were charged.
SELECT count(*), count(posting) FROM usage

-- name: list_books
-- Every book.
SELECT id, account_id, name, unit FROM books

-- name: list_pack_facts
-- What every pack was when it was granted.
SELECT id, account_id, unit, amount FROM packs

-- name: list_prices
-- Every version of every price.
SELECT version, body FROM prices

-- name: check_quickly
-- The first thing that SQLite finds wrong with its own pages and rows, without comparing indexes; "ok" if nothing.
PRAGMA quick_check(1)

-- name: check_structure
-- What SQLite finds wrong with its own pages, rows and indexes; one row "ok" if nothing.
PRAGMA integrity_check(100)
