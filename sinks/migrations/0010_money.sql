-- Who is taxed how, what a customer has in his wallet, and the books: every amount on two sides, added to only.
-- Invoices are thousands and not millions: the new columns have constant defaults, and rewrite nothing.
-- squawk-ignore-file adding-not-nullable-field, adding-field-with-default

-- How an account is taxed during `valid`; none said means the seller's own rates on top of the prices.
CREATE TABLE tax_profile (
    account_id text NOT NULL REFERENCES account,
    valid      tstzrange NOT NULL CHECK (NOT isempty(valid) AND lower_inc(valid) AND NOT upper_inc(valid)),
    mode       text NOT NULL CHECK (mode IN ('exclusive', 'inclusive', 'reverse charge')),
    rounding   text NOT NULL CHECK (rounding IN ('half up', 'down')),
    country    text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    vat_id     text NOT NULL,
    evidence   text NOT NULL,                   -- what confirmed the VAT id; empty: nobody has asked
    checked_at timestamptz,
    entered_by text NOT NULL,
    entered_at timestamptz NOT NULL,
    change_id  bigint,                          -- the timelines' trigger keeps what was known; this has no commands
    CHECK ((evidence = '') = (checked_at IS NULL)),
    EXCLUDE USING gist (account_id WITH =, valid WITH &&)
);
CREATE TABLE tax_profile_past (LIKE tax_profile, superseded_at timestamptz NOT NULL, superseded_by bigint);
CREATE INDEX tax_profile_past_account ON tax_profile_past (account_id);
CREATE TRIGGER tax_profile_kept BEFORE INSERT OR UPDATE OR DELETE ON tax_profile
    FOR EACH ROW EXECUTE FUNCTION keep_timeline();

CREATE FUNCTION refuse_money_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % refused: what was entered stays; enter what sets it right', TG_OP, TG_TABLE_NAME;
END $$;

-- What a customer was given or has paid ahead. `drawn` is the sum of its draws; only they change it.
CREATE TABLE wallet_credit (
    credit_id  text PRIMARY KEY,
    account_id text NOT NULL REFERENCES account,
    kind       text NOT NULL CHECK (kind IN ('promotional', 'paid')),
    currency   text NOT NULL,
    amount     numeric NOT NULL CHECK (amount > 0),
    drawn      numeric NOT NULL DEFAULT 0 CHECK (drawn BETWEEN 0 AND amount),
    priority   integer NOT NULL DEFAULT 0,      -- lowest first
    granted_at timestamptz NOT NULL,
    expires_at timestamptz CHECK (expires_at > granted_at),
    reason     text NOT NULL DEFAULT '',
    entered_by text NOT NULL,
    entered_at timestamptz NOT NULL
);
CREATE INDEX wallet_credit_account ON wallet_credit (account_id);

CREATE TABLE wallet_draw (
    credit_id text NOT NULL REFERENCES wallet_credit,
    reference text NOT NULL,                    -- number of the invoice, or `expiry`
    amount    numeric NOT NULL CHECK (amount > 0),
    drawn_at  timestamptz NOT NULL,
    PRIMARY KEY (credit_id, reference)
);
CREATE INDEX wallet_draw_reference ON wallet_draw (reference);
CREATE TRIGGER wallet_draw_final BEFORE UPDATE OR DELETE OR TRUNCATE ON wallet_draw
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_money_change();

-- Its row is the lock: of two that draw at once the second sees what the first has left, and the check refuses more.
CREATE FUNCTION draw_credit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE wallet_credit SET drawn = drawn + NEW.amount WHERE credit_id = NEW.credit_id;
    RETURN NULL;
END $$;
CREATE TRIGGER wallet_draw_counted AFTER INSERT ON wallet_draw FOR EACH ROW EXECUTE FUNCTION draw_credit();

CREATE FUNCTION keep_credit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE'
       OR to_jsonb(NEW) - 'drawn' <> to_jsonb(OLD) - 'drawn'
       OR NEW.drawn <> (SELECT coalesce(sum(amount), 0) FROM wallet_draw WHERE credit_id = OLD.credit_id) THEN
        RAISE EXCEPTION '% of wallet_credit refused: a credit changes by its draws alone', TG_OP;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER wallet_credit_final BEFORE UPDATE OR DELETE ON wallet_credit FOR EACH ROW EXECUTE FUNCTION keep_credit();

