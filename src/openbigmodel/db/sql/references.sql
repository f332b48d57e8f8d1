-- name: insert_reference
-- What an operator calls a posting, in the transaction that writes it.
INSERT INTO posting_references (account_id, reference, content, posting) VALUES (?1, ?2, ?3, ?4)

-- name: find_reference
-- What an operator did under a reference: what was asked for, the posting, when, and the book that it changed.
SELECT r.content, r.posting, l.at_ms, b.name
FROM posting_references AS r
    JOIN ledger AS l ON l.seq = r.posting JOIN books AS b ON b.id = l.book
WHERE r.account_id = ?1 AND r.reference = ?2
