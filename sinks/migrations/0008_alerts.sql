-- Whom an alert goes to and how, and the budgets that customers and operators set.
-- The outbox has a row for an alert, thousands and not millions: rewriting it takes less than the wait for its lock.
-- squawk-ignore-file adding-field-with-default, ban-drop-not-null, ban-drop-constraint, constraint-missing-not-valid, disallowed-unique-constraint, require-concurrent-index-creation

ALTER TABLE account
    ADD COLUMN mail_to  text[] NOT NULL DEFAULT '{}',   -- addresses that alerts go to besides the webhook
    ADD COLUMN language text NOT NULL DEFAULT 'en' CHECK (language IN ('de', 'en'));

-- One row for each recipient of an alert. Copy 0 is what makes a crossing unique: whoever enters that one enters all.
ALTER TABLE alert_outbox
    ADD COLUMN number    bigint GENERATED ALWAYS AS IDENTITY,   -- order of entering; of a scope never against time
    ADD COLUMN channel   text NOT NULL DEFAULT 'webhook' CHECK (channel IN ('webhook', 'mail', 'command')),
    ADD COLUMN recipient text NOT NULL DEFAULT '',              -- the address of a mail
    ADD COLUMN copy      integer NOT NULL DEFAULT 0,
    ALTER COLUMN scope_id DROP NOT NULL,                        -- null: a budget of the whole account
    DROP CONSTRAINT alert_outbox_threshold_scope_id_period_start_limit_version__key,
    ADD CONSTRAINT alert_once
        UNIQUE NULLS NOT DISTINCT (threshold, scope_id, period_start, limit_version, kind, copy);
CREATE UNIQUE INDEX alert_number ON alert_outbox (number);
CREATE INDEX alert_account ON alert_outbox (account_id, number);

-- Commands are the provider's own affair. The policies are made again by sinks/roles/grants.sql.
DROP POLICY IF EXISTS customer ON alert_outbox;
DROP POLICY IF EXISTS staff ON alert_outbox;

-- What an account, or an item of it, may come to in a month. A row is never changed, but ended; its id is the version
-- of the limit.
CREATE TABLE budget (
    budget_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id  text NOT NULL REFERENCES account,
    item_id     text REFERENCES item,                -- null: the whole account
    charge      text,                                -- null: money; else the quantity of this charge
    most        numeric NOT NULL CHECK (most > 0),   -- major units of the account's currency, or billing units
    unit        text,                                -- of the charge, as it was when the budget was set
    unit_size   numeric,                             -- base units in it
    percents    integer[] NOT NULL,                  -- of the limit, at which somebody is told
    ahead_ms    bigint,                              -- told when the limit will be reached within this time
    action      text NOT NULL CHECK (action IN ('notify', 'cap')),
    set_at      timestamptz NOT NULL,
    set_by      text NOT NULL,
    ended_at    timestamptz,
    ended_by    text,
    CHECK ((charge IS NULL) = (unit IS NULL AND unit_size IS NULL)),
    CHECK (charge IS NULL OR item_id IS NOT NULL)
);
CREATE UNIQUE INDEX budget_in_force ON budget (account_id, item_id, charge, action) NULLS NOT DISTINCT
    WHERE ended_at IS NULL;

-- What was seen when an account's budgets were last looked at; for forecasts also what it was an hour before.
CREATE TABLE budget_watch (
    account_id text PRIMARY KEY REFERENCES account,
    seen       text NOT NULL,                        -- budgets, period and revisions of accruals
    marks      jsonb NOT NULL DEFAULT '{}'           -- budget → instants and amounts
);
