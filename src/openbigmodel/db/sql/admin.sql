-- name: list_cash_actions
-- The newest ?2 changes of an account's money besides requests.
SELECT l.seq, l.at_ms, l.kind, l.debit, l.amount, l.balance, l.log_id, l.memo, coalesce(u.log_id, '')
FROM ledger AS l LEFT JOIN usage AS u ON u.id = l.usage_id
WHERE l.kind NOT IN ('post', 'pack_burn')
  AND l.book = (SELECT id FROM books WHERE account_id = ?1 AND name = 'cash')
ORDER BY l.at_ms DESC, l.seq DESC LIMIT ?2

-- name: list_packs_of_account
-- The packs of an account with what is left of each, those that end first first.
SELECT id, unit, amount, models, gift, from_ms, to_ms, created_ms, (
    SELECT balance FROM ledger
    WHERE book = (SELECT id FROM books WHERE account_id = p.account_id AND name = 'pack:' || p.id)
    ORDER BY seq DESC LIMIT 1
)
FROM packs AS p WHERE account_id = ?1 ORDER BY to_ms, from_ms, id
