-- Coding Plan subscriptions and their windows, and the tiers that follow from spending. Times are Unix milliseconds.

-- A subscription is valid from from_ms up to, not including, to_ms; ended_ms ends it earlier. What it has used is in
-- usage.plan_credits. Those of one account never overlap, so that each moment has one plan or none.
CREATE TABLE plans (
    id          INTEGER PRIMARY KEY,
    account_id  TEXT    NOT NULL REFERENCES accounts (id),
    level       TEXT    NOT NULL CHECK (level IN ('lite', 'pro', 'max')),
    from_ms     INTEGER NOT NULL CHECK (from_ms >= 0),
    to_ms       INTEGER NOT NULL CHECK (to_ms > from_ms),
    created_ms  INTEGER NOT NULL,
    ended_ms    INTEGER          CHECK (ended_ms >= from_ms AND ended_ms <= to_ms)
) STRICT;

CREATE INDEX plans_by_account ON plans (account_id, from_ms);

CREATE TRIGGER plans_never_overlap BEFORE INSERT ON plans
WHEN EXISTS (
    SELECT 1 FROM plans
    WHERE account_id = NEW.account_id AND from_ms < NEW.to_ms AND coalesce(ended_ms, to_ms) > NEW.from_ms
)
BEGIN
    SELECT RAISE (ABORT, 'this account has a plan at that time');
END;

-- All that may change of a subscription is that it ends earlier.
CREATE TRIGGER plans_only_end BEFORE UPDATE OF id, account_id, level, from_ms, to_ms, created_ms ON plans
BEGIN
    SELECT RAISE (ABORT, 'a plan can only be ended');
END;

CREATE TRIGGER plans_end_once BEFORE UPDATE OF ended_ms ON plans WHEN OLD.ended_ms IS NOT NULL
BEGIN
    SELECT RAISE (ABORT, 'this plan has ended already');
END;

CREATE TRIGGER plans_are_never_deleted BEFORE DELETE ON plans
BEGIN
    SELECT RAISE (ABORT, 'plans are kept');
END;

-- The windows of a plan, each from the first request that counted in it: what it has used is the sum of plan_credits
-- in the account's usage rows after after_usage. A window's row is written before the first of these.
CREATE TABLE plan_windows (
    id           INTEGER PRIMARY KEY,
    plan_id      INTEGER NOT NULL REFERENCES plans (id),
    kind         TEXT    NOT NULL CHECK (kind IN ('hours', 'week')),
    from_ms      INTEGER NOT NULL,
    after_usage  INTEGER NOT NULL
) STRICT;

CREATE INDEX plan_windows_by_plan ON plan_windows (plan_id, kind);

-- Only requests on a plan pay for it.
CREATE INDEX usage_on_plans ON usage (account_id, id, plan_credits) WHERE plan_credits > 0;

-- The tier that followed from what an account spent when that was last looked at. Where accounts.tier is another, an
-- operator chose it.
CREATE TABLE spend_tiers (
    account_id     TEXT    NOT NULL PRIMARY KEY REFERENCES accounts (id),
    tier           TEXT    NOT NULL,
    calculated_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
