-- Who rents what at which price, what it has come to so far, who was told, what was invoiced.

CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE catalog_version (
    version    text PRIMARY KEY,
    effective  timestamptz NOT NULL,
    digest     text NOT NULL,                   -- SHA-256 of the file
    body       text NOT NULL,                   -- the file as written; a published version never changes
    applied_at timestamptz NOT NULL
);

CREATE TABLE account (
    account_id text PRIMARY KEY,
    name       text NOT NULL,
    address    text[] NOT NULL DEFAULT '{}',
    country    text NOT NULL,
    vat_id     text NOT NULL DEFAULT '',
    currency   text NOT NULL,
    timezone   text NOT NULL,
    webhook_url    text,
    webhook_secret bytea,                       -- encrypted (sinks.vault): whsec_ and base64; two with a space between while one replaces the other
    webhook_disabled_at timestamptz             -- the receiver answered 410 Gone
);

-- Unit of pricing and sealing: an item, a pool or a contract.
CREATE TABLE rating_scope (
    scope_id   text PRIMARY KEY,
    account_id text NOT NULL REFERENCES account
);
CREATE INDEX rating_scope_account ON rating_scope (account_id);

-- A slot that a customer rents; the hardware behind it may be swapped.
CREATE TABLE item (
    item_id  text PRIMARY KEY,
    scope_id text NOT NULL REFERENCES rating_scope,
    title    text NOT NULL,
    plan     text NOT NULL,
    valid    tstzrange NOT NULL CHECK (NOT isempty(valid) AND lower_inc(valid) AND NOT upper_inc(valid))
);
CREATE INDEX item_scope ON item (scope_id);

CREATE TABLE assignment (
    server_id  text NOT NULL,
    item_id    text NOT NULL REFERENCES item,
    valid      tstzrange NOT NULL CHECK (NOT isempty(valid) AND lower_inc(valid) AND NOT upper_inc(valid)),
    entered_at timestamptz NOT NULL,
    EXCLUDE USING gist (server_id WITH =, valid WITH &&)
);
CREATE INDEX assignment_item ON assignment (item_id);
CREATE INDEX assignment_server ON assignment (server_id);

CREATE TABLE item_price (
    item_id    text NOT NULL REFERENCES item,
    charge     text NOT NULL,
    valid      tstzrange NOT NULL CHECK (NOT isempty(valid) AND lower_inc(valid) AND NOT upper_inc(valid)),
    price      jsonb NOT NULL,                  -- a model of schemas.billing, decimals as strings
    tax        text NOT NULL,                   -- tax category
    version    text NOT NULL REFERENCES catalog_version,
    reason     text NOT NULL DEFAULT '',
    entered_at timestamptz NOT NULL,
    EXCLUDE USING gist (item_id WITH =, charge WITH =, valid WITH &&)
);

CREATE TABLE item_interval (
    item_id    text NOT NULL REFERENCES item,
    kind       text NOT NULL CHECK (kind IN ('trial', 'suspension', 'exclusion', 'maintenance')),
    valid      tstzrange NOT NULL CHECK (NOT isempty(valid)),
    reason     text NOT NULL DEFAULT '',
    entered_at timestamptz NOT NULL,
    EXCLUDE USING gist (item_id WITH =, kind WITH =, valid WITH &&)
);

-- Live pricing inputs of a scope's open period: sums. Money is derived from them, never the other way.
CREATE TABLE accrual (
    scope_id     text NOT NULL REFERENCES rating_scope,
    period_start timestamptz NOT NULL,
    period_end   timestamptz NOT NULL,
    as_of        timestamptz NOT NULL,
    inputs       jsonb NOT NULL,
    figures      jsonb NOT NULL DEFAULT '[]',   -- what they come to at as_of, for display: pipeline.rating.figures
    next_eval_at timestamptz,                   -- when time alone changes the price (next hour, cap)
    revision     bigint NOT NULL DEFAULT 1,     -- compare-and-swap of the rater
    PRIMARY KEY (scope_id, period_start)
) WITH (fillfactor = 50);
CREATE INDEX accrual_due ON accrual (next_eval_at);

-- What each charge has come to, as of the scope's last rating. For display: an invoice is priced anew from inputs.
CREATE VIEW account_charge AS
    SELECT s.account_id, a.scope_id, f.item AS item_id, f.charge, a.period_start, a.period_end, a.as_of,
           f.unit, f.unit_size, f.used, f.included, f.net, f.currency
    FROM accrual a
    JOIN rating_scope s USING (scope_id)
    CROSS JOIN LATERAL jsonb_to_recordset(a.figures) AS f
        (item text, charge text, unit text, unit_size numeric, used numeric, included numeric, net numeric, currency text);