-- When a prepaid balance is told to be low. Told at each crossing once: `crossings` counts them, a new threshold re-arms.
CREATE TABLE wallet_threshold (
    account_id text PRIMARY KEY REFERENCES account,
    below      numeric NOT NULL CHECK (below > 0),
    set_at     timestamptz NOT NULL,
    set_by     text NOT NULL,
    low        boolean NOT NULL DEFAULT false,
    crossings  integer NOT NULL DEFAULT 0
);

-- The journal. An entry is once for its (kind, reference); its postings sum to zero, debits positive.
CREATE TABLE journal_entry (
    entry_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL,                   -- what happened: invoice, payment, …
    reference  text NOT NULL CHECK (reference <> ''),
    at         timestamptz NOT NULL,
    account_id text REFERENCES account,         -- null: of no customer, such as a pay-out
    currency   text NOT NULL,
    UNIQUE (kind, reference)
);
CREATE INDEX journal_entry_account ON journal_entry (account_id);

CREATE TABLE journal_posting (
    entry_id bigint NOT NULL REFERENCES journal_entry,
    position integer NOT NULL,
    ledger   text NOT NULL,                     -- receivable, revenue, bank, …
    amount   numeric NOT NULL CHECK (amount <> 0),
    month    date CHECK (extract(day FROM month) = 1),  -- of service: of revenue and deferred
    invoice  text NOT NULL DEFAULT '',          -- whose receivable it is; empty: the account's
    PRIMARY KEY (entry_id, position)
);
CREATE INDEX journal_posting_invoice ON journal_posting (invoice) WHERE invoice <> '';
CREATE INDEX journal_posting_unassigned ON journal_posting (entry_id) WHERE ledger = 'receivable' AND invoice = '';
CREATE INDEX journal_posting_deferred ON journal_posting (entry_id) WHERE ledger = 'deferred';

CREATE FUNCTION refuse_unbalanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong journal_entry;
BEGIN
    SELECT e.* INTO wrong
    FROM (SELECT entry_id, sum(amount) AS rest, count(*) AS n FROM added GROUP BY 1) a
    JOIN journal_entry e USING (entry_id)
    WHERE a.rest <> 0 OR a.n <> (SELECT count(*) FROM journal_posting p WHERE p.entry_id = a.entry_id)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % % refused: its postings come whole, in one statement, and sum to zero',
            wrong.kind, wrong.reference;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER journal_posting_balanced AFTER INSERT ON journal_posting
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION refuse_unbalanced();
CREATE TRIGGER journal_entry_final BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_money_change();
CREATE TRIGGER journal_posting_final BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_posting
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_money_change();

-- What format 2 of the document says besides; null and empty on what was issued before.
ALTER TABLE invoice
    ADD COLUMN due      numeric,                      -- gross less paid credit
    ADD COLUMN due_at   timestamptz,
    ADD COLUMN corrects text NOT NULL DEFAULT '';     -- number of the invoice that a credit note corrects

-- How an invoice stands, from the journal alone; nothing of this is stored. A negative balance is the customer's.
CREATE VIEW invoice_status AS
    SELECT i.invoice_id, i.number, i.account_id, i.currency, i.issued_at, coalesce(i.due_at, i.issued_at) AS due_at,
           i.gross, received, refunded, charged_back, written_off, balance,
           CASE WHEN balance < 0 THEN 'over-paid'
                WHEN balance > 0 AND charged_back > 0 THEN 'charged back'
                WHEN refunded > 0 AND received <= refunded + charged_back THEN 'refunded'
                WHEN balance = 0 AND written_off > 0 THEN 'written off'
                WHEN balance = 0 THEN 'paid'
                WHEN balance < i.gross THEN 'partly paid'
                ELSE 'open' END AS status
    FROM invoice i
    CROSS JOIN LATERAL (
        SELECT coalesce(-sum(p.amount) FILTER (WHERE e.kind = 'payment'), 0) AS received,
               coalesce(sum(p.amount) FILTER (WHERE e.kind = 'refund'), 0) AS refunded,
               coalesce(sum(p.amount) FILTER (WHERE e.kind = 'charge-back'), 0) AS charged_back,
               coalesce(-sum(p.amount) FILTER (WHERE e.kind = 'write-off'), 0) AS written_off,
               coalesce(sum(p.amount), i.gross) AS balance
        FROM journal_posting p JOIN journal_entry e USING (entry_id)
        WHERE p.invoice = i.number AND p.invoice <> '' AND p.ledger = 'receivable'
    ) j
    WHERE i.kind = 'invoice';
