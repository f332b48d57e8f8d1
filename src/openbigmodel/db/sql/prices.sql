-- name: list_latest_prices
-- Of each model and source, the last version that was stored.
SELECT max(version), model, source, body, created_ms FROM prices GROUP BY model, source ORDER BY model

-- name: list_price_versions
-- Every version of one model's price, newest first.
SELECT version, model, source, body, created_ms FROM prices WHERE model = ?1 ORDER BY version DESC

-- name: next_price_version
-- The number that the next version gets.
SELECT coalesce(max(version), 0) + 1 FROM prices

-- name: insert_price
-- A new version; runs at the start and when an operator sets a price.
INSERT INTO prices (version, model, source, body, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)