-- A crossing is inserted once; the delivery's id is its identity for the receiver.
CREATE TABLE alert_outbox (
    alert_id     text PRIMARY KEY,              -- webhook-id of the Standard Webhooks request
    account_id   text NOT NULL REFERENCES account,
    scope_id     text NOT NULL REFERENCES rating_scope,
    period_start timestamptz NOT NULL,
    threshold    text NOT NULL,                 -- e.g. item/traffic/80%
    limit_version text NOT NULL,
    kind         text NOT NULL,
    body         jsonb NOT NULL,
    sampled_at   timestamptz NOT NULL,          -- reading that crossed
    created_at   timestamptz NOT NULL,
    attempts     integer NOT NULL DEFAULT 0,
    next_try_at  timestamptz NOT NULL,
    delivered_at timestamptz,
    last_error   text,                          -- why the last try failed; never the receiver's words
    failed       text,                          -- why delivery was given up
    UNIQUE (threshold, scope_id, period_start, limit_version, kind)
);
CREATE INDEX alert_scope ON alert_outbox (scope_id, period_start);
CREATE INDEX alert_due ON alert_outbox (next_try_at) WHERE delivered_at IS NULL AND failed IS NULL;

CREATE TABLE invoice_number (
    entity text NOT NULL,
    kind   text NOT NULL,
    year   integer NOT NULL,
    next   bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (entity, kind, year)
);

CREATE TABLE invoice (
    invoice_id   uuid PRIMARY KEY,
    number       text NOT NULL UNIQUE,
    kind         text NOT NULL DEFAULT 'invoice',
    entity       text NOT NULL,
    account_id   text NOT NULL REFERENCES account,
    period_start timestamptz NOT NULL,
    period_end   timestamptz NOT NULL,
    currency     text NOT NULL,
    net          numeric NOT NULL,
    tax          numeric NOT NULL,
    gross        numeric NOT NULL,
    issued_at    timestamptz NOT NULL,
    document     jsonb NOT NULL,                -- the whole invoice; everything else is derived from it
    digest       text NOT NULL                  -- SHA-256 of the document in RFC 8785 form
);
CREATE INDEX invoice_account ON invoice (account_id, period_start);

CREATE TABLE invoice_line (
    invoice_id uuid NOT NULL REFERENCES invoice,
    position   integer NOT NULL,
    line_key   text NOT NULL,
    net        numeric NOT NULL,
    PRIMARY KEY (invoice_id, position),
    UNIQUE (invoice_id, line_key)
);
CREATE INDEX invoice_line_key ON invoice_line (line_key);

-- A scope's period is billed once. input_digest: SHA-256 of the pricing inputs in RFC 8785 form.
CREATE TABLE scope_seal (
    scope_id       text NOT NULL REFERENCES rating_scope,
    period_start   timestamptz NOT NULL,
    period_end     timestamptz NOT NULL,
    entered_before timestamptz NOT NULL,
    input_digest   text NOT NULL,
    invoice_id     uuid REFERENCES invoice,     -- null: nothing to bill
    PRIMARY KEY (scope_id, period_start)
);

-- Positions of all partitions as the invoice saw them: ledger rows above are adjustments.
CREATE TABLE invoice_cut (
    invoice_id  uuid NOT NULL REFERENCES invoice,
    topic_id    uuid NOT NULL REFERENCES ingest_topic,
    part        integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (invoice_id, topic_id, part)
);

-- What the last close said of an account's period: issued, empty, waiting, parked. A dry run says nothing.
CREATE TABLE close_outcome (
    account_id   text NOT NULL REFERENCES account,
    currency     text NOT NULL,
    period_start timestamptz NOT NULL,
    period_end   timestamptz NOT NULL,
    closed_at    timestamptz NOT NULL,
    status       text NOT NULL,
    scopes       integer NOT NULL,
    checked      integer NOT NULL,               -- comparisons that reconciliation made
    differences  jsonb NOT NULL DEFAULT '[]',    -- those that failed: what, where, left, right
    reasons      text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (account_id, currency, period_start)
);

-- Finalised documents and seals never change, whoever asks.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % refused: a finalised invoice is corrected only by a credit note', TG_OP, TG_TABLE_NAME;
END $$;
CREATE TRIGGER invoice_final BEFORE UPDATE OR DELETE ON invoice FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER invoice_line_final BEFORE UPDATE OR DELETE ON invoice_line FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER scope_seal_final BEFORE UPDATE OR DELETE ON scope_seal FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER invoice_cut_final BEFORE UPDATE OR DELETE ON invoice_cut FOR EACH ROW EXECUTE FUNCTION refuse_change();
